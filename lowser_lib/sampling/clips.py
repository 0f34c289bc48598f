"""Clips held in memory, from the rows of a manifest to the batches that a model learns from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lowser_lib.manifest import EMOTIONS, UNLABELLED, emotion_codes
from lowser_lib.sampling.epochs import Resumable
from lowser_lib.views import MelView, pad_mels
from lowser_lib.views.cache import extract_all

#: Classes ``(N,)`` from 0, as a caller may have them.
Labels = Tensor | np.ndarray | Sequence[int]


class Batch(NamedTuple):
    """Clips on their way through a model.

    Attributes:
        inputs: ``(B, n_mels, T)`` log-mel spectrograms, zero behind a clip's end; or ``(B, D)``
            embeddings that were computed before.
        lengths: ``(B,)`` int64, frames of each clip (1 for an embedding).
        labels: ``(B,)`` int64, class of each clip, :data:`UNLABELLED` where there is none.
    """

    inputs: Tensor
    lengths: Tensor
    labels: Tensor


class Clips(Protocol):
    """What a loader and :func:`lowser_lib.training.predict` need to know about a data set."""

    @property
    def lengths(self) -> Tensor:
        """``(N,)`` int64: how long each clip is, in any unit."""

    @property
    def labels(self) -> Tensor:
        """``(N,)`` int64: class of each clip, or :data:`UNLABELLED`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]: ...

    def collate(self, samples: Sequence[tuple[Tensor, Tensor]]) -> Batch:
        """Put single clips into one batch."""


class ClipDataset(Dataset[tuple[Tensor, Tensor]]):
    """Log-mel spectrograms of clips, with their labels, in memory.

    Attributes:
        mels: one tensor ``(n_mels, T_i)`` a clip.
        labels: ``(N,)`` int64.
        lengths: ``(N,)`` int64, frames of each clip.
    """

    def __init__(self, mels: Sequence[Tensor | np.ndarray], labels: Labels | None = None) -> None:
        """Hold on to the spectrograms; they are not copied.

        Args:
            mels: one floating-point ``(n_mels, T_i)`` a clip, with ``T_i`` at least 1. An empty
                list is a data set of length 0.
            labels: ``(N,)`` classes from 0; None: no clip has a label.

        Raises:
            ValueError: shapes or numbers do not agree.
        """
        self.mels = [torch.as_tensor(mel) for mel in mels]
        self.labels = as_labels(labels, len(self.mels))
        for index, mel in enumerate(self.mels):
            if mel.ndim != 2 or mel.shape[0] != self.mels[0].shape[0] or mel.shape[1] == 0:
                raise ValueError(
                    f"mels[{index}] has shape {tuple(mel.shape)}; expected (n_mels, frames), with "
                    "at least one frame and the same n_mels in every clip"
                )
        self.lengths = torch.tensor([mel.shape[1] for mel in self.mels], dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.mels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.mels[index], self.labels[index]

    def collate(self, samples: Sequence[tuple[Tensor, Tensor]]) -> Batch:
        """Pad clips ``(n_mels, T_i)`` to the longest of them; see :class:`Batch`."""
        inputs, lengths = pad_mels([mel for mel, _ in samples])
        return Batch(inputs, lengths, torch.stack([label for _, label in samples]))


class EmbeddingDataset(Dataset[tuple[Tensor, Tensor]]):
    """Embeddings that were computed once and for all: the data of a frozen probe.

    Attributes:
        embeddings: ``(N, D)``.
        labels: ``(N,)`` int64.
        lengths: ``(N,)`` int64, all 1.
    """

    def __init__(self, embeddings: Tensor | np.ndarray, labels: Labels | None = None) -> None:
        """Hold on to the embeddings; they are not copied.

        Args:
            embeddings: floating-point ``(N, D)``.
            labels: ``(N,)`` classes from 0; None: no clip has a label.

        Raises:
            ValueError: shapes do not agree.
        """
        self.embeddings = torch.as_tensor(embeddings)
        if self.embeddings.ndim != 2:
            shape = tuple(self.embeddings.shape)
            raise ValueError(f"embeddings must have shape (clips, dimension), not {shape}")
        self.labels = as_labels(labels, len(self.embeddings))
        self.lengths = torch.ones(len(self.embeddings), dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.embeddings)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.embeddings[index], self.labels[index]

    def collate(self, samples: Sequence[tuple[Tensor, Tensor]]) -> Batch:
        """Stack embeddings ``(D,)``; see :class:`Batch`."""
        embeddings, labels = (torch.stack(column) for column in zip(*samples, strict=True))
        return Batch(embeddings, torch.ones(len(labels), dtype=torch.int64), labels)


class ClipLoader(DataLoader[Batch]):
    """PyTorch's loader for one of the data sets above and a sampler of batches."""

    def __init__(self, dataset: Clips, sampler: Resumable, *, workers: int = 0) -> None:
        """Join a data set and a sampler.

        Args:
            dataset: the clips.
            sampler: yields lists of their indices, one a batch.
            workers: processes that put batches together. 0, the default, is fastest for clips that
                lie in memory.
        """
        super().__init__(
            dataset,  # type: ignore[arg-type]  # a protocol: any class with its methods will do
            batch_sampler=sampler,
            collate_fn=dataset.collate,
            num_workers=workers,
        )
        self._batches = sampler

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0, that the next iteration belongs to."""
        self._batches.set_epoch(epoch)

    def state_dict(self) -> dict[str, int]:
        """What fixes all batches to come: the sampler's state."""
        return self._batches.state_dict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where :meth:`state_dict` was taken."""
        self._batches.load_state_dict(state)


def as_labels(labels: Labels | None, clips: int) -> Tensor:
    """Labels as int64 ``(N,)``, checked."""
    if labels is None:
        return torch.full((clips,), UNLABELLED, dtype=torch.int64)
    # A copy: what pandas hands out may be read-only, which torch would share and warn of.
    result = labels if isinstance(labels, Tensor) else torch.tensor(np.asarray(labels))
    if result.shape != (clips,):
        raise ValueError(f"labels must have shape ({clips},), not {tuple(result.shape)}")
    if result.is_floating_point() or (clips and int(result.min()) < UNLABELLED):
        raise ValueError(f"labels must be whole numbers from 0 ({UNLABELLED}: no label)")
    return result.to(torch.int64)


def mel_clips(
    manifest: pd.DataFrame,
    roots: Sequence[Path] | Path,
    *,
    n_mels: int = 80,
    cache: Path | None = None,
    jobs: int = 1,
    classes: Sequence[str] = EMOTIONS,
) -> ClipDataset:
    """Spectrograms of a manifest's clips, labelled with their emotions.

    Args:
        manifest: A manifest.
        roots: Folders below which its paths are found.
        n_mels: Mel bands, as the encoder hears them (``encoder.n_mels``).
        cache: Folder that keeps spectrograms for the next time; None keeps none.
        jobs: Workers that read files.
        classes: Names of the classes, by default the course's four.

    Returns:
        The clips in the manifest's order. Labels are places in ``classes``, and
        :data:`~lowser_lib.sampling.UNLABELLED` where a row has none of them.

    Raises:
        AudioError: A file is missing or cannot be used.
    """
    folders = [roots] if isinstance(roots, Path) else list(roots)
    mels = extract_all(MelView(n_mels), manifest, folders, cache, jobs)
    return ClipDataset(mels, emotion_codes(manifest, classes))
