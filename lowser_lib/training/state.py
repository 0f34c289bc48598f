"""The state of a training run: its history, its best weights, and the file they survive in."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch
from torch import Tensor

from lowser_lib import files
from lowser_lib.errors import CheckpointError

#: Under this name a checkpoint holds the checksum of all else in it.
SEAL = "checksum"


class Stateful(Protocol):
    """A part of a run that can be stored: a model, an optimizer, a schedule."""

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors."""

    def load_state_dict(self, state: Any, /) -> Any:
        """Take over what :meth:`state_dict` gave."""


@dataclass
class History:
    """What happened in each epoch.

    Attributes:
        rows: one an epoch: ``epoch`` (from 1), ``loss`` and the recipe's other losses (means over
            the steps), ``learning_rate`` (of the recipe's first group, at the last step), and
            ``score``, where validation took place.
        best_epoch: the epoch whose weights were kept; None without validation: the last one's were.
        stopped_early: whether patience ran out.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int | None = None
    stopped_early: bool = False

    def __getitem__(self, column: str) -> list[float]:
        return [row[column] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def table(self) -> pd.DataFrame:
        """The rows as a table, indexed by epoch."""
        return pd.DataFrame(self.rows).astype({"epoch": int}).set_index("epoch")


@dataclass
class RunState:
    """All that a stopped run needs to go on as if nothing had happened.

    Attributes:
        parts: by name, everything with a state of its own, the model among them.
        settings: plain values that must be the same when the run is resumed.
        seed: what all randomness of the run follows from, together with the epoch.
        epoch: how many epochs are finished.
        history: what happened in them.
        best: weights of the best epoch, on the CPU; None before the first validation.
    """

    parts: Mapping[str, Stateful]
    settings: dict[str, Any]
    seed: int
    epoch: int = 0
    history: History = field(default_factory=History)
    best: dict[str, Tensor] | None = None

    def save(self, path: Path) -> None:
        """Write the checkpoint; the file is always whole, the old one or the new one.

        Raises:
            CheckpointError: it cannot be written; what was there stays.
        """
        state: dict[str, Any] = {
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
            "settings": self.settings,
            "seed": self.seed,
            "epoch": self.epoch,
            "history": asdict(self.history),
            "best": self.best,
        }
        content = io.BytesIO()  # torch reports a full disk in a way of its own
        torch.save({**state, SEAL: checksum(state)}, content)
        with files.whole_file(path, CheckpointError) as part:
            part.write_bytes(content.getvalue())

    def load(self, path: Path) -> None:
        """Go on where a checkpoint was written; one of another seed is left alone, with a warning.

        Raises:
            CheckpointError: the file is damaged, is something else, or comes from a run with other
                settings or another model.
        """
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            parts, settings, seal = state["parts"], state["settings"], state.pop(SEAL)
        except Exception as error:  # a damaged file can fail in many ways
            raise CheckpointError(
                f"{path} cannot be read as the checkpoint of a training run ({error!r:.200}); "
                "delete it and train again"
            ) from error
        if checksum(state) != seal:
            raise CheckpointError(
                f"{path} is damaged: its content does not have the checksum that was written with "
                "it; delete it and train again"
            )
        if state["seed"] != self.seed:
            warnings.warn(
                f"{path} comes from a run with another seed: training begins anew and replaces it",
                stacklevel=3,
            )
            return
        other = {**self.settings, **settings}
        differing = [name for name in other if settings.get(name) != self.settings.get(name)]
        if differing:
            raise CheckpointError(
                f"{path} comes from a run with other settings ({', '.join(differing)}); use the "
                "same, or delete it and train again"
            )
        try:
            for name, part in self.parts.items():
                part.load_state_dict(parts[name])
        except (RuntimeError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"{path} does not fit the model ({error}); build the same model, or delete it and "
                "train again"
            ) from error
        self.epoch, self.best = state["epoch"], state["best"]
        self.history = History(**state["history"])


def checksum(state: Any) -> str:
    """SHA-256 of tensors and plain values, in dictionaries and sequences of any depth.

    The file's own checksums do not do: torch does not look at them.
    """
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, Tensor):
            array = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(f"{value.dtype} {tuple(value.shape)};".encode())
            digest.update(array.numpy().tobytes())
        elif isinstance(value, Mapping):
            for name, part in value.items():
                digest.update(f"{name!r}:".encode())
                add(part)
            digest.update(b"}")
        elif isinstance(value, list | tuple):
            for part in value:
                add(part)
            digest.update(b"]")
        else:
            digest.update(f"{value!r};".encode())

    add(state)
    return digest.hexdigest()
