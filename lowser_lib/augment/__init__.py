"""Augmentation: the same speech, otherwise; batches of clips of different lengths.

What a model should not listen to is changed at random while it learns: the room's noise, the pace,
the voice. Whether the emotion survives that is the question of chapter 02.

* :mod:`lowser_lib.augment.base` -- what a transform is; strength, draws, padded batches.
* :mod:`lowser_lib.augment.waveform` -- Gaussian noise, speed perturbation, mixup.
* :mod:`lowser_lib.augment.spectrogram` -- spectral stretch, time warp, masking, SpecAugment.
* :mod:`lowser_lib.augment.presets` -- several in order; the presets `contrastive` and `byol`.
"""

from __future__ import annotations

from lowser_lib.augment.base import Augmented, Transform
from lowser_lib.augment.presets import KINDS, Compose, byol, contrastive, named
from lowser_lib.augment.spectrogram import (
    FrequencyMasking,
    SpecAugment,
    SpectralStretch,
    TimeMasking,
    TimeWarp,
)
from lowser_lib.augment.waveform import GaussianNoise, Mixup, SpeedPerturbation, mix_labels

__all__ = [
    "KINDS",
    "Augmented",
    "Compose",
    "FrequencyMasking",
    "GaussianNoise",
    "Mixup",
    "SpecAugment",
    "SpectralStretch",
    "SpeedPerturbation",
    "TimeMasking",
    "TimeWarp",
    "Transform",
    "byol",
    "contrastive",
    "mix_labels",
    "named",
]
