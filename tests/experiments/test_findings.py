"""Findings: what is shown, what travels with it, and what is no finding."""

from __future__ import annotations

from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from lowser_lib.experiments import findings
from lowser_lib.experiments.findings import Finding, finding

ROOT = Path(__file__).parents[2]


def executed(*cells: str) -> nbformat.NotebookNode:
    """A notebook of these cells, run."""
    start = "from lowser_lib.experiments.findings import finding"
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in (start, *cells)]
    )
    NotebookClient(book, kernel_name="python3", timeout=120).execute()
    return book


def test_a_notebook_keeps_its_findings() -> None:
    book = executed(
        "finding('Stage one lifts Urdu by {gain:.0f} points', holds=True, gain=5.2)",
        "finding('It lifts German', holds=0.1 > 0.2)",
    )
    assert list(findings.collect(book)) == [
        Finding("Stage one lifts Urdu by 5 points", True, {"gain": 5.2}),
        Finding("It lifts German", False, {}),
    ]
    shown = [output["data"]["text/plain"] for cell in book.cells for output in cell.outputs]
    assert shown == [
        "✓ holds: Stage one lifts Urdu by 5 points",
        "✗ does not hold here: It lifts German",
    ]
    table = findings.table({"04": book})
    assert table["holds"].tolist() == [True, False] and set(table["chapter"]) == {"04"}


def test_the_code_tells_which_findings_speak_of_people() -> None:
    """By what is read: a name that held people's figures and was filled anew holds them no more."""
    book = executed(
        "people = type('P', (), {'measured': staticmethod(lambda name: {'gain': 1.0})})\n"
        "on_people = people.measured('04-gain')\n"
        "if on_people:\n    gain = on_people['gain']\n"
        "    finding('It gains {gain:.1f}', True, gain=gain)",
        "gain = 2.0\nfinding('There it gains {gain:.1f}', True, gain=gain)",
        "rows = {'open': 3.0, 'fast': 4.0}\n"
        "for name, text in (('a', 'One has {v:.1f}'), ('b', 'Two have {v:.1f}')):\n"
        "    finding(text, True, v=rows['fast'])",
        "finding('Of people {v:.1f}', True, v=rows['open'])\n"
        "finding('On synthetic speech {v:.1f}', True, v=rows['open'])",
    )
    found = findings.of_people(book)
    assert [known.sentence for _, known, _ in found] == [
        "It gains 1.0", "There it gains 2.0", "One has 4.0", "Two have 4.0", "Of people 3.0",
        "On synthetic speech 3.0",
    ]  # fmt: skip
    assert [people for *_, people in found] == [True, False, False, False, True, False]
    assert [cell for cell, *_ in found] == [1, 2, 3, 3, 4, 4]


@pytest.mark.parametrize(
    ("sentence", "holds", "values", "message"),
    [
        ("It is {gain}", True, {}, "place without a value"),
        ("It is so", True, {"gain": 1}, "no place for gain"),
        ("It is so", 0.3, {}, "holds must be True or False"),
        ("It is so", None, {}, "holds must be True or False"),
    ],
)
def test_what_is_no_finding(
    sentence: str, holds: bool, values: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        finding(sentence, holds, **values)


def test_a_comparison_of_numpy_is_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    finding("It is {gain:+.1f}", holds=np.float64(2) > 1, gain=np.float64(2))  # type: ignore[arg-type]
    assert "✓ holds: It is +2.0" in capsys.readouterr().out
