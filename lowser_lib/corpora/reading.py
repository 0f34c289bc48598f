"""From a corpus folder to manifest rows, and the report that compares it with its data card."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import joblib

from lowser_lib import files
from lowser_lib.corpora.base import (
    EMOTIONS,
    UNKNOWN_SPEAKER,
    Corpus,
    Exclusion,
    NamedClass,
    Row,
    Utterance,
    class_of,
)
from lowser_lib.corpora.decoding import read_header
from lowser_lib.corpora.registry import get
from lowser_lib.errors import CorpusError

Check = Callable[[list[Row]], list[Exclusion]]
"""Finds the rows whose sound cannot be used; :func:`lowser_lib.audio.faulty_rows` makes one."""


@dataclass(frozen=True)
class Reading:
    """What was found in a corpus folder.

    Attributes:
        rows: One row a usable clip, in the parser's order.
        exclusions: What was left out, with reasons.
        notes: What else should be known, a line each.
    """

    rows: list[Row]
    exclusions: list[Exclusion]
    notes: list[str]


def read(name: str, root: Path, jobs: int = 1) -> tuple[list[Row], list[Exclusion]]:
    """Read a corpus: what its parser finds, with duration and sample rate from the headers.

    No audio is decoded here; a header may promise more than the file holds, which
    :func:`lowser_lib.audio.check_files` finds out.

    Args:
        name: A registered name or ``table:NAME``.
        root: The corpora root; the corpus lies in ``root/NAME``.
        jobs: Processes that read headers.

    Returns:
        Rows in the parser's order, and what was left out with the reason of each.

    Raises:
        CorpusError: The corpus is unknown, its folder is missing, or a table without which nothing
            can be read.
    """
    reading = survey(name, root, jobs)
    return reading.rows, reading.exclusions


def survey(name: str, root: Path, jobs: int = 1, as_it_came: bool = False) -> Reading:
    """Read a corpus as :func:`read` does, with notes on what is in its folder besides.

    Args:
        name: A registered name or ``table:NAME``.
        root: The corpora root.
        jobs: Threads that read headers; -1 takes one a core.
        as_it_came: For a corpus whose clips are made from others: list those.

    Raises:
        CorpusError: As :func:`read`.
    """
    corpus = get(name)
    folder = corpus_folder(corpus, root)
    items = corpus.survey(folder) if as_it_came else corpus.utterances(folder)
    return _to_rows(corpus, folder, items, jobs)


def corpus_folder(corpus: Corpus, root: Path) -> Path:
    """Give the folder of a corpus, after making sure that it is there.

    Raises:
        CorpusError: It is not; the message tells how to get the corpus and the layout to put down.
    """
    folder = Path(root) / corpus.name
    if folder.is_dir():
        return folder
    if corpus.card.synthetic:
        remedy = f"it is {corpus.card.where}"
    elif corpus.card.downloadable:
        remedy = (
            f"fetch it with `python data_scripts/download_corpora.py {corpus.name} --root {root}` "
            f"or by hand ({corpus.card.where})"
        )
    else:
        remedy = f"to get it: {corpus.card.where}"
    raise CorpusError(
        f"{corpus.name}: there is no folder {folder}; {remedy}. What has to lie in the folder: "
        f"{corpus.card.layout}. `lowser corpora list` shows what is in place"
    )


def _to_rows(
    corpus: Corpus, folder: Path, items: Iterable[Utterance | Exclusion], jobs: int
) -> Reading:
    """Turn what a parser found into rows, reading each file's header."""
    utterances: list[Utterance] = []
    exclusions: list[Exclusion] = []
    taken: dict[str, str] = {}
    named: set[str] = set()
    for item in items:
        named.add(item.path)
        if isinstance(item, Exclusion):
            exclusions.append(replace(item, path=f"{corpus.name}/{item.path}"))
        elif (stem := str(PurePosixPath(item.path).with_suffix(""))) in taken:
            # a.wav beside a.flac would give two rows one utterance_id.
            reason = f"differs from {taken[stem]} only in its ending, taken once"
            exclusions.append(Exclusion(f"{corpus.name}/{item.path}", reason))
        else:
            taken[stem] = item.path
            utterances.append(item)
    utterances, notes = _one_gender_each(utterances)
    headers = joblib.Parallel(n_jobs=jobs, prefer="threads")(
        joblib.delayed(read_header)(folder / utterance.path) for utterance in utterances
    )
    rows: list[Row] = []
    for utterance, header in zip(utterances, headers, strict=True):
        if isinstance(header, str):
            passing = header.startswith("cannot be opened")
            exclusions.append(Exclusion(f"{corpus.name}/{utterance.path}", header, passing))
        else:
            rows.append(_row(corpus.name, utterance, *header))
    return Reading(rows, exclusions, [*notes, *corpus.notes(folder, named)])


def _one_gender_each(utterances: list[Utterance]) -> tuple[list[Utterance], list[str]]:
    """Make a speaker's gender unknown where a corpus gives two.

    It may be two people at one microphone or a slip of the pen: nobody can tell, and no clip is
    lost for it.
    """
    genders: dict[str, Counter[str]] = defaultdict(Counter)
    for utterance in utterances:
        if utterance.speaker != UNKNOWN_SPEAKER and utterance.gender != "unknown":
            genders[utterance.speaker][utterance.gender] += 1
    two = {speaker: counts for speaker, counts in genders.items() if len(counts) > 1}
    notes = [
        f"speaker {speaker} is female in {counts['female']} and male in {counts['male']} clips: "
        f"taken as unknown"
        for speaker, counts in two.items()
    ]
    kept = [
        replace(utterance, gender="unknown") if utterance.speaker in two else utterance
        for utterance in utterances
    ]
    return kept, notes


