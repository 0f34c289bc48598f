"""Clips held in memory, from the rows of a manifest to the batches that a model learns from.

A clip is a tensor, or seen through several views at once (:class:`MultiViewDataset`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

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


#: One clip, as the data set gives it: its views by name, and its label.
Sample = tuple[dict[str, Tensor], Tensor]


class MultiViewBatch(NamedTuple):
    """Clips on their way through several encoders.

    Attributes:
        views: by name, ``(B, ..., T)``, zero behind a clip's end.
        lengths: by name, ``(B,)`` int64, length of each clip along the last axis.
        labels: ``(B,)`` int64, :data:`~lowser_lib.sampling.UNLABELLED` where there is none.
    """

    views: dict[str, Tensor]
    lengths: dict[str, Tensor]
    labels: Tensor


class MultiViewDataset(Dataset[Sample]):
    """Several views of each clip, with its label, in memory.

    Attributes:
        views: by name, one float32 tensor a clip.
        labels: ``(N,)`` int64.
        lengths: ``(N,)`` int64, the longest last axis of each clip over its views: what
            :class:`~lowser_lib.sampling.LengthBucketSampler` sorts by.
    """

    def __init__(
        self,
        views: Mapping[str, Sequence[Tensor | np.ndarray]],
        labels: Labels | None = None,
    ) -> None:
        """Hold on to the views; what is float32 already is not copied.

        Args:
            views: by name, one array a clip, finite; clip i of each view is the same clip. Within
                a view, arrays agree in all axes but the last.
            labels: ``(N,)`` classes from 0; None: no clip has a label.

        Raises:
            ValueError: there is no view, or shapes or numbers do not agree, or a value is not
                finite.
        """
        if not views:
            raise ValueError("views is empty: a data set needs one view at least")
        self.views = {
            name: [torch.as_tensor(array, dtype=torch.float32) for array in arrays]
            for name, arrays in views.items()
        }
        sizes = {name: len(arrays) for name, arrays in self.views.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"views must have the same clips, but they have {sizes}")
        for name, arrays in self.views.items():
            _check(name, arrays)
        self.labels = as_labels(labels, len(self))
        longest = [
            max(arrays[index].shape[-1] for arrays in self.views.values())
            for index in range(len(self))
        ]
        self.lengths = torch.tensor(longest, dtype=torch.int64)

    def __len__(self) -> int:
        return len(next(iter(self.views.values())))

    def __getitem__(self, index: int) -> Sample:
        return {name: arrays[index] for name, arrays in self.views.items()}, self.labels[index]

    def collate(self, samples: Sequence[Sample]) -> MultiViewBatch:
        """Pad clips to the longest of them, view by view; see :class:`MultiViewBatch`."""
        views, lengths = {}, {}
        for name in self.views:
            arrays = [clip[name] for clip, _ in samples]
            sizes = [array.shape[-1] for array in arrays]
            widest = max(sizes)
            views[name] = torch.stack(
                [pad(part, (0, widest - size)) for part, size in zip(arrays, sizes, strict=True)]
            )
            lengths[name] = torch.tensor(sizes)
        return MultiViewBatch(views, lengths, torch.stack([label for _, label in samples]))

    def of_views(self, names: Iterable[str]) -> Self:
        """The same clips, seen through some of the views only, in the order of ``names``.

        Raises:
            ValueError: there is no such view.
        """
        chosen = list(names)
        missing = [name for name in chosen if name not in self.views]
        if missing:
            raise ValueError(f"no view {missing[0]!r}; there are {', '.join(self.views)}")
        return type(self)({name: self.views[name] for name in chosen}, self.labels)

    def of_clips(self, indices: Sequence[int] | np.ndarray | Tensor) -> Self:
        """Some of the clips, in the order of ``indices`` (whole numbers from 0)."""
        # A copy: what pandas hands out may be read-only, which torch would warn of.
        chosen = torch.tensor(np.asarray(indices), dtype=torch.int64)
        views = {name: [arrays[i] for i in chosen.tolist()] for name, arrays in self.views.items()}
        return type(self)(views, self.labels[chosen])

    def unlabelled(self) -> Self:
        """The same clips without their labels: what pre-training is given."""
        return type(self)(self.views)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The clips of several data sets with the same views, one after another.

        Raises:
            ValueError: there is no part, or one has other views.
        """
        if not parts:
            raise ValueError("parts is empty: there is nothing to join")
        names = list(parts[0].views)
        for number, part in enumerate(parts):
            if set(part.views) != set(names):
                raise ValueError(f"parts[{number}] has views {list(part.views)}, not {names}")
        views = {name: [array for part in parts for array in part.views[name]] for name in names}
        return cls(views, torch.cat([part.labels for part in parts]))


def _check(name: str, arrays: Sequence[Tensor]) -> None:
    """Raise ValueError unless the arrays of a view fit each other."""
    for index, array in enumerate(arrays):
        if array.ndim == 0 or 0 in array.shape or array.shape[:-1] != arrays[0].shape[:-1]:
            expected = (*arrays[0].shape[:-1], "any")
            raise ValueError(
                f"views[{name!r}][{index}] has shape {tuple(array.shape)}; expected "
                f"({', '.join(map(str, expected))}), with one of each at least"
            )
        if not bool(torch.isfinite(array).all()):
            raise ValueError(
                f"views[{name!r}][{index}] holds NaN or infinity; leave the clip out of all views"
            )
