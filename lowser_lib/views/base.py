"""What every view of speech has in common.

A view turns a waveform into the array that a model reads. A new one is a file with a class that
has these three members; nothing has to be inherited or registered for
:func:`lowser_lib.views.cache.extract_all` to extract, cache and parallelise it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray


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
