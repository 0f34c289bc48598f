"""Clips seen through several views at once: a data set and its batches.

A view of a clip is an array: 88 measures ``(88,)``, a spectrogram ``(80, T)``, the averaged states
of all layers of a model ``(L + 1, D)``. Clips may differ along the last axis, the time of a
spectrogram; a batch is padded there with zeros. The data set needs to know no more of a view, so
that a fourth needs nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import Dataset

from lowser_lib.sampling.clips import Labels, as_labels

#: One clip, as the data set gives it: its views by name, and its label.
Sample = tuple[dict[str, Tensor], Tensor]


class MultiViewBatch(NamedTuple):
    """Clips on their way through several encoders.

    Attributes:
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
