"""The Whisper view: what a frozen Whisper encoder makes of a clip, layer by layer.

Radford et al. 2023, *Robust Speech Recognition via Large-Scale Weak Supervision*. One pass gives
the states of all layers: ``layer="mix"`` with ``pooled`` holds what a probe of every layer needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lowser_lib.views import check_layer
from lowser_lib.views.mel import log_mel


class LayeredEncoder(Protocol):
    """What the view asks of an encoder; :class:`lowser_lib.encoders.WhisperEncoder` has it."""

    n_mels: int

    @property
    def n_layers(self) -> int:
        """Number L of transformer blocks."""

    def layer_states(self, mel: Tensor) -> Iterator[Tensor]:
        """States after each layer: input of the first block, each block, the last normalised."""

    def tensor_hash(self) -> str:
        """What the encoder is known by."""

    def state_dict(self) -> dict[str, Any]:
        """All weights by name."""


class WhisperView:
    """States of one layer of an encoder, or of all.

    ``layer`` is one of

    * ``0``: what goes into the first transformer block: convolutions, with positions;
    * ``1`` to ``L``: what comes out of that block;
    * ``"output"``: what the encoder hands on, the last block's states, normalised;
    * ``"mix"``: layers 0 to L, stacked.

    Attributes:
        name: ``"whisper"``.
        settings: all that changes the result, the weights' hash among it, for the cache's key.
        layer: the layer.
        pooled: whether states are averaged over time.
        in_process: a model is not sent to other processes; torch's threads do the work.
    """

    name = "whisper"
    in_process = True

    def __init__(
        self, encoder: LayeredEncoder, layer: int | str = "output", pooled: bool = False
    ) -> None:
        """Choose an encoder and a layer.

        Args:
            encoder: on the CPU; it is not changed, and must not be changed afterwards.
            layer: 0 to L, ``"output"`` or ``"mix"``; see above.
            pooled: average over time: one vector a clip, or one a layer of the ``"mix"``.

        Raises:
            ValueError: the encoder has no such layer.
        """
        check_layer(layer, encoder.n_layers)
        self.encoder, self.layer, self.pooled = encoder, layer, bool(pooled)
        exact = hashlib.sha256()  # the tensor hash rounds to float16; fine-tuning may hide in that
        for _, weight in sorted(encoder.state_dict().items()):
            exact.update(weight.detach().cpu().float().contiguous().numpy().tobytes())
        self.settings: Mapping[str, object] = {
            "encoder": encoder.tensor_hash(),
            "weights": exact.hexdigest(),
            "n_mels": encoder.n_mels,
            "layer": layer,
            "pooled": self.pooled,
            "version": 1,
        }

    def extract(self, waveform: NDArray[Any]) -> NDArray[np.float32]:
        """Extract the view of one clip.

        Args:
            waveform: float32, shape (samples,), 16 kHz, in [-1, 1].

        Returns:
            float32. One layer: ``(T, D)``, pooled ``(D,)``. The ``"mix"``: ``(L + 1, T, D)``,
            pooled ``(L + 1, D)``. ``T`` is half the frames of the spectrogram, rounded up: one
            state every 20 ms.

        Raises:
            AudioError: the clip is too short for a spectrogram, or holds NaN or infinity.
            ValueError: the waveform has not exactly one dimension, or is too long for the encoder.
        """
        samples = torch.from_numpy(np.array(waveform, dtype=np.float32))
        with torch.inference_mode():
            *states, output = self.encoder.layer_states(log_mel(samples, self.encoder.n_mels)[None])
            if self.layer == "output":
                chosen = output[0]
            elif self.layer == "mix":
                chosen = torch.cat(states)
            else:
                chosen = states[int(self.layer)][0]
            return np.ascontiguousarray((chosen.mean(dim=-2) if self.pooled else chosen).numpy())

    def __repr__(self) -> str:
        weights = str(self.settings["encoder"])[:8]
        return f"WhisperView({weights!r}, layer={self.layer!r}, pooled={self.pooled})"
