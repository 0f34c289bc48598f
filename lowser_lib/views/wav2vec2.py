"""The wav2vec 2.0 view: what a model that has listened to speech makes of a clip, layer by layer.

Baevski et al. 2020, *wav2vec 2.0: A Framework for Self-Supervised Learning of Speech
Representations*. Convolutions turn the waveform into one vector every 20 ms; transformer layers let
the vectors look at each other. HuBERT (Hsu et al. 2021) and WavLM (Chen et al. 2022) share the
architecture. The code is torchaudio's; the weights are ``nano``'s, which come with LowSER, or those
of torchaudio's bundles (``WAV2VEC2_BASE``, ``HUBERT_BASE``, ...).

:class:`Wav2Vec2View` extracts features without learning, clip by clip. To train a model, or to
extract batches on a GPU, take :class:`Wav2Vec2` and :func:`wav2vec2_features`. A clip's features do
not depend on what shares its batch. With torchaudio alone they may: it normalises all waveforms of
a batch together, its group norm (``WAV2VEC2_BASE``, ``HUBERT_BASE``, ...) takes statistics over
padding, and its WavLM has no way to hide padding. :class:`Wav2Vec2` uses the same modules and
weights, but

* normalises each clip by itself, over its own samples only;
* runs the convolutions clip by clip where they take statistics over time;
* runs the transformer clip by clip where it cannot hide padding.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torchaudio.models import Wav2Vec2Model
from torchaudio.models.wav2vec2.wavlm_attention import WavLMSelfAttention
from torchaudio.pipelines import Wav2Vec2Bundle

from lowser_lib.errors import AudioError
from lowser_lib.views import check_layer, wav2vec2_sources
from lowser_lib.views.wav2vec2_sources import SAMPLE_RATE, Source

#: What can be done to a waveform before the first convolution.
NORMALISATIONS = ("none", "layer_norm", "unit_variance")


class Wav2Vec2(nn.Module):
    """torchaudio's model, together with what it wants done to a waveform first.

    Attributes:
        model: torchaudio's model; its ``aux`` is not used.
        normalisation: ``none``; ``layer_norm``, zero mean and unit variance as torchaudio's bundles
            for large models do it; ``unit_variance``, the same as ``nano`` was trained with.
        dimension: width D of a state.
        n_layers: number L of transformer layers.
        receptive_field: samples that a state is made from, before the transformer: 400 (25 ms) in
            all published models and ``nano``.
        hop: samples from one state to the next: 320 (20 ms) in all of them.
        pretrained: whether the weights were learned from speech.
        description: one sentence that says where the weights come from.
    """

    def __init__(
        self,
        model: Wav2Vec2Model,
        normalisation: str = "none",
        *,
        pretrained: bool = False,
        description: str = "a wav2vec 2.0 model of unknown origin",
    ) -> None:
        super().__init__()
        if normalisation not in NORMALISATIONS:
            raise ValueError(
                f"normalisation must be one of {NORMALISATIONS}, not {normalisation!r}"
            )
        self.model = model
        self.normalisation = normalisation
        self.pretrained = pretrained
        self.description = description
        transformer = model.encoder.transformer
        self.dimension: int = transformer.pos_conv_embed.embed_dim
        self.n_layers = len(transformer.layers)
        convolutions = model.feature_extractor.conv_layers
        strides = [layer.stride for layer in convolutions]
        self.hop: int = prod(strides)
        self.receptive_field: int = 1 + sum(
            (layer.kernel_size - 1) * prod(strides[:place])
            for place, layer in enumerate(convolutions)
        )
        # Statistics over a clip's whole length must not be taken over padding.
        self.has_group_norm = isinstance(convolutions[0].layer_norm, nn.GroupNorm)
        self.can_hide_padding = not isinstance(transformer.layers[0].attention, WavLMSelfAttention)

    @classmethod
    def load(
        cls,
        name_or_bundle: str | Wav2Vec2Bundle = "nano",
        *,
        download_root: Path | None = None,
        address: str | None = None,
        sha256: str | None = None,
    ) -> Wav2Vec2:
        """Load a trained model; arguments and errors as those of ``Wav2Vec2View``.

        Returns:
            A model of one's own, to be trained or kept: float32, on the CPU, set to evaluation.
        """
        source = wav2vec2_sources.find(name_or_bundle, download_root, address, sha256)
        return cls.from_source(source)

    @classmethod
    def random(cls, name_or_bundle: str | Wav2Vec2Bundle = "nano", seed: int = 0) -> Wav2Vec2:
        """Build the same model with random weights, see ``Wav2Vec2View.random``."""
        return cls.from_source(wav2vec2_sources.find_untrained(name_or_bundle, seed))

    @classmethod
    def from_source(cls, source: Source) -> Wav2Vec2:
        """Build the model that a source describes.

        Raises:
            CheckpointError: the weights' file has changed, is damaged, or does not fit.
        """
        model = cls(
            source.build(),
            source.normalisation,
            pretrained=source.seed is None,
            description=source.description,
        )
        return model.eval()

    def frames(self, samples: int) -> int:
        """Count the states of a clip: ``(samples - 400) // 320 + 1`` for published models."""
        return max(0, (samples - self.receptive_field) // self.hop + 1)

    def normalise(self, waveform: Tensor) -> Tensor:
        """Do to one clip ``(samples,)`` what the model wants done."""
        if self.normalisation == "layer_norm":
            return F.layer_norm(waveform, waveform.shape)
        if self.normalisation == "unit_variance":
            return (waveform - waveform.mean()) / waveform.std().clamp(min=1e-5)
        return waveform

    def convolve(self, clips: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Run the convolutions over normalised clips of different lengths.

        Returns:
            Features ``(B, T, channels)`` and their counts ``(B,)``. What lies behind a clip's end
            has no meaning.
        """
        extractor = self.model.feature_extractor
        lengths = torch.tensor([len(clip) for clip in clips], device=clips[0].device)
        if self.has_group_norm and len(lengths.unique()) > 1:
            features = [extractor(clip[None], None)[0][0] for clip in clips]
            counts = torch.tensor([len(frames) for frames in features], device=lengths.device)
            return pad_sequence(features, batch_first=True), counts
        convolved: tuple[Tensor, Tensor] = extractor(pad_sequence(clips, batch_first=True), lengths)
        return convolved

    def transform(self, features: Tensor, counts: Tensor | None, layer: int | str) -> Tensor:
        """Run the transformer; see :func:`wav2vec2_features`. ``counts`` None: nothing is padded.

        Returns:
            ``(B, T, D)``, or ``(B, L + 1, T, D)`` of the ``"mix"``.
        """
        encoder = self.model.encoder
        if layer in (0, "mix"):  # torchaudio begins with the output of the first layer
            projected, _ = encoder._preprocess(features, counts)
            first: Tensor = encoder.transformer._preprocess(projected)
            if layer == 0:
                return first
        depth = layer if isinstance(layer, int) else None
        states: list[Tensor] = encoder.extract_features(features, counts, depth)
        if layer == "mix":
            return torch.stack([first, *states], dim=1)
        # Layers that normalise their input need one more normalisation behind the last of them.
        ends_in_norm = layer == "output" and not encoder.transformer.layer_norm_first
        last: Tensor = encoder.transformer.layer_norm(states[-1]) if ends_in_norm else states[-1]
        return last


def wav2vec2_features(
    model: Wav2Vec2, waveforms: Tensor, lengths: Tensor | None = None, layer: int | str = "output"
) -> tuple[Tensor, Tensor]:
    """Features of a batch; those of a clip do not depend on what shares its batch.

    Gradients flow, so the model can be trained; set it to evaluation and use
    ``torch.inference_mode()`` to extract.

    Args:
        model: the model; waveforms are normalised here, clip by clip, as it wants it.
        waveforms: ``(B, samples)``, 16 kHz, in [-1, 1]; what lies behind a clip's end is not read.
        lengths: ``(B,)`` samples of each clip; None if all have the same.
        layer: see :class:`Wav2Vec2View`.

    Returns:
        States ``(B, T, D)`` float32, or ``(B, L + 1, T, D)`` of the ``"mix"``, zero behind a clip's
        end, and how many each clip has, ``(B,)``. The mean over time is
        ``states.sum(dim=-2) / counts[:, None]``.

    Raises:
        AudioError: a clip is too short for a single state, or holds NaN or infinity.
        ValueError: shapes or ``layer`` do not fit.
    """
    check_layer(layer, model.n_layers)
    clips = [model.normalise(clip) for clip in _clips(model, waveforms, lengths)]
    if len({len(clip) for clip in clips}) == 1:
        features, counts = model.convolve(clips)
        return model.transform(features, None, layer), counts
    if model.can_hide_padding:
        features, counts = model.convolve(clips)
        states = model.transform(features, counts, layer)
        inside = torch.arange(states.shape[-2], device=counts.device) < counts[:, None]
        inside = inside[:, None] if states.ndim == 4 else inside
        return states * inside[..., None], counts
    alone = [model.transform(model.convolve([clip])[0], None, layer)[0] for clip in clips]
    counts = torch.tensor([row.shape[-2] for row in alone], device=waveforms.device)
    longest = int(counts.max())
    return torch.stack([F.pad(row, (0, 0, 0, longest - row.shape[-2])) for row in alone]), counts


def _clips(model: Wav2Vec2, waveforms: Tensor, lengths: Tensor | None) -> list[Tensor]:
    """Cut a batch into its clips, having looked at each."""
    if waveforms.ndim != 2 or not len(waveforms) or not waveforms.is_floating_point():
        raise ValueError(
            "waveforms must be floating point, of shape (B, samples), "
            f"not {waveforms.dtype} of shape {tuple(waveforms.shape)}"
        )
    counts = [waveforms.shape[1]] * len(waveforms) if lengths is None else lengths.tolist()
    if np.shape(counts) != (len(waveforms),) or max(counts) > waveforms.shape[1]:
        raise ValueError(
            f"lengths must be {len(waveforms)} numbers up to {waveforms.shape[1]}, not {lengths}"
        )
    if min(counts) < model.receptive_field:
        raise AudioError(
            f"a clip of {min(counts)} samples is too short for wav2vec 2.0, which needs "
            f"{model.receptive_field} ({model.receptive_field / SAMPLE_RATE:.3f} s): leave it out "
            "with lowser_lib.manifest.keep_durations"
        )
    clips = [waveform[:count].float() for waveform, count in zip(waveforms, counts, strict=True)]
    if not all(bool(torch.isfinite(clip).all()) for clip in clips):
        raise AudioError("the waveform holds NaN or infinity: check the file that it is from")
    return clips


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
            download_root: folder for fetched weights; see :func:`wav2vec2_sources.find`.
            address: where else to fetch a bundle's weights from.
            sha256: what a bundle's weights must hash to; None takes what torchaudio publishes.

        Raises:
            CheckpointError: the weights are missing (as long as none of ``nano`` are shipped),
                damaged, or could not be fetched; the message says what to do.
            ValueError: the name is not known, or the model has no such layer.
        """
        source = wav2vec2_sources.find(name_or_bundle, download_root, address, sha256)
        self._set(source, layer, pooled)

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
        array: NDArray[np.float32] = features.contiguous().numpy()
        return array

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
