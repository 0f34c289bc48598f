"""What all augmentations share: padded batches, one draw a clip, and what a transform declares.

A transform takes a batch of clips of different lengths, zero behind each clip's end, and gives such
a batch back. Two rules make its results worth comparing:

* **Chance enters once.** :meth:`Transform.draw` takes the same number of random numbers for every
  clip from a generator on the CPU, whatever the clips, the strength and the device. The same seed
  draws the same noise on a laptop and on a GPU, and a sweep over strengths changes the strength
  only. The rest, :meth:`Transform.apply`, is arithmetic.
* **A clip is by itself.** Given what was drawn, neither its neighbours nor the batch's padding have
  a say in a clip (mixup, which mixes neighbours, has a say in nothing but the one it drew).

``strength`` scales a transform from nothing (0, exactly the identity) to its whole range (1), which
is what chapter 02's slider and the sweep over strengths move.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, NamedTuple, Self

import torch
from torch import Tensor

from lowser_lib.errors import AudioError, require

#: What a transform works on: waveforms ``(B, samples)`` or log-mel spectrograms ``(B, n_mels, T)``.
Domain = Literal["waveform", "mel"]

#: What was drawn for a batch: tensors on the CPU with one row a clip.
Parameters = Mapping[str, Tensor]

SHAPES: Mapping[str, str] = {"waveform": "(clips, samples)", "mel": "(clips, n_mels, frames)"}


class Augmented(NamedTuple):
    """A padded batch that came out of a transform.

    Attributes:
        clips: ``(B, samples)`` waveforms or ``(B, n_mels, T)`` log-mel spectrograms, exactly zero
            behind each clip's end.
        lengths: ``(B,)`` int64, samples or frames of each clip, on the device of those handed in.
        mixing: None where every clip is still one clip's. After mixup, ``(B, B)`` shares, rows that
            sum to 1: how much of each clip handed in is in each that came out. It mixes labels and
            similarities; see :func:`lowser_lib.augment.mix_labels`.
    """

    clips: Tensor
    lengths: Tensor
    mixing: Tensor | None = None


@dataclass(frozen=True, repr=False)
class Transform(ABC):
    """One augmentation, with its ranges. It holds no state: chance comes with the call.

    Attributes:
        strength: from 0 (identity) to 1 (the ranges as given). Each transform tells how it scales.
        probability: chance of each clip to be transformed at all, drawn clip by clip.
        domain: ``"waveform"`` or ``"mel"``.
        keeps_length: whether clips stay as long as they were.
        keeps_label: whether each clip is still one clip's, so that its label stands as it is. That
            a listener would still *hear* the same emotion is another question, and chapter 02's.
    """

    strength: float = field(default=1.0, kw_only=True)
    probability: float = field(default=1.0, kw_only=True)

    domain: ClassVar[Domain]
    keeps_length: ClassVar[bool] = True
    keeps_label: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require("[0, 1]", strength=self.strength, probability=self.probability)

    def __call__(self, clips: Tensor, lengths: Tensor, generator: torch.Generator) -> Augmented:
        """Transform a batch, each clip by numbers of its own.

        Args:
            clips: ``(B, samples)`` or ``(B, n_mels, T)``, as :attr:`domain` says; float32 or
                float64, on any device, zero behind each clip's end.
            lengths: ``(B,)`` whole numbers from 1 to ``samples`` or ``T``.
            generator: on the CPU; it moves on by the same amount whatever the strength.

        Returns:
            The batch as :class:`Augmented`; what was handed in stays as it was.

        Raises:
            ValueError: shapes, types or lengths do not agree, or the batch is empty.
            AudioError: the clips hold NaN or infinite values.
        """
        check_batch(self, clips, lengths)
        return self._checked_apply(clips, lengths, self.draw(len(clips), generator))

    def draw(self, n_clips: int, generator: torch.Generator) -> Parameters:
        """Draw what :meth:`apply` needs: tensors on the CPU, one row a clip.

        Row i depends on the generator and on i alone, neither on the clips nor on how many there
        are (but for mixup's choice of a partner).

        Raises:
            ValueError: the generator is not on the CPU.
        """
        if generator.device.type != "cpu":
            raise ValueError(
                f"generator must be on the CPU, not on {generator.device}: a seed draws the same "
                "on every device only there"
            )
        uniform = torch.rand((n_clips, 1 + self.draws), generator=generator, dtype=torch.float64)
        applied = (uniform[:, 0] < self.probability) & (self.strength > 0)
        return self._parameters(applied, uniform[:, 1:])

    def apply(self, clips: Tensor, lengths: Tensor, parameters: Parameters) -> Augmented:
        """Transform a batch by what :meth:`draw` gave, or by numbers chosen by hand.

        Arguments, result and errors are those of a call, without its chance.
        """
        check_batch(self, clips, lengths)
        return self._checked_apply(clips, lengths, parameters)

    def at_strength(self, strength: float) -> Self:
        """Give the same transform at another strength, from 0 to 1."""
        return replace(self, strength=strength)

    @property
    @abstractmethod
    def draws(self) -> int:
        """How many numbers each clip draws, besides the one that decides whether it is changed."""

    @abstractmethod
    def ranges(self) -> dict[str, tuple[float, float]]:
        """What is drawn from, at this strength."""

    @abstractmethod
    def _parameters(self, applied: Tensor, uniform: Tensor) -> Parameters:
        """Turn ``(B, draws)`` numbers in [0, 1) into parameters that do nothing if not applied."""

    @abstractmethod
    def _apply(self, clips: Tensor, lengths: Tensor, parameters: Parameters) -> Augmented:
        """Transform a batch that was found to be in order; ``lengths`` lie on the CPU."""

    def _checked_apply(self, clips: Tensor, lengths: Tensor, parameters: Parameters) -> Augmented:
        # Inside mixed-precision training, products would otherwise be rounded to 8 bits.
        with torch.autocast(clips.device.type, enabled=False):
            result = self._apply(clips, lengths.to("cpu", torch.int64), parameters)
        return result._replace(lengths=result.lengths.to(lengths.device))

    def __repr__(self) -> str:
        shown = [f"{name}=[{low:g}, {high:g}]" for name, (low, high) in self.ranges().items()]
        shown += [f"strength={self.strength:g}", f"probability={self.probability:g}"]
        return f"{type(self).__name__}({', '.join(shown)})"


def check_batch(transform: Transform, clips: Tensor, lengths: Tensor) -> None:
    """Find a batch in order, or say what is wrong with it; errors are those of a call."""
    name, domain = type(transform).__name__, transform.domain
    dimensions = 2 if domain == "waveform" else 3
    if clips.ndim != dimensions or clips.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"{name} takes {domain}s of shape {SHAPES[domain]} in float32 or float64, "
            f"not {clips.dtype} of shape {tuple(clips.shape)}"
        )
    if 0 in clips.shape:
        raise ValueError(f"{name} was given an empty batch, of shape {tuple(clips.shape)}")
    if lengths.shape != (len(clips),) or lengths.is_floating_point() or lengths.is_complex():
        raise ValueError(
            f"lengths must be whole numbers of shape ({len(clips)},), one a clip, "
            f"not {lengths.dtype} of shape {tuple(lengths.shape)}"
        )
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest < 1 or longest > clips.shape[-1]:
        raise ValueError(
            f"lengths must lie in 1..{clips.shape[-1]}, as long as the batch; "
            f"they go from {shortest} to {longest}"
        )
    # One pass without a table of truth values: a sum with NaN or infinity in it is not finite.
    if not math.isfinite(float(clips.sum())):
        raise AudioError(
            f"{name}: the clips hold NaN or infinite values; check where they are from"
        )


def check_range(
    name: str, value: tuple[float, float], least: float = -math.inf, most: float = math.inf
) -> None:
    """Raise a ValueError unless ``value`` is ``(low, high)`` within ``least`` and ``most``."""
    low, high = value
    if not (math.isfinite(low) and math.isfinite(high) and least <= low <= high <= most):
        raise ValueError(f"{name} must be (low, high) within {least:g}..{most:g}, not {value!r}")


def spread(uniform: Tensor, value: tuple[float, float]) -> Tensor:
    """Numbers in [0, 1), moved into a range ``(low, high)``."""
    low, high = value
    return low + uniform * (high - low)


def inside(lengths: Tensor, size: int, device: torch.device) -> Tensor:
    """``(B, size)`` truth values: where a batch holds clip, not padding."""
    return torch.arange(size, device=device) < lengths.to(device)[:, None]


def precise(device: torch.device) -> torch.dtype:
    """Type to add up in: double, so that the order of adding does not show in single precision.

    Padding and the number of threads change that order. Apple's GPUs have no double precision.
    """
    return torch.float32 if device.type == "mps" else torch.float64
