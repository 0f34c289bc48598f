"""``pytest --nbval notebooks`` as it is set up here: every printed figure counts, pixels do not.

A tiny notebook is executed, then the stored output of each of its cells is altered: a printed
figure, a figure in a table, the label of a sound; and, which must not matter, a picture's and a
sound's bytes. nbval judges cell by cell.
"""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from lowser_lib.course import refresh
from lowser_lib.experiments import paths
from lowser_lib.experiments.chapters import Chapter

PROJECT = Path(__file__).resolve().parents[2]

PRINT = 'print(f"UAR {0.512:.3f}")'
TABLE = "import pandas as pd\npd.DataFrame({'UAR': [0.25, 0.5]}, index=['Urdu', 'German'])"
SOUND = """\
import numpy as np
from lowser_lib.course.display import listen
listen(np.sin(np.arange(8000) / 10), title='a tone')"""
PICTURE = """\
import base64
from IPython.display import display
pixels = base64.b64encode(b'pixels').decode()
display({'image/png': pixels, 'text/plain': 'Figure'}, raw=True)"""


def printed(output: Any) -> None:
    output.text = "UAR 0.513\n"


def table(output: Any) -> None:
    output.data["text/html"] = output.data["text/html"].replace("0.25", "0.26")


def label(output: Any) -> None:
    output.data["text/html"] = output.data["text/html"].replace("a tone", "a voice")


def gone(output: Any) -> None:
    output.text = ""


def caption(output: Any) -> None:
    output.data["text/plain"] = "Another figure"


def picture(output: Any) -> None:
    output.data["image/png"] = "b3RoZXI=\n"


def sound(output: Any) -> None:
    output.data["text/html"] = re.sub(r"base64,[^\"]*", "base64,AAAA", output.data["text/html"])


ALTERATIONS: list[tuple[str, Callable[[Any], None], bool]] = [
    (PRINT, printed, False),
    (TABLE, table, False),
    (SOUND, label, False),
    (PRINT, gone, False),
    (PICTURE, caption, False),
    (PICTURE, picture, True),
    (SOUND, sound, True),
]
"""A cell, what is done to its stored output, and whether nbval should let that pass."""


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[bool]]:
    """Whether nbval passes each cell, for the untouched and the altered notebook."""
    folder = tmp_path_factory.mktemp("project")
    notebooks = folder / "notebooks"
    notebooks.mkdir()
    (folder / "tests").mkdir()
    (folder / "pyproject.toml").write_text("", encoding="utf-8")
    shutil.copy(PROJECT / "notebooks" / "conftest.py", notebooks)
    shutil.copy(PROJECT / "tests" / "nbval_sanitize.cfg", folder / "tests")
    original = notebooks / "untouched.ipynb"
    cells = [nbformat.v4.new_code_cell(source) for source, _, _ in ALTERATIONS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), str(original))
    refresh.refresh(Chapter("00", original))
    altered = copy.deepcopy(nbformat.read(str(original), as_version=4))
    for cell, (_, alter, _) in zip(altered.cells, ALTERATIONS, strict=True):
        before = copy.deepcopy(cell.outputs[0])
        alter(cell.outputs[0])
        assert cell.outputs[0] != before
    nbformat.write(altered, str(notebooks / "altered.ipynb"))
    # From another folder on purpose: the settings must not depend on where pytest is started.
    options = ["--nbval", "-q", "-rA", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(notebooks)],
        cwd=folder.parent,
        env={**os.environ, **paths.kernel_environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    line = re.compile(r"^(PASSED|FAILED) .*?(\w+)\.ipynb::Cell (\d+)", re.MULTILINE)
    result = {
        (name, int(number)): verdict == "PASSED"
        for verdict, name, number in line.findall(done.stdout)
    }
    assert len(result) == 2 * len(ALTERATIONS), done.stdout + done.stderr
    return {
        name: [result[name, number] for number in range(len(ALTERATIONS))]
        for name in ("untouched", "altered")
    }


def test_untouched_outputs_pass(verdicts: dict[str, list[bool]]) -> None:
    assert all(verdicts["untouched"])


@pytest.mark.parametrize(
    "position", range(len(ALTERATIONS)), ids=lambda i: ALTERATIONS[i][1].__name__
)
def test_words_and_figures_count_and_bytes_do_not(
    verdicts: dict[str, list[bool]], position: int
) -> None:
    _, _, passes = ALTERATIONS[position]
    assert verdicts["altered"][position] is passes
