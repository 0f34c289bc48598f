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
