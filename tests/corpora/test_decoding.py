"""Lengths: announced, unknown and cut short."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lowser_lib.corpora import decoding
from lowser_lib.errors import AudioError


def _swell(rate: int, seconds: float, channels: int = 1) -> np.ndarray:
    """A tone that begins softly, so that a guess by the first frames' size is far off."""
    count = round(rate * seconds)
    time = np.arange(count) / rate
    tone = 0.2 * np.sin(2 * np.pi * 180 * time) * np.linspace(0, 1, count) ** 3
    hiss = 0.01 * np.random.default_rng(0).standard_normal(count)
    tone += hiss * (time > seconds / 2)
    return np.stack([tone] * channels, axis=1)


def _bytes(samples: np.ndarray, rate: int, kind: str, subtype: str | None = None) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=kind, subtype=subtype)
    return stream.getvalue()


def _headerless(data: bytes) -> bytes:
    """An mp3 without its first frame, which announces the number of frames."""
    assert b"Xing" in data[:200] or b"Info" in data[:200]
    following = data.index(b"\xff" + data[1:2], 4)
    return data[following:]


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_an_mp3_that_announces_no_length_is_decoded_to_its_end(
    tmp_path: Path, rate: int, channels: int
) -> None:
    samples = _swell(rate, 3.0, channels)
    whole = _bytes(samples, rate, "MP3")
    data = _headerless(whole)
    path = tmp_path / "stream.mp3"
    path.write_bytes(data)
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        assert abs(file.frames - len(samples)) > 3 * 1152  # the guess is no good
    decoded, found_rate = decoding.decode(path)
    assert found_rate == rate
    # An encoder's delay and the last frame's filling: at most three frames.
    assert 0 <= len(decoded) - len(samples) <= 3 * 1152
    assert decoding.read_header(path) == (len(decoded) / rate, rate)
    quarter = len(decoded) // 4
    assert np.sqrt((decoded[-2 * quarter : -quarter] ** 2).mean()) > 0.02  # the loud end is there


def test_an_mp3_with_notes_and_with_rubbish_between_frames_is_read(tmp_path: Path) -> None:
    data = _headerless(_bytes(_swell(16000, 2.0), 16000, "MP3"))
    notes = b"ID3\x04\0\0\0\0\x0f\x7f" + bytes(0x0F * 128 + 0x7F)
    for number, content in enumerate((notes + data, data + b"TAG" + bytes(125))):
        path = tmp_path / f"{number}.mp3"
        path.write_bytes(content)
        assert len(decoding.decode(path)[0]) >= 32000


def test_a_streamed_flac_without_a_count_is_decoded_to_its_end(tmp_path: Path) -> None:
    samples = _swell(48000, 2.0)
    data = bytearray(_bytes(samples, 48000, "FLAC"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path = tmp_path / "stream.flac"
    path.write_bytes(data)
    decoded, _ = decoding.decode(path)
    assert decoded.shape == samples.shape
    assert np.abs(decoded - samples).max() <= 2**-15
    assert decoding.read_header(path) == (2.0, 48000)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(AudioError, match="cannot be decoded"):
        decoding.decode(path)


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
def test_an_ogg_without_its_end_mark_is_read(tmp_path: Path, subtype: str) -> None:
    data = bytearray(_bytes(_swell(48000, 2.0), 48000, "OGG", subtype))
    page = data.rfind(b"OggS")
    assert data[page + 5] & 4
    repaired = decoding._with_end_mark(bytes(data))
    assert repaired == bytes(data)  # mark and checksum are what libsndfile wrote
    data[page + 5] &= ~4
    path = tmp_path / "note.ogg"
    path.write_bytes(data)
    assert len(decoding.decode(path)[0]) == 96000
    assert decoding.read_header(path) == (2.0, 48000)
    path.write_bytes(data[:-20])
    with pytest.raises(AudioError, match="last page of an Ogg stream is incomplete"):
        decoding.decode(path)


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF"])
@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_part_of_an_uncompressed_file_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    samples = _swell(16000, 1.0)
    data = _bytes(samples, 16000, kind, "PCM_16")
    path = tmp_path / "clip"
    path.write_bytes(data)
    assert len(decoding.decode(path)[0]) == 16000
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(AudioError, match=r"cut short \(\d+ bytes of sound announced"):
        decoding.decode(path)


def test_an_au_that_announces_no_length_is_read(tmp_path: Path) -> None:
    data = bytearray(_bytes(_swell(16000, 1.0), 16000, "AU", "PCM_16"))
    data[8:12] = b"\xff" * 4
    (tmp_path / "clip.au").write_bytes(data)
    assert len(decoding.decode(tmp_path / "clip.au")[0]) == 16000


def test_headers_say_plainly_why_a_file_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x1cftypM4A " + bytes(400))
    (tmp_path / "x.raw").write_bytes(b"\0\1" * 16000)
    (tmp_path / "f.wav").mkdir()
    reasons = {
        name: str(decoding.read_header(tmp_path / name))
        for name in ("a.m4a", "x.raw", "f.wav", "y" * 5000, "a\0.wav", "none.wav")
    }
    assert "m4a" in reasons["a.m4a"]
    assert "ffmpeg" in reasons["a.m4a"]
    assert reasons["x.raw"] == "cannot be read: Format not recognised."
    assert reasons["f.wav"] == "a folder, not a sound file"
    assert reasons["y" * 5000].startswith("cannot be opened: File name too long")
    assert reasons["a\0.wav"].startswith("cannot be opened")
    assert reasons["none.wav"] == "the file is missing"
