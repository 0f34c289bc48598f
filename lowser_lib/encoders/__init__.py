"""Encoders: a batch of views to frame states, and to one embedding an utterance.

* :class:`WhisperEncoder` -- OpenAI's Whisper encoder, fitted to short clips.
* :class:`EncoderDimensions` -- the sizes that fix such an encoder's shape.
"""

from __future__ import annotations

from lowser_lib.encoders.checkpoints import EncoderDimensions, dimensions_of, known_names, nano_card
from lowser_lib.encoders.whisper import FREEZABLE, WhisperEncoder

__all__ = [
    "FREEZABLE",
    "EncoderDimensions",
    "WhisperEncoder",
    "dimensions_of",
    "known_names",
    "nano_card",
]
