"""Views of speech: one waveform, seen as numbers in different ways.

Each view turns a float32 waveform (16 kHz, mono) into an array that a model reads.

* :mod:`lowser_lib.views.mel` -- the log-mel spectrogram that a Whisper encoder reads.
"""

from __future__ import annotations

from lowser_lib.views.mel import MelView, log_mel, pad_mels

__all__ = ["MelView", "log_mel", "pad_mels"]
