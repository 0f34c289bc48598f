"""Questions that fold and tables that wrap: what a chapter shows besides sounds and figures.

A question folds with HTML's own ``<details>``, so that it works in JupyterLab, in the rendered book
and on a page of a code host alike, offline and without a running kernel. Every option explains
itself, the wrong ones too: somebody who picked one had a reason.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True, repr=False)
class Question:
    """A question whose answers are folded away until they are clicked.

    Attributes:
        text: The question, one or two sentences.
        folds: What can be clicked, and what then appears.
    """

    text: str
    folds: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        """The question and its options, without the answers."""
        return "\n".join([self.text, *(f"- {option}" for option, _ in self.folds)])

    def _repr_html_(self) -> str:
        folded = [
            f'<details style="margin: 0.3em 0;"><summary>{html.escape(option)}</summary>'
            f'<div style="margin: 0.2em 0 0.6em 1.2em;">{html.escape(answer)}</div></details>'
            for option, answer in self.folds
        ]
        return f"<div><b>{html.escape(self.text)}</b>{''.join(folded)}</div>"


def choices(text: str, options: Mapping[str, str], right: str) -> Question:
    """Ask a question with several options; each says, when clicked, whether it is right and why.

    Args:
        text: The question.
        options: Option to its explanation, in the order shown.
        right: Which option is right.

    Returns:
        A display object; leave it as the last line of a cell or give it to ``display``.

    Raises:
        ValueError: There are fewer than two options, or ``right`` is none of them.
    """
    if len(options) < 2 or right not in options:
        raise ValueError(f"right={right!r} must be one of two or more options: {list(options)}")
    return Question(
        text,
        tuple(
            (option, f"{'Right' if option == right else 'No'}: {explanation}")
            for option, explanation in options.items()
        ),
    )


def reveal(text: str, answer: str, click: str = "Show the answer") -> Question:
    """Ask a question whose one answer appears when it is clicked.

    Args:
        text: The question.
        answer: What appears.
        click: What to click on.

    Returns:
        A display object, as of :func:`choices`.
    """
    return Question(text, ((click, answer),))


@dataclass(frozen=True, repr=False)
class Table:
    """A table whose cells are sentences: left-aligned, wrapped, nothing cut off.

    Attributes:
        head: Names of the columns.
        rows: Cells, each one line of text.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __repr__(self) -> str:
        """One line a row."""
        return "\n".join(" | ".join(row) for row in (self.head, *self.rows))

    def _repr_html_(self) -> str:
        head = f"<thead><tr>{_cells('th', self.head)}</tr></thead>"
        body = "".join(f"<tr>{_cells('td', row)}</tr>" for row in self.rows)
        return f'<table class="table">{head}<tbody>{body}</tbody></table>'


def table(frame: pd.DataFrame) -> Table:
    """Show a table whose cells are sentences.

    pandas' own view cuts long cells off, and Markdown made by a cell is not rendered as a table by
    the book.

    Args:
        frame: Cells are shown as ``str`` gives them; the index is not shown.

    Returns:
        A display object; leave it as the last line of a cell or give it to ``display``.
    """
    head = tuple(_line(name) for name in frame.columns)
    return Table(head, tuple(tuple(map(_line, row)) for row in frame.itertuples(index=False)))


def _line(value: object) -> str:
    return " ".join(str(value).split())


def _cells(kind: str, texts: tuple[str, ...]) -> str:
    # On each cell, because JupyterLab's own style sheet right-aligns them.
    style = "text-align: left; vertical-align: top;"
    return "".join(f'<{kind} style="{style}">{html.escape(text)}</{kind}>' for text in texts)
