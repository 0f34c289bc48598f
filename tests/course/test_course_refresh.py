"""``lowser refresh``: outputs that do not drift, and notebooks left alone when a cell fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from lowser_lib.course import refresh
from lowser_lib.errors import RunError
from lowser_lib.experiments.chapters import Chapter
from lowser_lib.experiments.records import METADATA_KEY

Write = Callable[..., Path]

CELLS = [
    "import sys\nprint('one')\nsys.stdout.flush()\nprint('two')",
    "from lowser_lib.experiments.records import record\nrecord('sum', {'value': 1})",
    "from lowser_lib.experiments.data import watched\nwatched()",
    "import os\nprint(f\"cards: [{os.environ['CUDA_VISIBLE_DEVICES']}]\")",
]


def test_refresh_is_repeatable_and_clean(
    tmp_path: Path, write_notebook: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    path = write_notebook(tmp_path / "00_a.ipynb", CELLS)
    soiled = nbformat.read(str(path), as_version=4)
    soiled.metadata["papermill"] = {"duration": 1.0}
    soiled.cells[1].metadata["papermill"] = {"duration": 1.0}
    nbformat.write(soiled, str(path))
    chapter = Chapter("00", path)

    refresh.refresh(chapter)
    first = path.read_bytes()
    refresh.refresh(chapter)
    assert path.read_bytes() == first

    notebook = nbformat.read(str(path), as_version=4)
    nbformat.validate(notebook)
    assert list(refresh.order_problems(notebook)) == []
    assert list(refresh.output_problems(notebook)) == []
    assert notebook.metadata["language_info"] == {"name": "python"}
    assert [output.text for output in notebook.cells[2].outputs] == ["one\ntwo\n"]
    assert notebook.cells[3].outputs[0].data["text/plain"] == "recorded: sum"
    assert METADATA_KEY not in notebook.cells[3].outputs[0].metadata
    # Nobody watches a refresh: no progress bar finds its way into the file.
    assert notebook.cells[4].outputs[0].data["text/plain"] == "False"
    # Stored outputs are a processor's, even where there is a card.
    assert notebook.cells[5].outputs[0].text == "cards: []\n"


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import sys\nprint('careful', file=sys.stderr)", "stderr"),
        ("object()", "memory address"),
    ],
)
def test_unfit_notebooks_are_left_as_they_were(
    tmp_path: Path, write_notebook: Write, cell: str, words: str
) -> None:
    path = write_notebook(tmp_path / "00_a.ipynb", [cell])
    before = path.read_bytes()
    with pytest.raises(RunError, match=words):
        refresh.refresh(Chapter("00", path))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["00_a.ipynb"]


def ran(*counts: int | None) -> Any:
    cells = [nbformat.v4.new_code_cell("1", execution_count=count) for count in counts]
    return nbformat.v4.new_notebook(cells=cells)


@pytest.mark.parametrize(
    ("counts", "words"),
    [((1, 3), "run as number 3"), ((2, 1), "run as number 2"), ((1, None), "not run")],
)
def test_order_is_checked(counts: tuple[int | None, ...], words: str) -> None:
    assert list(refresh.order_problems(ran(1, 2, 3))) == []
    (problem,) = refresh.order_problems(ran(*counts))
    assert words in problem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<Thing at 0x7f3a2b1c9d>", "memory address"),
        (" 50%|#####     | 5/10 [00:01<00:01]", "progress bar"),
        ("written to /home/me/file", "absolute path"),
    ],
)
def test_drifting_outputs_are_named(text: str, words: str) -> None:
    notebook = ran(1)
    notebook.cells[0].outputs = [nbformat.v4.new_output("stream", text=text)]
    (problem,) = refresh.output_problems(notebook)
    assert words in problem


def test_ordinary_outputs_are_no_problem() -> None:
    notebook = ran(1)
    page = '<audio src="data:audio/mpeg;base64,AA/home/x/tmp/yy"></audio> 50% | 3/4 and/or </table>'
    notebook.cells[0].outputs = [nbformat.v4.new_output("display_data", {"text/html": page})]
    assert list(refresh.output_problems(notebook)) == []


def test_large_files_are_named(tmp_path: Path, write_notebook: Write) -> None:
    path = write_notebook(tmp_path / "00_a.ipynb", ["# " + "x" * refresh.MAX_BYTES])
    assert any("more than 600 KB" in problem for problem in refresh.check(path))


def test_ids_are_unique_and_follow_the_content() -> None:
    left, two = ran(1, 2, 3), ran(1, 2, 3)
    two.cells[1].source = "other"
    refresh.normalise(left)
    refresh.normalise(two)
    ids = [[cell["id"] for cell in notebook.cells] for notebook in (left, two)]
    assert len(set(ids[0])) == 3
    assert ids[0][0] == ids[1][0]
    assert ids[0][1] != ids[1][1]


def test_what_is_no_notebook_is_named(tmp_path: Path) -> None:
    path = tmp_path / "00_a.ipynb"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(RunError, match="00_a"):
        refresh.check(path)
