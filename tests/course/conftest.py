"""Small notebooks for the tests of the runner, of refresh, and of nbval's settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest

Cell = str | tuple[str, Sequence[str]]


def notebook_of(cells: Sequence[Cell]) -> Any:
    """A notebook of code cells, each a source or a source with tags; ``#`` begins markdown."""
    made = []
    for cell in cells:
        source, tags = (cell, ()) if isinstance(cell, str) else cell
        if source.startswith("# "):
            made.append(nbformat.v4.new_markdown_cell(source))
        else:
            made.append(nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)}))
    return nbformat.v4.new_notebook(cells=made)


@pytest.fixture
def write_notebook() -> Callable[[Path, Sequence[Cell]], Path]:
    """Write a notebook with a title and a parameters cell in front of the given cells."""

    def write(path: Path, cells: Sequence[Cell]) -> Path:
        front: list[Cell] = ["# 99 · A test", ('PROFILE = "fast"\nSEED = 0', ["parameters"])]
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook_of([*front, *cells]), str(path))
        return path

    return write
