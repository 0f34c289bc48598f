"""Small networks that turn one view of a clip into an embedding, one for each kind of view.

Khaertdinov et al. 2024 (arXiv 2406.07900) give each view an encoder of its own. How it is built is
our choice, and small: it shall learn from a few hundred clips on a laptop. All give embeddings of
one width; all standardise their input by statistics of speech without labels
(:meth:`ViewEncoder.fit_statistics`), since four labelled clips say little about a mean.

A kind is told by the view's name (:data:`KINDS`); a view that is not named there is a *vector*
where its arrays have one axis, a *spectrogram* where they have two.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

from lowser_lib.encoders.heads import draw_weights
from lowser_lib.errors import TrainingError, require
from lowser_lib.sampling.clips import MultiViewBatch, MultiViewDataset

#: Furthest that a standardised feature may lie from its mean. Our choice: eGeMAPS has features that
#: jump to 20 deviations where a clip has one voiced frame, and would decide the embedding alone.
FURTHEST = 5.0


#: Deviation below which a feature is taken as constant, and left at zero.
CONSTANT = 1e-6


class ViewEncoder(nn.Module, ABC):
    """One view of a clip to its embedding.

    Attributes:
        dimension: width D of the embedding.
        mean: what is subtracted from each feature, band or state.
        scale: what it is multiplied with afterwards.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, features: Sequence[int], dimension: int) -> None:
        """Expect features of this shape; until statistics are fitted they stay as they are."""
        super().__init__()
        self.dimension = dimension
        self.register_buffer("mean", torch.zeros(*features))
        self.register_buffer("scale", torch.ones(*features))

    @abstractmethod
    def forward(self, view: Tensor, lengths: Tensor) -> Tensor:
        """Embed a batch.

        Args:
            view: ``(B, ...)``, padded along the last axis.
            lengths: ``(B,)``, length of each clip along it.

        Returns:
            ``(B, dimension)``.
        """

    def fit_statistics(self, arrays: Sequence[Tensor]) -> None:
        """Measure means and deviations on clips, whose labels are not needed.

        Raises:
            TrainingError: there is no clip.
        """
        if not len(arrays):
            raise TrainingError("there is no clip to take means and deviations of")
        columns = self._columns(arrays).double()
        deviation = columns.std(dim=-1, correction=0)
        # What does not vary says nothing; scaled by rounding errors it would say something.
        scale = torch.where(deviation > CONSTANT, 1 / deviation.clamp_min(CONSTANT), 0.0)
        self.mean.copy_(columns.mean(dim=-1))
        self.scale.copy_(scale)

    @staticmethod
    def _columns(arrays: Sequence[Tensor]) -> Tensor:
        """All observations of each feature, along the last axis."""
        return torch.stack(list(arrays), dim=-1)


class VectorEncoder(ViewEncoder):
    """A row of features, such as eGeMAPS-88, through two layers.

    Layer normalisation instead of batch normalisation: a labelled batch may hold four clips.
    """

    def __init__(
        self, features: int, dimension: int, dropout: float, generator: torch.Generator | None
    ) -> None:
        """Draw the weights; arguments as of :func:`view_encoder`."""
        super().__init__((features,), dimension)
        self.layers = _perceptron(features, dimension, dropout)
        draw_weights(self, generator)

    def forward(self, view: Tensor, lengths: Tensor) -> Tensor:
        """Embed rows ``(B, features)``; ``lengths`` are not needed."""
        del lengths
        embedding: Tensor = self.layers(_standardised(view, self.mean, self.scale))
        return embedding


class LayersEncoder(ViewEncoder):
    """Averaged states of all layers of a frozen model, mixed by learned weights, then two layers.

    The weights are positive and sum to 1 (Yang et al. 2021, *SUPERB*); they begin equal. Each
    layer's features are standardised first, so that no layer counts for more by its size.
    """

    def __init__(
        self,
        layers: int,
        features: int,
        dimension: int,
        dropout: float,
        generator: torch.Generator | None,
    ) -> None:
        """Draw the weights; arguments as of :func:`view_encoder`."""
        super().__init__((layers, features), dimension)
        self.mix = nn.Parameter(torch.zeros(layers))
        self.layers = _perceptron(features, dimension, dropout)
        draw_weights(self, generator)

    def forward(self, view: Tensor, lengths: Tensor) -> Tensor:
        """Embed states ``(B, layers, features)``; ``lengths`` are not needed."""
        del lengths
        states = _standardised(view, self.mean, self.scale)
        mixed = torch.einsum("l,bld->bd", self.mix.softmax(dim=0), states)
        embedding: Tensor = self.layers(mixed)
        return embedding


class SpectrogramEncoder(ViewEncoder):
    """A spectrogram through convolutions over time; mean and deviation over a clip's own frames.

    Three convolutions see 29 frames at a time (0.3 s, a syllable) and step over two each, so that
    what follows is a state every 80 ms. Their mean and deviation over time are what x-vectors pool
    (Snyder et al. 2018). States behind a clip's end are zero before each convolution and are not
    pooled: neither padding nor neighbours change an embedding.
    """

    def __init__(
        self,
        bands: int,
        dimension: int,
        channels: int,
        dropout: float,
        generator: torch.Generator | None,
    ) -> None:
        """Draw the weights; ``channels`` is the width of the convolutions."""
        super().__init__((bands,), dimension)
        self.convolutions = nn.ModuleList(
            skip_init(nn.Conv1d, before, channels, kernel_size=5, stride=2, padding=2)
            for before in (bands, channels, channels)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in self.convolutions)
        self.output = nn.Sequential(
            nn.Dropout(dropout), skip_init(nn.Linear, 2 * channels, dimension)
        )
        draw_weights(self, generator)

    def forward(self, view: Tensor, lengths: Tensor) -> Tensor:
        """Embed spectrograms ``(B, bands, T)`` of ``lengths`` frames."""
        states = _standardised(view, self.mean[:, None], self.scale[:, None])
        lengths = lengths.to(view.device)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            states = convolution(states * _inside(states, lengths))
            # Of T frames every second one has a state; the last may be half padding.
            lengths = (lengths + 1) // 2
            states = F.gelu(norm(states.transpose(1, 2))).transpose(1, 2)
        inside = _inside(states, lengths)
        count = lengths[:, None].to(states.dtype)
        mean = (states * inside).sum(dim=2) / count
        squares = ((states - mean[:, :, None]).square() * inside).sum(dim=2) / count
        # The root has no slope at 0, which is where a clip of one state stands.
        pooled = torch.cat([mean, (squares + 1e-5).sqrt()], dim=1)
        embedding: Tensor = self.output(pooled)
        return embedding

    @staticmethod
    def _columns(arrays: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(arrays), dim=-1)


