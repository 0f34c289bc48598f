"""Two augmented views of each clip; and these beside labelled clips, for learning both at once.

A step of :mod:`lowser_lib.methods.byol` needs labelled clips as they are, and two views, augmented
each in its own way, of those clips and of unlabelled ones. It is put together from what is there:
one loader of spectrograms, and two of augmented waveforms that follow the same sampler.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch.utils.data import DataLoader

from lowser_lib.augment import Compose
from lowser_lib.sampling.augmented import AugmentedLoader, WaveformDataset
from lowser_lib.sampling.clips import Batch, ClipDataset, Clips
from lowser_lib.sampling.epochs import Sampler
from lowser_lib.sampling.samplers import LengthBucketSampler


class Pairs(NamedTuple):
    """One step's clips.

    Attributes:
        labelled: source clips as they are, with their emotions.
        first: one view of the source clips, and behind them of unlabelled clips; no labels.
        second: another view of the same clips, in the same order.
    """

    labelled: Batch
    first: Batch
    second: Batch


class JoinedSampler:
    """Batches of two data sets in one: the source's clips, and behind them the target's.

    An epoch is a pass over the source. The target's batches go on where the last epoch's ended: its
    clips are shuffled anew when all of them have come, however the sizes of the two compare.
    """

    def __init__(self, source: LengthBucketSampler, target: LengthBucketSampler) -> None:
        """Join two samplers; both are used, not copied.

        Raises:
            ValueError: one of them has no batch.
        """
        if not (len(source) and len(target)):
            raise ValueError(
                f"both samplers need a batch, but the source has {len(source)} and the target "
                f"{len(target)}"
            )
        self.source, self.target = source, target

    @property
    def epoch(self) -> int:
        """That of the source's sampler."""
        return self.source.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self.source.epoch = epoch

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[list[int]]:
        """Indices into the source's clips with the target's behind them."""
        behind, begun = len(self.source.lengths), -1
        batches: list[list[int]] = []
        for number, clips in enumerate(self.source, self.epoch * len(self.source)):
            turn, place = divmod(number, len(self.target))
            if turn != begun:
                self.target.epoch = turn
                batches, begun = list(self.target), turn
            yield [*clips, *(behind + index for index in batches[place])]


class TwoViews(NamedTuple):
    """Two views of the same clips, in the same order.

    Attributes:
        first: spectrograms, augmented; labels are those of the clips.
        second: the same, augmented in another way.
    """

    first: Batch
    second: Batch


class TwoViewLoader:
    """Batches of clips, each clip augmented twice, each time in its own way.

    It has the shape that :func:`lowser_lib.training.fit` asks for, and yields :class:`TwoViews`.
    """

    def __init__(
        self,
        clips: Clips,
        sampler: Sampler,
        augment: Compose | None,
        generator: torch.Generator,
        *,
        n_mels: int = 80,
        longest: int | None = None,
        device: torch.device | None = None,
    ) -> None:
        """Join clips, batches and augmentation.

        Args:
            clips: see :class:`~lowser_lib.sampling.augmented.AugmentedLoader`, as all arguments.
            sampler: yields lists of clip indices, one a batch.
            augment: makes the views; None: both views are the clip as it is.
            generator: two numbers are drawn from it, one for each view.
            n_mels: mel bands of the spectrograms made from waveforms.
            longest: samples to which views are cut, each at a place of its own; None: never.
            device: where to augment; None: on the CPU.
        """
        self.batch_sampler = sampler
        self.first, self.second = (
            AugmentedLoader(
                clips, sampler, augment, generator, n_mels=n_mels, longest=longest, device=device
            )
            for _ in range(2)
        )

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[TwoViews]:
        return (TwoViews(*views) for views in zip(self.first, self.second, strict=True))


class PairLoader(TwoViewLoader):
    """Labelled clips, and two views of them and of unlabelled clips, for each step.

    It yields :class:`Pairs`. What is drawn for a step follows from the loader's seeds, the epoch
    and the step's number in it.
    """

    def __init__(
        self,
        labelled: ClipDataset,
        source: WaveformDataset,
        unlabelled: WaveformDataset,
        samplers: tuple[LengthBucketSampler, LengthBucketSampler],
        augment: Compose | None,
        generator: torch.Generator,
        *,
        longest: int | None = None,
        device: torch.device | None = None,
    ) -> None:
        """Join clips, batches and augmentation.

        Args:
            labelled: spectrograms of the source's clips, with their emotions.
            source: the same clips, in the same order, as sound.
            unlabelled: clips of the target language; what labels they have are not looked at.
            samplers: of the source's and of the unlabelled clips.
            augment: makes the views; None: both views are the clip as it is.
            generator: two numbers are drawn from it, one for each view.
            longest: samples to which views are cut, each at a place of its own; None: never.
            device: where to augment; None: on the CPU.

        Raises:
            ValueError: spectrograms and sounds of the source do not go together, or see
                :class:`JoinedSampler`.
        """
        if len(labelled) != len(source):
            raise ValueError(
                f"the source has {len(labelled)} spectrograms, but {len(source)} sounds"
            )
        # Without labels: what the views are for is not to know them.
        self.clips = WaveformDataset([*source.samples, *unlabelled.samples])
        n_mels = labelled.samples[0].shape[0]
        joined = JoinedSampler(*samplers)
        super().__init__(
            self.clips, joined, augment, generator, n_mels=n_mels, longest=longest, device=device
        )
        self.labelled = DataLoader(labelled, batch_sampler=samplers[0], collate_fn=labelled.collate)

    def __iter__(self) -> Iterator[Pairs]:  # type: ignore[override]  # labelled clips besides
        steps = zip(self.labelled, self.first, self.second, strict=True)
        return (Pairs(*batches) for batches in steps)
