"""The common shape of chapters: each departure is named."""

from __future__ import annotations

from typing import Any

import chapter_shape
import nbformat
import pytest


def code(source: str, tags: list[str] | None = None, printed: str = "", **metadata: Any) -> Any:
    outputs = [nbformat.v4.new_output("stream", name="stdout", text=printed)] if printed else []
    if tags:
        metadata["tags"] = tags
    return nbformat.v4.new_code_cell(source, metadata=metadata, outputs=outputs)


def exercise(name: str) -> list[Any]:
    stub = f'def {name}(x):\n    """Do it."""\n    ...\n\n\ncheck_{name}({name})'
    solved = f"def {name}(x):\n    return x\n\n\ncheck_{name}({name})"
    folded = {"jupyter": {"source_hidden": True}}
    return [
        code(stub, ["exercise"], "Not yet: write it.\n"),
        code(solved, ["solution", "hide-cell"], "Solved: it.\n", **folded),
    ]


EXERCISES = "### Exercise 1 · First\n\nDo it.\n\n### Exercise 2 · Second"


def good() -> Any:
    intro = "# 03 · A chapter\n\n## Objectives\n\nAbout 20 minutes.\n\n" + EXERCISES
    return nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell(intro),
            code('PROFILE = "fast"\nSEED = 0', ["parameters"]),
            *exercise("first"),
            code("ratio = 3 / 4\nprint(ratio)", printed="0.75\n"),
            *exercise("second"),
            nbformat.v4.new_markdown_cell("## Takeaways"),
        ]
    )


def test_a_good_chapter_has_no_problems() -> None:
    assert chapter_shape.problems(good()) == []


def edit(position: int, **changes: Any) -> Any:
    notebook = good()
    for key, value in changes.items():
        notebook.cells[position][key] = value
    return notebook


def without(*positions: int) -> Any:
    notebook = good()
    notebook.cells = [c for i, c in enumerate(notebook.cells) if i not in positions]
    return notebook


@pytest.mark.parametrize(
    ("notebook", "words"),
    [
        (edit(0, source="Some text, 20 minutes\n\n## Objectives"), "title"),
        (edit(0, source="# T\n\n20 minutes"), "objectives"),
        (edit(0, source="# T\n\n## Objectives"), "minutes"),
        (without(7), "takeaways"),
        (without(1), "0 cells are tagged 'parameters'"),
        (edit(1, source='PROFILE = "open"\nSEED = 0'), "should set"),
        (edit(1, source='PROFILE = "fast"\nSEED = 0\nEPOCHS = 3'), "should set"),
        (edit(1, source="import os\nSEED = 0"), "plain values"),
        (edit(4, source="x = 1\n" * 41), "41 lines"),
        (edit(4, source="# see https://example.org"), "address"),
        (edit(4, source="open('/home/me/file')"), "absolute path"),
        (edit(4, source="open('~/file')"), "absolute path"),
        (edit(4, source="# NBVAL_IGNORE_OUTPUT\n1"), "look away"),
        (edit(4, metadata={"tags": ["nbval-skip"]}), "look away"),
        (without(5, 6), "1 exercises"),
        (without(3), "no solution"),
        (without(6), "no solution"),
        (without(2), "no exercise"),
        (edit(2, source="def first(x): ..."), "does not end in a check"),
        (edit(2, metadata={}), "tagged neither exercise nor solution"),
        (edit(2, metadata={}), "1 cells are tagged 'exercise'"),
        (edit(0, source=good().cells[0].source.replace("Exercise 2", "Exercise 3")), "[1, 3]"),
        (edit(0, source=good().cells[0].source.replace(" 2 ·", " ·")), "numbered [1]"),
        (edit(2, outputs=[]), "'Not yet:'"),
        (edit(3, outputs=[]), "'Solved:'"),
        (edit(3, metadata={"tags": ["solution", "hide-cell"]}), "source_hidden"),
        (edit(3, metadata={"tags": ["solution"], "jupyter": {"source_hidden": True}}), "hide-cell"),
    ],
)
def test_departures_are_named(notebook: Any, words: str) -> None:
    found = chapter_shape.problems(nbformat.from_dict(notebook))
    assert any(words in problem for problem in found), found
