"""What the course asks of an encoder, and of a classifier on top of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from torch import Tensor, nn


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
