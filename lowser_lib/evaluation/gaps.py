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
Draws in which a cell is empty are left out; where that is half of them or more, there are
no bounds.

**p** is that of a permutation test: were the groups' names dealt out to *speakers* at random, how
often would the gap be at least as large? Dealing them out to clips would take one loud speaker for
fifty witnesses. Deals that leave a cell empty do not count. The gap is measured in its own standard
error, which every deal has anew (Janssen 1997, *Studentized permutation tests*, Statistics &
Probability Letters 36, 9–21): where women have two clips each and men eight, the gaps of deals are
more regular than that of the true names, and the plain test rejects one time in six where it should
one in twenty. The test holds its level approximately, and exactly only where speakers of both
groups have like numbers of clips.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lowser_lib.errors import require
from lowser_lib.evaluation.groups import (
    CONDITIONAL,
    LEAST,
    MIX,
    STANDARDISED,
    UNDERSTANDING,
    Least,
    Pair,
)
from lowser_lib.evaluation.intervals import Resampled, difference, speaker_weights
from lowser_lib.evaluation.metrics import Answers, same_clips

COLUMNS = ["gap", "estimate", "low", "high", "p", "first", "second", "classes", "reason"]

FLOOR = 0.01
"""Least squared standard error of a deal, as a share of the deals' median: in a small cell all may
be right, and an error of zero would make any gap infinite."""


