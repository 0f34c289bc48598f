"""The gap between two groups, and what it is made of.

A *raw* gap is a difference of accuracies. It has two parts (Kitagawa 1955): with class shares s and
recalls r of a first group a and a second b,

    accuracy(a) − accuracy(b)  =  Σ (s_a − s_b) · r_b   +   Σ s_a · (r_a − r_b)
                                  what the mix makes        what understanding makes

The first sum is there even if both groups are understood alike, only because they were recorded in
other moods; b's recalls stand in for a's, so that it needs no recall of what a never says. The
*class-conditional* gaps are r_a − r_b, emotion by emotion, and their plain mean over those emotions
of which both groups have enough. The *standardised* gap weighs them by the shares of both groups
together.

**Intervals** draw speakers again, within each group where every speaker belongs to one (gender,
language), together where a speaker is in both (length); and training seeds where there are several.
Draws in which a cell is empty are left out; where that is more than half of them, there are no
bounds. **p** is that of a permutation test: were the groups' names dealt out to *speakers* at
random, how often would the gap be at least as large? Dealing them out to clips would take one loud
speaker for fifty witnesses. Deals that leave a cell empty do not count; which they are depends on
who speaks what, not on any answer, so the test stays exact.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lowser_lib.evaluation.groups import (
    CONDITIONAL,
    LEAST,
    MIX,
    STANDARDISED,
    UNDERSTANDING,
    Answers,
    Least,
    Pair,
)

__all__ = ["CONDITIONAL", "MIX", "STANDARDISED", "UNDERSTANDING", "gap_change", "gaps"]

COLUMNS = ["gap", "estimate", "low", "high", "p", "first", "second", "classes", "reason"]

Values = dict[str, NDArray[np.float64]]


def gaps(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    groups: ArrayLike,
    speakers: ArrayLike,
    labels: Sequence[Hashable],
    between: tuple[Any, Any],
    *,
    least: Least = LEAST,
    n_resamples: int = 1000,
    n_permutations: int = 9999,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """All gaps between two groups, first less second.

    Args:
        y_true: True labels, shape (n,).
        y_pred: Predicted labels, shape (n,), or (seeds, n) for several trainings.
        groups: Group of each clip, shape (n,).
        speakers: Who speaks each clip, shape (n,).
        labels: All classes, each once.
        between: Names of the first and the second group; clips of others play no part.
        least: What a cell must hold to be estimable.
        n_resamples: Draws of the bootstrap.
        n_permutations: Most ways to deal out the groups' names; all are tried if there are no more.
        level: Nominal coverage, in (0, 1).
        seed: Of all draws.

    Returns:
        One row a gap: ``accuracy``, its two parts, ``recall of X`` for every class, the
        class-conditional mean and the standardised gap. ``estimate`` with ``low`` and ``high``;
        ``p`` (``nan`` where names cannot be dealt out, and for the parts); ``first`` and
        ``second``, the two values between which the gap lies; ``classes``, how many it rests on;
        ``reason``, why it is not estimable (then all are ``nan``) or what is left out.

    Raises:
        EvaluationError: A group has no clip; or see :meth:`.group_cells.Answers.of`.
        ValueError: A number is out of range.
    """
    _check(n_resamples, n_permutations, level)
    pair = Pair.of(Answers.of(y_true, y_pred, groups, speakers, labels), between, least)
    random = np.random.default_rng(seed)
    found = pair.values(pair.counts.sum(axis=1))
    drawn = _bootstrap(pair, _weights(pair, n_resamples, random), random)
    dealt, exact = _permute(pair, n_permutations, random)
    rows = []
    for name, basis in pair.basis.items():
        first, second = (float(part.mean()) for part in found[name])
        row: dict[str, Any] = {"gap": name, "classes": basis.classes, "reason": basis.reason}
        if not basis.classes:
            first = second = math.nan
        else:
            row |= _bounds(drawn[name], level, pair.bounded)
            if name not in (MIX, UNDERSTANDING):
                row["p"] = _p_value(first - second, dealt.get(name), exact)
        rows.append({**row, "first": first, "second": second, "estimate": first - second})
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def gap_change(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    y_pred_other: ArrayLike,
    groups: ArrayLike,
    speakers: ArrayLike,
    labels: Sequence[Hashable],
    between: tuple[Any, Any],
    *,
    least: Least = LEAST,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """How a method changes the gaps of another one on the same clips.

    Both see the same speakers in every draw, so that what makes a group's speakers hard for both
    cancels; seeds of the two are drawn separately, as in
    :func:`lowser_lib.evaluation.intervals.paired_speaker_bootstrap`.

    Args:
        y_true: True labels, shape (n,).
        y_pred: Answers of the method, shape (n,) or (seeds, n).
        y_pred_other: Answers of the one before it, shape (n,) or (other seeds, n).
        groups: Group of each clip, shape (n,).
        speakers: Who speaks each clip, shape (n,).
        labels: All classes, each once.
        between: Names of the first and the second group.
        least: What a cell must hold to be estimable.
        n_resamples: Draws of the bootstrap.
        level: Nominal coverage, in (0, 1).
        seed: Of all draws.

    Returns:
        One row a gap, as of :func:`gaps`: ``before`` and ``after`` (first group less second),
        ``change`` (after less before) with ``low`` and ``high``; ``classes`` and ``reason``. A
        change towards 0 is not always one upwards: look at both ends.

    Raises:
        EvaluationError: See :func:`gaps`.
        ValueError: A number is out of range.
    """
    _check(n_resamples, 99, level)
    after, before = (
        Pair.of(Answers.of(y_true, answers, groups, speakers, labels), between, least)
        for answers in (y_pred, y_pred_other)
    )
    random = np.random.default_rng(seed)
    weights = _weights(after, n_resamples, random)
    drawn = [_bootstrap(pair, weights, random) for pair in (after, before)]
    found = [pair.values(pair.counts.sum(axis=1)) for pair in (after, before)]
    rows = []
    for name, basis in after.basis.items():
        row: dict[str, Any] = {"gap": name, "classes": basis.classes, "reason": basis.reason}
        if basis.classes:
            now, then = (float((one[name][0] - one[name][1]).mean()) for one in found)
            bounds = _bounds(drawn[0][name] - drawn[1][name], level, after.bounded)
            row |= {"before": then, "after": now, "change": now - then, **bounds}
        rows.append(row)
    columns = ["gap", "before", "after", "change", "low", "high", "classes", "reason"]
    return pd.DataFrame(rows).reindex(columns=columns)


def _differences(pair: Pair, per_seed: list[NDArray[Any]]) -> list[Values]:
    """Every gap, first less second, of each seed's confusion matrices."""
    with np.errstate(invalid="ignore"):
        return [
            {name: first - second for name, (first, second) in pair.values(one).items()}
            for one in per_seed
        ]


