"""The pre-training task: which phonemes were said, and in which manner.

Two encoders can be trained, ``nano`` (Whisper's) and ``wav2vec2-nano`` (torchaudio's wav2vec 2.0 at
a small size). A :class:`Hearing` is what differs between them: what the encoder is given, and how
many states come out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torchaudio.functional import edit_distance
from torchaudio.models import Wav2Vec2Model, wav2vec2_model

from lowser_lib.encoders import EncoderDimensions, WhisperEncoder
from lowser_lib.views import log_mel, pad_mels
from pretraining.speech import PROSODY, SYMBOLS


class Hearing(nn.Module, ABC):
    """An encoder together with what it is given."""

    dimension: int

    @abstractmethod
    def input_of(self, waveform: Tensor) -> Tensor:
        """Turn a waveform ``(samples,)`` into one input, time last."""

    @abstractmethod
    def pad(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Stack inputs of different lengths; returns them with their lengths ``(B,)``."""

    @abstractmethod
    def states(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return states ``(B, T', D)``, zero behind a clip's end, and their counts ``(B,)``."""

    @abstractmethod
    def shipped(self) -> tuple[dict[str, object], dict[str, Tensor]]:
        """Return the sizes and the weights that are put into the package."""


class WhisperHearing(Hearing):
    """``nano``: openai-whisper's encoder, positions kept as the sinusoids that they are."""

    def __init__(self, width: int, layers: int, seed: int) -> None:
        super().__init__()
        dimensions = EncoderDimensions(80, 1500, width, 4, layers)
        self.encoder = WhisperEncoder.random(dimensions, seed, freeze=("positions",))
        self.dimension = self.encoder.dimension
        self.sizes = dict(vars(dimensions))

    def input_of(self, waveform: Tensor) -> Tensor:
        """Log-mel spectrogram, ``(80, T)``."""
        return log_mel(waveform)

    def pad(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Stack spectrograms to ``(B, 80, T)``."""
        return pad_mels([mel.float() for mel in inputs])

    def states(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """One state every 20 ms."""
        return self.encoder(inputs, lengths), (lengths + 1) // 2

    def shipped(self) -> tuple[dict[str, object], dict[str, Tensor]]:
        """Sizes and weights under OpenAI's names; the sinusoids are computed when it is loaded."""
        weights = self.encoder.state_dict()
        weights.pop("encoder.positional_embedding")
        return self.sizes, weights


class Wav2Vec2Hearing(Hearing):
    """``wav2vec2-nano``: torchaudio's wav2vec 2.0, convolutions on the waveform first."""

    #: (channels, kernel, stride): the published strides, 20 ms a state, with few channels.
    CONVOLUTIONS = ((64, 10, 5), *[(96, 3, 2)] * 4, *[(96, 2, 2)] * 2)

    def __init__(self, width: int, layers: int, seed: int) -> None:
        super().__init__()
        self.sizes: dict[str, object] = {
            "extractor_mode": "layer_norm",
            "extractor_conv_layer_config": self.CONVOLUTIONS,
            "extractor_conv_bias": True,
            "encoder_embed_dim": width,
            "encoder_projection_dropout": 0.0,
            "encoder_pos_conv_kernel": 31,
            "encoder_pos_conv_groups": 4,
            "encoder_num_layers": layers,
            "encoder_num_heads": 4,
            "encoder_attention_dropout": 0.0,
            "encoder_ff_interm_features": 4 * width,
            "encoder_ff_interm_dropout": 0.0,
            "encoder_dropout": 0.0,
            "encoder_layer_norm_first": True,
            "encoder_layer_drop": 0.0,
            "aux_num_out": None,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model: Wav2Vec2Model = wav2vec2_model(**self.sizes)
        self.dimension = width

    def input_of(self, waveform: Tensor) -> Tensor:
        """Waveform of zero mean and unit variance, ``(samples,)``, as wav2vec 2.0 wants it."""
        return (waveform - waveform.mean()) / waveform.std().clamp(min=1e-5)

    def pad(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Stack waveforms to ``(B, samples)``."""
        lengths = torch.tensor([len(waveform) for waveform in inputs])
        return pad_sequence([waveform.float() for waveform in inputs], batch_first=True), lengths

    def states(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """One state every 20 ms."""
        states, counts = self.model(inputs, lengths)
        places = torch.arange(states.shape[1], device=states.device)
        return states * (places < counts[:, None])[:, :, None], counts

    def shipped(self) -> tuple[dict[str, object], dict[str, Tensor]]:
        """Arguments of ``torchaudio.models.wav2vec2_model`` and the weights."""
        return self.sizes, self.model.state_dict()


HEARINGS: dict[str, type[WhisperHearing] | type[Wav2Vec2Hearing]] = {
    "nano": WhisperHearing,
    "wav2vec2_nano": Wav2Vec2Hearing,
}


class Recogniser(nn.Module):
    """An encoder with two heads: phonemes by state, manner by clip."""

    def __init__(self, hearing: Hearing, seed: int) -> None:
        super().__init__()
        self.hearing = hearing
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.phonemes = nn.Linear(hearing.dimension, 1 + len(SYMBOLS))
            self.manner = nn.Linear(hearing.dimension, len(PROSODY))

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Recognise a batch.

        Args:
            inputs: padded inputs of the encoder.
            lengths: ``(B,)``.

        Returns:
            Log-probabilities ``(B, T', symbols + 1)``, 0 being CTC's blank; the number of states
            of each clip ``(B,)``; its manner ``(B, 8)``.
        """
        states, counts = self.hearing.states(inputs, lengths)
        pooled = states.sum(dim=1) / counts[:, None]
        return self.phonemes(states).log_softmax(dim=-1), counts, self.manner(pooled)


def masked(inputs: Tensor, generator: torch.Generator) -> Tensor:
    """Hide a band and a stretch of time of spectrograms (SpecAugment, Park et al. 2019).

    Once each, not twice as published: an encoder this small is far from learning anything by heart.

    Args:
        inputs: ``(B, bands, T)``; waveforms ``(B, samples)`` are returned as they are.
        generator: source of randomness, on the CPU.
    """
    if inputs.ndim == 2:
        return inputs
    clips, bands, frames = inputs.shape
    mean = inputs.mean(dim=(1, 2), keepdim=True)
    for bands_are_hidden in (True, False):
        size = bands if bands_are_hidden else frames
        width = torch.randint(0, 13, (clips, 1), generator=generator)
        start = torch.rand(clips, 1, generator=generator) * (size - width).clamp(min=1)
        places = torch.arange(size)[None]
        hidden = ((places >= start.long()) & (places < start.long() + width)).to(inputs.device)
        hidden = hidden[:, :, None] if bands_are_hidden else hidden[:, None, :]
        inputs = torch.where(hidden, mean, inputs)
    return inputs


@torch.inference_mode()
def error_rate(
    model: Recogniser, inputs: Sequence[Tensor], phonemes: Sequence[Tensor], batch: int
) -> float:
    """Phoneme error rate of the most probable path.

    Args:
        model: the recogniser.
        inputs: what the encoder hears, one tensor a clip.
        phonemes: the truth, one tensor a clip.
        batch: clips a batch.

    Returns:
        Insertions, deletions and substitutions, divided by the number of true phonemes.
    """
    model.eval()
    edits = 0
    device = model.phonemes.weight.device
    for start in range(0, len(inputs), batch):
        padded, lengths = model.hearing.pad(inputs[start : start + batch])
        scores, counts, _ = model(padded.to(device), lengths.to(device))
        truths = phonemes[start : start + batch]
        for best, count, truth in zip(
            scores.argmax(-1).cpu(), counts.tolist(), truths, strict=True
        ):
            found = torch.unique_consecutive(best[:count])
            edits += edit_distance(found[found > 0].tolist(), truth.tolist())
    model.train()
    return edits / sum(len(truth) for truth in phonemes)
