"""Two groups side by side: their confusion matrices, and what of their gap can be told."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lowser_lib.errors import EvaluationError
from lowser_lib.evaluation.group_cells import Answers, Least

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
