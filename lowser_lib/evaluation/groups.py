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
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lowser_lib.errors import EvaluationError
from lowser_lib.evaluation.intervals import Interval, speaker_bootstrap
from lowser_lib.evaluation.metrics import METRICS, encode_labels, metric_from_counts


@dataclass(frozen=True)
class Least:
    """What a cell must hold for its recall to be told; our choice.

    Attributes:
        clips: With five, one clip is 20 points: enough to tell good from bad, not more.
        speakers: Two may both be odd; of three, one would stand out.
    """

    clips: int = 5
    speakers: int = 3

    def __post_init__(self) -> None:
        """Refuse numbers that would let an empty cell pass."""
        for name in ("clips", "speakers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)!r}")

    def missing(self, clips: int, speakers: int) -> str:
        """What a cell lacks, in a few words; empty where it has enough."""
        if clips == 0:
            return "no clip"
        if clips < self.clips:
            return f"{clips} of the {self.clips} clips that it takes"
        if speakers < self.speakers:
            return f"{speakers} of the {self.speakers} speakers that it takes"
        return ""


LEAST = Least()
"""The counts that hold where nothing else is said."""


@dataclass(frozen=True)
class Answers:
    """Checked columns, one entry a clip; what all functions here begin with.

    Attributes:
        truth: Positions in ``labels``, shape (n,).
        predicted: Likewise, shape (seeds, n).
        group: Positions in ``groups``, shape (n,).
        speaker: Who speaks, shape (n,).
        labels: The classes.
        groups: Names of the groups, sorted.
    """

    truth: NDArray[np.intp]
    predicted: NDArray[np.intp]
    group: NDArray[np.intp]
    speaker: NDArray[np.object_]
    labels: tuple[Hashable, ...]
    groups: tuple[Any, ...]

    @classmethod
    def of(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        groups: ArrayLike,
        speakers: ArrayLike,
        labels: Sequence[Hashable],
    ) -> Answers:
        """Check what a caller has.

        Raises:
            EvaluationError: Nothing to score, unequal lengths, a missing group or speaker, or a
                label that is not in ``labels``.
        """
        truth = encode_labels(y_true, labels, "y_true")
        predicted = np.atleast_2d(encode_labels(y_pred, labels, "y_pred"))
        if truth.ndim != 1 or not len(truth) or not len(predicted):
            raise EvaluationError("there is nothing to score: y_true or y_pred is empty")
        if predicted.ndim != 2 or predicted.shape[1:] != truth.shape:
            raise EvaluationError(
                f"y_pred must have one answer for each of {len(truth)} clips (or a row of them a "
                f"seed), not shape {predicted.shape}"
            )
        columns = {}
        for name, values in (("groups", groups), ("speakers", speakers)):
            column = np.asarray(values, dtype=object)
            if column.shape != truth.shape or pd.isna(column).any():
                raise EvaluationError(
                    f"{name} must have one entry for each of {len(truth)} clips (shape "
                    f"{column.shape}, {int(pd.isna(column).sum())} missing): name those that are "
                    "not known, such as 'unknown', or leave their clips out"
                )
            columns[name] = column
        codes, found = pd.factorize(columns["groups"], sort=True)
        return cls(truth, predicted, codes, columns["speakers"], tuple(labels), tuple(found))

    def speakers(self, rows: NDArray[np.bool_]) -> int:
        """Number of speakers in some of the clips."""
        return len(set(self.speaker[rows].tolist()))

    def cells(self, group: int) -> Iterator[NDArray[np.bool_]]:
        """Which clips lie in each cell of a group, class by class."""
        for number in range(len(self.labels)):
            yield (self.group == group) & (self.truth == number)


