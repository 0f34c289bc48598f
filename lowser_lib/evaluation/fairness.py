"""Scores by group: who is understood how well, and of whom nothing can be said.

A *group* is any property of a clip: its speaker's gender, the language, the speaker, how long it
is. Two things go wrong when groups are compared, and both have a column here.

**Too little to go by.** A *cell* is a group and an emotion. Of a cell with three clips, or with one
speaker, no recall worth a name can be had; of an empty one, none at all: angry women are missing
from URDU. Cells below :class:`Least` are *not estimable*: the value is ``nan`` and the row says
why. No cell is dropped. UAR and macro-F1 of a group rest on all of its cells, and are not estimable
where one of them is not: a mean over other emotions for women than for men compares nothing.

**Different emotions.** Where women were recorded happy and men angry, their accuracies differ even
if both are understood alike. :func:`standardised_accuracy` gives all groups one class mix (direct
standardisation); :mod:`lowser_lib.evaluation.gaps` takes a gap apart.

Metrics of each group are those of fairlearn's ``MetricFrame``, which has no notion of speakers, of
a class mix, or of too little to go by.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lowser_lib.errors import EvaluationError
from lowser_lib.evaluation.group_cells import LEAST, Answers, Least, cells, length_bins
from lowser_lib.evaluation.group_pair import count
from lowser_lib.evaluation.intervals import Interval, speaker_bootstrap
from lowser_lib.evaluation.metrics import METRICS, metric_from_counts

__all__ = [
    "LEAST",
    "Largest",
    "Least",
    "by_group",
    "cells",
    "largest_gap",
    "length_bins",
    "recalls",
    "standardised_accuracy",
]


def by_group(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    groups: ArrayLike,
    speakers: ArrayLike,
    labels: Sequence[Hashable],
    *,
    metrics: Sequence[str] = METRICS,
    least: Least = LEAST,
    n_resamples: int = 1000,
    level: float = 0.95,
) -> pd.DataFrame:
    """Metrics of each group, with intervals over its speakers.

    Args:
        y_true: True labels, shape (n,).
        y_pred: Predicted labels, shape (n,), or (seeds, n) for several trainings.
        groups: Group of each clip, shape (n,).
        speakers: Who speaks each clip, shape (n,).
        labels: All classes, each once.
        metrics: Some of ``accuracy``, ``macro_f1`` and ``uar``.
        least: What a group, and for UAR and macro-F1 each of its cells, must hold.
        n_resamples: Draws of the bootstrap, see :func:`.intervals.speaker_bootstrap`.
        level: Nominal coverage, in (0, 1).

    Returns:
        One row a group and metric: ``group``, ``metric``, ``estimate``, ``low``, ``high`` (``nan``
        where not estimable; a group of one speaker has no bounds), ``clips``, ``speakers`` and
        ``reason``. Where each speaker is a group by itself, give ``Least(speakers=1)``.

    Raises:
        EvaluationError: See :meth:`Answers.of`.
        ValueError: A metric is unknown, or a number out of range.
    """
    unknown = [metric for metric in metrics if metric not in METRICS]
    if unknown:
        raise ValueError(f"metrics must be some of {', '.join(METRICS)}, not {unknown[0]!r}")
    answers = Answers.of(y_true, y_pred, groups, speakers, labels)
    rows = []
    for number, name in enumerate(answers.groups):
        inside = answers.group == number
        whole = least.missing(int(inside.sum()), answers.speakers(inside))
        weakest = whole or _weakest_cell(answers, number, least)
        for metric in metrics:
            reason = whole if metric == "accuracy" else weakest
            found = _interval(answers, inside, metric, reason, n_resamples, level)
            rows.append({"group": name, "metric": metric, **found})
    return pd.DataFrame(rows)


def recalls(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    groups: ArrayLike,
    speakers: ArrayLike,
    labels: Sequence[Hashable],
    *,
    least: Least = LEAST,
    n_resamples: int = 1000,
    level: float = 0.95,
) -> pd.DataFrame:
    """Recall of each emotion in each group: of the clips in a cell, how many are told right.

    Arguments are those of :func:`by_group`.

    Returns:
        One row a group and class, empty cells included: ``group``, ``emotion``, ``estimate``,
        ``low``, ``high``, ``clips``, ``speakers`` and ``reason``.

    Raises:
        EvaluationError: See :meth:`Answers.of`.
        ValueError: A number is out of range.
    """
    answers = Answers.of(y_true, y_pred, groups, speakers, labels)
    rows = []
    for number, name in enumerate(answers.groups):
        for label, inside in zip(answers.labels, answers.cells(number), strict=True):
            reason = least.missing(int(inside.sum()), answers.speakers(inside))
            # Among clips of one class, accuracy is recall.
            found = _interval(answers, inside, "accuracy", reason, n_resamples, level)
            rows.append({"group": name, "emotion": label, **found})
    return pd.DataFrame(rows)


def standardised_accuracy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    groups: ArrayLike,
    speakers: ArrayLike,
    labels: Sequence[Hashable],
    *,
    mix: Mapping[Any, float] | None = None,
    least: Least = LEAST,
) -> pd.DataFrame:
    """Accuracy that each group would have if all spoke the same mix of emotions.

    Direct standardisation: Σ share of a class in the mix × recall of the class in the group.
    Classes that are not estimable in *every* group are left out for all, and the rest of the mix is
    scaled to 1. Intervals of differences are those of :func:`lowser_lib.evaluation.gaps.gaps`.

    Args:
        y_true: True labels, shape (n,).
        y_pred: Predicted labels, shape (n,) or (seeds, n).
        groups: Group of each clip, shape (n,).
        speakers: Who speaks each clip, shape (n,).
        labels: All classes, each once.
        mix: Weight of each class, at least 0; None takes the shares among all the clips.
        least: What makes a cell estimable.

    Returns:
        One row a group: ``group``, ``accuracy``, ``standardised`` (``nan`` where no class is
        estimable in every group), ``classes`` (what it rests on) and ``reason`` (what is left out,
        and why).

    Raises:
        EvaluationError: See :meth:`Answers.of`.
        ValueError: ``mix`` lacks a class, or holds a negative weight.
    """
    answers = Answers.of(y_true, y_pred, groups, speakers, labels)
    table = cells(y_true, groups, speakers, labels, least)
    if mix is not None and (set(mix) != set(labels) or min(mix.values()) < 0):
        raise ValueError(f"mix must weigh each of {list(labels)!r} with 0 or more, not {mix!r}")
    weak = table[table["reason"] != ""]
    usable = [label for label in answers.labels if label not in set(weak["emotion"])]
    shares = np.bincount(answers.truth, minlength=len(labels)).astype(float)
    if mix is not None:
        shares = np.array([mix[label] for label in labels], dtype=float)
    kept = np.array([label in usable for label in answers.labels])
    weights = np.where(kept, shares, 0.0)
    reason = "; ".join(f"{row.group}, {row.emotion}: {row.reason}" for row in weak.itertuples())
    rows = []
    for number, name in enumerate(answers.groups):
        right = answers.predicted == answers.truth
        recall = np.array([right[:, c].mean() if c.any() else 0.0 for c in answers.cells(number)])
        total = weights.sum()
        rows.append(
            {
                "group": name,
                "accuracy": float(right[:, answers.group == number].mean()),
                "standardised": float(weights @ recall / total) if total > 0 else math.nan,
                "classes": usable,
                "reason": reason,
            }
        )
    return pd.DataFrame(rows)


class Largest(NamedTuple):
    """The largest difference between any two of several groups.

    Attributes:
        estimate: Highest less lowest, at least 0.
        highest: The group that is served best.
        lowest: The group that is served worst.
        by_luck: Median of the same when groups' names are dealt out to speakers at random: of many
            small groups some always come out far apart.
        p: How often luck makes it at least as large.
    """

    estimate: float
    highest: Any
    lowest: Any
    by_luck: float
    p: float


def largest_gap(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    groups: ArrayLike,
    speakers: ArrayLike,
    labels: Sequence[Hashable],
    metric: str = "uar",
    *,
    n_permutations: int = 999,
    seed: int = 0,
) -> Largest:
    """Largest difference between groups; fairlearn's ``MetricFrame.difference``, with a test.

    Args:
        y_true: True labels, shape (n,).
        y_pred: Predicted labels, shape (n,) or (seeds, n).
        groups: Group of each clip, shape (n,), at least two; every speaker belongs to one.
        speakers: Who speaks each clip, shape (n,).
        labels: All classes, each once.
        metric: ``accuracy``, ``macro_f1`` or ``uar``. For UAR each group's mean is over the classes
            that it has: compare groups that have all.
        n_permutations: Ways to deal out the groups' names.
        seed: Of these.

    Raises:
        EvaluationError: There is one group, or a speaker belongs to several.
        ValueError: ``metric`` is unknown, or a number out of range.
    """
    if n_permutations < 99:
        raise ValueError(f"n_permutations must be at least 99, not {n_permutations}")
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, not {metric!r}")
    answers = Answers.of(y_true, y_pred, groups, speakers, labels)
    counts, member = count(answers, range(len(answers.groups)))
    if counts.shape[2] < 2 or (member.sum(axis=1) != 1).any():
        raise EvaluationError(
            "groups must be two at least, with each speaker in one of them: a speaker who is in "
            "several cannot be dealt out to another"
        )
    whose, totals = member.argmax(axis=1), counts.sum(axis=2)

    def scores(group: NDArray[np.intp]) -> NDArray[np.float64]:
        one_hot = np.eye(counts.shape[2])[group]
        per_group = np.einsum("sg,eskl->egkl", one_hot, totals)
        return metric_from_counts(per_group, metric).mean(axis=0)

    found, random = scores(whose), np.random.default_rng(seed)
    luck = np.array([np.ptp(scores(random.permutation(whose))) for _ in range(n_permutations)])
    reached = int((luck >= np.ptp(found) - 1e-12).sum())
    high, low = answers.groups[int(found.argmax())], answers.groups[int(found.argmin())]
    p = (1 + reached) / (1 + n_permutations)
    return Largest(float(np.ptp(found)), high, low, float(np.median(luck)), p)


def _weakest_cell(answers: Answers, group: int, least: Least) -> str:
    """What the cells of a group lack, told of the first that lacks anything."""
    for label, inside in zip(answers.labels, answers.cells(group), strict=True):
        lacking = least.missing(int(inside.sum()), answers.speakers(inside))
        if lacking:
            return f"{label}: {lacking}"
    return ""


def _interval(
    answers: Answers,
    inside: NDArray[np.bool_],
    metric: str,
    reason: str,
    n_resamples: int,
    level: float,
) -> dict[str, Any]:
    """A row's figures: of the clips inside, or ``nan`` with the reason."""
    found = Interval(math.nan, math.nan, math.nan, 0)
    if not reason:
        found = speaker_bootstrap(
            answers.truth[inside],
            answers.predicted[:, inside],
            answers.speaker[inside],
            range(len(answers.labels)),
            metric,
            n_resamples,
            level,
        )
    counted = {"clips": int(inside.sum()), "speakers": answers.speakers(inside)}
    bounds = {"estimate": found.estimate, "low": found.low, "high": found.high}
    return {**bounds, **counted, "reason": reason}
