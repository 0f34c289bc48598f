"""Groups, and the cells of a group and an emotion: what there is, and whether it is enough.

Everything in :mod:`~lowser_lib.evaluation.fairness` and :mod:`~lowser_lib.evaluation.gaps` begins
here. Nothing is dropped in silence: a cell that holds too little keeps its row, with the reason.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lowser_lib.errors import EvaluationError
from lowser_lib.evaluation.metrics import encode_labels


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
