"""Augmentations of the sound itself: noise, playing it faster or slower, and mixing two clips.

They come before the spectrogram. Noise adds to *sound*: on a log-mel spectrogram, whose values are
logarithms, an added number would be a change of level, the same in speech and in silence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence
from torchaudio.transforms import Resample

from lowser_lib.augment.base import (
    Augmented,
    Domain,
    Parameters,
    Transform,
    check_range,
    inside,
    precise,
    spread,
)

#: Speeds are whole hundredths: our choice, finer than anyone hears (0.17 semitones), while the
#: filter of a resampler grows with the numerator and denominator of the ratio.
SPEED_STEPS = 100


def mean_square(waveforms: Tensor, lengths: Tensor) -> Tensor:
    """Power of each clip: ``(B,)`` float64 on the CPU, of ``(B, samples)`` that are zero-padded."""
    norm = torch.linalg.vector_norm(waveforms, dim=-1, dtype=precise(waveforms.device))
    return norm.to("cpu", torch.float64).square() / lengths


@dataclass(frozen=True, repr=False)
class GaussianNoise(Transform):
    """White Gaussian noise, at a signal-to-noise ratio of its own for every clip.

    The ratio is exact: it holds between the clip and the very noise that is added to it, over the
    clip's length. ``strength`` scales the amplitude of the noise, which adds −20·log10(strength) dB
    to the ratio: half the strength is 6 dB less noise. A silent clip stays silent.

    :func:`torchaudio.functional.add_noise` defines the same thing and is what this is tested
    against. It is not what is used: it adds up in single precision, so that padding and threads
    show in its last digits, and it leaves noise behind the end of a clip. Noise is drawn on the CPU
    by a generator of each clip's own, whose result no vector unit can change.

    Attributes:
        snr_db: range of the signal-to-noise ratio in dB, drawn evenly. Our choice of 10 to 30: from
            a busy street to a quiet room.
    """

    snr_db: tuple[float, float] = (10.0, 30.0)

    domain: ClassVar[Domain] = "waveform"
    draws: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("snr_db", self.snr_db)

    def ranges(self) -> dict[str, tuple[float, float]]:
        """The signal-to-noise ratio in dB, infinite at strength 0."""
        quieter = -20 * math.log10(self.strength) if self.strength else math.inf
        return {"snr_db": (self.snr_db[0] + quieter, self.snr_db[1] + quieter)}

    def _parameters(self, applied: Tensor, uniform: Tensor) -> Parameters:
        # What strength adds to the ratio: infinite at 0, and no noise then.
        quieter = self.ranges()["snr_db"][0] - self.snr_db[0]
        ratio = torch.where(applied, spread(uniform[:, 0], self.snr_db) + quieter, math.inf)
        return {"snr_db": ratio, "seed": (uniform[:, 1] * 2**53).long()}

    def _apply(self, clips: Tensor, lengths: Tensor, parameters: Parameters) -> Augmented:
        ratios, power = parameters["snr_db"], mean_square(clips, lengths)
        noisy = clips.clone()
        for index in torch.isfinite(ratios).nonzero().flatten().tolist():
            # Clip by clip, so that the noise stays in the processor's cache.
            random = np.random.default_rng(int(parameters["seed"][index]))
            noise = random.standard_normal(int(lengths[index]), dtype=np.float32)
            wanted = float(power[index]) * 10 ** (-float(ratios[index]) / 10)
            level = float(np.square(noise, dtype=np.float64).mean())
            # Scaled before it is added: in one operation, rounding would depend on the processor.
            noise *= np.float32(math.sqrt(wanted / level))
            noisy[index, : len(noise)] += torch.from_numpy(noise).to(clips)
        return Augmented(noisy, lengths)


@dataclass(frozen=True, repr=False)
class SpeedPerturbation(Transform):
    """Played faster or slower: tempo, pitch and formants move together, and the length with them.

    A clip of ``n`` samples at speed ``s`` becomes ``ceil(n / s)`` samples long and all its
    frequencies rise by ``s`` (Ko et al. 2015, *Audio augmentation for speech recognition*, whose
    three speeds 0.9, 1 and 1.1 are the default range). ``strength`` scales the distance from 1.

    It keeps the label by declaration; but a tenth is 1.7 semitones of pitch, part of what tells
    both voices and emotions apart, and speaker recognition often counts it as another speaker.

    The filters are those of torchaudio's :class:`~torchaudio.transforms.Resample`; its
    ``SpeedPerturbation`` would give the whole batch one speed, drawn from a global generator.

    Attributes:
        speed: range of the speed, within 0.5 to 2, drawn evenly and rounded to hundredths.
    """

    speed: tuple[float, float] = (0.9, 1.1)

    domain: ClassVar[Domain] = "waveform"
    keeps_length: ClassVar[bool] = False
    draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("speed", self.speed, 0.5, 2.0)

    def ranges(self) -> dict[str, tuple[float, float]]:
        """The speed, 1 at strength 0."""
        slowest, fastest = (1 + self.strength * (speed - 1) for speed in self.speed)
        return {"speed": (slowest, fastest)}

    def _parameters(self, applied: Tensor, uniform: Tensor) -> Parameters:
        speed = spread(uniform[:, 0], self.ranges()["speed"])
        rounded = (speed * SPEED_STEPS).round() / SPEED_STEPS
        return {"speed": torch.where(applied, rounded, 1.0)}

    def _apply(self, clips: Tensor, lengths: Tensor, parameters: Parameters) -> Augmented:
        steps = (parameters["speed"] * SPEED_STEPS).round().long().tolist()
        if all(step == SPEED_STEPS for step in steps):
            return Augmented(clips, lengths)
        # Each by itself: speeds seldom meet, and so no clip is filtered beyond its end.
        played = [
            change_speed(clip[:length], step)
            for clip, length, step in zip(clips, lengths.tolist(), steps, strict=True)
        ]
        new_lengths = torch.tensor([len(clip) for clip in played])
        return Augmented(pad_sequence(played, batch_first=True), new_lengths)


def change_speed(waveform: Tensor, hundredths: int) -> Tensor:
    """Play one clip ``(samples,)`` at ``hundredths`` / 100 of its speed."""
    if hundredths == SPEED_STEPS:
        return waveform
    # On a GPU in double precision: single may be cut to 10 bits there, which would be heard.
    dtype = torch.float64 if waveform.is_cuda else waveform.dtype
    resample = resampler(hundredths, waveform.device, dtype)
    kernel = resample.kernel[:, 0]  # a filter for each sample of a period: (outputs, taps)
    outputs, taps = kernel.shape
    inputs = taps - 2 * resample.width  # samples from one period to the next
    padded = pad(waveform.to(dtype), (resample.width, resample.width + inputs))
    # A product of matrices, not `resample` itself: on the CPU its convolution is compiled anew for
    # each length of clip, which takes longer than to compute it.
    played = padded.unfold(0, taps, inputs) @ kernel.T
    samples = -(-len(waveform) * outputs // inputs)
    return played.flatten()[:samples].to(waveform.dtype)


@lru_cache(maxsize=512)
def resampler(hundredths: int, device: torch.device, dtype: torch.dtype) -> Resample:
    """The filters for one speed, made once: to make them takes longer than to use them."""
    # Told to be at `hundredths` Hz and wanted at 100 Hz, a sound is heard at hundredths / 100.
    kept = None if dtype == torch.float32 else dtype
    return Resample(hundredths, SPEED_STEPS, dtype=kept).to(device)


@dataclass(frozen=True, repr=False)
class Mixup(Transform):
    """Two waveforms added, the clip itself in the larger share.

    With shares w and 1 − w of clips a and b of the same level, the result is
    (w·a + (1 − w)·b) / √(w² + (1 − w)²): as loud as a, where a and b have nothing to do with each
    other. It may go beyond ±1, which does not matter before a spectrogram.

    A clip keeps its length. A longer partner is cut off, a shorter one repeated, so that its share
    is the same from start to end. ``strength`` scales the share.

    Attributes:
        share: range of the partner's share, within 0 to 0.5, drawn evenly. 0 to 0.5 is the paper's
            mixup with α = 1, folded so that the clip itself is the larger part; our choice of 0.4
            keeps the clip's own label, that of the louder voice, clear.
    """

    share: tuple[float, float] = (0.0, 0.4)

    domain: ClassVar[Domain] = "waveform"
    keeps_label: ClassVar[bool] = False
    draws: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("share", self.share, 0.0, 0.5)

    def ranges(self) -> dict[str, tuple[float, float]]:
        """The partner's share."""
        least, most = (self.strength * share for share in self.share)
        return {"share": (least, most)}

    def _parameters(self, applied: Tensor, uniform: Tensor) -> Parameters:
        n_clips = len(applied)
        # Whatever was drawn: an error that comes and goes would be worse than either.
        if n_clips < 2 and self.strength > 0 and self.probability > 0:
            raise ValueError("mixup needs two clips or more: a clip alone has no partner")
        share = torch.where(applied, spread(uniform[:, 0], self.ranges()["share"]), 0.0)
        # So many places further on, round the batch: anyone but the clip itself.
        places = 1 + (uniform[:, 1] * (n_clips - 1)).long()
        return {"share": share, "partner": (torch.arange(n_clips) + places) % n_clips}

    def _apply(self, clips: Tensor, lengths: Tensor, parameters: Parameters) -> Augmented:
        share, partner = parameters["share"], parameters["partner"]
        clip = torch.arange(len(clips))
        if bool(((partner == clip) & (share > 0)).any()):
            raise ValueError("parameters['partner'] names a clip as its own partner")
        mixing = torch.diag(1 - share)
        mixing[clip, partner] += share
        mixing = mixing.to(clips.dtype).to(clips.device)
        if not bool((share > 0).any()):
            return Augmented(clips, lengths, mixing)

        kept, theirs = factors(mean_square(clips, lengths), parameters)
        kept, theirs = (value.sqrt().to(clips.dtype).to(clips.device) for value in (kept, theirs))
        mixed = kept[:, None] * clips + theirs[:, None] * partners(clips, lengths, partner)
        used = inside(lengths * (share > 0), clips.shape[-1], clips.device)
        return Augmented(torch.where(used, mixed, clips), lengths, mixing)