def _row(name: str, utterance: Utterance, duration: float, sample_rate: int) -> Row:
    """Put an utterance and its header together."""
    return Row(
        utterance_id=f"{name}/{PurePosixPath(utterance.path).with_suffix('')}",
        corpus=name,
        path=f"{name}/{utterance.path}",
        language=utterance.language,
        speaker=f"{name}/{utterance.speaker}",
        gender=utterance.gender,
        emotion=utterance.emotion,
        raw_label=utterance.raw_label,
        text_id=utterance.text_id,
        duration=duration,
        sample_rate=sample_rate,
    )


@dataclass(frozen=True)
class Verification:
    """A corpus folder beside its data card.

    Attributes:
        name: Name of the corpus.
        folder: The folder that was looked at.
        rows: One row a readable clip.
        exclusions: What was left out, with reasons.
        counts: What :attr:`DataCard.expected` speaks of, as found.
        differences: One line for each count that is not the complete corpus's.
        duplicates: Groups of clips whose files are the same byte for byte; empty when not looked
            for.
        notes: What else should be known, a line each.
        known: Whether the complete corpus's counts are known at all.
    """

    name: str
    folder: Path
    rows: list[Row]
    exclusions: list[Exclusion]
    counts: dict[str, int]
    differences: list[str]
    duplicates: list[tuple[str, ...]]
    notes: list[str]
    known: bool

    @property
    def ok(self) -> bool:
        """Whether there are clips and every file that belongs to the corpus could be read."""
        return bool(self.rows) and not self.exclusions

    @property
    def complete(self) -> bool:
        """Whether every count is that of the complete corpus."""
        return self.ok and self.known and not self.differences

    def summary(self, most: int = 10) -> str:
        """Write the report as plain text.

        Args:
            most: How many exclusions, duplicates and notes to list; the rest is counted.
        """
        state = "complete" if self.complete else "readable, but not complete"
        if not self.rows:
            state = "nothing readable"
        elif self.exclusions:
            state = f"{len(self.exclusions)} left out"
        elif not self.known:
            state = f"all {len(self.rows)} clips readable, {_classes(self.rows)}"
        seconds = sum(row.duration for row in self.rows)
        lines = [f"{self.name} ({self.folder}): {state}", f"  hours: {seconds / 3600:.2f}"]
        lines += [f"  {what}: {count}" for what, count in self.counts.items()]
        lines += [f"  classes: {_classes(self.rows)}"] if self.rows else []
        lines += [f"  differs: {line}" for line in self.differences]
        lines += _some([f"  left out: {e.path}: {e.reason}" for e in self.exclusions], most)
        lines += _some([f"  same sound: {' = '.join(g)}" for g in self.duplicates], most)
        lines += _some([f"  note: {note}" for note in self.notes], most)
        return "\n".join(lines)


def verify(
    name: str, root: Path, jobs: int = 1, duplicates: bool = False, check: Check | None = None
) -> Verification:
    """Compare a corpus folder with what the complete corpus holds.

    A difference is not an error: a part of a corpus is still a corpus. For a corpus whose clips
    are made from others the files are counted as they came.

    Args:
        name: A registered name or ``table:NAME``.
        root: The corpora root.
        jobs: Threads that read headers.
        duplicates: Also look for files that are the same byte for byte, which reads them whole.
        check: Also looks at the sound itself, as it is done before a corpus is used.

    Raises:
        CorpusError: As :func:`read`.
    """
    corpus = get(name)
    reading = survey(name, root, jobs, as_it_came=True)
    bad = [] if check is None else check(reading.rows)
    paths = {exclusion.path for exclusion in bad}
    rows = [row for row in reading.rows if row.path not in paths]
    counts = count(rows)
    differences = [
        f"{what}: {counts.get(what, 0)} found, {number} in the complete corpus"
        for what, number in corpus.card.expected.items()
        if counts.get(what, 0) != number
    ]
    return Verification(
        name=corpus.name,
        folder=corpus_folder(corpus, root),
        rows=rows,
        exclusions=[*reading.exclusions, *bad],
        counts=counts,
        differences=differences,
        duplicates=_duplicates(rows, root) if duplicates else [],
        notes=reading.notes,
        known=bool(corpus.card.expected),
    )


def count(rows: Iterable[Row]) -> dict[str, int]:
    """Count clips, speakers by gender, and clips by emotion, in the words of a data card."""
    rows = list(rows)
    genders = {row.speaker: row.gender for row in rows}
    by_gender = Counter(genders.values())
    counts = {"clips": len(rows), "speakers": len(genders)}
    counts |= {f"{gender} speakers": by_gender[gender] for gender in sorted(by_gender)}
    emotions = Counter(row.emotion or "unlabelled" for row in rows)
    return counts | {f"emotion {emotion}": emotions[emotion] for emotion in sorted(emotions)}


def _classes(rows: Sequence[Row]) -> str:
    """How many clips fall into classes, and which labels do not."""
    classes = [class_of(row.emotion) for row in rows]
    inside = sum(name is not None for name in classes)
    named = sorted({row.emotion for row in rows if isinstance(row.emotion, NamedClass)})
    which = ", ".join(named) if named else ", ".join(EMOTIONS)
    text = f"{inside} of {len(rows)} in the classes {which}"
    outside = Counter(
        row.raw_label or "no label" for row, name in zip(rows, classes, strict=True) if name is None
    )
    if outside:
        shown = ", ".join(f"{label} {number}" for label, number in outside.most_common(10))
        text += f"; the others are {shown}{', ...' if len(outside) > 10 else ''}"
    return text


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
