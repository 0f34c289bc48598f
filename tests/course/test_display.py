"""Folded questions and wrapped tables."""

from __future__ import annotations

import base64
import io
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from lowser_lib.course import display
from lowser_lib.course.display import PEAK, SANITIZE, Sound, listen, listen_row
from lowser_lib.errors import AudioError


def test_every_option_explains_itself() -> None:
    question = display.choices("Which?", {"A": "too low.", "B": "it is 2 < 3."}, right="B")
    html = question._repr_html_()
    assert re.findall(r"<summary>(.*?)</summary>", html) == ["A", "B"]
    assert re.findall(r"<div style[^>]*>(.*?)</div>", html) == [
        "No: too low.",
        "Right: it is 2 &lt; 3.",
    ]


def test_text_form_keeps_the_answers_to_itself() -> None:
    question = display.choices("Which?", {"A": "too low.", "B": "yes."}, right="B")
    assert repr(question) == "Which?\n- A\n- B"
    assert "sad" not in repr(display.reveal("What is A?", "sad"))


def test_reveal_hides_one_answer() -> None:
    html = display.reveal("What is A?", "sad", click="Look")._repr_html_()
    assert html.index("<summary>Look</summary>") < html.index("sad")
    assert html.count("<details") == html.count("</details>") == 1


@pytest.mark.parametrize("options", [{}, {"A": "alone"}, {"A": "one", "C": "two"}])
def test_a_question_needs_options_and_a_right_one(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="right='B'"):
        display.choices("Which?", options, right="B")


def test_table_keeps_long_cells_whole() -> None:
    long = "word " * 40
    frame = pd.DataFrame({"name": ["a<b", "c"], "text": [f"two\nlines {long}", 3]})
    shown = display.table(frame)
    html = shown._repr_html_()
    assert re.findall(r"<th [^>]*>(.*?)</th>", html) == ["name", "text"]
    assert re.findall(r"<td [^>]*>(.*?)</td>", html) == [
        "a&lt;b",
        f"two lines {long.strip()}",
        "c",
        "3",
    ]
    assert repr(shown).splitlines()[0] == "name | text"
    assert repr(shown).splitlines()[2] == "c | 3"


def test_a_table_shows_its_caption_in_both_forms() -> None:
    shown = display.table(pd.DataFrame({"a": ["x"]}), caption="Voices & words")
    assert repr(shown).splitlines()[0] == "Voices & words"
    assert '<table class="table"><caption>Voices &amp; words</caption>' in shown._repr_html_()
    assert "<caption>" not in display.table(pd.DataFrame({"a": ["x"]}))._repr_html_()


# Sounds in notebooks: small, playable, and out of nbval's sight


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


def test_a_file_is_asked_for_only_where_somebody_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(display, "display", shown.append)
    display.ask_for_sound(lambda path: path)
    assert shown == []
    monkeypatch.setattr(display, "watched", lambda: True)

    def hear(path: Path) -> str:
        if path.suffix == ".m4a":
            raise AudioError(f"{path.name} cannot be read")
        return f"{path.name}: {len(path.read_bytes())} bytes"

    display.ask_for_sound(hear)
    button, _ = shown[0].children
    assert button.accept == "audio/*"
    upload = {"name": "../a.wav", "type": "audio/wav", "size": 4, "content": memoryview(b"RIFF"),
              "last_modified": datetime.now(UTC)}  # fmt: skip
    button.value = (upload,)
    assert shown[1] == "a.wav: 4 bytes"
    button.value = ({**upload, "name": "a.m4a"},)
    assert "a.m4a cannot be read" in capsys.readouterr().out
