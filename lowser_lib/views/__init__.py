"""Views of speech: one waveform, seen as numbers in different ways.

Each view turns a float32 waveform (16 kHz, mono) into an array that a model reads.

* :mod:`lowser_lib.views.mel` -- the log-mel spectrogram that a Whisper encoder reads.
* :mod:`lowser_lib.views.wav2vec2` -- the layers of a model that has listened to speech.
* :mod:`lowser_lib.views.whisper` -- the layers of a Whisper encoder.
* :mod:`lowser_lib.views.egemaps` -- 88 summary features of the voice, by openSMILE.
* :mod:`lowser_lib.views.cache` -- what a view has seen, kept on disk.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lowser_lib.views.mel import MelView, log_mel, pad_mels
    from lowser_lib.views.wav2vec2 import Wav2Vec2View, wav2vec2_features

__all__ = ["MelView", "Wav2Vec2View", "log_mel", "pad_mels", "wav2vec2_features"]


def __getattr__(name: str) -> Any:
    """Import a view that needs torch when it is asked for.

    A worker process that computes eGeMAPS needs no torch, which takes longer to import than
    hundreds of clips take to read.
    """
    if name in __all__:
        place = "wav2vec2" if "wav2vec2" in name.lower() else "mel"
        return getattr(import_module(f"lowser_lib.views.{place}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
