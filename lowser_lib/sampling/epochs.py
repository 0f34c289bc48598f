"""Epochs that can be had again: what all samplers share, and where their seeds come from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import Sampler


class Resumable(Protocol):
    """What the training loop asks of its batches: that any epoch's can be had again.

    Samplers have this shape, and so do loaders built on them.
    """

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0, that the next iteration belongs to."""

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers that fix all batches to come."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken."""


class EpochSampler(Sampler[list[int]]):
    """What the samplers of batches have in common: a seed and an epoch."""

    def __init__(self, generator: torch.Generator) -> None:
        """Draw the sampler's seed; the order itself is drawn anew for each epoch.

        Args:
            generator: one number is drawn from it, the seed of all epochs.
        """
        self.seed, self.epoch = draw_seed(generator), 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0, whose order the next iteration follows."""
        self.epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """What fixes all orders to come: the seed and the epoch."""
        return {"seed": self.seed, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on as the sampler that :meth:`state_dict` was taken from would have."""
        self.seed, self.epoch = state["seed"], state["epoch"]


def draw_seed(generator: torch.Generator) -> int:
    """Draw one number below 2**63 - 1 from a generator on the CPU, to seed others with."""
    return int(torch.randint(2**63 - 1, (), generator=generator))


def derive_seed(*parts: int) -> int:
    """Mix numbers that are at least 0 into one seed below 2**63.

    Neighbouring seeds give related streams in some generators; NumPy's ``SeedSequence`` mixes its
    input so that ``(0, 1)`` and ``(1, 0)`` have nothing in common.
    """
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))