def cells(
    y_true: ArrayLike,
    groups: ArrayLike,
    speakers: ArrayLike,
    labels: Sequence[Hashable],
    least: Least = LEAST,
) -> pd.DataFrame:
    """The skew table: what there is of each emotion in each group.

    Args:
        y_true: True labels, shape (n,).
        groups: Group of each clip, shape (n,).
        speakers: Who speaks each clip, shape (n,).
        labels: All classes, each once.
        least: What makes a cell estimable.

    Returns:
        One row a group and class, empty cells included: ``group``, ``emotion``, ``clips``,
        ``speakers``, ``share`` (of the group's clips), ``reason`` (why its recall is not estimable;
        empty where it is).

    Raises:
        EvaluationError: See :meth:`Answers.of`.
    """
    answers = Answers.of(y_true, y_true, groups, speakers, labels)
    rows = []
    for number, name in enumerate(answers.groups):
        size = int((answers.group == number).sum())
        for label, inside in zip(answers.labels, answers.cells(number), strict=True):
            clips, voices = int(inside.sum()), answers.speakers(inside)
            rows.append((name, label, clips, voices, clips / size, least.missing(clips, voices)))
    return pd.DataFrame(rows, columns=["group", "emotion", "clips", "speakers", "share", "reason"])


def length_bins(durations: ArrayLike, edges: Sequence[float] = (2.0, 3.0, 5.0)) -> list[str]:
    """Groups of clips by how long they are.

    Args:
        durations: Seconds, shape (n,), above 0.
        edges: Where one group ends and the next begins, rising; a clip on an edge belongs to the
            longer ones.

    Returns:
        A name a clip, such as ``"2 to 3 s"``; names sort by length.

    Raises:
        EvaluationError: A length is missing or not above 0.
        ValueError: ``edges`` do not rise from above 0, or reach 10 s (names would not sort).
    """
    seconds, cuts = np.asarray(durations, dtype=float), list(edges)
    if not cuts or cuts != sorted(set(cuts)) or not (cuts[0] > 0 and cuts[-1] < 10):
        raise ValueError(f"edges must rise within (0, 10) seconds, not {cuts!r}")
    if not (seconds > 0).all():
        raise EvaluationError(f"{int((~(seconds > 0)).sum())} durations are missing or not above 0")
    below = [0.0, *cuts]
    names = [f"{low:g} to {high:g} s" for low, high in zip(below, cuts, strict=False)]
    names.append(f"{cuts[-1]:g} s and more")
    return [names[place] for place in np.searchsorted(cuts, seconds, side="right")]


CONDITIONAL, STANDARDISED = "class-conditional", "standardised"


MIX, UNDERSTANDING = "accuracy: from the mix", "accuracy: from recalls"


@dataclass
class Basis:
    """What a gap rests on.

    Attributes:
        classes: How many classes it is about; 0 where it cannot be told.
        reason: Why it cannot be told, or what is left out.
    """

    classes: int
    reason: str = ""


