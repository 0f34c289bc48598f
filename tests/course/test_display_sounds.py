"""Sounds in notebooks: small, playable, and out of nbval's sight."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from lowser_lib.course.display import PEAK, SANITIZE, Sound, listen, listen_row

RATE = 16_000


def tone(seconds: float, amplitude: float = 0.3) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * 220 * time)).astype(np.float32)


def decoded(content: bytes) -> np.ndarray:
    samples, rate = soundfile.read(io.BytesIO(content))
    assert rate == RATE
    return samples


def loudness(content: bytes) -> float:
    samples = decoded(content)
    return float(np.sqrt(np.mean(samples[4000:-4000] ** 2)))


def test_a_sound_is_small_and_plays_back() -> None:
    sound = listen(tone(2.5), title="a voice")
    (content,) = sound.encoded
    assert 1_000 < len(content) < 12_000
    assert len(decoded(content)) / RATE == pytest.approx(2.5, abs=0.15)
    embedded = re.search(r'src="data:audio/mpeg;base64,([^"]*)"', sound._repr_html_())
    assert embedded is not None
    assert base64.b64decode(embedded[1]) == content
    assert repr(sound) == "Sound: a voice, 2.50 s"


def test_titles_are_shown_and_escaped() -> None:
    page = listen(tone(0.5), title='<b>"x"')._repr_html_()
    assert "<b>" not in page
    assert "&lt;b&gt;&quot;x&quot;" in page


def test_faint_sounds_are_lifted_and_silence_is_left_alone() -> None:
    full = PEAK / np.sqrt(2)
    assert loudness(listen(tone(1.0, 0.2)).encoded[0]) == pytest.approx(full, rel=0.05)
    assert loudness(listen(tone(1.0, 0.01)).encoded[0]) < 0.2
    assert loudness(listen(np.zeros(RATE)).encoded[0]) == 0.0


def test_a_row_may_keep_differences_in_loudness() -> None:
    waves = {"loud": tone(1.0, 0.5), "soft": tone(1.0, 0.125)}
    each = [loudness(content) for content in listen_row(waves).encoded]
    kept = [loudness(content) for content in listen_row(waves, same_gain=True).encoded]
    assert each[0] == pytest.approx(each[1], rel=0.05)
    assert kept[0] / kept[1] == pytest.approx(4.0, rel=0.05)
    assert listen_row(waves)._repr_html_().count("<audio") == 2


def test_tensors_are_welcome() -> None:
    wave = torch.from_numpy(tone(0.5)).requires_grad_()
    assert listen(wave).encoded == listen(tone(0.5)).encoded


@pytest.mark.parametrize(
    ("wave", "words"),
    [
        (np.zeros((2, 100)), r"\(2, 100\)"),
        (np.zeros(0), r"\(0,\)"),
        (np.array([0.0, np.nan]), "finite"),
    ],
)
def test_unfit_waveforms_are_named(wave: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        listen(wave)
    with pytest.raises(ValueError, match="empty"):
        listen_row({})


def test_nbval_sees_the_same_page_for_other_bytes() -> None:
    first = Sound(("a",), (1.0,), (b"one",))._repr_html_()
    two = Sound(("a",), (1.0,), (b"another",))._repr_html_()
    relabelled = Sound(("b",), (1.0,), (b"one",))._repr_html_()
    pattern, word = SANITIZE
    assert first != two
    assert re.sub(pattern, word, first) == re.sub(pattern, word, two)
    assert re.sub(pattern, word, first) != re.sub(pattern, word, relabelled)


def test_the_settings_of_nbval_are_this_pattern() -> None:
    settings = Path(__file__).resolve().parents[1] / "nbval_sanitize.cfg"
    text = settings.read_text(encoding="utf-8")
    assert re.findall(r"^regex: (.*)\nreplace: (.*)$", text, re.MULTILINE) == [SANITIZE]
