"""Scores by group: who is understood how well, and of whom nothing can be said.

A *group* is any property of a clip: its speaker's gender, the language, the speaker, how long it
is. Two things go wrong when groups are compared, and both have a column here.

**Too little to go by.** A *cell* is a group and an emotion. Of a cell with three clips, or with one
speaker, no recall worth a name can be had; of an empty one, none at all: angry women are missing
from URDU. Cells below :class:`Least` are *not estimable*: the value is ``nan`` and the row says
why. No cell is dropped. UAR and macro-F1 of a group rest on all of its cells, and are not estimable
where one of them is not: a mean over other emotions for women than for men compares nothing.

**Different emotions.** Where women were recorded happy and men angry, their accuracies differ even
if both are understood alike. :mod:`lowser_lib.evaluation.gaps` takes a gap apart.

Metrics of each group are those of fairlearn's ``MetricFrame``, which has no notion of speakers, of
a class mix, or of too little to go by.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lowser_lib.corpora import EMOTIONS
from lowser_lib.errors import EvaluationError, SplitError, require
from lowser_lib.evaluation.intervals import Interval, resample
from lowser_lib.evaluation.metrics import METRICS, Answers
from lowser_lib.manifest import skew_table
from lowser_lib.splits import speaker_folds


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
        require("1..", clips=self.clips, speakers=self.speakers)

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


def cells(answers: Answers, least: Least = LEAST) -> pd.DataFrame:
    """The skew table: what there is of each emotion in each group.

    Args:
        answers: What was said by whom; what was answered plays no part.
        least: What makes a cell estimable.

    Returns:
        One row a group and class, empty cells included: ``group``, ``emotion``, ``clips``,
        ``speakers``, ``share`` (of the group's clips), ``reason`` (why its recall is not estimable;
        empty where it is).
    """
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
            held = [(int(cell.sum()), answers.speakers(cell)) for cell in answers.cells(number)]
            lacking.append([least.missing(*cell) for cell in held])
        counts = answers.counts(numbers)
        member = counts[0].sum(axis=(2, 3)) > 0
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
    def fewest(self) -> int:
        """Speakers of the group that has fewer."""
        return int(self.member.sum(axis=0).min())

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
        sides = {
            "accuracy": (accuracy[..., 0], accuracy[..., 1]),
            MIX: (lent, accuracy[..., 1]),
            UNDERSTANDING: (accuracy[..., 0], lent),
        }
        for number, label in enumerate(self.labels):
            sides[f"recall of {label}"] = recall[..., 0, number], recall[..., 1, number]
        inside = recall[..., self.usable]
        mean = inside.sum(axis=-1) / max(1, int(self.usable.sum()))
        weighed = (inside * self.mix[self.usable]).sum(axis=-1)
        sides[CONDITIONAL] = mean[..., 0], mean[..., 1]
        sides[STANDARDISED] = weighed[..., 0], weighed[..., 1]
        return sides

    def _explain(self, between: tuple[Any, Any], lacking: list[list[str]], whole: str) -> None:
        """Note down what every gap rests on."""
        every = len(self.labels)
        self.basis["accuracy"] = Basis(0 if whole else every, whole)
        spoken = self.counts[0].sum(axis=(0, 3))
        unlent = [
            f"{label}, {between[1]}: {why}"
            for label, why, clips in zip(self.labels, lacking[1], spoken[0], strict=True)
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


def by_group(
    answers: Answers,
    *,
    metrics: Sequence[str] = METRICS,
    least: Least = LEAST,
    n_resamples: int = 1000,
    level: float = 0.95,
) -> pd.DataFrame:
    """Metrics of each group, with intervals over its speakers.

    Args:
        answers: The answers.
        metrics: Some of ``accuracy``, ``macro_f1`` and ``uar``.
        least: What a group, and for UAR and macro-F1 each of its cells, must hold.
        n_resamples: Draws of the bootstrap, see :func:`.intervals.speaker_bootstrap`.
        level: Nominal coverage, in (0, 1).

    Returns:
        One row a group and metric: ``group``, ``metric``, ``estimate``, ``low``, ``high`` (``nan``
        where not estimable; a group of one speaker has no bounds), ``clips``, ``speakers`` and
        ``reason``. Where each speaker is a group by itself, give ``Least(speakers=1)``.

    Raises:
        ValueError: A metric is unknown, or a number out of range.
    """
    unknown = [metric for metric in metrics if metric not in METRICS]
    if unknown:
        raise ValueError(f"metrics must be some of {', '.join(METRICS)}, not {unknown[0]!r}")
    rows = []
    for number, name in enumerate(answers.groups):
        inside = answers.group == number
        whole = least.missing(int(inside.sum()), answers.speakers(inside))
        weakest = whole or _weakest_cell(answers, number, least)
        for metric in metrics:
            reason = whole if metric == "accuracy" else weakest
            figures = _figures(answers, inside, metric, reason, n_resamples, level)
            rows.append({"group": name, "metric": metric, **figures})
    return pd.DataFrame(rows)


def recalls(
    answers: Answers, *, least: Least = LEAST, n_resamples: int = 1000, level: float = 0.95
) -> pd.DataFrame:
    """Recall of each emotion in each group: of the clips in a cell, how many are told right.

    Arguments are those of :func:`by_group`.

    Returns:
        One row a group and class, empty cells included: ``group``, ``emotion``, ``estimate``,
        ``low``, ``high``, ``clips``, ``speakers`` and ``reason``.

    Raises:
        ValueError: A number is out of range.
    """
    rows = []
    for number, name in enumerate(answers.groups):
        for label, inside in zip(answers.labels, answers.cells(number), strict=True):
            reason = least.missing(int(inside.sum()), answers.speakers(inside))
            # Among clips of one class, accuracy is recall.
            figures = _figures(answers, inside, "accuracy", reason, n_resamples, level)
            rows.append({"group": name, "emotion": label, **figures})
    return pd.DataFrame(rows)


def _weakest_cell(answers: Answers, group: int, least: Least) -> str:
    """What the cells of a group lack, told of the first that lacks anything."""
    for label, inside in zip(answers.labels, answers.cells(group), strict=True):
        lacking = least.missing(int(inside.sum()), answers.speakers(inside))
        if lacking:
            return f"{label}: {lacking}"
    return ""


def _figures(
    answers: Answers,
    inside: NDArray[np.bool_],
    metric: str,
    reason: str,
    n_resamples: int,
    level: float,
) -> dict[str, Any]:
    """A row's figures: of the clips inside, or ``nan`` with the reason."""
    interval = Interval(math.nan, math.nan, math.nan, 0)
    if not reason:
        random = np.random.default_rng(0)
        resampled = resample(answers.where(inside), metric, n_resamples, random)
        interval = resampled.interval(level, random, (0, 1))
    counted = {"clips": int(inside.sum()), "speakers": answers.speakers(inside)}
    bounds = {"estimate": interval.estimate, "low": interval.low, "high": interval.high}
    return {**bounds, **counted, "reason": reason}


