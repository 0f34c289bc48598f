"""Which clips share a batch: data sets held in memory, and samplers over them.

All randomness of an epoch is a pure function of ``(seed, epoch)``. So a run that was stopped goes
on with exactly the batches that it would have had, and only these two numbers have to be stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from lowser_lib.views.mel import pad_mels

#: The label of a clip that has none; a supervised loss leaves such clips out.
UNLABELLED = -1

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
        self.labels = _as_labels(labels, len(self.mels))
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
        self.labels = _as_labels(labels, len(self.embeddings))
        self.lengths = torch.ones(len(self.embeddings), dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.embeddings)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.embeddings[index], self.labels[index]

    def collate(self, samples: Sequence[tuple[Tensor, Tensor]]) -> Batch:
        """Stack embeddings ``(D,)``; see :class:`Batch`."""
        embeddings, labels = (torch.stack(column) for column in zip(*samples, strict=True))
        return Batch(embeddings, torch.ones(len(labels), dtype=torch.int64), labels)


class LengthBucketSampler(Sampler[list[int]]):
    """Batches of clips of similar length: little padding, and every clip once an epoch.

    An epoch's shuffled clips are cut into pools of several batches; each pool is sorted by length
    and cut into batches, and the batches are shuffled. A larger pool means less padding; a smaller
    one, more variety in who shares a batch.

    ``batch_size`` is what the optimizer sees, whatever the number of processes: each of
    ``num_replicas`` takes its share of every batch, so that a run on four GPUs makes the same
    steps as a run on one. Batches differ in size by one clip at most: no step is left to a single
    clip.
    """

    def __init__(
        self,
        lengths: Tensor | np.ndarray | Sequence[int],
        batch_size: int,
        generator: torch.Generator,
        *,
        pool: int = 8,
        num_replicas: int = 1,
        rank: int = 0,
    ) -> None:
        """Draw the sampler's seed; the order itself is drawn anew for each epoch.

        Args:
            lengths: ``(N,)``, length of each clip, in any unit.
            batch_size: most clips a batch, over all processes together.
            generator: one number is drawn from it, the seed of all epochs.
            pool: batches that are sorted together. Our choice of 8: on speech of 0.5 to 12 s it
                leaves about a tenth of a batch as padding, against half without sorting.
            num_replicas: processes that train together (``fabric.world_size``).
            rank: which of them this is (``fabric.global_rank``).

        Raises:
            ValueError: a number is out of range, or ``batch_size`` cannot be shared evenly.
        """
        self.lengths = np.asarray(lengths, dtype=np.int64)
        if self.lengths.ndim != 1:
            raise ValueError(f"lengths must have shape (clips,), not {self.lengths.shape}")
        for name, value in (("batch_size", batch_size), ("pool", pool)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value!r}")
        if not 0 <= rank < num_replicas:
            raise ValueError(f"rank must lie in 0..{num_replicas - 1}, not {rank!r}")
        if batch_size % num_replicas:
            raise ValueError(
                f"batch_size {batch_size} cannot be shared evenly by {num_replicas} processes"
            )
        self.batch_size, self.pool = batch_size, pool
        self.num_replicas, self.rank = num_replicas, rank
        self.seed, self.epoch = draw_seed(generator), 0

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        if not len(self):
            return
        random = np.random.default_rng(derive_seed(self.seed, self.epoch))
        batches = np.array_split(random.permutation(len(self.lengths)), len(self))
        for start in range(0, len(batches), self.pool):
            group = batches[start : start + self.pool]
            clips = np.concatenate(group)
            # Stable: clips of equal length stay in their shuffled order.
            clips = clips[np.argsort(self.lengths[clips], kind="stable")]
            cuts = np.cumsum([len(batch) for batch in group])[:-1]
            batches[start : start + self.pool] = np.split(clips, cuts)
        for index in random.permutation(len(batches)):
            yield self._share(batches[index]).tolist()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0, whose order the next iteration follows."""
        self.epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """What fixes all orders to come: the seed and the epoch."""
        return {"seed": self.seed, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on as the sampler that :meth:`state_dict` was taken from would have."""
        self.seed, self.epoch = state["seed"], state["epoch"]

    def _share(self, batch: np.ndarray) -> np.ndarray:
        """This process's clips of a batch, as many as every other process has.

        Where a batch cannot be shared evenly, its first clips are given out twice.
        """
        share = -(-len(batch) // self.num_replicas)
        return np.resize(batch, share * self.num_replicas)[self.rank :: self.num_replicas]


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


def draw_seed(generator: torch.Generator) -> int:
    """Draw one number below 2**63 - 1 from a generator on the CPU, to seed others with."""
    return int(torch.randint(2**63 - 1, (), generator=generator))


def derive_seed(*parts: int) -> int:
    """Mix numbers that are at least 0 into one seed below 2**63.

    Neighbouring seeds give related streams in some generators; NumPy's ``SeedSequence`` mixes its
    input so that ``(0, 1)`` and ``(1, 0)`` have nothing in common.
    """
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _as_labels(labels: Labels | None, clips: int) -> Tensor:
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
