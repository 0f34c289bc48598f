"""Mixup: two clips heard at once, and their labels mixed in the same shares.

Zhang et al. 2018 (*mixup: Beyond Empirical Risk Minimization*) train on sums of two examples, with
labels summed alike. Sounds differ in loudness, so that equal factors are not equal shares; as
Tokozume et al. 2018 (*Learning from Between-class Examples for Deep Sound Recognition*) do, the two
are brought to the same level first, and the sum to the level of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

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
from lowser_lib.augment.waveform import mean_square


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
