"""Augmentations that bend an axis of the spectrogram: frequency (spectral stretch), time (warp).

Both read each new band or frame between two old ones. The values of this project's spectrograms are
logarithms, (log10 power + 4) / 4, so what lies half-way between two values is their geometric mean:
an echo of neither, and never louder than the louder one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import librosa
import numpy as np
import torch
from torch import Tensor

from lowser_lib.augment.base import (
    Augmented,
    Domain,
    Parameters,
    Transform,
    check_range,
    inside,
    spread,
)
from lowser_lib.errors import require

#: Half of the sample rate of the course's sound: the top of the highest mel band.
NYQUIST = 8000.0
#: Hz up to which frequencies are stretched as a whole: Jaitly and Hinton's value.
TURNING_POINT = 4800.0


@dataclass(frozen=True, repr=False)
class SpectralStretch(Transform):
    """All frequencies of a clip times one factor, as if the vocal tract were shorter or longer.

    This is vocal tract length perturbation (Jaitly and Hinton 2013), on the bands of a log-mel
    spectrogram: up to 4800 Hz frequencies are multiplied, above they are squeezed so that 8000 Hz
    stays where it is. Pitch and formants move, tempo does not. ``strength`` scales the distance of
    the factor from 1. torchaudio has no such transform (its ``TimeStretch`` bends time).

    "Spectral stretch" is the paper's term, without more; that it means the frequency axis is our
    reading, since speed perturbation and time warp already stretch time.

    Attributes:
        factor: range of the factor, within 0.5 to 2, drawn evenly. 0.9 to 1.1 is Jaitly and
            Hinton's; women's vocal tracts are about a sixth shorter than men's.
    """

    factor: tuple[float, float] = (0.9, 1.1)

    domain: ClassVar[Domain] = "mel"
    draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("factor", self.factor, 0.5, 2.0)

    def ranges(self) -> dict[str, tuple[float, float]]:
        """The factor, 1 at strength 0."""
        lowest, highest = (1 + self.strength * (factor - 1) for factor in self.factor)
        return {"factor": (lowest, highest)}

    def _parameters(self, applied: Tensor, uniform: Tensor) -> Parameters:
        factor = spread(uniform[:, 0], self.ranges()["factor"])
        return {"factor": torch.where(applied, factor, 1.0)}

    def _apply(self, clips: Tensor, lengths: Tensor, parameters: Parameters) -> Augmented:
        position = source_bands(parameters["factor"], clips.shape[1])
        lower = position.long()
        upper = (lower + 1).clamp(max=clips.shape[1] - 1)
        weight = (position - lower).to(clips.dtype).to(clips.device)[:, :, None]
        clip = torch.arange(len(clips), device=clips.device)[:, None]
        low, high = clips[clip, lower.to(clips.device)], clips[clip, upper.to(clips.device)]
        return Augmented(low + weight * (high - low), lengths)


def source_bands(factor: Tensor, n_mels: int) -> Tensor:
    """Where each band of a stretched spectrogram is read.

    Args:
        factor: ``(B,)`` float64; frequencies are multiplied by it.
        n_mels: number of mel bands between 0 and 8000 Hz.

    Returns:
        ``(B, n_mels)`` float64 in 0..n_mels − 1: a number of a band, between two of them as a rule.
    """
    # Band k of Slaney's mel scale, which Whisper's filters follow, is centred on step k + 1.
    steps = float(librosa.hz_to_mel(NYQUIST)) / (n_mels + 1)
    centres = librosa.mel_to_hz(steps * np.arange(1, n_mels + 1))
    scale = factor.numpy()[:, None]
    turn = TURNING_POINT * np.minimum(scale, 1.0)  # where the turning point comes to lie
    squeeze = (NYQUIST - turn / scale) / (NYQUIST - turn)
    source = np.where(centres <= turn, centres / scale, NYQUIST - (NYQUIST - centres) * squeeze)
    position = np.asarray(librosa.hz_to_mel(source)) / steps - 1
    position = np.where(scale == 1.0, np.arange(n_mels), position)
    return torch.from_numpy(position.clip(0, n_mels - 1))


@dataclass(frozen=True, repr=False)
class TimeWarp(Transform):
    """One moment of the clip moves to an earlier or later place; its two sides give way.

    The first part of SpecAugment (Park et al. 2019), whose image warp moves one point of the time
    axis and keeps both ends: a clip keeps its length, while its first part gets slower and its
    second faster, or the reverse. The moment moves by at most ``frames`` and a quarter of the clip,
    and lies at least twice as far from either end, so that nothing is played at more than double
    speed (our choice: the paper's clips are long enough to need no such rule). ``strength`` scales
    how far the moment moves. torchaudio has no time warp.

    Attributes:
        frames: furthest move, in frames of 10 ms.
    """

    frames: int = 40

    domain: ClassVar[Domain] = "mel"
    draws: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        require("0..", frames=self.frames)

    def ranges(self) -> dict[str, tuple[float, float]]:
        """How far the moment moves, in frames."""
        furthest = self.strength * self.frames
        return {"warp_frames": (-furthest or 0.0, furthest)}

    def _parameters(self, applied: Tensor, uniform: Tensor) -> Parameters:
        move = torch.where(applied, self.strength * spread(uniform[:, 1], (-1.0, 1.0)), 0.0)
        return {"warp_place": uniform[:, 0], "warp_move": move}

    def _apply(self, clips: Tensor, lengths: Tensor, parameters: Parameters) -> Augmented:
        last = (lengths - 1).double()
        furthest = (last / 4).clamp(max=float(self.frames))
        place = 2 * furthest + parameters["warp_place"] * (last - 4 * furthest)
        moved = place + parameters["warp_move"] * furthest
        position = source_frames(place, moved, last, clips.shape[2])
        lower = position.long()
        weight = (position - lower).to(clips.dtype).to(clips.device)[:, None, :]
        lower = lower.to(clips.device)[:, None, :].expand_as(clips)
        # Behind the end of a clip stands padding, which no weight above 0 reaches.
        upper = (lower + 1).clamp(max=clips.shape[2] - 1)
        low, high = clips.gather(2, lower), clips.gather(2, upper)
        warped = low + weight * (high - low)
        valid = inside(lengths, clips.shape[2], clips.device)[:, None, :]
        return Augmented(torch.where(valid, warped, 0.0), lengths)


def source_frames(place: Tensor, moved: Tensor, last: Tensor, size: int) -> Tensor:
    """Where each frame of a warped spectrogram is read.

    Args:
        place: ``(B,)`` float64, frame that moves.
        moved: ``(B,)`` where it comes to lie.
        last: ``(B,)`` number of the clip's last frame.
        size: frames of the batch.

    Returns:
        ``(B, size)`` float64 in 0..last: frame numbers, between two of them as a rule. They rise
        from 0 to ``last``, through ``place`` at ``moved``.
    """
    frame = torch.arange(size, dtype=torch.float64)
    place, moved, last = place[:, None], moved[:, None], last[:, None]
    # A clip of one frame has its only place at 0; 1 stands in for a divisor that is not used.
    before = frame * place / torch.where(moved > 0, moved, 1.0)
    rest = torch.where(last > moved, last - moved, 1.0)
    after = place + (frame - moved) * (last - place) / rest
    warped = torch.where(frame < moved, before, after)
    warped = torch.where(place == moved, frame, warped)
    return torch.minimum(warped.clamp(min=0.0), last)
