"""Views of speech: one waveform, seen as numbers in different ways.

Each view turns a float32 waveform (16 kHz, mono) into an array that a model reads. A new one is a
file with a class that has the three members of a :class:`View`; nothing has to be inherited or
registered for :func:`lowser_lib.views.cache.extract_all` to extract, cache and parallelise it.

* :mod:`lowser_lib.views.mel` -- the log-mel spectrogram that a Whisper encoder reads.
* :mod:`lowser_lib.views.wav2vec2` -- the layers of a model that has listened to speech.
* :mod:`lowser_lib.views.whisper` -- the layers of a Whisper encoder.
* :mod:`lowser_lib.views.egemaps` -- 88 summary features of the voice, by openSMILE.
* :mod:`lowser_lib.views.cache` -- what a view has seen, kept on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from numpy.typing import NDArray

if TYPE_CHECKING:
    from lowser_lib.views.mel import MelView, log_mel, pad_mels
    from lowser_lib.views.wav2vec2 import Wav2Vec2View, wav2vec2_features

__all__ = [
    "MelView",
    "View",
    "Wav2Vec2View",
    "check_layer",
    "log_mel",
    "pad_mels",
    "wav2vec2_features",
]

_LATE = ("MelView", "Wav2Vec2View", "log_mel", "pad_mels", "wav2vec2_features")


def __getattr__(name: str) -> Any:
    """Import a view that needs torch when it is asked for.

    A worker process that computes eGeMAPS needs no torch, which takes longer to import than
    hundreds of clips take to read.
    """
    if name in _LATE:
        place = "wav2vec2" if "wav2vec2" in name.lower() else "mel"
        return getattr(import_module(f"lowser_lib.views.{place}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@runtime_checkable
class View(Protocol):
    """One way to look at a clip.

    An instance can be pickled, since it is sent to other processes, and two with the same name and
    settings give the same arrays.

    Attributes:
        name: Short name, also that of its folder in the cache: ``mel``, ``egemaps``.
        settings: Everything that changes what :meth:`extract` returns, as values that JSON can
            hold. When the view's own code comes to give other numbers, a changed entry
            ``version`` keeps old results in the cache from being taken for new ones.

    A view with an attribute ``in_process`` that is true is never sent to other processes.
    """

    @property
    def name(self) -> str:
        """Short name, also that of its folder in the cache."""

    @property
    def settings(self) -> Mapping[str, object]:
        """Everything that changes what :meth:`extract` returns."""

    def extract(self, waveform: NDArray[Any]) -> NDArray[Any]:
        """Look at one clip.

        Args:
            waveform: float32, shape (samples,), 16 kHz, mono, in [-1, 1].

        Returns:
            An array of any shape that the view documents.

        Raises:
            AudioError: The clip is too short for this view.
        """


def check_layer(layer: int | str, n_layers: int) -> None:
    """Refuse a choice of layer that a model of speech does not have.

    Raises:
        ValueError: ``layer`` is neither 0 to ``n_layers``, nor ``"output"``, nor ``"mix"``.
    """
    whole = isinstance(layer, int) and not isinstance(layer, bool)
    if layer not in ("output", "mix") and not (whole and 0 <= int(layer) <= n_layers):
        raise ValueError(f"layer must be 0 to {n_layers}, 'output' or 'mix', not {layer!r}")