def gaps(
    answers: Answers,
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
        answers: The answers.
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
        EvaluationError: A group has no clip.
        ValueError: A number is out of range.
    """
    require("1..", n_resamples=n_resamples)
    require("99..", n_permutations=n_permutations)
    require("(0, 1)", level=level)
    pair = Pair.of(answers, between, least)
    random = np.random.default_rng(seed)
    ends = pair.values(pair.counts.sum(axis=1))
    resampled = _resampled(pair, _weights(pair, n_resamples, random))
    dealt = _deals(pair, n_permutations, random)
    rows = []
    for name, basis in pair.basis.items():
        first, second = (float(part.mean()) for part in ends[name])
        row: dict[str, Any] = {"gap": name, "classes": basis.classes, "reason": basis.reason}
        if not basis.classes:
            first = second = math.nan
        else:
            interval = resampled[name].interval(level, np.random.default_rng(seed), (-1, 1))
            row |= {"low": interval.low, "high": interval.high}
            if dealt is not None and name not in (MIX, UNDERSTANDING):
                row["p"] = _p_value(pair, _parts(pair, name), *dealt)
        rows.append({**row, "first": first, "second": second, "estimate": first - second})
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def gap_change(
    after: Answers,
    before: Answers,
    between: tuple[Any, Any],
    *,
    least: Least = LEAST,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """How a method changes the gaps of another one on the same clips.

    Both see the same speakers in every draw, so that what makes a group's speakers hard for both
    cancels, and seed j is compared with seed j, as in
    :func:`lowser_lib.evaluation.intervals.paired_speaker_bootstrap`.

    Args:
        after: Answers of the method.
        before: Answers of the one that it is compared with, to the same clips.
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
        EvaluationError: A group has no clip, or the two sides were asked of other clips.
        ValueError: A number is out of range.
    """
    require("1..", n_resamples=n_resamples)
    require("(0, 1)", level=level)
    same_clips(after, before)
    pairs = [Pair.of(answers, between, least) for answers in (after, before)]
    weights = _weights(pairs[0], n_resamples, np.random.default_rng(seed))
    now, then = (_resampled(pair, weights) for pair in pairs)
    rows = []
    for name, basis in pairs[0].basis.items():
        row: dict[str, Any] = {"gap": name, "classes": basis.classes, "reason": basis.reason}
        if basis.classes:
            random = np.random.default_rng(seed)
            interval = difference(now[name], then[name], level, random, (-2, 2))
            ends = {"before": float(then[name].values.mean()), "after": now[name].values.mean()}
            row |= ends | {"low": interval.low, "high": interval.high, "change": interval.estimate}
        rows.append(row)
    columns = ["gap", "before", "after", "change", "low", "high", "classes", "reason"]
    return pd.DataFrame(rows).reindex(columns=columns)


def _weights(pair: Pair, n_resamples: int, random: np.random.Generator) -> NDArray[np.int64]:
    """How often each speaker is drawn, (resamples, speakers)."""
    number = len(pair.member)
    strata = [np.arange(number)]
    if pair.nested:
        strata = [np.flatnonzero(pair.member[:, side]) for side in range(2)]
    weights = np.zeros((n_resamples, number), dtype=np.int64)
    for who in strata:
        weights[:, who] = speaker_weights(len(who), n_resamples, random)
    return weights


def _resampled(pair: Pair, weights: NDArray[np.int64]) -> dict[str, Resampled]:
    """Every gap, first less second, of each seed and of its draws of speakers."""
    ends = pair.values(pair.counts.sum(axis=1))
    drawn = [pair.values(np.tensordot(weights, seed, axes=1)) for seed in pair.counts]
    with np.errstate(invalid="ignore"):
        return {
            name: Resampled(
                first - second,
                np.stack([seed[name][0] - seed[name][1] for seed in drawn], axis=1),
                pair.fewest,
            )
            for name, (first, second) in ends.items()
        }


def _deals(
    pair: Pair, n_permutations: int, random: np.random.Generator
) -> tuple[NDArray[np.float64], bool] | None:
    """Ways to deal out the first group's name, (deals, speakers), and whether these are all.

    The first row is how it is. None where a speaker is in both groups.
    """
    if not pair.nested:
        return None
    whose = pair.member[:, 0].astype(float)
    number, size = len(whose), int(whose.sum())
    exact = math.comb(number, size) <= n_permutations
    if exact:
        deals = np.zeros((math.comb(number, size), number))
        for row, chosen in enumerate(combinations(range(number), size)):
            deals[row, list(chosen)] = 1
    else:
        deals = np.stack([random.permutation(whose) for _ in range(n_permutations)])
    return np.concatenate([whose[None], deals]), exact


def _parts(pair: Pair, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights of the recalls that a gap is a sum of, and which clips each is a recall of."""
    size = len(pair.labels)
    if name == "accuracy":  # the recall of all clips together
        return np.ones(1), np.ones((1, size))
    weights = {
        CONDITIONAL: pair.usable / max(1, pair.usable.sum()),
        STANDARDISED: pair.mix,
        **{f"recall of {label}": np.eye(size)[number] for number, label in enumerate(pair.labels)},
    }[name]
    used = weights > 0
    return weights[used], np.eye(size)[used]


def _p_value(
    pair: Pair,
    parts: tuple[NDArray[np.float64], NDArray[np.float64]],
    deals: NDArray[np.float64],
    exact: bool,
) -> float:
    """Two-sided; drawn deals count how it is as one more."""
    weights, classes = parts
    totals = pair.counts.sum(axis=2)  # what each speaker says, whatever they are called
    spoken = totals[0].sum(axis=-1) @ classes.T  # (speakers, parts)
    # Whose recall it is does not depend on the seed, so that seeds may be averaged first.
    right = np.diagonal(totals, axis1=-2, axis2=-1).mean(axis=0) @ classes.T
    gap, error = np.zeros(len(deals)), np.zeros(len(deals))
    with np.errstate(invalid="ignore", divide="ignore"):
        for sign, side in ((1, deals), (-1, 1 - deals)):
            size, people = side @ spoken, side.sum(axis=1)
            recall = side @ right / size
            gap += sign * (recall @ weights)
            # A speaker's influence on the side's value (the linearised variance of a ratio).
            influence = (weights / size) @ right.T - (weights * recall / size) @ spoken.T
            error += people / np.maximum(1, people - 1) * (side * influence**2).sum(axis=1)
        known = np.isfinite(gap)
        floor = FLOOR * float(np.median(error[known]))
        size_of_gap = np.abs(gap) / np.sqrt(error + floor + np.finfo(float).tiny)
    reached = known[1:] & (size_of_gap[1:] >= size_of_gap[0] * (1 - 1e-9))
    drawn = 0 if exact else 1
    return float((drawn + reached.sum()) / (drawn + known[1:].sum()))
