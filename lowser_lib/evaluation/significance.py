"""Whether a difference between two methods is more than luck: permutation tests, Holm, marks.

Two methods answer for the same clips. If neither is better, their names mean nothing, and each
*speaker's* answers could as well have been exchanged; the differences with all possible exchanges
say how large a difference luck makes (Fisher 1935). Several seeds and folds of one method are no
independent witnesses: they are tested on the same speakers, and whoever is easier for one method is
so in all of its seeds. So all seeds of a speaker are exchanged together. (Exchanging seed by seed
and fold by fold finds a difference where there is none in up to half of the cases.)

What is tested is other speakers, with these trainings. With k speakers no p is below 2 / 2**k:
look at :func:`smallest_p` before testing. Several tests need a correction (Holm 1979), since one of
twenty is below .05 by luck.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lowser_lib.errors import EvaluationError, require
from lowser_lib.evaluation.metrics import Answers, metric_from_counts, same_clips

#: Largest p that counts as significant; the custom of the field.
LEVEL = 0.05

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class PairedTest:
    """A paired permutation test, two-sided.

    Attributes:
        difference: First less second.
        p: How often luck makes a difference at least as far from 0, in (0, 1].
        n_pairs: Pairs, groups of pairs, or speakers that were exchanged.
        exact: Whether all signs were tried, or some drawn at random.
    """

    difference: float
    p: float
    n_pairs: int
    exact: bool


def paired_permutation_test(
    first: ArrayLike,
    second: ArrayLike,
    groups: ArrayLike | Sequence[object] | None = None,
    *,
    n_resamples: int = 9999,
    seed: int = 0,
) -> PairedTest:
    """Test whether two methods differ, from results in pairs.

    All 2**k signs of k pairs are tried where these are at most ``n_resamples``; otherwise as many
    are drawn, and p counts the observed signs as one draw more.

    Args:
        first: Results of the one method, shape (n,), such as the UAR of each seed and fold.
        second: Results of the other under the same conditions, in the same order.
        groups: Which pairs hang together, shape (n,), and change sign together: seeds on the same
            test speakers, say, whose differences are no independent witnesses. None: each pair
            stands for itself.
        n_resamples: Most signs tried, at least 99.
        seed: Of the signs that are drawn, at least 0.

    Raises:
        EvaluationError: Shapes do not agree, there are fewer than two pairs or groups, or a value
            is missing or not finite.
        ValueError: ``n_resamples`` is below 99.
    """
    require("99..", n_resamples=n_resamples)
    ones, others = (np.asarray(values, dtype=np.float64) for values in (first, second))
    if ones.ndim != 1 or ones.shape != others.shape:
        raise EvaluationError(
            f"first and second must be rows of equal length, not {ones.shape} and {others.shape}"
        )
    differences = ones - others
    if not np.isfinite(differences).all():
        raise EvaluationError(
            f"{int((~np.isfinite(differences)).sum())} of {len(differences)} pairs have a result "
            "that is not finite; leave such pairs out on both sides"
        )
    sums = differences if groups is None else _sums(differences, groups)
    if len(sums) < 2:
        raise EvaluationError(
            f"{len(sums)} pairs or groups: a test needs two at least, and six for a p below "
            f"{LEVEL:g}. Run more folds or seeds"
        )
    signs, exact = _signs(len(sums), n_resamples, seed)
    scale = max(1.0, float(np.abs([ones, others]).max()))
    p = _p_value(signs @ sums, float(sums.sum()), exact, scale)
    return PairedTest(float(differences.mean()), p, len(sums), exact)


def exchange_test(
    first: Answers,
    second: Answers,
    metric: str = "uar",
    *,
    n_resamples: int = 9999,
    seed: int = 0,
) -> PairedTest:
    """Test whether two methods differ: exchange their answers speaker by speaker.

    What is compared is the mean over seeds of the metric of all speakers together; all seeds of a
    speaker are exchanged at once. Each clip is tested once a seed: put the folds of a seed together
    first.

    Args:
        first: Answers of the one method.
        second: Answers of the other to the same clips.
        metric: ``accuracy``, ``macro_f1`` or ``uar``.
        n_resamples: Most exchanges tried, at least 99; all are tried where there are no more.
        seed: Of the exchanges that are drawn, at least 0.

    Raises:
        EvaluationError: They answer for different clips, or there are fewer than two speakers.
        ValueError: ``metric`` is unknown, or ``n_resamples`` is below 99.
    """
    require("99..", n_resamples=n_resamples)
    same_clips(first, second)
    ones, others = first.confusions(), second.confusions()
    n_speakers = ones.shape[1]
    if n_speakers < 2:
        raise EvaluationError(f"{n_speakers} speaker: an exchange by speaker needs two at least")
    signs, exact = _signs(n_speakers, n_resamples, seed)
    kept = (1 + signs) / 2

    as_it_is = np.ones((1, n_speakers))
    luck, observed = (
        _mixed(ones, others, weights, metric) - _mixed(others, ones, weights, metric)
        for weights in (kept, as_it_is)
    )
    p = _p_value(luck, float(observed[0]), exact)
    return PairedTest(float(observed[0]), p, n_speakers, exact)


def smallest_p(n_pairs: int, tests: int = 1, n_resamples: int = 9999) -> float:
    """The smallest p that a test of so many pairs, groups or speakers can give.

    Args:
        n_pairs: What is exchanged.
        tests: Tests of the same question: Holm multiplies the smallest p by their number.
        n_resamples: Most exchanges tried.
    """
    require("1..", n_pairs=n_pairs, tests=tests)
    exact = 2**n_pairs <= n_resamples
    return min(1.0, tests * (2 / 2**n_pairs if exact else 1 / (1 + n_resamples)))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Correct p-values of several tests for their number, after Holm 1979.

    The smallest of m is multiplied by m, the next by m − 1, and so on; none becomes smaller than
    one before it, or larger than 1. The chance of any mark by luck stays below the level.

    Args:
        p_values: Shape (m,), in [0, 1]; all tests of one question.

    Returns:
        The corrected values, in the order given.

    Raises:
        EvaluationError: A value lies outside [0, 1] or is missing.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise EvaluationError(f"p_values must be a row of values in [0, 1], not {p_values!r}")
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(raised, 1)
    return corrected


def mark(p: float, level: float = LEVEL) -> str:
    """``*`` where a corrected p is below the level, ``ns`` (not significant) elsewhere."""
    if not 0 <= p <= 1:
        raise EvaluationError(f"p must lie in [0, 1], not {p!r}")
    return "*" if p < level else "ns"


def marked(tests: Mapping[Name, PairedTest], level: float = LEVEL) -> pd.DataFrame:
    """Tests of one question with corrected p-values and marks.

    Args:
        tests: By what was compared, such as view and budget.
        level: Largest corrected p that counts.

    Returns:
        One row a test, indexed by name: ``difference``, ``p``, ``p_holm``, ``mark``, ``n_pairs``.
    """
    columns = ["difference", "p", "p_holm", "mark", "n_pairs"]
    corrected = holm([test.p for test in tests.values()])
    rows = [
        (test.difference, test.p, float(p), mark(float(p), level), test.n_pairs)
        for test, p in zip(tests.values(), corrected, strict=True)
    ]
    index = pd.Index(list(tests))  # names of several parts make an index of as many levels
    return pd.DataFrame(rows, columns=columns, index=index)


def _signs(number: int, n_resamples: int, seed: int) -> tuple[NDArray[np.float64], bool]:
    """Rows of signs, and whether these are all that there are."""
    if 2**number <= n_resamples:
        every = np.arange(2**number)[:, None] >> np.arange(number) & 1
        return (1 - 2 * every).astype(np.float64), True
    drawn = np.random.default_rng(seed).integers(0, 2, size=(n_resamples, number))
    return (1 - 2 * drawn).astype(np.float64), False


def _p_value(luck: NDArray[np.float64], observed: float, exact: bool, scale: float = 1.0) -> float:
    """Share of differences as far from 0; where some were drawn, as it is counts as one more.

    Sums in another order differ in their last digits: what is equal but for these, at the scale of
    the scores, counts as equal.
    """
    reached = int((np.abs(luck) >= abs(observed) - 1e-12 * scale).sum())
    return reached / len(luck) if exact else (1 + reached) / (1 + len(luck))


def _mixed(
    ones: NDArray[np.int64], others: NDArray[np.int64], kept: NDArray[np.float64], metric: str
) -> NDArray[np.float64]:
    """Mean score over seeds of answers of ``ones`` for speakers kept, of ``others`` elsewhere."""
    scores = [
        metric_from_counts(
            np.tensordot(kept, first, axes=1) + np.tensordot(1 - kept, other, axes=1), metric
        )
        for first, other in zip(ones, others, strict=True)
    ]
    return np.asarray(np.mean(scores, axis=0))


def _sums(
    differences: NDArray[np.float64], groups: ArrayLike | Sequence[object]
) -> NDArray[np.float64]:
    """Sum of the differences of each group."""
    names = np.asarray(groups, dtype=object)
    if names.shape != differences.shape:
        raise EvaluationError(
            f"groups must have one value for each of {len(differences)} pairs, not {names.shape}"
        )
    codes, units = pd.factorize(names)
    if (codes < 0).any():
        raise EvaluationError(f"groups: {int((codes < 0).sum())} pairs have none; name them all")
    return np.bincount(codes, weights=differences, minlength=len(units)).astype(np.float64)
