"""The wav2vec 2.0 view: what a model that has listened to speech makes of a clip, layer by layer.

Baevski et al. 2020, *wav2vec 2.0: A Framework for Self-Supervised Learning of Speech
Representations*. Convolutions turn the waveform into one vector every 20 ms; transformer layers let
the vectors look at each other. HuBERT (Hsu et al. 2021) and WavLM (Chen et al. 2022) share the
architecture. The code is torchaudio's; the weights are ``nano``'s, which come with LowSER, or those
of torchaudio's bundles (``WAV2VEC2_BASE``, ``HUBERT_BASE``, ...).

A view extracts features without learning, clip by clip. To train a model, or to extract batches on
a GPU, take :class:`Wav2Vec2` and :func:`wav2vec2_features`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchaudio.pipelines import Wav2Vec2Bundle

from lowser_lib.views import wav2vec2_sources
from lowser_lib.views.base import check_layer
from lowser_lib.views.wav2vec2_models import Wav2Vec2, wav2vec2_features
from lowser_lib.views.wav2vec2_sources import Source, known_names

__all__ = ["Wav2Vec2", "Wav2Vec2View", "known_names", "wav2vec2_features"]


class Wav2Vec2View:
    """Features of one transformer layer, or of all.

    ``layer`` is one of

    * ``0``: what goes into the transformer: projected convolutions, with positions;
    * ``1`` to ``L``: what comes out of that layer, as torchaudio's ``extract_features`` gives it;
    * ``"output"``: what the model hands on. In models that normalise before each layer (``nano``,
      ``WAV2VEC2_LARGE_LV60K``, ...) that is layer L, normalised; in the others it is layer L;
    * ``"mix"``: layers 0 to L, stacked, for a weighting that is learned later (Yang et al. 2021,
      *SUPERB*) or a probe of each layer. Where layers normalise their input, the size of states
      grows from layer to layer: bring them to one size before they are weighted.

    Attributes:
        name: ``"wav2vec2"``.
        settings: all that changes the result, the weights' hash among it, for the cache's key.
        source: where the weights come from.
        layer: the layer.
        pooled: whether features are averaged over time.
    """

    name = "wav2vec2"

    def __init__(
        self,
        name_or_bundle: str | Wav2Vec2Bundle = "nano",
        layer: int | str = "output",
        pooled: bool = False,
        *,
        download_root: Path | None = None,
        address: str | None = None,
        sha256: str | None = None,
    ) -> None:
        """Choose a model and a layer.

        The weights are found, fetched if need be, and hashed here. The model is built when the
        first clip is extracted: reading from the cache needs none.

        Args:
            name_or_bundle: ``"nano"`` (comes with LowSER), the name of a bundle in
                ``torchaudio.pipelines`` (``"WAV2VEC2_BASE"``; fetched once), or a bundle itself.
            layer: 0 to L, ``"output"`` or ``"mix"``; see above.
            pooled: average over time: one vector a clip, or one a layer of the ``"mix"``.
            download_root: folder for fetched weights; see :func:`wav2vec2_sources.fetch`.
            address: where else to fetch a bundle's weights from.
            sha256: what a bundle's weights must hash to; None takes what torchaudio publishes.

        Raises:
            CheckpointError: the weights are missing (as long as none of ``nano`` are shipped),
                damaged, or could not be fetched; the message says what to do.
            ValueError: the name is not known, or the model has no such layer.
        """
        found = wav2vec2_sources.find(name_or_bundle, download_root, address, sha256)
        self._set(found, layer, pooled)

    @classmethod
    def random(
        cls,
        name_or_bundle: str | Wav2Vec2Bundle = "nano",
        seed: int = 0,
        layer: int | str = "output",
        pooled: bool = False,
    ) -> Wav2Vec2View:
        """The untrained control: the same model with random weights.

        What a probe finds here was in the sound and in the architecture, not in what was learned.

        Args:
            name_or_bundle: as above; nothing is fetched.
            seed: draws the weights, as torchaudio draws them before training.
            layer: as above.
            pooled: as above.

        Raises:
            ValueError: the name is not known, or the model has no such layer.
        """
        view = cls.__new__(cls)
        view._set(wav2vec2_sources.find_untrained(name_or_bundle, seed), layer, pooled)
        return view

    def _set(self, source: Source, layer: int | str, pooled: bool) -> None:
        check_layer(layer, source.sizes["encoder_num_layers"])
        self.source, self.layer, self.pooled = source, layer, bool(pooled)
        self.settings: Mapping[str, object] = {
            "model": source.name,
            "architecture": source.architecture,
            "weights": source.sha256 if source.seed is None else f"random, seed {source.seed}",
            "normalisation": source.normalisation,
            "layer": layer,
            "pooled": self.pooled,
            "torchaudio": version("torchaudio"),
            "version": 1,
        }

    def extract(self, waveform: NDArray[Any]) -> NDArray[np.float32]:
        """Extract the view of one clip.

        Args:
            waveform: float32, shape (samples,), 16 kHz, in [-1, 1]; at least 400 samples (25 ms).

        Returns:
            float32. One layer: ``(T, D)``, pooled ``(D,)``. The ``"mix"``: ``(L + 1, T, D)``,
            pooled ``(L + 1, D)``. ``T`` is ``(samples - 400) // 320 + 1``, one state every 20 ms;
            D and L are the model's (``WAV2VEC2_BASE``: 768 and 12).

        Raises:
            AudioError: the clip is too short for one state, or holds NaN or infinity.
            CheckpointError: the weights' file is damaged, or does not fit.
            ValueError: the waveform has not exactly one dimension.
        """
        if waveform.ndim != 1:
            raise ValueError(f"waveform must have shape (samples,), not {waveform.shape}")
        samples = torch.from_numpy(np.array(waveform, dtype=np.float32))
        with torch.inference_mode():
            states, _ = wav2vec2_features(_shared(self.source), samples[None], layer=self.layer)
            features = states[0].mean(dim=-2) if self.pooled else states[0]
        found: NDArray[np.float32] = features.contiguous().numpy()
        return found

    def __repr__(self) -> str:
        weights = str(self.settings["weights"])
        return (
            f"Wav2Vec2View({self.source.name!r}, layer={self.layer!r}, pooled={self.pooled}, "
            f"weights={weights if self.source.seed is not None else weights[:8]!r})"
        )


@lru_cache(maxsize=2)
def _shared(source: Source) -> Wav2Vec2:
    """Build a model once a process; views of its layers share it."""
    return Wav2Vec2.from_source(source)
