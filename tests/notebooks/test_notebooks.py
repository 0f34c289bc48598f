"""The committed notebooks: run top to bottom, fit to be stored, of the common shape.

No result is typed in them, nor in the pages beside them: figures come from cells and records.
Outputs are compared with new ones by ``pytest --nbval notebooks``, not here.
"""

from __future__ import annotations

import re
from pathlib import Path

import chapter_shape
import pytest
import typed_numbers

from lowser_lib.course import refresh
from lowser_lib.experiments import findings
from lowser_lib.experiments.chapters import find_chapters, read_notebook

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# By book/make_pages.py: whole pages, and parts of others.
GENERATED = {"data_cards.md", "findings.md", "ledger.md", "model_cards.md", "one_hour.md"}
PARTS = re.compile(r"<!-- (reached|ten sentences) -->.*?<!-- /\1 -->", re.DOTALL)
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted(page for page in (ROOT / "book").glob("*.md") if page.name not in GENERATED),
]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_fit_to_be_committed(path: Path) -> None:
    assert [*refresh.check(path), *chapter_shape.problems(read_notebook(path))] == []


def test_every_notebook_is_a_chapter() -> None:
    if not NOTEBOOKS:
        pytest.skip("no notebooks yet")
    assert [chapter.path for chapter in find_chapters(FOLDER)] == NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_all_findings_of_a_chapter_hold(path: Path) -> None:
    failing = [known.sentence for known in findings.collect(read_notebook(path)) if not known.holds]
    assert failing == [], "its prose says what its records do not show: mend the prose"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_result_is_typed_in_a_chapter(path: Path) -> None:
    assert typed_numbers.problems(read_notebook(path)) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_result_is_typed_in_a_page(path: Path) -> None:
    text = PARTS.sub("", path.read_text(encoding="utf-8"))
    assert typed_numbers.markdown_problems(text) == []
