"""Augmentations one after another, and the two sets that the course's methods use.

Gong et al. 2025 (Interspeech) give contrastive learning seven augmentations and BYOL three weaker
ones. They name Gaussian noise, speed perturbation, spectral stretch, SpecAugment, time-frequency
masking and mixup. That time and frequency masking count as two, which three BYOL has, their order,
ranges and probabilities are our choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from lowser_lib.augment.base import Augmented, Transform
from lowser_lib.augment.spectrogram import (
    FrequencyMasking,
    SpecAugment,
    SpectralStretch,
    TimeMasking,
)
from lowser_lib.augment.waveform import GaussianNoise, Mixup, SpeedPerturbation

#: Turns waveforms ``(B, samples)`` and their lengths into spectrograms and theirs.
ToMel = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Compose:
    """Augmentations in order: of waveforms, then the spectrogram, then those of spectrograms."""

    def __init__(self, transforms: Sequence[Transform]) -> None:
        """Put transforms in line.

        Args:
            transforms: at least one; none of waveforms behind one of spectrograms, from which no
                way leads back.

        Raises:
            ValueError: there is none, or they are in the wrong order.
        """
        self.transforms = tuple(transforms)
        if not self.transforms:
            raise ValueError("transforms is empty: there is nothing to compose")
        domains = [transform.domain for transform in self.transforms]
        if domains != sorted(domains, key=("waveform", "mel").index):
            raise ValueError(
                f"waveforms come before spectrograms, but transforms are for {domains}"
            )
        self.keeps_length = all(transform.keeps_length for transform in self.transforms)
        self.keeps_label = all(transform.keeps_label for transform in self.transforms)

    def __call__(
        self,
        clips: Tensor,
        lengths: Tensor,
        generator: torch.Generator,
        to_mel: ToMel | None = None,
    ) -> Augmented:
        """Augment a batch.

        Args:
            clips: ``(B, samples)`` or, where no transform is for waveforms, ``(B, n_mels, T)``.
            lengths: ``(B,)``, samples or frames of each clip.
            generator: draws everything.
            to_mel: makes the spectrograms, for instance by :func:`lowser_lib.views.log_mel` and
                :func:`lowser_lib.views.pad_mels`. None: clips stay what they are, which will not do
                where some transforms are for waveforms and some for spectrograms.

        Returns:
            Spectrograms, or waveforms where neither ``to_mel`` nor ``clips`` gave any; lengths to
            match; and the product of all mixing, or None.

        Raises:
            ValueError: a transform cannot take what it is given, or ``to_mel`` is missing.
            AudioError: the clips hold NaN or infinite values.
        """
        if to_mel is None and clips.ndim == 2 and self.transforms[-1].domain == "mel":
            raise ValueError("to_mel is needed between waveforms and transforms of spectrograms")
        result = Augmented(clips, lengths)
        for transform in self.transforms:
            if transform.domain == "mel":
                result = _as_mel(result, to_mel)
            step = transform(result.clips, result.lengths, generator)
            result = step._replace(mixing=_chain(result.mixing, step.mixing))
        return _as_mel(result, to_mel)

    def at_strength(self, strength: float) -> Compose:
        """Give the same transforms, all at one strength from 0 (identity) to 1."""
        return Compose([transform.at_strength(strength) for transform in self.transforms])

    def __len__(self) -> int:
        return len(self.transforms)

    def __repr__(self) -> str:
        lines = "".join(f"\n    {transform!r}," for transform in self.transforms)
        return f"Compose([{lines}\n])"


def _as_mel(batch: Augmented, to_mel: ToMel | None) -> Augmented:
    """The batch as spectrograms, if it is one of waveforms and there is a way."""
    if to_mel is None or batch.clips.ndim != 2:
        return batch
    mels, lengths = to_mel(batch.clips, batch.lengths)
    return Augmented(mels, lengths, batch.mixing)


def _chain(before: Tensor | None, after: Tensor | None) -> Tensor | None:
    """The mixing of two steps in one."""
    if before is None or after is None:
        return after if before is None else before
    return after @ before.to(after)


#: The seven augmentations of :func:`contrastive`, in their order, by the names that settings call
#: them.
KINDS: Mapping[str, type[Transform]] = MappingProxyType(
    {
        "speed": SpeedPerturbation,
        "mixup": Mixup,
        "noise": GaussianNoise,
        "stretch": SpectralStretch,
        "specaugment": SpecAugment,
        "time-mask": TimeMasking,
        "frequency-mask": FrequencyMasking,
    }
)


def contrastive(strength: float = 1.0, probability: float = 0.5) -> Compose:
    """The seven augmentations for contrastive learning.

    In the order in which they would happen to sound: a voice is faster or slower, another speaks at
    the same time, noise covers both (so that its ratio holds for what is heard); then come those of
    spectrograms. Masks are last: what is hidden is not to be stretched or mixed with other voices.

    Args:
        strength: from 0 to 1, of all seven.
        probability: chance of each clip to meet each of them. Our choice of a half: three or four
            of seven a clip, and every clip is also met without each.

    Raises:
        ValueError: a number is out of range.
    """
    return Compose([kind(strength=strength, probability=probability) for kind in KINDS.values()])


def byol(strength: float = 1.0, probability: float = 0.5) -> Compose:
    """The three weaker augmentations for BYOL, which is trained together with the emotion labels.

    Our choice: three that leave pitch, tempo and voice alone, which emotions live by, at about half
    the strength that :func:`contrastive` gives them: 10 dB less noise, masks half as wide.

    Args:
        strength: from 0 to 1, of all three.
        probability: chance of each clip to meet each of them; our choice, as in
            :func:`contrastive`.

    Raises:
        ValueError: a number is out of range.
    """
    return Compose(
        [
            GaussianNoise((20.0, 40.0), strength=strength, probability=probability),
            TimeMasking(20, 0.1, strength=strength, probability=probability),
            FrequencyMasking(8, strength=strength, probability=probability),
        ]
    )


def voice(strength: float = 1.0, probability: float = 0.5) -> Compose:
    """Another throat and another pitch: what tells women's voices from men's, made uncertain.

    Meant for speech in which one gender says little: some of the other's clips then sound as if
    they were theirs. Our choice: speed perturbation as it is, which moves pitch by up to 1.7
    semitones, and a spectral stretch by up to the sixth that vocal tracts differ by. It takes away
    some of what tells emotions, too: see what it costs.

    Args:
        strength: from 0 to 1, of both.
        probability: chance of each clip to meet each of them.

    Raises:
        ValueError: a number is out of range.
    """
    return Compose(
        [
            SpeedPerturbation(strength=strength, probability=probability),
            SpectralStretch((0.85, 1.18), strength=strength, probability=probability),
        ]
    )


def named(name: str, strength: float = 1.0, probability: float = 0.5) -> Compose:
    """A preset, or one augmentation in its usual range, by name: what a sweep over types varies.

    Args:
        name: ``"contrastive"``, ``"byol"``, ``"voice"``, or one of :data:`KINDS`.
        strength: from 0 to 1.
        probability: chance of each clip to meet each augmentation.

    Raises:
        ValueError: there is no such augmentation, or a number is out of range.
    """
    presets = {"contrastive": contrastive, "byol": byol, "voice": voice}
    if name in presets:
        return presets[name](strength, probability)
    if name not in KINDS:
        known = ", ".join([*presets, *KINDS])
        raise ValueError(f"unknown augmentation {name!r}; choose one of {known}")
    return Compose([KINDS[name](strength=strength, probability=probability)])
