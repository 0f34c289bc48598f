"""Findings: a sentence with its values, and a test of whether it holds in this run.

    finding("Stage one lifts Urdu by {gain:.0f} points", holds=change.low > 0, gain=100 * gain)

shows the sentence, and whether it holds, as one line of text. The same travels in the *metadata* of
the cell's output, as :func:`.records.record` does it: a test reads from a committed chapter that
all of its findings hold (so that prose and records cannot drift apart), and a reader with another
profile, seed or corpus sees which hold for them.
"""

from __future__ import annotations

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


def table(notebooks: Mapping[str, Any]) -> pd.DataFrame:
    """All findings of some chapters: ``chapter``, ``finding`` and ``holds``.

    Args:
        notebooks: Executed notebooks, by chapter.
    """
    rows = [
        (chapter, known.sentence, known.holds)
        for chapter, notebook in notebooks.items()
        for known in collect(notebook)
    ]
    return pd.DataFrame(rows, columns=["chapter", "finding", "holds"])
