"""Findings: a sentence with its values, and a test of whether it holds in this run.

    finding("Stage one lifts Urdu by {gain:.0f} points", holds=change.low > 0, gain=100 * gain)

shows the sentence, and whether it holds, as one line of text. The same travels in the *metadata* of
the cell's output, as :func:`.records.record` does it: a test reads from a committed chapter that
all of its findings hold (so that prose and records cannot drift apart), and a reader with another
profile, seed or corpus sees which hold for them.
"""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from lowser_lib.experiments.records import plain

METADATA_KEY = "lowser_finding"
"""Key of a finding in an output's metadata."""

HOLDS, FAILS = "✓ holds", "✗ does not hold here"


@dataclass(frozen=True)
class Finding:
    """What a run has to say about one sentence.

    Attributes:
        sentence: With its values.
        holds: Whether it holds in this run.
        values: The values, by name; numbers to six digits.
    """

    sentence: str
    holds: bool
    values: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{HOLDS if self.holds else FAILS}: {self.sentence}"


def finding(sentence: str, holds: bool, **values: Any) -> None:
    """Show a sentence with its values, and whether it holds in this run.

    Args:
        sentence: What was found, with a place for each value, such as ``{gain:.0f}``.
        holds: Whether it is so: a comparison, best with an interval's bound.
        **values: The values, by name.

    Raises:
        ValueError: A place in the sentence has no value, a value has no place, or ``holds`` is not
            yes or no.
    """
    if str(holds) not in ("True", "False"):
        raise ValueError(f"holds must be True or False, not {holds!r}: compare two numbers")
    unused = [name for name in values if "{" + name not in sentence]
    if unused:
        raise ValueError(f"the sentence has no place for {', '.join(unused)}: {sentence!r}")
    try:
        words = sentence.format(**values)
    except (KeyError, IndexError) as error:
        message = f"the sentence has a place without a value ({error}): {sentence!r}"
        raise ValueError(message) from error
    from IPython.display import display

    known = Finding(words, bool(holds), plain(dict(values)))
    display({"text/plain": str(known)}, raw=True, metadata={METADATA_KEY: asdict(known)})


def collect(notebook: Any) -> Iterator[Finding]:
    """Find the findings of an executed notebook, in cell order.

    Args:
        notebook: A notebook node of nbformat 4.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            content = output.get("metadata", {}).get(METADATA_KEY)
            if content is not None:
                yield Finding(**dict(content))


def of_people(notebook: Any) -> list[tuple[int, Finding, bool]]:
    """Find the findings, and whether each speaks of people.

    It does if what it says or compares was computed from measurements on people: a record of the
    profile ``open``, which a chapter asks for by that name, by :mod:`.people` or by the ledger.
    The code of the cells tells; nothing is run. A sentence that names synthetic speech and no
    people speaks of that; one that names people, or stands beside a figure of them alone, of these.

    Args:
        notebook: An executed notebook node of nbformat 4.

    Returns:
        Number of the cell, finding and answer, in cell order.
    """
    names: set[str] = set()
    found = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        calls: list[tuple[str, bool]] = []
        for statement in ast.parse(cell.source).body:
            _read(statement, names, calls, False)
        for output in cell.get("outputs", []):
            content = output.get("metadata", {}).get(METADATA_KEY)
            if content is not None:
                known = Finding(**dict(content))
                said = [people for text, people in calls if _fits(text, known.sentence)]
                words = " ".join([known.sentence, *_alts(cell)]).lower()
                if "synthetic" in known.sentence.lower() and "people" not in known.sentence.lower():
                    said = []
                elif "people" in words and "synthetic" not in words:
                    said = [True]
                found.append((number, known, any(said)))
    return found


def _alts(cell: Any) -> Iterator[str]:
    """Words of a cell's figures."""
    for output in cell.get("outputs", []):
        yield str(output.get("metadata", {}).get("image/png", {}).get("alt", ""))


def _read(node: ast.stmt, names: set[str], calls: list[tuple[str, bool]], inside: bool) -> None:
    """Note the findings of a statement, and which names hold measurements of people after it."""
    parts = [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt)]
    people = inside or any(_of_people(part, names) for part in parts)
    for part in parts:
        for call in (each for each in ast.walk(part) if isinstance(each, ast.Call)):
            name = getattr(call.func, "id", getattr(call.func, "attr", ""))
            if name in ("finding", "tell"):
                texts = [part.value for part in call.args if isinstance(part, ast.Constant)]
                calls += [(str(text), people or name == "tell") for text in texts]
        for each in ast.walk(part):
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
                (names.add if people else names.discard)(each.id)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            _read(child, names, calls, people)


def _of_people(node: ast.AST, names: set[str]) -> bool:
    """Whether a part of the code reads measurements of people, or a name that holds some."""
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and each.value == "open":
            return True
        name = isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load) and each.id
        if name == "people" or name in names:
            return True
    return False


def _fits(text: str, sentence: str) -> bool:
    """Whether a sentence came of a text with places."""
    parts = [re.escape(literal) for literal, *_ in string.Formatter().parse(text)]
    return re.fullmatch(".*?".join([*parts, ""]), sentence, re.DOTALL) is not None


def table(notebooks: Mapping[str, Any]) -> pd.DataFrame:
    """All findings of some chapters: ``chapter``, ``finding``, ``holds`` and ``people``.

    Args:
        notebooks: Executed notebooks, by chapter.
    """
    rows = [
        (chapter, known.sentence, known.holds, people)
        for chapter, notebook in notebooks.items()
        for _, known, people in of_people(notebook)
    ]
    return pd.DataFrame(rows, columns=["chapter", "finding", "holds", "people"])
