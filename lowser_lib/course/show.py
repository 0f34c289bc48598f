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
from IPython.display import Markdown


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


def table(frame: pd.DataFrame) -> Markdown:
    """Show a table whose cells are sentences: left-aligned, wrapped, nothing cut off.

    Args:
        frame: Cells are shown as ``str`` gives them, one line each; the index is not shown.

    Returns:
        A display object that JupyterLab and the book render as a table.
    """
    rows = [list(frame.columns), ["---"] * frame.shape[1], *frame.itertuples(index=False)]
    lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return Markdown("\n".join(lines))


def _cell(value: object) -> str:
    """One line without the bars that part cells."""
    return " ".join(str(value).split()).replace("|", "\\|")
