"""Batches of clips of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from lowser_lib.errors import require
from lowser_lib.sampling.epochs import derive_seed, draw_seed


class LengthBucketSampler:
    """Batches of clips of similar length: little padding, and every clip once an epoch.

    An epoch's shuffled clips are cut into pools of several batches; each pool is sorted by length
    and cut into batches, and the batches are shuffled. A larger pool means less padding; a smaller
    one, more variety in who shares a batch.

    Batches differ in size by one clip at most: no step is left to a single clip.

    With ``cells`` an epoch is as long as ever, but each cell has the same number of places in it,
    give or take one: where a cell has fewer clips they come several times over, where it has more,
    others are left out in every epoch.
    """

    def __init__(
        self,
        lengths: Tensor | np.ndarray | Sequence[int],
        batch_size: int,
        generator: torch.Generator,
        *,
        pool: int = 8,
        cells: Tensor | np.ndarray | Sequence[int] | None = None,
    ) -> None:
        """Draw the sampler's seed; the order itself is drawn anew for each epoch.

        Args:
            lengths: ``(N,)``, length of each clip, in any unit.
            batch_size: most clips a batch.
            generator: one number is drawn from it, the seed of all epochs.
            pool: batches that are sorted together. Our choice of 8: on speech of 0.5 to 12 s it
                leaves about a tenth of a batch as padding, against half without sorting.
            cells: ``(N,)``, what is to be heard equally often, such as a gender's clips of an
                emotion, as numbers from 0; clips of cell -1 come once an epoch, as all do without
                ``cells``.

        Raises:
            ValueError: a number is out of range, or there is not one cell a clip.
        """
        self.lengths = np.asarray(lengths, dtype=np.int64)
        if self.lengths.ndim != 1:
            raise ValueError(f"lengths must have shape (clips,), not {self.lengths.shape}")
        require("1..", batch_size=batch_size, pool=pool)
        self.seed, self.epoch = draw_seed(generator), 0
        self.batch_size, self.pool = batch_size, pool
        self.cells = None if cells is None else np.asarray(cells, dtype=np.int64)
        if self.cells is not None and self.cells.shape != self.lengths.shape:
            raise ValueError(f"cells must have shape {self.lengths.shape}, not {self.cells.shape}")

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        if not len(self):
            return
        random = np.random.default_rng(derive_seed(self.seed, self.epoch))
        if self.cells is None or (self.cells < 0).all():
            order = random.permutation(len(self.lengths))
        else:
            order = _balanced(self.cells, random)
        batches = np.array_split(order, len(self))
        for start in range(0, len(batches), self.pool):
            group = batches[start : start + self.pool]
            clips = np.concatenate(group)
            # Stable: clips of equal length stay in their shuffled order.
            clips = clips[np.argsort(self.lengths[clips], kind="stable")]
            cuts = np.cumsum([len(batch) for batch in group])[:-1]
            batches[start : start + self.pool] = np.split(clips, cuts)
        for index in random.permutation(len(batches)):
            yield batches[index].tolist()


def _balanced(cells: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """An epoch's clips, shuffled, with equally many places for each cell."""
    once = np.flatnonzero(cells < 0)
    members = [np.flatnonzero(cells == cell) for cell in np.unique(cells) if cell >= 0]
    places = np.full(len(members), (len(cells) - len(once)) // len(members))
    spare = len(cells) - len(once) - places.sum()
    places[random.permutation(len(members))[:spare]] += 1
    # np.resize takes the shuffled clips from the start again where they do not suffice.
    drawn = [
        np.resize(random.permutation(clips), count)
        for clips, count in zip(members, places, strict=True)
    ]
    return random.permutation(np.concatenate([once, *drawn]))