BETWEEN = ("female", "male")
"""Every gap of the course is women less men."""


def mix_bound(mix: pd.DataFrame, between: tuple[str, str] = BETWEEN) -> float:
    """Largest raw gap of accuracies, either way, of a model that understands both groups alike.

    With equal recalls r the gap is Σ (s_a − s_b) · r. It is largest where all is told right of
    which the first says more and nothing else: Σ max(0, s_a − s_b), the total variation distance.

    Args:
        mix: A row a group, a column a class: shares that add up to 1.
        between: Names of the two rows.
    """
    first, second = (mix.loc[name].to_numpy(dtype=float) for name in between)
    return float(np.clip(first - second, 0, None).sum())


def largest_share(manifest: pd.DataFrame, column: str = "gender") -> float:
    """The largest part of any cell of a group and an emotion that is a single speaker's.

    Args:
        manifest: A manifest; rows without an emotion do not count.
        column: The column that names the groups.
    """
    spoken = manifest.groupby([column, "emotion", "speaker"]).size()
    return float((spoken / spoken.groupby(level=[0, 1]).transform("sum")).max())


def folds_lacking(
    manifest: pd.DataFrame, folds: int, seed: int = 0, column: str = "gender"
) -> int | None:
    """How many speaker-disjoint test folds lack a cell that the corpus has.

    Args:
        manifest: A manifest.
        folds: Number of folds.
        seed: Of the folds.
        column: The column that names the groups.

    Returns:
        None where the corpus has too few speakers for folds.
    """

    def cells_in(part: pd.DataFrame) -> set[tuple[str, str]]:
        return set(zip(part[column], part["emotion"], strict=True))

    try:
        parts = [part for _, part in speaker_folds(manifest, folds, seed)]
    except SplitError:
        return None
    return sum(cells_in(part) < cells_in(manifest) for part in parts)


