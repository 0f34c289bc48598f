"""Clips held in memory, from the rows of a manifest to the batches that a model learns from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import Dataset

from lowser_lib.manifest import EMOTIONS, UNLABELLED, emotion_codes
from lowser_lib.views import MelView
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


class Clips(Dataset[tuple[Tensor, Tensor]]):
    """Clips held in memory, with their labels (speakers, emotions); of what kind, subclasses say.

    Attributes:
        samples: one tensor a clip, time last.
        labels: ``(N,)`` int64, class of each clip, or :data:`UNLABELLED`.
        lengths: ``(N,)`` int64: how long each clip is, samples or frames.
    """

    def __init__(self, samples: Sequence[Tensor], labels: Labels | None = None) -> None:
        """Hold on to the samples, which are not copied; an empty list has length 0.

        Args:
            samples: one tensor a clip.
            labels: ``(N,)`` classes from 0; None: no clip has a label.

        Raises:
            ValueError: shapes or numbers do not agree.
        """
        self.samples, self.labels = samples, as_labels(labels, len(samples))
        self.lengths = torch.tensor([sample.shape[-1] for sample in samples], dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.samples[index], self.labels[index]

    def collate(self, clips: Sequence[tuple[Tensor, Tensor]]) -> Batch:
        """Pad single clips with zeros to the longest of them, and put them into one batch."""
        lengths = torch.tensor([sample.shape[-1] for sample, _ in clips])
        longest = int(lengths.max())
        inputs = [pad(sample, (0, longest - sample.shape[-1])) for sample, _ in clips]
        return Batch(torch.stack(inputs), lengths, torch.stack([label for _, label in clips]))


class ClipDataset(Clips):
    """Log-mel spectrograms ``(n_mels, T_i)`` of clips, with their labels, in memory."""

    def __init__(self, mels: Sequence[Tensor | np.ndarray], labels: Labels | None = None) -> None:
        """Hold on to floating-point spectrograms, with ``T_i`` at least 1; see :class:`Clips`."""
        samples = [torch.as_tensor(mel) for mel in mels]
        for index, mel in enumerate(samples):
            if mel.ndim != 2 or mel.shape[0] != samples[0].shape[0] or mel.shape[1] == 0:
                raise ValueError(
                    f"mels[{index}] has shape {tuple(mel.shape)}; expected (n_mels, frames), with "
                    "at least one frame and the same n_mels in every clip"
                )
        super().__init__(samples, labels)


class EmbeddingDataset(Clips):
    """Embeddings that were computed once and for all: the data of a frozen probe."""

    def __init__(self, embeddings: Tensor | np.ndarray, labels: Labels | None = None) -> None:
        """Hold on to floating-point embeddings ``(N, D)``, each of length 1; see :class:`Clips`."""
        rows = torch.as_tensor(embeddings)
        if rows.ndim != 2:
            shape = tuple(rows.shape)
            raise ValueError(f"embeddings must have shape (clips, dimension), not {shape}")
        super().__init__(list(rows), labels)
        self.lengths = torch.ones(len(rows), dtype=torch.int64)

    def collate(self, clips: Sequence[tuple[Tensor, Tensor]]) -> Batch:
        """Stack embeddings ``(D,)``; all of length 1."""
        return super().collate(clips)._replace(lengths=torch.ones(len(clips), dtype=torch.int64))


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
