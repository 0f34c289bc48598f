"""Folded questions and wrapped tables."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from lowser_lib.course import display


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
