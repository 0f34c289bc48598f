"""Augmentations of the spectrogram: stretched, warped, or hidden in part.

A stretch (of frequency) and a warp (of time) read each new band or frame between two old ones. The
values of this project's spectrograms are logarithms, (log10 power + 4) / 4, so what lies half-way
between two values is their geometric mean: an echo of neither, never louder than the louder one.

What is hidden becomes the clip's own mean. SpecAugment fills in zero, which is the mean of the
normalised spectrograms of its paper. In this project's, zero is a level like
any other: a flash in a quiet clip, a gap in a loud one. The floor of the clip would sound like a
pause, which speech has too. The mean says neither.

torchaudio's ``TimeMasking``, ``FrequencyMasking`` and ``SpecAugment`` place the same masks (and are
what these are tested against), but draw them from a global generator, and over the batch's length
instead of the clip's, so that a short clip's masks often lie in its padding. Its ``SpecAugment``
fills in the mean of the whole batch, padding included, and has no time warp.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
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
    precise,
    spread,
)
from lowser_lib.errors import require


def clip_mean(clips: Tensor, lengths: Tensor) -> Tensor:
    """Mean of each clip over its bands and its own frames: ``(B,)``, of ``(B, n_mels, T)``."""
    # Bands are added in pairs, in one order for every frame. A library's sum picks its order by
    # threads, vector width and padding, all of which would show in the last digit.
    count = clips.shape[1]
    half, odd = divmod(count, 2)
    folded = clips[:, :half] + clips[:, half : 2 * half] if half else clips
    if half and odd:
        folded[:, 0] += clips[:, -1]
    while half > 1:
        half, odd = divmod(half, 2)
        folded[:, :half] += folded[:, half : 2 * half]
        if odd:
            folded[:, 0] += folded[:, 2 * half]
    total = folded[:, 0].sum(dim=1, dtype=precise(clips.device))
    return (total / (lengths.to(clips.device) * count)).to(clips.dtype)


def hide(
    clips: Tensor, lengths: Tensor, frames: Tensor | None = None, bands: Tensor | None = None
) -> Tensor:
    """Put the clip's own mean where a frame or a band is hidden.

    Args:
        clips: ``(B, n_mels, T)``.
        lengths: ``(B,)``.
        frames: ``(B, T)`` truth values, which frames are hidden; none behind a clip's end.
        bands: ``(B, n_mels)`` truth values, which bands are hidden.
    """
    shown = torch.ones((1, 1, 1), dtype=clips.dtype, device=clips.device)
    fill = clip_mean(clips, lengths)[:, None, None]
    if frames is not None:
        shown = shown * (~frames).to(clips)[:, None, :]
    if bands is not None:
        shown = shown * (~bands).to(clips)[:, :, None]
        # Zero behind the end, where a hidden band would otherwise leave the mean.
        fill = fill * inside(lengths, clips.shape[2], clips.device)[:, None, :]
    fill = fill * (1 - shown)
    # Times one plus nothing, or times nothing plus the mean: three times as fast as `where`.
    return torch.addcmul(fill, clips, shown)


def runs(width: Tensor, start: Tensor, widest: Tensor, available: Tensor, size: int) -> Tensor:
    """Union of some runs along an axis, placed as torchaudio and Park et al. 2019 do.

    Args:
        width: ``(B, masks)`` in 0..1, share of the widest.
        start: ``(B, masks)`` in 0..1, place of the first among those that leave room for the run.
        widest: ``(B,)``, what no run is wider than.
        available: ``(B,)``, length of the axis for each clip.
        size: length of the axis for the batch.

    Returns:
        ``(B, size)`` truth values on the CPU.
    """
    reach = width * widest[:, None]
    first = (start * (available[:, None] - reach)).floor()
    place = torch.arange(size, dtype=torch.float64)
    within = (place >= first[..., None]) & (place < (first + reach.floor())[..., None])
    return within.any(dim=1)


@dataclass(frozen=True, repr=False)
class TimeMasking(Transform):
    """Stretches of time hidden, each at most so many frames and so much of the clip.

    ``strength`` scales the widest mask.

    Attributes:
        frames: widest mask, in frames of 10 ms; widths are drawn evenly from 0. Our choice of 40:
            two syllables or so.
        proportion: largest part of a clip that one mask hides, from 0 to 1. 0.2 is that of
            SpecAugment's mild policy.
        masks: how many, each with a width and a place of its own; they may overlap.
    """

    frames: int = 40
    proportion: float = 0.2
    masks: int = 1

    domain: ClassVar[Domain] = "mel"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_masks("frames", self.frames, self.masks)
        require("[0, 1]", proportion=self.proportion)

    @property
    def draws(self) -> int:
        """A width and a place a mask."""
        return 2 * self.masks

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Widths of a mask in frames, and as a part of the clip."""
        return {
            "frames": (0.0, self.strength * self.frames),
            "proportion": (0.0, self.strength * self.proportion),
        }

    def _parameters(self, applied: Tensor, uniform: Tensor) -> Parameters:
        return mask_parameters("time", applied, uniform, self.strength)

    def _apply(self, clips: Tensor, lengths: Tensor, parameters: Parameters) -> Augmented:
        hidden = self.hidden(clips, lengths, parameters)
        return Augmented(hide(clips, lengths, frames=hidden), lengths)

    def hidden(self, clips: Tensor, lengths: Tensor, parameters: Parameters) -> Tensor:
        """``(B, T)`` truth values: which frames are hidden, none behind a clip's end."""
        widest = (lengths * self.proportion).floor().clamp(max=self.frames)
        width, start = parameters["time_width"], parameters["time_start"]
        return runs(width, start, widest, lengths, clips.shape[2])