@dataclass
class Pair:
    """Two groups as confusion matrices.

    Attributes:
        labels: The classes.
        counts: Shape (seeds, speakers, 2, classes, classes), rows the truth.
        member: Which speakers have clips in which of the two, shape (speakers, 2).
        usable: Which classes both have enough of, shape (classes,).
        mix: The shares of the usable classes in both together, shape (classes,).
        basis: What each gap rests on, by name, in the order of a table's rows.
    """

    labels: tuple[Hashable, ...]
    counts: NDArray[np.int64]
    member: NDArray[np.bool_]
    usable: NDArray[np.bool_]
    mix: NDArray[np.float64]
    basis: dict[str, Basis] = field(default_factory=dict)

    @classmethod
    def of(cls, answers: Answers, between: tuple[Any, Any], least: Least) -> Pair:
        """Pick two groups, and find out which of their cells hold enough.

        Raises:
            EvaluationError: One of them has no clip, or both are the same.
        """
        if len(set(between)) != 2 or not set(between) <= set(answers.groups):
            raise EvaluationError(
                f"between must name two of the groups, not {between!r}: there are "
                f"{', '.join(map(str, answers.groups))}"
            )
        numbers = [answers.groups.index(name) for name in between]
        lacking = []  # of both groups, class by class
        for number in numbers:
            held = [(int(one.sum()), answers.speakers(one)) for one in answers.cells(number)]
            lacking.append([least.missing(*one) for one in held])
        counts, member = count(answers, numbers)
        usable = np.array([not any(both) for both in zip(*lacking, strict=True)])
        spoken = counts[0].sum(axis=(0, 1, 3)) * usable
        pair = cls(answers.labels, counts, member, usable, spoken / max(1, spoken.sum()))
        whole = [
            f"{name}: {why}"
            for name, inside in zip(between, (answers.group == n for n in numbers), strict=True)
            if (why := least.missing(int(inside.sum()), answers.speakers(inside)))
        ]
        pair._explain(between, lacking, "; ".join(whole))
        return pair

    @property
    def nested(self) -> bool:
        """Whether every speaker belongs to one of the groups."""
        return bool((self.member.sum(axis=1) == 1).all())

    @property
    def bounded(self) -> bool:
        """Whether there are speakers to draw again on both sides."""
        return bool((self.member.sum(axis=0) > 1).all())

    def values(self, counts: NDArray[Any]) -> dict[str, tuple[Any, Any]]:
        """Both sides of every gap; ``nan`` where a cell that it needs is empty.

        Args:
            counts: Confusion matrices, shape (..., 2, classes, classes).

        Returns:
            Name -> values of the first and of the second group, each of shape (...).
        """
        spoken = counts.sum(axis=-1).astype(float)  # (..., 2, classes)
        right = np.diagonal(counts, axis1=-2, axis2=-1).astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            recall = right / spoken
            share = spoken / spoken.sum(axis=-1, keepdims=True)
            accuracy = right.sum(axis=-1) / spoken.sum(axis=-1)
        # What nobody of the first group says needs no recall of the second's.
        lent = np.where(share[..., 0, :] > 0, share[..., 0, :] * recall[..., 1, :], 0.0).sum(-1)
        found = {
            "accuracy": (accuracy[..., 0], accuracy[..., 1]),
            MIX: (lent, accuracy[..., 1]),
            UNDERSTANDING: (accuracy[..., 0], lent),
        }
        for number, label in enumerate(self.labels):
            found[f"recall of {label}"] = recall[..., 0, number], recall[..., 1, number]
        inside = recall[..., self.usable]
        mean = inside.sum(axis=-1) / max(1, int(self.usable.sum()))
        weighed = (inside * self.mix[self.usable]).sum(axis=-1)
        found[CONDITIONAL] = mean[..., 0], mean[..., 1]
        found[STANDARDISED] = weighed[..., 0], weighed[..., 1]
        return found

    def _explain(self, between: tuple[Any, Any], lacking: list[list[str]], whole: str) -> None:
        """Note down what every gap rests on."""
        every = len(self.labels)
        self.basis["accuracy"] = Basis(0 if whole else every, whole)
        said = self.counts[0].sum(axis=(0, 3))
        unlent = [
            f"{label}, {between[1]}: {why}"
            for label, why, clips in zip(self.labels, lacking[1], said[0], strict=True)
            if why and clips
        ]
        why = "; ".join(([whole] if whole else []) + unlent)
        for part in (MIX, UNDERSTANDING):
            self.basis[part] = Basis(0 if why else every, why)
        left_out = []
        for label, both in zip(self.labels, zip(*lacking, strict=True), strict=True):
            named = zip(between, both, strict=True)
            why = "; ".join(f"{name}: {reason}" for name, reason in named if reason)
            self.basis[f"recall of {label}"] = Basis(0 if why else 1, why)
            left_out += [f"without {label} ({why})"] if why else []
        for name in (CONDITIONAL, STANDARDISED):
            self.basis[name] = Basis(int(self.usable.sum()), "; ".join(left_out))


def count(answers: Answers, numbers: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Count confusion matrices by seed, speaker and group.

    Args:
        answers: The answers.
        numbers: The groups, as positions in ``answers.groups``.

    Returns:
        Counts, shape (seeds, speakers, groups, classes, classes), rows the truth; and which speaker
        has clips in which group, shape (speakers, groups).
    """
    inside = np.isin(answers.group, list(numbers))
    place = {number: index for index, number in enumerate(numbers)}
    group = np.array([place[number] for number in answers.group[inside]], dtype=int)
    speaker, names = pd.factorize(answers.speaker[inside], sort=True)
    size, truth = len(answers.labels), answers.truth[inside]
    counts = np.zeros(
        (len(answers.predicted), len(names), len(numbers), size, size), dtype=np.int64
    )
    for seed, predicted in enumerate(answers.predicted[:, inside]):
        np.add.at(counts[seed], (speaker, group, truth, predicted), 1)
    return counts, counts[0].sum(axis=(2, 3)) > 0


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