def _weights(pair: Pair, n_resamples: int, random: np.random.Generator) -> NDArray[np.int64]:
    """How often each speaker is drawn, (resamples, speakers)."""
    number = len(pair.member)
    strata = [np.arange(number)]
    if pair.nested:
        strata = [np.flatnonzero(pair.member[:, side]) for side in range(2)]
    weights = np.zeros((n_resamples, number), dtype=np.int64)
    for who in strata:
        weights[:, who] = random.multinomial(len(who), np.full(len(who), 1 / len(who)), n_resamples)
    return weights


def _bootstrap(pair: Pair, weights: NDArray[np.int64], random: np.random.Generator) -> Values:
    """Gaps of speakers and seeds drawn again, each of shape (resamples,)."""
    per_seed = _differences(pair, [np.tensordot(weights, seed, axes=1) for seed in pair.counts])
    drawn = random.integers(len(per_seed), size=(len(weights), len(per_seed)))
    return {
        name: np.take_along_axis(
            np.stack([one[name] for one in per_seed], axis=1), drawn, axis=1
        ).mean(axis=1)
        for name in per_seed[0]
    }


def _permute(pair: Pair, n_permutations: int, random: np.random.Generator) -> tuple[Values, bool]:
    """Gaps with the groups' names dealt out anew, (deals,), and whether these are all deals.

    There are none where a speaker is in both groups.
    """
    if not pair.nested:
        return {}, False
    whose = pair.member[:, 0]
    number, size = len(whose), int(whose.sum())
    exact = math.comb(number, size) <= n_permutations
    if exact:
        deals = np.zeros((math.comb(number, size), number))
        for row, chosen in enumerate(combinations(range(number), size)):
            deals[row, list(chosen)] = 1
    else:
        deals = np.stack([random.permutation(whose) for _ in range(n_permutations)]).astype(float)
    totals = pair.counts.sum(axis=2)  # what each speaker says, whatever they are called
    sides = [
        np.stack([np.tensordot(part, seed, axes=1) for part in (deals, 1 - deals)], axis=1)
        for seed in totals
    ]
    per_seed = _differences(pair, sides)
    return {name: np.mean([one[name] for one in per_seed], axis=0) for name in per_seed[0]}, exact


def _p_value(observed: float, dealt: NDArray[np.float64] | None, exact: bool) -> float:
    """Two-sided; drawn deals count the observed one as one more."""
    if dealt is None:
        return math.nan
    known = dealt[~np.isnan(dealt)]
    reached = int((np.abs(known) >= abs(observed) - 1e-12).sum())
    return reached / len(known) if exact else (1 + reached) / (1 + len(known))


def _bounds(drawn: NDArray[np.float64], level: float, bounded: bool) -> dict[str, float]:
    """Percentiles of the draws in which no cell is empty, if these are most of them."""
    known = drawn[~np.isnan(drawn)]
    if not bounded or len(known) <= len(drawn) / 2:
        return {"low": math.nan, "high": math.nan}
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return {"low": float(low), "high": float(high)}


def _check(n_resamples: int, n_permutations: int, level: float) -> None:
    """Refuse numbers that make no interval or test."""
    for name, value, least in (
        ("n_resamples", n_resamples, 1),
        ("n_permutations", n_permutations, 99),
    ):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
