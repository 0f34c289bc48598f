"""Verify a corpus folder against its data card."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lowser_lib import files
from lowser_lib.corpora.base import Exclusion, Row
from lowser_lib.corpora.reading import corpus_folder, to_rows
from lowser_lib.corpora.registry import get


@dataclass(frozen=True)
class Verification:
    """What was found in a corpus folder.

    Attributes:
        name: Name of the corpus.
        folder: The folder that was looked at.
        rows: One row a readable clip.
        exclusions: What was left out, with reasons.
        counts: What :attr:`DataCard.expected` speaks of, as found.
        differences: One line for each count that is not the complete corpus's.
        duplicates: Groups of clips whose files are the same byte for byte; empty when not looked
            for.
    """

    name: str
    folder: Path
    rows: list[Row]
    exclusions: list[Exclusion]
    counts: dict[str, int]
    differences: list[str]
    duplicates: list[tuple[str, ...]]

    @property
    def ok(self) -> bool:
        """Whether there are clips and every file that belongs to the corpus could be read."""
        return bool(self.rows) and not self.exclusions

    @property
    def complete(self) -> bool:
        """Whether every count is that of the complete corpus."""
        return self.ok and not self.differences

    def summary(self, most: int = 10) -> str:
        """Write the report as plain text.

        Args:
            most: How many exclusions and duplicates to list; the rest is counted.
        """
        state = "complete" if self.complete else "readable, but not complete"
        if not self.rows:
            state = "nothing readable"
        elif self.exclusions:
            state = f"{len(self.exclusions)} left out"
        seconds = sum(row.duration for row in self.rows)
        lines = [f"{self.name} ({self.folder}): {state}", f"  hours: {seconds / 3600:.2f}"]
        lines += [f"  {what}: {count}" for what, count in self.counts.items()]
        lines += [f"  differs: {line}" for line in self.differences]
        lines += _some([f"  left out: {e.path}: {e.reason}" for e in self.exclusions], most)
        lines += _some([f"  same sound: {' = '.join(g)}" for g in self.duplicates], most)
        return "\n".join(lines)


def verify(name: str, root: Path, jobs: int = 1, duplicates: bool = False) -> Verification:
    """Compare a corpus folder with what the complete corpus holds.

    A difference is not an error: a part of a corpus is still a corpus. For a corpus whose clips
    are made from others the files are counted as they came.

    Args:
        name: A registered name or ``table:NAME``.
        root: The corpora root.
        jobs: Threads that read headers.
        duplicates: Also look for files that are the same byte for byte, which reads them whole.

    Raises:
        CorpusError: As :func:`lowser_lib.corpora.read`.
    """
    corpus = get(name)
    folder = corpus_folder(corpus, root)
    rows, exclusions = to_rows(corpus, root, corpus.survey(folder), jobs)
    counts = count(rows)
    differences = [
        f"{what}: {counts.get(what, 0)} found, {number} in the complete corpus"
        for what, number in corpus.card.expected.items()
        if counts.get(what, 0) != number
    ]
    same = _duplicates(rows, root) if duplicates else []
    return Verification(corpus.name, folder, rows, exclusions, counts, differences, same)


def count(rows: Iterable[Row]) -> dict[str, int]:
    """Count clips, speakers by gender, and clips by emotion, in the words of a data card."""
    rows = list(rows)
    genders = {row.speaker: row.gender for row in rows}
    by_gender = Counter(genders.values())
    counts = {"clips": len(rows), "speakers": len(genders)}
    counts |= {f"{gender} speakers": by_gender[gender] for gender in sorted(by_gender)}
    emotions = Counter(row.emotion or "unlabelled" for row in rows)
    return counts | {f"emotion {emotion}": emotions[emotion] for emotion in sorted(emotions)}


def _duplicates(rows: list[Row], root: Path) -> list[tuple[str, ...]]:
    """Group clips by content; files of a size of their own need not be read."""
    sizes: dict[int, list[str]] = defaultdict(list)
    for row in rows:
        sizes[(Path(root) / row.path).stat().st_size].append(row.path)
    contents: dict[str, list[str]] = defaultdict(list)
    for paths in sizes.values():
        if len(paths) > 1:
            for path in paths:
                contents[files.sha256(Path(root) / path)].append(path)
    return sorted(tuple(paths) for paths in contents.values() if len(paths) > 1)


def _some(lines: list[str], most: int) -> list[str]:
    """Keep the first lines and count the rest."""
    if len(lines) <= most:
        return lines
    return [*lines[:most], f"  ... and {len(lines) - most} more"]
