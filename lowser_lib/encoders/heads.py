"""What is asked of an encoder, and small networks on top of one: heads, and their first weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init


def draw_linear(head: nn.Sequential, generator: torch.Generator | None = None) -> None:
    """Draw the weights of a head's linear layers, in place; biases are zero.

    Uniform, as of Glorot and Bengio 2010: signals keep their size in both directions.

    Args:
        head: layers, linear and others.
        generator: the source of randomness; None takes torch's own.
    """
    for layer in head:
        if isinstance(layer, nn.Linear):
            # Drawn in float64 and rounded: float32 draws differ with a processor's vector
            # width, in the last digit, and training makes a large difference of a small one.
            weight = torch.empty(layer.weight.shape, dtype=torch.float64)
            nn.init.xavier_uniform_(weight, generator=generator)
            layer.weight.data.copy_(weight)
            nn.init.zeros_(layer.bias)


def mlp(
    width: int, hidden: int, projected: int, generator: torch.Generator | None = None
) -> nn.Sequential:
    """One hidden layer with batch normalisation: BYOL's projector, and its predictor.

    Args:
        width: of what goes in.
        hidden: of the layer between.
        projected: of what comes out.
        generator: draws the weights, in float64 so that they do not depend on the processor; None
            takes torch's own.
    """
    layers = nn.Sequential(
        skip_init(nn.Linear, width, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        skip_init(nn.Linear, hidden, projected),
    )
    draw_linear(layers, generator)
    return layers


def projection_head(
    width: int, projected: int, generator: torch.Generator | None = None
) -> nn.Sequential:
    """Two linear layers with a ReLU between them, as in SimCLR: ``(B, width)`` to what is compared.

    Args:
        width: of the embeddings, and, our choice after SimCLR, of the layer between.
        projected: width of the result.
        generator: draws the weights, in float64 so that they do not depend on the processor; None
            takes torch's own.
    """
    head = nn.Sequential(
        skip_init(nn.Linear, width, width), nn.ReLU(), skip_init(nn.Linear, width, projected)
    )
    draw_linear(head, generator)
    return head


def draw_weights(module: nn.Module, generator: torch.Generator | None = None) -> None:
    """Draw the weights of all linear layers and convolutions, in place; biases are zero.

    Uniform, for a rectifier behind each (He et al. 2015), and in float64, as float32 draws differ
    with the processor; see :func:`lowser_lib.encoders.heads.draw_linear`.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d):
            weight = torch.empty(layer.weight.shape, dtype=torch.float64)
            nn.init.kaiming_uniform_(weight, nonlinearity="relu", generator=generator)
            layer.weight.data.copy_(weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class Encoder(Protocol):
    """Spectrogram to embedding; :class:`lowser_lib.encoders.WhisperEncoder` has it."""

    @property
    def dimension(self) -> int:
        """Width D of an embedding."""

    def embed(self, mel: Tensor, lengths: Tensor) -> Tensor:
        """Embeddings ``(B, D)`` of spectrograms ``(B, n_mels, T)``."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """All parameters, trainable or not."""

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Freeze or thaw all parameters."""


class Classifier(Protocol):
    """Spectrogram to class; :class:`lowser_lib.methods.baseline.EmotionClassifier` is one.

    Attributes:
        training: whether it is in training mode.
    """

    training: bool

    @property
    def encoder(self) -> Encoder:
        """Gives the embeddings."""

    @property
    def head(self) -> nn.Module:
        """Gives the classes' scores ``(B, n_classes)`` of embeddings ``(B, D)``."""

    def __call__(self, mel: Tensor, lengths: Tensor) -> Tensor:
        """Scores ``(B, n_classes)`` of spectrograms ``(B, n_mels, T)``."""

    def train(self, mode: bool = True) -> Any:
        """Go into training mode, or out of it."""

    def eval(self) -> Any:
        """Go out of training mode."""
