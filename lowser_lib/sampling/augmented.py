"""Batches of waveforms that are augmented anew whenever they are heard, once or twice.

Spectrograms of clips that stay as they are can be computed once and kept. Clips that are changed
at random cannot: :class:`WaveformDataset` holds the sound, and :class:`AugmentedLoader` changes a
batch of it and computes the spectrograms.

What is drawn for a batch is a pure function of the loader's seed, the epoch and the batch's number
in it. So a run that was stopped and resumed hears what it would have heard, and so does one that
reads its batches in other processes.

:class:`TwoViewLoader` augments each clip of a batch twice. :class:`PairLoader` gives a step of
:mod:`lowser_lib.methods.byol`: labelled clips as they are, and two views of those and of unlabelled
clips, by two loaders that follow one sampler.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lowser_lib.augment import Compose
from lowser_lib.errors import require
from lowser_lib.sampling.clips import Batch, ClipDataset, Clips, Labels
from lowser_lib.sampling.samplers import LengthBucketSampler, Sampler, derive_seed, draw_seed
from lowser_lib.views import log_mel, pad_mels
from lowser_lib.views.mel import MINIMUM_SAMPLES

#: Shortest piece of a clip that a voice can be told by; the corpora's shortest clips have as much.
MINIMUM_SECONDS = 0.5


class WaveformDataset(Clips):
    """Waveforms ``(samples_i,)`` of clips, 16 kHz, in [-1, 1], with their labels, in memory."""

    def __init__(
        self, waveforms: Sequence[Tensor | np.ndarray], labels: Labels | None = None
    ) -> None:
        """Hold on to floating-point waveforms, each long enough for a spectrogram; see Clips."""
        samples = [torch.as_tensor(waveform) for waveform in waveforms]
        for index, wave in enumerate(samples):
            if wave.ndim != 1 or not wave.is_floating_point() or len(wave) < MINIMUM_SAMPLES:
                raise ValueError(
                    f"waveforms[{index}] is {wave.dtype} of shape {tuple(wave.shape)}; expected "
                    f"floating point of shape (samples,), with at least {MINIMUM_SAMPLES} samples"
                )
        super().__init__(samples, labels)


class AugmentedLoader:
    """Batches of a data set, each augmented in its own way; spectrograms come out.

    It has the shape that :func:`lowser_lib.training.fit` asks for, and yields
    :class:`~lowser_lib.sampling.Batch` with ``(B, n_mels, T)`` spectrograms. Labels stay those of
    the clips as they were: after mixup, of the louder of two voices.
    """

    def __init__(
        self,
        dataset: Clips,
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
            dataset: a :class:`WaveformDataset`; or a :class:`~lowser_lib.sampling.ClipDataset` of
                spectrograms, where ``augment`` has transforms of spectrograms only.
            sampler: yields lists of clip indices, one a batch.
            augment: what is done to each batch; None: nothing but the spectrogram.
            generator: one number is drawn from it, the seed of everything the loader draws.
            n_mels: mel bands of the spectrograms made from waveforms.
            longest: samples (frames, of spectrograms) to which longer clips are cut, at a place
                that is drawn anew each time, see :func:`cut`; None: clips stay whole.
            device: where to augment, a GPU perhaps; None: on the CPU. The numbers that are drawn
                are the same everywhere.

        Raises:
            ValueError: ``longest`` is below 1.
        """
        require("1.. or None", longest=longest)
        self.dataset, self.batch_sampler, self.augment = dataset, sampler, augment
        self.n_mels, self.longest, self.device = n_mels, longest, device
        self.seed = draw_seed(generator)

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.batch_sampler.epoch
        for number, indices in enumerate(self.batch_sampler):
            batch = self.dataset.collate([self.dataset[index] for index in indices])
            # The last part is above 0, as derive_seed takes no notice of zeros at the end.
            seed = derive_seed(self.seed, epoch, number, 1)
            yield self.augmented(batch, torch.Generator().manual_seed(seed))

    def augmented(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The batch with augmented spectrograms in place of what it holds."""
        to_mel = partial(batch_log_mel, n_mels=self.n_mels)
        if self.longest is not None:
            batch = cut(batch, self.longest, generator)
        inputs = batch.inputs if self.device is None else batch.inputs.to(self.device)
        if self.augment is not None:
            inputs, lengths, _ = self.augment(inputs, batch.lengths, generator, to_mel)
        elif inputs.ndim == 2:
            inputs, lengths = to_mel(inputs, batch.lengths)
        else:
            lengths = batch.lengths
        return Batch(inputs, lengths, batch.labels)


def cut(batch: Batch, longest: int, generator: torch.Generator) -> Batch:
    """A piece of each clip that is longer than a limit, from a place drawn evenly.

    A batch is as wide as its longest clip, and an encoder spends as much on padding as on speech.

    Args:
        batch: waveforms or spectrograms, time last; clips of at most ``longest`` stay as they are.
        longest: samples or frames that a clip may have, at least 1.
        generator: draws the places, one number a clip.
    """
    spare = (batch.lengths - longest).clamp(min=0)
    starts = (torch.rand(len(spare), generator=generator, dtype=torch.float64) * (spare + 1)).long()
    lengths = batch.lengths.clamp(max=longest)
    pieces = torch.zeros_like(batch.inputs[..., : int(lengths.max())])
    for piece, clip, start, length in zip(
        pieces, batch.inputs, starts.tolist(), lengths.tolist(), strict=True
    ):
        piece[..., :length] = clip[..., start : start + length]
    return batch._replace(inputs=pieces, lengths=lengths)


def batch_log_mel(waveforms: Tensor, lengths: Tensor, n_mels: int = 80) -> tuple[Tensor, Tensor]:
    """Spectrograms of a padded batch of waveforms, each that of the clip by itself.

    Args:
        waveforms: ``(B, samples)``.
        lengths: ``(B,)``, samples of each clip.
        n_mels: number of mel bands, 80 or 128.

    Returns:
        ``(B, n_mels, T)``, zero behind a clip's end, and the ``(B,)`` frames of each.

    Raises:
        AudioError: a clip is too short, or holds NaN or infinite values.
    """
    pairs = zip(waveforms, lengths.tolist(), strict=True)
    return pad_mels([log_mel(waveform[:length], n_mels) for waveform, length in pairs])


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
        **how: Any,
    ) -> None:
        """Join clips, batches and augmentation; arguments are those of :class:`AugmentedLoader`.

        Two numbers are drawn from ``generator``, one for each view.
        """
        self.batch_sampler = sampler
        self.first, self.second = (
            AugmentedLoader(clips, sampler, augment, generator, **how) for _ in range(2)
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
        **how: Any,
    ) -> None:
        """Join clips, batches and augmentation.

        Args:
            labelled: spectrograms of the source's clips, with their emotions.
            source: the same clips, in the same order, as sound.
            unlabelled: clips of the target language; what labels they have are not looked at.
            samplers: of the source's and of the unlabelled clips.
            augment: makes the views; None: both views are the clip as it is.
            generator: two numbers are drawn from it, one for each view.
            **how: ``longest`` and ``device``, see :class:`AugmentedLoader`.

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
        super().__init__(self.clips, joined, augment, generator, n_mels=n_mels, **how)
        self.labelled = DataLoader(labelled, batch_sampler=samplers[0], collate_fn=labelled.collate)

    def __iter__(self) -> Iterator[Pairs]:  # type: ignore[override]  # labelled clips besides
        steps = zip(self.labelled, self.first, self.second, strict=True)
        return (Pairs(*batches) for batches in steps)
