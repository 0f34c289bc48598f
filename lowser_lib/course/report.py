"""The report of ``lowser run``: one entry a chapter, written after each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lowser_lib import files
from lowser_lib.errors import RunError

SCHEMA = 2
"""Version of the layout of ``report.json``."""


@dataclass(frozen=True)
class Failure:
    """Where and why a chapter stopped.

    Attributes:
        cell: Number of the code cell in the source notebook, from 1, as JupyterLab counts when the
            notebook is run from the top; None when the kernel did not get as far as a cell.
        first_line: First line of the cell.
        error: Name of the error.
        message: Its message.
    """

    cell: int | None
    first_line: str
    error: str
    message: str

    def __str__(self) -> str:
        """One line for the terminal."""
        place = f"code cell {self.cell} ({self.first_line})" if self.cell else "outside its cells"
        return f"{place}: {self.error}: {self.message}"


@dataclass(frozen=True)
class ChapterResult:
    """What became of one chapter.

    Attributes:
        chapter: Two digits.
        title: The notebook's title.
        notebook: File name of the notebook.
        source: SHA-256 of its cells, outputs aside.
        status: ``ok`` or ``failed``.
        seconds: Time that it took.
        resumed: Whether an earlier run's success was kept.
        metrics: Record name to recorded metrics.
        written: SHA-256 of what a success left: its notebook, and its records by their names.
        failure: Where and why it stopped, or None.
    """

    chapter: str
    title: str
    notebook: str
    source: str
    status: str
    seconds: float
    resumed: bool = False
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    failure: Failure | None = None


@dataclass(frozen=True)
class Report:
    """The report of one run.

    Attributes:
        profile: The profile of the run.
        seed: The notebooks' ``SEED``.
        chapters: Results in chapter order.
        schema: Layout version.
    """

    profile: str
    seed: int
    chapters: tuple[ChapterResult, ...] = ()
    schema: int = SCHEMA

    @property
    def failed(self) -> tuple[ChapterResult, ...]:
        """The chapters that failed."""
        return tuple(result for result in self.chapters if result.status != "ok")

    def get(self, chapter: str) -> ChapterResult | None:
        """The result of a chapter, or None."""
        return next((result for result in self.chapters if result.chapter == chapter), None)

    def having(self, result: ChapterResult) -> Report:
        """This report with one chapter's result put in, or replaced."""
        others = [old for old in self.chapters if old.chapter != result.chapter]
        return self.of([*others, result])

    def of(self, results: Iterable[ChapterResult]) -> Report:
        """This report with other results, sorted by chapter."""
        chapters = tuple(sorted(results, key=lambda result: result.chapter))
        return replace(self, chapters=chapters)

    def in_short(self) -> dict[str, Any]:
        """What of it is worth keeping beside the records: each chapter's seconds and records."""
        chapters = [
            {
                "chapter": result.chapter,
                "title": result.title,
                "status": result.status,
                "seconds": result.seconds,
                "records": sorted(result.metrics),
            }
            for result in self.chapters
        ]
        return {"profile": self.profile, "seed": self.seed, "chapters": chapters}

    def save(self, path: Path) -> None:
        """Write the report, whole or not at all.

        Args:
            path: The file, usually ``report.json`` in the output folder.

        Raises:
            RunError: The file cannot be written.
        """
        files.write_json(path, asdict(self), sealed=True)


def load(path: Path) -> Report:
    """Read a report back.

    Args:
        path: The file.

    Raises:
        RunError: It is missing, damaged, or of another layout.
    """
    remedy = "run again without --resume to make it anew"
    try:
        content = files.read_json(path, RunError, remedy)
        if content["schema"] != SCHEMA:
            raise ValueError(f"layout {content['schema']!r}, this version reads {SCHEMA}")
        chapters = []
        for entry in content["chapters"]:
            failure = entry.pop("failure")
            chapters.append(ChapterResult(**entry, failure=Failure(**failure) if failure else None))
        return Report(content["profile"], content["seed"], tuple(chapters))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} cannot be read ({error}); {remedy}") from error
