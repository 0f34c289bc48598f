"""Whether a difference between two methods is more than luck: permutation tests, Holm, marks.

Two methods are run under the same conditions: on the same fold, with the same seed. If neither is
better, each difference could as well have had the other sign, and the differences with all possible
signs say how large a mean luck makes (Fisher 1935). Several such tests need a correction (Holm
1979), since one of twenty is below .05 by luck.

What is tested is these speakers and these seeds. With k pairs no p is below 2 / 2**k: five folds
alone never give a mark, however large the gain.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from lowser_lib.errors import EvaluationError

#: Largest p that counts as significant; the custom of the field.
LEVEL = 0.05

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class PairedTest:
    """A paired permutation test, two-sided.

    Attributes:
        difference: Mean of first less second.
        p: How often luck makes a mean at least as far from 0, in (0, 1].
        n_pairs: Pairs, or groups of pairs, whose sign was exchanged.
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
    if n_resamples < 99:
        raise ValueError(f"n_resamples must be at least 99, not {n_resamples}")
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
    result = stats.permutation_test(
        (sums,),
        lambda values, axis: values.sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=n_resamples,
        rng=np.random.default_rng(seed),
    )
    exact = 2 ** len(sums) <= n_resamples
    return PairedTest(float(differences.mean()), float(result.pvalue), len(sums), exact)


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


def _sums(
    differences: NDArray[np.float64], groups: ArrayLike | Sequence[object]
) -> NDArray[np.float64]:
    """Sum of the differences of each group."""
    names = np.asarray(groups, dtype=object)
    if names.shape != differences.shape:
        raise EvaluationError(
            f"groups must have one value for each of {len(differences)} pairs, not {names.shape}"
        )
    codes, found = pd.factorize(names)
    if (codes < 0).any():
        raise EvaluationError(f"groups: {int((codes < 0).sum())} pairs have none; name them all")
    return np.bincount(codes, weights=differences, minlength=len(found)).astype(np.float64)