def checklist(
    manifest: pd.DataFrame, folds: int = 5, seed: int = 0, least: Least = LEAST
) -> pd.DataFrame:
    """Eight questions about women and men to a corpus, before any training.

    Args:
        manifest: A manifest; rows without an emotion are left out.
        folds: Folds that it is to be split into.
        seed: Of the folds.
        least: What a cell must hold to be estimable.

    Returns:
        One row a question: ``question``, ``function`` (of the library, to look closer) and
        ``answer``, in words.

    Raises:
        EvaluationError: No labelled clip has a known gender.
    """
    labelled = manifest[manifest["emotion"].notna()]
    known = labelled[labelled["gender"].isin(BETWEEN)].reset_index(drop=True)
    if known.empty:
        raise EvaluationError(
            f"of {len(labelled)} labelled clips none has a known gender: fill in the manifest's "
            "column gender where speakers have told theirs"
        )
    spoken = Answers.of(known["emotion"], None, known["speaker"], EMOTIONS, known["gender"])
    counted = cells(spoken, least)
    weak = counted[counted["reason"] != ""]
    counts = skew_table(known, rows="gender").reindex(list(BETWEEN), fill_value=0)
    mix = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    people = known.groupby("gender")["speaker"].nunique().reindex(list(BETWEEN), fill_value=0)
    ways = math.comb(int(people.sum()), int(people["female"]))
    bins = pd.Series(length_bins(known["duration"])).groupby(known["gender"]).agg(
        lambda names: names.value_counts().index[0]
    )  # fmt: skip
    lacking = folds_lacking(known, folds, seed)
    answers = {
        ("Whose gender is not known?", "manifest"): (
            f"that of {len(labelled) - len(known)} of {len(labelled)} clips"
        ),
        ("Whose clips are they?", "skew_table"): (
            f"{counts.loc['male'].sum() / len(known):.0%} are men's"
        ),
        ("Which cells are too small?", "cells"): "; ".join(
            f"{row.group}, {row.emotion}: {row.reason}" for row in weak.itertuples()
        ) or "none",
        ("Is a cell one person's?", "largest_share"): (
            f"of some cell {largest_share(known):.0%} is"
        ),
        ("Do both say the same?", "mix_bound"): (
            f"a model fair within emotions may show a raw gap of {100 * mix_bound(mix):.0f} points"
        ),
        ("Are clips equally long?", "length_bins"): ", ".join(
            f"{group} mostly {most}" for group, most in bins.items()
        ),
        ("Can luck be ruled out?", "gaps"): (
            f"{people['female']} women, {people['male']} men: names can be dealt out in {ways:,} "
            "ways, and no p is smaller than one in these"
        ),
        ("Does a fold lack a cell?", "folds_lacking"): (
            "there are too few speakers for folds" if lacking is None else f"{lacking} of {folds}"
        ),
    }  # fmt: skip
    rows = [(*question, answer) for question, answer in answers.items()]
    return pd.DataFrame(rows, columns=["question", "function", "answer"])
