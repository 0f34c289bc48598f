"""The mel view: against openai-whisper, in closed form, and on bad input."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import whisper
from hypothesis import given, settings, strategies as st
from torch import Tensor

from lowser_lib.errors import AudioError
from lowser_lib.views import MelView, log_mel, pad_mels
from lowser_lib.views.mel import mel_filters


def noise(samples: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("samples", [201, 319, 320, 16_000, 40_001, 12 * 16_000])
def test_equals_openai_whisper_on_the_clips_own_length(n_mels: int, samples: int) -> None:
    waveform = noise(samples)
    expected = whisper.log_mel_spectrogram(waveform, n_mels=n_mels)
    torch.testing.assert_close(log_mel(waveform, n_mels), expected, rtol=0, atol=1e-6)


def test_equals_openai_whisper_on_real_speech(corpora_root: Path) -> None:
    files = sorted((corpora_root / "urdu").rglob("*.wav"))[::50]
    assert files
    for file in files:
        waveform = torch.from_numpy(soundfile.read(file, dtype="float32")[0])
        expected = whisper.log_mel_spectrogram(waveform)
        torch.testing.assert_close(log_mel(waveform), expected, rtol=0, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(samples=st.integers(201, 5_000), n_mels=st.sampled_from([80, 128]))
def test_one_frame_every_160_samples(samples: int, n_mels: int) -> None:
    mel = log_mel(noise(samples, seed=samples), n_mels)
    assert mel.shape == (n_mels, samples // 160)
    assert mel.dtype == torch.float32
    assert float(mel.max() - mel.min()) <= 2.0 + 1e-6


def test_ten_times_softer_is_half_a_unit_lower() -> None:
    # 20 dB are two decades of power; the spectrogram divides decades by four.
    waveform = noise(8_000)
    torch.testing.assert_close(log_mel(waveform / 10), log_mel(waveform) - 0.5, rtol=0, atol=1e-5)


def test_silence_is_the_floor() -> None:
    mel = log_mel(torch.zeros(4_000))  # (log10(1e-10) + 4) / 4
    torch.testing.assert_close(mel, torch.full_like(mel, -1.5))


def test_a_tone_is_loudest_in_its_own_band() -> None:
    time = torch.arange(16_000) / 16_000
    mel = log_mel(torch.sin(2 * torch.pi * 1_000 * time))
    tone_bin = 25  # 1000 Hz at 40 Hz a bin
    assert set(mel[:, 5:-5].argmax(dim=0).tolist()) == {int(mel_filters()[:, tone_bin].argmax())}


def test_precision_does_not_drop_inside_autocast() -> None:
    waveform = noise(8_000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = log_mel(waveform)
    torch.testing.assert_close(inside, log_mel(waveform), rtol=0, atol=0)


def test_double_precision_input_is_taken() -> None:
    waveform = noise(8_000)
    torch.testing.assert_close(log_mel(waveform.double()), log_mel(waveform), rtol=0, atol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_equals_cpu() -> None:
    waveform = noise(40_000)
    mel = log_mel(waveform.cuda())
    assert mel.is_cuda
    torch.testing.assert_close(mel.cpu(), log_mel(waveform), rtol=0, atol=1e-4)


@pytest.mark.parametrize("samples", [0, 1, 200])
def test_too_short_a_clip_is_an_audio_error(samples: int) -> None:
    with pytest.raises(AudioError, match=f"{samples} samples is too short"):
        log_mel(noise(samples))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_a_number_is_an_audio_error(value: float) -> None:
    waveform = noise(1_000)
    waveform[500] = value
    with pytest.raises(AudioError, match="NaN or infinite"):
        log_mel(waveform)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"waveform.*\(1, 400\)"):
        log_mel(noise(400)[None])
    with pytest.raises(ValueError, match=r"waveform.*int16"):
        log_mel(torch.zeros(400, dtype=torch.int16))
    with pytest.raises(ValueError, match=r"n_mels.*64"):
        log_mel(noise(400), n_mels=64)
    with pytest.raises(ValueError, match=r"n_mels.*40"):
        MelView(n_mels=40)


def test_padding_keeps_every_clip_and_its_length() -> None:
    mels = [log_mel(noise(samples)) for samples in (3_200, 800, 1_600)]
    batch, lengths = pad_mels(mels)
    assert batch.shape == (3, 80, 20)
    assert lengths.dtype == torch.int64
    assert lengths.tolist() == [20, 5, 10]
    for clip, mel, length in zip(batch, mels, lengths, strict=True):
        torch.testing.assert_close(clip[:, :length], mel, rtol=0, atol=0)


def test_what_cannot_be_padded_is_named() -> None:
    with pytest.raises(ValueError, match="mels is empty"):
        pad_mels([])
    with pytest.raises(ValueError, match=r"mels\[1\].*\(128, 4\)"):
        pad_mels([torch.zeros(80, 4), torch.zeros(128, 4)])
    with pytest.raises(ValueError, match=r"mels\[0\].*\(80, 0\)"):
        pad_mels([torch.zeros(80, 0)])
    with pytest.raises(ValueError, match=r"mels\[1\]"):
        pad_mels([torch.zeros(80, 4), torch.zeros(4)])


def test_the_view_is_the_function() -> None:
    view = pickle.loads(pickle.dumps(MelView(n_mels=128)))  # it travels to worker processes
    waveform = noise(4_000)
    array = view.extract(waveform.numpy())
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, log_mel(waveform, 128).numpy())
    assert view.name == "mel"
    assert view.settings["n_mels"] == 128  # with whatever else the cache has to know
    backwards = waveform.numpy()[::-1]  # negative strides, which torch does not take
    np.testing.assert_array_equal(view.extract(backwards), log_mel(waveform.flip(0), 128).numpy())
