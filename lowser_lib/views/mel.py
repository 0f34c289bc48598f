"""The log-mel spectrogram that a Whisper encoder reads, on the clip's own length.

Whisper was trained on spectrograms of exactly 30 s: shorter speech was padded with silence. Here a
clip keeps its own length, one frame every 10 ms; the encoder crops its positions to match. All
constants are those of Radford et al. 2023, *Robust Speech Recognition via Large-Scale Weak
Supervision* (section 2.2), and the mel filters are the file that openai-whisper ships.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lowser_lib.errors import AudioError, require

#: Samples a window of the short-time Fourier transform: 25 ms at 16 kHz.
WINDOW = 400
#: Samples from one frame to the next: 10 ms at 16 kHz.
HOP = 160
#: The numbers of mel bands that Whisper models were trained with (128 from large-v3 on).
MEL_BANDS = (80, 128)
#: The fewest samples that have a spectrogram. The transform centres its first window on the first
#: sample and mirrors half a window of sound around it, so it needs one sample more than that half.
MINIMUM_SAMPLES = WINDOW // 2 + 1


@lru_cache(maxsize=8)
def mel_filters(n_mels: int = 80, device: torch.device | None = None) -> Tensor:
    """The triangular mel filters that openai-whisper ships, as a matrix.

    Args:
        n_mels: number of mel bands, 80 or 128.
        device: where the matrix shall lie; the CPU by default.

    Returns:
        float32 tensor ``(n_mels, 201)``: weight of each frequency bin (0 to 8000 Hz) in each band.

    Raises:
        ValueError: ``n_mels`` is neither 80 nor 128.
    """
    require(MEL_BANDS, n_mels=n_mels)
    # Only the folder is wanted: importing whisper itself would also load its speech recogniser.
    package = importlib.util.find_spec("whisper")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("openai-whisper is not installed: run `make setup`")
    asset = Path(package.submodule_search_locations[0]) / "assets" / "mel_filters.npz"
    with np.load(asset, allow_pickle=False) as filters:
        return torch.from_numpy(filters[f"mel_{n_mels}"]).to(device)


def log_mel(waveform: Tensor, n_mels: int = 80) -> Tensor:
    """Log-mel spectrogram of one clip, equal to openai-whisper's on the clip's own length.

    The floor, 8 decades (80 dB) below the loudest point, is set by this clip alone. Taking it over
    a batch would let a loud neighbour change a quiet clip.

    Args:
        waveform: ``(samples,)``, 16 kHz, in [-1, 1]; on any device.
        n_mels: number of mel bands, 80 or 128.

    Returns:
        float32 tensor ``(n_mels, samples // 160)`` on the waveform's device, between -1.5 (silence)
        and about 2, loudest and softest point at most 2 apart: 8 decades, divided by 4.

    Raises:
        ValueError: the waveform is not a row of floating-point numbers, or ``n_mels`` is unknown.
        AudioError: the clip is shorter than 201 samples, or holds NaN or infinite values.
    """
    if waveform.ndim != 1 or not waveform.is_floating_point():
        raise ValueError(
            "waveform must be floating point, of shape (samples,), "
            f"not {waveform.dtype} of shape {tuple(waveform.shape)}"
        )
    if len(waveform) < MINIMUM_SAMPLES:
        raise AudioError(
            f"a clip of {len(waveform)} samples is too short for a spectrogram: it needs at least "
            f"{MINIMUM_SAMPLES} (12.6 ms at 16 kHz); leave it out of the manifest"
        )
    waveform = waveform.to(torch.float32)
    if not bool(torch.isfinite(waveform).all()):
        raise AudioError(
            "the waveform holds NaN or infinite values; check the file it was read from"
        )

    filters = mel_filters(n_mels, waveform.device)
    # Inside mixed-precision training the product would otherwise be rounded to 8 bits.
    with torch.autocast(waveform.device.type, enabled=False):
        spectrum = torch.stft(
            waveform,
            n_fft=WINDOW,
            hop_length=HOP,
            window=torch.hann_window(WINDOW, device=waveform.device),
            return_complex=True,
        )
        # samples // 160 + 1 frames are centred inside the clip; Whisper drops the last of them.
        power = spectrum[:, :-1].abs() ** 2
        decades = torch.clamp(filters @ power, min=1e-10).log10()
    decades = torch.maximum(decades, decades.max() - 8.0)
    return (decades + 4.0) / 4.0


def pad_mels(mels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Put spectrograms of different lengths into one batch.

    The padding is zero, which is no more silent than any other number (silence lies at the clip's
    own floor). It does not matter: :class:`lowser_lib.encoders.WhisperEncoder` never reads it.

    Args:
        mels: one or more tensors ``(n_mels, T_i)``, with the same ``n_mels``.

    Returns:
        The batch ``(B, n_mels, max T_i)`` and the lengths ``(B,)`` in frames, as int64 on the CPU.

    Raises:
        ValueError: there is nothing to pad, or a tensor has another shape than the others.
    """
    if not mels:
        raise ValueError("mels is empty: a batch needs at least one spectrogram")
    for index, mel in enumerate(mels):
        if mel.ndim != 2 or mel.shape[0] != mels[0].shape[0] or mel.shape[1] == 0:
            raise ValueError(
                f"mels[{index}] has shape {tuple(mel.shape)}; expected ({mels[0].shape[0]}, frames)"
            )
    lengths = torch.tensor([mel.shape[1] for mel in mels])
    batch = pad_sequence([mel.T for mel in mels], batch_first=True).transpose(1, 2).contiguous()
    return batch, lengths


class MelView:
    """The mel view: waveform in, log-mel spectrogram out.

    Attributes:
        name: ``"mel"``.
        settings: all that changes the result, for the cache's key.
    """

    name = "mel"

    def __init__(self, n_mels: int = 80) -> None:
        """Choose the number of mel bands.

        Args:
            n_mels: 80, or 128 for Whisper large-v3 and turbo.

        Raises:
            ValueError: ``n_mels`` is neither 80 nor 128.
        """
        require(MEL_BANDS, n_mels=n_mels)
        self.n_mels = n_mels
        self.settings: Mapping[str, object] = {"n_mels": n_mels, "version": 1}

    def extract(self, waveform: np.ndarray) -> np.ndarray:
        """Extract the view of one clip; see :func:`log_mel`.

        Args:
            waveform: float32 ``(samples,)``, 16 kHz, in [-1, 1].

        Returns:
            float32 ``(n_mels, samples // 160)``.
        """
        samples = torch.as_tensor(np.ascontiguousarray(waveform, dtype=np.float32))
        return log_mel(samples, self.n_mels).numpy()

    def __repr__(self) -> str:
        return f"MelView(n_mels={self.n_mels})"
