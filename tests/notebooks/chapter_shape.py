"""The shape that all chapters share, so that notebooks written at different times read as one hand.

A chapter has, in this order:

- a title (``# 03 · Whisper baseline``), a heading with the word *objectives*, the minutes it takes
  (``about 25 minutes``) and what it needs;
- one cell tagged ``parameters``: ``PROFILE = "fast"`` and ``SEED = 0``, nothing else;
- teaching cells of at most 40 lines, without addresses or absolute paths, all of whose printed
  output nbval compares;
- at least two exercises, under headings ``### Exercise 1 · ...`` that are numbered from 1. The
  exercise is a cell tagged ``exercise``: a function whose body is a docstring and ``...``, then its
  check, ``check_masked_mean(masked_mean)``; stored output ``Not yet: ...``. The solution is a later
  cell, before the next exercise, tagged ``solution`` and ``hide-cell`` with ``"jupyter":
  {"source_hidden": true}``: the same function written out, then the same check; stored output
  ``Solved: ...``. JupyterLab folds it by the metadata, the book by the tag;
- a heading with the word *takeaways*.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

MAX_LINES = 40
"""Longest code cell; what is longer belongs into the library."""

MIN_EXERCISES = 2
"""Fewest exercises of a chapter."""

PARAMETERS = {"PROFILE": "fast", "SEED": 0}
"""What the parameters cell sets."""

_ADDRESS = re.compile(r"\b(?:https?|ftp)://")
_ABSOLUTE = re.compile(r"""["'](?:/[A-Za-z][\w.-]*/|~/|[A-Za-z]:[\\/])""")
_UNCOMPARED = re.compile(r"nbval[-_](?:ignore[-_]output|skip)|raises-exception", re.IGNORECASE)
_CHECK = re.compile(r"^check_\w+\(\w+\)", re.MULTILINE)
_MINUTES = re.compile(r"\d+\s*(?:minutes|min)\b")


def problems(notebook: Any) -> list[str]:
    """List where a chapter departs from the common shape; nothing, when all is well.

    Args:
        notebook: A notebook node of nbformat 4.
    """
    return [
        *_prose_problems(notebook),
        *_parameter_problems(notebook),
        *_code_problems(notebook),
        *_exercise_problems(notebook),
    ]


def tags(cell: Any) -> list[str]:
    """Tags of a cell.

    Args:
        cell: A cell of a notebook node.
    """
    return list(cell.metadata.get("tags", []))


def _prose_problems(notebook: Any) -> Iterator[str]:
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    headings = [line for line in prose.splitlines() if re.match(r"#{1,4} ", line)]
    if not headings or not headings[0].startswith("# "):
        yield "the first heading is not a title (# ...)"
    for word in ("objectives", "takeaways"):
        if not any(word in line.lower() for line in headings):
            yield f"no heading says {word!r}"
    if not _MINUTES.search(prose):
        yield "nothing says how many minutes the chapter takes"


def _parameter_problems(notebook: Any) -> Iterator[str]:
    cells = [cell for cell in notebook.cells if "parameters" in tags(cell)]
    if len(cells) != 1:
        yield f"{len(cells)} cells are tagged 'parameters', there should be one"
        return
    found: dict[str, object] = {}
    try:
        for statement in ast.parse(cells[0].source).body:
            if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
                raise ValueError("a statement that sets no parameter")
            found[ast.unparse(statement.targets[0])] = ast.literal_eval(statement.value)
    except (SyntaxError, ValueError) as error:
        yield f"the parameters cell holds more than plain values: {error}"
        return
    if found != PARAMETERS:
        yield f"the parameters cell sets {found}, it should set {PARAMETERS}"


def _code_problems(notebook: Any) -> Iterator[str]:
    for number, cell in _code(notebook):
        lines = len(cell.source.splitlines())
        if lines > MAX_LINES:
            yield f"code cell {number} has {lines} lines, more than {MAX_LINES}"
        if _ADDRESS.search(cell.source):
            yield f"code cell {number} holds an address; addresses live in the data cards"
        match = _ABSOLUTE.search(cell.source)
        if match:
            yield f"code cell {number} holds an absolute path: {match[0]!r}"
        if _UNCOMPARED.search(cell.source) or any(_UNCOMPARED.search(tag) for tag in tags(cell)):
            yield f"code cell {number} asks nbval to look away; all printed output is compared"


def _exercise_problems(notebook: Any) -> Iterator[str]:
    headings = [
        int(number)
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for number in re.findall(r"^#+ Exercise (\d+)\b", cell.source, re.MULTILINE)
    ]
    tagged = sum("exercise" in tags(cell) for _, cell in _code(notebook))
    if headings != list(range(1, tagged + 1)):
        yield (
            f"{tagged} cells are tagged 'exercise', and the headings '### Exercise N' are numbered "
            f"{headings}: they should run from 1, one before each"
        )
    waiting: int | None = None
    exercises = 0
    for number, cell in _code(notebook):
        if "exercise" in tags(cell):
            if waiting is not None:
                yield f"the exercise in code cell {waiting} has no solution behind it"
            exercises, waiting = exercises + 1, number
            yield from _check_call_problems(number, cell, "Not yet: ")
        elif "solution" in tags(cell):
            if waiting is None:
                yield f"the solution in code cell {number} has no exercise before it"
            waiting = None
            yield from _check_call_problems(number, cell, "Solved: ")
            if "hide-cell" not in tags(cell):
                yield f"the solution in code cell {number} lacks the tag 'hide-cell'"
            if not cell.metadata.get("jupyter", {}).get("source_hidden"):
                yield f"the solution in code cell {number} lacks jupyter.source_hidden"
        elif _CHECK.search(cell.source):
            yield f"code cell {number} has a check, but is tagged neither exercise nor solution"
    if waiting is not None:
        yield f"the exercise in code cell {waiting} has no solution behind it"
    if exercises < MIN_EXERCISES:
        yield f"{exercises} exercises, there should be at least {MIN_EXERCISES}"


def _check_call_problems(number: int, cell: Any, beginning: str) -> Iterator[str]:
    if not _CHECK.search(cell.source):
        yield f"code cell {number} does not end in a check such as check_uar(uar)"
        return
    printed = "".join(output.text for output in cell.outputs if output.output_type == "stream")
    if not printed.startswith(beginning):
        yield f"the check in code cell {number} should print {beginning.strip()!r}: {printed!r}"


def _code(notebook: Any) -> Iterator[tuple[int, Any]]:
    code = (cell for cell in notebook.cells if cell.cell_type == "code")
    return enumerate(code, start=1)
