"""Cells of a group and a class: making each of them count the same in a training.

Where nine in ten clips are men's, a loss is nine parts men's, and what tells women's anger from
women's joy is learned from a handful. Two remedies need no other data, and both give every cell of
a group and an emotion the same say: its clips weigh more in the loss, or are drawn more often. A
cell that is empty stays empty: neither can teach what nobody says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lowser_lib.sampling import UNLABELLED
from lowser_lib.sampling.samplers import UNKNOWN

#: How cells of a group and a class are given the same say: not, by weights, or by how often they
#: are drawn.
BALANCES = ("none", "loss", "sampling")


class Cells(NamedTuple):
    """Which cell each clip lies in.

    Attributes:
        numbers: ``(N,)`` int64, group · classes + class; clips of an unknown group lie in one more
            row of cells behind the others, those without a class are :data:`UNLABELLED`.
        known: number of cells of known groups, whether or not there is a clip in them.
    """

    numbers: Tensor
    known: int

    @property
    def balanced(self) -> Tensor:
        """The numbers, with :data:`UNLABELLED` for clips of unknown groups, too."""
        return self.numbers.where(self.numbers < self.known, UNLABELLED)


def cells_of(
    labels: Tensor, groups: Sequence[str] | np.ndarray | pd.Series, n_classes: int
) -> Cells:
    """Find each clip's cell.

    Args:
        labels: ``(N,)`` classes from 0, :data:`UNLABELLED` where there is none.
        groups: ``(N,)`` names, as the manifest's column ``gender``; ``unknown`` is no group.
        n_classes: number of classes.

    Raises:
        ValueError: shapes do not agree, a group is missing, or there are not two known ones.
    """
    names = np.asarray(groups, dtype=object)
    if names.shape != tuple(labels.shape) or pd.isna(names).any():
        raise ValueError(
            f"groups must name one for each of {len(labels)} clips ({UNKNOWN!r} where it is not "
            f"known), not be of shape {names.shape} with {int(pd.isna(names).sum())} missing"
        )
    known = sorted(set(names.tolist()) - {UNKNOWN})
    if len(known) < 2:
        raise ValueError(
            f"groups must name at least two, not {known!r}: leave out the balance of groups"
        )
    places = {name: place for place, name in enumerate((*known, UNKNOWN))}
    group = torch.tensor([places[name] for name in names.tolist()])
    numbers = torch.where(labels == UNLABELLED, UNLABELLED, group * n_classes + labels)
    return Cells(numbers, len(known) * n_classes)


def cell_weights(cells: Cells, n_classes: int) -> Tensor:
    """Weights that give every cell the same say in the loss; see :func:`balanced_weights`.

    Args:
        cells: of the training clips.
        n_classes: number of classes.

    Returns:
        float32 ``(known cells + n_classes,)``. Over the clips of known groups they average to 1,
        and that is what clips of unknown groups weigh.

    Raises:
        ValueError: no clip has both a class and a group.
    """
    return torch.cat([balanced_weights(cells.balanced, cells.known), torch.ones(n_classes)])


def balanced_weights(labels: Tensor, n_classes: int) -> Tensor:
    """Weights that give every class the same say in the loss: N / (classes present · count).

    Args:
        labels: ``(N,)`` int64 classes; clips that are :data:`UNLABELLED` do not count.
        n_classes: number of classes.

    Returns:
        float32 ``(n_classes,)``; over the labelled clips they average to 1. A class without clips
        has weight 0.

    Raises:
        ValueError: no clip has a label.
    """
    counts = torch.bincount(labels[labels != UNLABELLED], minlength=n_classes)
    present = counts > 0
    if not present.any():
        raise ValueError("labels holds no label: there is nothing to balance")
    return torch.where(present, counts.sum() / (present.sum() * counts.clamp(min=1)), 0.0)


class Balance(NamedTuple):
    """What a balanced training is handed.

    Attributes:
        labels: ``(N,)`` classes, or cells where these have weights.
        weights: of the classes or cells in the loss; None: all 1.
        drawn: ``(N,)`` cells that are drawn equally often; None: every clip comes once an epoch.
    """

    labels: Tensor
    weights: Tensor | None = None
    drawn: Tensor | None = None


def balance_of(
    labels: Tensor,
    groups: Sequence[str] | np.ndarray | None,
    n_classes: int,
    balance_groups: str = "none",
) -> Balance:
    """How the clips of a training are balanced: by class, or by group and class.

    Args:
        labels: ``(N,)`` classes from 0, :data:`UNLABELLED` where there is none.
        groups: as in :func:`cells_of`; not looked at where classes alone are balanced.
        n_classes: number of classes.
        balance_groups: one of :data:`BALANCES`; ``"none"`` balances classes alone, by weights.

    Raises:
        ValueError: groups are needed and missing, or see :func:`cells_of`.
    """
    if balance_groups == "none":
        return Balance(labels, balanced_weights(labels, n_classes))
    if groups is None:
        raise ValueError(f"balance_groups {balance_groups!r} needs groups of the clips")
    cells = cells_of(labels, groups, n_classes)
    if balance_groups == "loss":
        return Balance(cells.numbers, cell_weights(cells, n_classes))
    return Balance(labels, drawn=cells.balanced)