#: The kind of each view that has a name here.
KINDS: Mapping[str, str] = MappingProxyType(
    {"mel": "spectrogram", "wav2vec2": "layers", "whisper": "layers", "egemaps": "vector"}
)


def kind_of(name: str, axes: int) -> str:
    """The kind of a view whose clips have so many axes: vector, layers or spectrogram.

    Raises:
        ValueError: an array of so many axes has no encoder.
    """
    if axes not in (1, 2):
        raise ValueError(
            f"view {name!r} has arrays of {axes} axes; there are encoders for (features,), "
            "(bands, frames) and (layers, features). Average over time first (pooled=True)"
        )
    return "vector" if axes == 1 else KINDS.get(name, "spectrogram")


@dataclass(frozen=True)
class EncodersConfig:
    """Sizes of the views' encoders.

    Attributes:
        dimension: width of each embedding.
        channels: width of the convolutions over a spectrogram.
        dropout: share of hidden values dropped in training, in [0, 1).
    """

    # One width for all views, so that none has more room than another; wide enough for 88 features.
    dimension: int = 256
    # 0.3 million weights in all three views: what a few hundred clips can teach.
    channels: int = 64
    # Mild. In pre-training it is an augmentation too: the views see different halves of a network.
    dropout: float = 0.1

    def __post_init__(self) -> None:
        require("1..", dimension=self.dimension, channels=self.channels)
        require("[0, 1)", dropout=self.dropout)


def view_encoder(
    name: str,
    clip: Tensor,
    dimension: int,
    *,
    channels: int,
    dropout: float,
    generator: torch.Generator | None = None,
) -> ViewEncoder:
    """A new encoder for a view.

    Args:
        name: of the view; says, with the clip's number of axes, which kind of encoder.
        clip: any clip of this view; its shape says how many features there are.
        dimension: width of the embedding.
        channels: width of the convolutions, for a spectrogram.
        dropout: share of hidden values that is dropped in training, in [0, 1).
        generator: draws the weights; None takes torch's own.

    Raises:
        ValueError: there is no encoder for such arrays.
    """
    kind = kind_of(name, clip.ndim)
    if kind == "vector":
        return VectorEncoder(clip.shape[0], dimension, dropout, generator)
    if kind == "layers":
        return LayersEncoder(clip.shape[0], clip.shape[1], dimension, dropout, generator)
    return SpectrogramEncoder(clip.shape[0], dimension, channels, dropout, generator)


class ViewEncoders(nn.ModuleDict):
    """An encoder a view, by the view's name."""

    @classmethod
    def for_clips(
        cls,
        dataset: MultiViewDataset,
        config: EncodersConfig | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> ViewEncoders:
        """New encoders for the views of a data set, their statistics fitted to its clips.

        Args:
            dataset: one clip at least; its labels are not read.
            config: sizes; None takes the defaults.
            generator: draws the weights; None takes torch's own.

        Raises:
            TrainingError: there is no clip.
            ValueError: there is no encoder for a view's arrays.
        """
        config = config or EncodersConfig()
        if not len(dataset):
            raise TrainingError("there is no clip to build encoders for")
        encoders = cls()
        for name, arrays in dataset.views.items():
            encoders[name] = view_encoder(
                name,
                arrays[0],
                config.dimension,
                channels=config.channels,
                dropout=config.dropout,
                generator=generator,
            )
            encoders.of(name).fit_statistics(arrays)
        return encoders

    def of(self, name: str) -> ViewEncoder:
        """The encoder of one view.

        Raises:
            ValueError: there is none.
        """
        if name not in self:
            raise ValueError(f"no encoder for view {name!r}; there are {', '.join(self)}")
        return cast(ViewEncoder, self[name])

    def by_name(self) -> dict[str, ViewEncoder]:
        """All of them."""
        return {name: self.of(name) for name in self}

    def forward(self, batch: MultiViewBatch) -> dict[str, Tensor]:
        """Embeddings ``(B, dimension)`` of a batch, by view."""
        return {name: self.of(name)(batch.views[name], batch.lengths[name]) for name in self}


def _perceptron(features: int, dimension: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        skip_init(nn.Linear, features, dimension),
        nn.LayerNorm(dimension),
        nn.GELU(),
        nn.Dropout(dropout),
        skip_init(nn.Linear, dimension, dimension),
    )


def _standardised(view: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    return ((view - mean) * scale).clamp(-FURTHEST, FURTHEST)


def _inside(states: Tensor, lengths: Tensor) -> Tensor:
    """1 in a clip's own frames, 0 behind its end: ``(B, 1, T)``."""
    frames = torch.arange(states.shape[2], device=states.device)
    return (frames < lengths[:, None]).to(states.dtype)[:, None]
