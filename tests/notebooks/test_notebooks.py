"""The committed notebooks: run top to bottom, fit to be stored, and of the common shape.

Their outputs are compared with new ones by ``pytest --nbval notebooks``, not here.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lowser_lib.course import refresh
from lowser_lib.course.chapters import find_chapters

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_fit_to_be_committed(path: Path) -> None:
    assert refresh.check(path) == []


def test_every_notebook_is_a_chapter() -> None:
    if not NOTEBOOKS:
        pytest.skip("no notebooks yet")
    assert [chapter.path for chapter in find_chapters(FOLDER)] == NOTEBOOKS
