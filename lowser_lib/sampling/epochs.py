"""Epochs that can be had again: what the training loop asks of batches, and where seeds come from.

All randomness of an epoch is a pure function of ``(seed, epoch)``: a sampler is told the epoch, and
has drawn its seed when it was made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch


class Sampler(Protocol):
    """Yields lists of clip indices, one a batch.

    Attributes:
        epoch: from 0, to be set; the next iteration follows its order.
    """

    epoch: int

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[list[int]]: ...


class Loader(Protocol):
    """Yields batches, as :class:`torch.utils.data.DataLoader` does."""

    @property
    def batch_sampler(self) -> Any:
        """The :class:`Sampler` that says which clips share a batch."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


def draw_seed(generator: torch.Generator) -> int:
    """Draw one number below 2**63 - 1 from a generator on the CPU, to seed others with."""
    return int(torch.randint(2**63 - 1, (), generator=generator))


def derive_seed(*parts: int) -> int:
    """Mix numbers that are at least 0 into one seed below 2**63.

    Neighbouring seeds give related streams in some generators; NumPy's ``SeedSequence`` mixes its
    input so that ``(0, 1)`` and ``(1, 0)`` have nothing in common.
    """
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))
