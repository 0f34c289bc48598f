"""The chapters as files: finding notebooks, reading titles, fingerprinting sources."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from lowser_lib.errors import RunError

_FILE = re.compile(r"(\d\d)_.+\.ipynb")


@dataclass(frozen=True)
class Chapter:
    """One notebook of the course.

    Attributes:
        number: Two digits.
        path: The notebook.
    """

    number: str
    path: Path


def find_chapters(notebooks: Path, wanted: Sequence[str] | None = None) -> list[Chapter]:
    """List the chapters of a folder, sorted by number.

    Args:
        notebooks: Folder that holds ``00_....ipynb`` and so on.
        wanted: Numbers such as ``3`` or ``03``; None takes all.

    Raises:
        RunError: There are no notebooks, or a wanted number has none.
    """
    chapters = {}
    for path in sorted(notebooks.glob("*.ipynb")):
        match = _FILE.fullmatch(path.name)
        if match:
            chapters[match[1]] = Chapter(match[1], path)
    if not chapters:
        raise RunError(f"no notebooks named NN_title.ipynb in {notebooks}")
    if wanted is None:
        return list(chapters.values())
    numbers = sorted({number.zfill(2) for number in wanted})
    missing = [number for number in numbers if number not in chapters]
    if missing:
        raise RunError(f"no chapter {', '.join(missing)}; there are {', '.join(chapters)}")
    return [chapters[number] for number in numbers]


def read_notebook(path: Path) -> Any:
    """Read a notebook as a node of nbformat 4.

    Raises:
        RunError: The file is missing or no notebook.
    """
    try:
        return nbformat.read(str(path), as_version=4)
    except (OSError, ValueError, nbformat.reader.NotJSONError) as error:
        raise RunError(f"{path} cannot be read as a notebook: {error}") from error


def title(notebook: Any, default: str) -> str:
    """The first heading of a notebook node, without its mark; ``default`` where there is none."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                if line.startswith("# "):
                    return str(line[2:].strip())
    return default


def source_hash(notebook: Any) -> str:
    """SHA-256 of what a notebook node does: its cells' kinds, sources and tags, outputs aside."""
    cells = [
        [cell.cell_type, cell.source, sorted(cell.metadata.get("tags", []))]
        for cell in notebook.cells
    ]
    return hashlib.sha256(json.dumps(cells).encode("utf-8")).hexdigest()