@dataclass(frozen=True, repr=False)
class FrequencyMasking(Transform):
    """Runs of neighbouring mel bands hidden, over the whole clip.

    ``strength`` scales the widest mask.

    Attributes:
        bands: widest mask; widths are drawn evenly from 0. Our choice of 16: a fifth of 80 bands.
        masks: how many, each with a width and a place of its own; they may overlap.
    """

    bands: int = 16
    masks: int = 1

    domain: ClassVar[Domain] = "mel"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_masks("bands", self.bands, self.masks)

    @property
    def draws(self) -> int:
        """A width and a place a mask."""
        return 2 * self.masks

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Widths of a mask in bands."""
        return {"bands": (0.0, self.strength * self.bands)}

    def _parameters(self, applied: Tensor, uniform: Tensor) -> Parameters:
        return mask_parameters("band", applied, uniform, self.strength)

    def _apply(self, clips: Tensor, lengths: Tensor, parameters: Parameters) -> Augmented:
        hidden = self.hidden(clips, parameters)
        return Augmented(hide(clips, lengths, bands=hidden), lengths)

    def hidden(self, clips: Tensor, parameters: Parameters) -> Tensor:
        """``(B, n_mels)`` truth values: which bands are hidden."""
        n_mels = torch.full((len(clips),), clips.shape[1])
        widest = n_mels.clamp(max=self.bands)
        width, start = parameters["band_width"], parameters["band_start"]
        return runs(width, start, widest, n_mels, clips.shape[1])


@dataclass(frozen=True, repr=False)
class SpecAugment(Transform):
    """Time warp, time masks and frequency masks in one (Park et al. 2019, *SpecAugment*).

    The defaults are the paper's mild policy ("SM"): it is made for 80 bands and frames of 10 ms, as
    ours are. ``strength`` scales all three parts.

    Attributes:
        warp_frames: furthest move of a :class:`TimeWarp`.
        frames: widest time mask, in frames.
        proportion: largest part of a clip that one time mask hides.
        time_masks: how many.
        bands: widest frequency mask.
        band_masks: how many.
    """

    warp_frames: int = 40
    frames: int = 70
    proportion: float = 0.2
    time_masks: int = 2
    bands: int = 15
    band_masks: int = 2

    domain: ClassVar[Domain] = "mel"

    def __post_init__(self) -> None:
        super().__post_init__()
        require("0..", warp_frames=self.warp_frames)
        _ = self.time_masking, self.frequency_masking  # which check the other arguments

    @cached_property
    def time_warp(self) -> TimeWarp:
        """The first part."""
        return TimeWarp(self.warp_frames, strength=self.strength)

    @cached_property
    def time_masking(self) -> TimeMasking:
        """The second part."""
        return TimeMasking(self.frames, self.proportion, self.time_masks, strength=self.strength)

    @cached_property
    def frequency_masking(self) -> FrequencyMasking:
        """The third part."""
        return FrequencyMasking(self.bands, self.band_masks, strength=self.strength)

    @property
    def draws(self) -> int:
        """What the parts draw."""
        return self.time_warp.draws + self.time_masking.draws + self.frequency_masking.draws

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Those of the parts."""
        parts = (self.time_warp, self.time_masking, self.frequency_masking)
        return {name: value for part in parts for name, value in part.ranges().items()}

    def _parameters(self, applied: Tensor, uniform: Tensor) -> Parameters:
        parameters: dict[str, Tensor] = {}
        for part in (self.time_warp, self.time_masking, self.frequency_masking):
            share, uniform = uniform[:, : part.draws], uniform[:, part.draws :]
            parameters.update(part._parameters(applied, share))
        return parameters

    def _apply(self, clips: Tensor, lengths: Tensor, parameters: Parameters) -> Augmented:
        warped = self.time_warp._apply(clips, lengths, parameters).clips
        frames = self.time_masking.hidden(warped, lengths, parameters)
        bands = self.frequency_masking.hidden(warped, parameters)
        # Both masks in one go, so that both are filled with the mean of the unmasked clip.
        return Augmented(hide(warped, lengths, frames, bands), lengths)


def check_masks(name: str, widest: int, masks: int) -> None:
    """Raise a ValueError unless the widest mask is at least 0 wide and there is at least one."""
    require("0..", **{name: widest})
    require("1..", masks=masks)


def mask_parameters(name: str, applied: Tensor, uniform: Tensor, strength: float) -> Parameters:
    """Width and place of each mask, as shares; a clip that is left alone has masks of width 0."""
    width, start = uniform[:, 0::2], uniform[:, 1::2]
    return {
        f"{name}_width": torch.where(applied[:, None], strength * width, 0.0),
        f"{name}_start": start,
    }


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
