"""What a method computes from a batch, and nothing about how training runs.

A recipe holds its networks and turns a batch into losses. The loop around it
(:func:`lowser_lib.training.fit`) is the same for all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Step(NamedTuple):
    """Where training stands: all that a schedule or an augmentation may depend on.

    Attributes:
        number: optimizer steps taken before this one, from 0.
        total: optimizer steps of the whole run, if it is not stopped early.
        generator: source of randomness on the CPU, seeded anew for each epoch, so that a
            resumed run draws the same numbers.
    """

    number: int
    total: int
    generator: torch.Generator

    @property
    def progress(self) -> float:
        """How much of the run is done, from 0 at the first step to 1 at the last."""
        return self.number / max(1, self.total - 1)


class Recipe(nn.Module, ABC):
    """A method, as the training loop sees it.

    Everything that has to survive a restart lies in parameters and buffers (a target network, a
    queue), or follows from :class:`Step` (a schedule). Random numbers come from ``step.generator``;
    dropout alone uses torch's own generator, which the loop seeds.

    Attributes:
        rates: the parts to be trained, each with its peak learning rate.
    """

    rates: Sequence[tuple[Any, float]]

    @abstractmethod
    def forward(self, batch: Any, step: Step) -> dict[str, Tensor]:
        """Losses of one batch.

        Args:
            batch: what the loader yields, on the device; :class:`lowser_lib.sampling.Batch` or
                several of them.
            step: where training stands.

        Returns:
            Scalars by name. ``"loss"`` is minimised; the others are recorded beside it.
        """

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for the optimizer: one a part of :attr:`rates` that has something to train."""
        groups = (
            {"params": [p for p in part.parameters() if p.requires_grad], "lr": rate}
            for part, rate in self.rates
        )
        return [group for group in groups if group["params"]]

    def after_step(self, step: Step) -> None:
        """Do what follows an optimizer step, such as moving a target network; here: nothing."""


def exempt_from_decay(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same groups, with biases and the gains of normalisations in groups that do not decay.

    Pulled towards zero, a bias or a gain loses its meaning and nothing is regularised; SimCLR and
    BYOL leave them out. They are told by their number of axes, at most one.
    """
    parted = []
    for group in groups:
        for axes, decay in ((True, {}), (False, {"weight_decay": 0.0})):
            chosen = [p for p in group["params"] if (p.ndim > 1) == axes]
            if chosen:
                parted.append({**group, "params": chosen, **decay})
    return parted