def partners(clips: Tensor, lengths: Tensor, partner: Tensor) -> Tensor:
    """The partner of each clip, cut off or repeated to the clip's own length."""
    result = torch.zeros_like(clips)
    for index, (length, other) in enumerate(zip(lengths.tolist(), partner.tolist(), strict=True)):
        period = min(int(lengths[other]), length)
        for start in range(0, length, period):
            end = min(start + period, length)
            result[index, ..., start:end] = clips[other, ..., : end - start]
    return result


def factors(power: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
    """Factors of power for each clip and for its partner, given the powers ``(B,)`` of all clips.

    A partner that is silent has no level to be brought to, and adds nothing.
    """
    share, partner = parameters["share"], parameters["partner"]
    kept, theirs = (1 - share).square(), share.square()
    level = torch.where(power[partner] > 0, power / power[partner], 0.0)
    return kept / (kept + theirs), theirs / (kept + theirs) * level


def mix_labels(mixing: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """Labels mixed as their clips were: the target of a cross-entropy with class probabilities.

    Args:
        mixing: ``(B, B)``, from :class:`~lowser_lib.augment.base.Augmented`.
        labels: ``(B,)`` whole numbers, class of each clip before it was mixed.
        n_classes: number of classes.

    Returns:
        ``(B, n_classes)``, rows that sum to 1, on the device of ``mixing``.

    Raises:
        ValueError: shapes do not agree, or a label is not a class (an unlabelled clip, -1, has
            nothing to mix).
    """
    if mixing.ndim != 2 or labels.shape != (mixing.shape[1],):
        raise ValueError(
            f"mixing {tuple(mixing.shape)} and labels {tuple(labels.shape)} must be of shapes "
            "(clips, clips) and (clips,)"
        )
    if int(labels.min()) < 0 or int(labels.max()) >= n_classes:
        raise ValueError(
            f"labels must lie in 0..{n_classes - 1}; they go from {int(labels.min())} to "
            f"{int(labels.max())}. Leave unlabelled clips out of what is mixed"
        )
    classes = torch.nn.functional.one_hot(labels.long(), n_classes)
    return mixing @ classes.to(mixing)
