"""What every corpus shares: the records that flow out of a parser, and the data card.

A corpus is a folder of sound files plus whatever tells who speaks and how: file names, a label
file, a table. A parser (:class:`Corpus`) turns such a folder into :class:`Utterance` records
without decoding any audio. :func:`lowser_lib.corpora.read` adds duration and sample rate from the
file headers and gives :class:`Row` records, the rows of the manifest. Whatever does not fit is
given back as an :class:`Exclusion`: listed and counted, never dropped in silence.
"""

from __future__ import annotations

import csv
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from lowser_lib.corpora.folders import AUDIO_SUFFIXES, Listing, list_sounds, printable
from lowser_lib.errors import CorpusError

EMOTIONS = ("angry", "happy", "neutral", "sad")
"""The four classes of the course, in the order in which every table and model uses them."""

GENDERS = ("female", "male", "unknown")
"""What a corpus may say of a speaker; ``unknown`` wherever it does not say."""

UNKNOWN_SPEAKER = "unknown"
"""The speaker of a clip whose corpus does not tell who speaks."""

SYNONYMS = {
    "anger": "angry",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "neutrality": "neutral",
    "excitement": "excited",
    "fear": "fearful",
    "disgust": "disgusted",
    "surprise": "surprised",
    "boredom": "bored",
    "frustration": "frustrated",
}
"""Nouns for emotions, by the adjective that the course uses; other words are taken as they are."""

MERGED = {"excited": "happy"}
"""Emotions counted as one of the four classes, as in Gong et al. 2025 (arXiv 2506.02059)."""


class NamedClass(str):
    """An emotion that is a class already, one of the four or a corpus's own: never sorted anew."""

    __slots__ = ()


def class_of(word: str | None) -> str | None:
    """Class of an emotion given in plain English.

    Args:
        word: An emotion such as ``anger``, ``Excited`` or ``fearful``, or None.

    Returns:
        One of :data:`EMOTIONS`, or None for no emotion and for one outside the four; a
        :class:`NamedClass` as it is.

    Example:
        >>> class_of("Anger"), class_of("excited"), class_of("fearful"), class_of(None)
        ('angry', 'happy', None, None)
    """
    if word is None or isinstance(word, NamedClass):
        return None if word is None else str(word)
    plain = word.strip().lower()
    plain = SYNONYMS.get(plain, plain)
    plain = MERGED.get(plain, plain)
    return plain if plain in EMOTIONS else None


@dataclass(frozen=True, slots=True)
class Utterance:
    """One clip as its corpus describes it; no audio has been decoded.

    Attributes:
        path: The sound file, with forward slashes, relative to the corpus folder.
        speaker: The corpus's own speaker id, not yet prefixed with the corpus.
        gender: ``female``, ``male`` or ``unknown``.
        language: ISO 639-1 code such as ``ur``, or ISO 639-3 where there is none (``kab``).
        raw_label: The corpus's own label as written (``W``, ``05``, ``exc``), or None.
        emotion: The same in plain English (``angry``, ``excited``, ``fearful``, ...), before any
            merging and with no regard to the four classes; None when unlabelled. A
            :class:`NamedClass` where the corpus itself names the class.
        text_id: Id of the sentence spoken, where the corpus tells, else None.
    """

    path: str
    speaker: str
    gender: str
    language: str
    raw_label: str | None = None
    emotion: str | None = None
    text_id: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the manifest, before labels are merged; fields are exactly its columns.

    As an :class:`Utterance`, but unique over all corpora: ``corpus/`` stands before path and
    speaker, and before ``utterance_id``, the path without its ending. The file's header gives
    ``duration`` in seconds and ``sample_rate`` in Hz.
    """

    utterance_id: str
    corpus: str
    path: str
    language: str
    speaker: str
    gender: str
    emotion: str | None
    raw_label: str | None
    text_id: str | None
    duration: float
    sample_rate: int


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Something that was found and left out, with the reason in one line.

    Attributes:
        path: The file (or the line of a label file). A parser gives it relative to the corpus
            folder; :func:`lowser_lib.corpora.read` puts ``corpus/`` in front, as in a row.
        reason: Why it is left out, one line, without the path.
        passing: Whether the cause may be gone at the next look (a permission, a busy disk); what
            was left out so is never kept as an outcome.
    """

    path: str
    reason: str
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Download:
    """One archive that anyone may fetch.

    Attributes:
        url: Address of the archive.
        filename: Name under which the archive is kept while it is fetched.
        sha256: Its SHA-256 in hexadecimal, where it is known for certain; None, with no ``md5``
            either, means trust on first use (see :mod:`lowser_lib.corpora.download`).
        bytes: Its size in bytes where the publisher announces one, else None.
        md5: Its MD5 in hexadecimal, for archives whose publisher (Zenodo) announces only that.
            It guards against damage on the way, not against malice.
    """

    url: str
    filename: str
    sha256: str | None = None
    bytes: int | None = None
    md5: str | None = None

    @property
    def known_hash(self) -> str | None:
        """The announced hash in the form ``algorithm:hexadecimal``, or None."""
        if self.sha256 is not None:
            return f"sha256:{self.sha256}"
        return None if self.md5 is None else f"md5:{self.md5}"


@dataclass(frozen=True, slots=True)
class DataCard:
    """What a reader should know of a corpus before listening to it.

    Attributes:
        name: Name in the registry, and of the folder below the corpora root.
        languages: ISO 639-1 codes, or ISO 639-3 ones where there is none.
        size: Number and length of the clips, in words.
        speakers: Number of speakers by gender, in words.
        elicitation: How the emotion came about: acted, induced, or found in talk.
        where: Where and how the corpus is got.
        layout: What has to lie in the corpus folder.
        downloads: Archives that ``data_scripts/download_corpora.py`` fetches; empty where a
            licence has to be asked for, or where nothing is to be fetched.
        expected: Counts of the complete corpus, checked by :func:`lowser_lib.corpora.verify`:
            ``clips``, ``speakers``, ``female speakers``, ``male speakers``, or an emotion as
            ``emotion NAME``. Empty where sizes differ by release.
        labelled: Whether the clips carry emotions.
        synthetic: Whether the sound comes from a synthesiser and not from a person.
        derived: What the clips are made from, in words, where they are not recordings as they
            came (``corpora.get(name).build(source, target)`` makes them); else None.
        notes: What to beware of.
    """

    name: str
    title: str
    languages: tuple[str, ...]
    size: str
    speakers: str
    elicitation: str
    licence: str
    citation: str
    where: str
    layout: str
    downloads: tuple[Download, ...] = ()
    expected: Mapping[str, int] = field(default_factory=dict)
    labelled: bool = True
    synthetic: bool = False
    derived: str | None = None
    notes: str = ""

    @property
    def downloadable(self) -> bool:
        """Whether anyone may fetch the corpus, with no licence to ask for."""
        return bool(self.downloads)


class Corpus(ABC):
    """A parser with its data card; subclasses live in one file each."""

    card: DataCard

    @property
    def name(self) -> str:
        """Name of the corpus, and of its folder below the corpora root."""
        return self.card.name

    @abstractmethod
    def utterances(self, folder: Path) -> Iterator[Utterance | Exclusion]:
        """List what the corpus folder holds, in an order that is the same on every machine.

        Args:
            folder: The corpus folder itself (not the corpora root); it exists.

        Yields:
            An :class:`Utterance` for each clip that fits the layout, an :class:`Exclusion` for
            each sound file or label line that does not.

        Raises:
            CorpusError: A file without which nothing can be read (a label table) is missing.
        """

    def survey(self, folder: Path) -> Iterator[Utterance | Exclusion]:
        """List what lies in the folder as it came, for :func:`lowser_lib.corpora.verify`.

        The same as :meth:`utterances`, except for a corpus whose clips are made from others.
        """
        return self.utterances(folder)

    def notes(self, folder: Path, named: Collection[str]) -> list[str]:
        """Say what else should be known of the folder, a line each; nothing by default.

        Args:
            folder: The corpus folder.
            named: Paths that :meth:`utterances` gave, of utterances and of exclusions.
        """
        return []


class NamedCorpus(Corpus):
    """A corpus whose file names tell speaker and emotion.

    Attributes:
        pattern: Matched against the whole file name without its ending.
        rule: The naming rule in words, for the reason of an exclusion.
        subfolder: Where the clips lie below the corpus folder; empty looks everywhere.
    """

    pattern: re.Pattern[str]
    rule: str
    subfolder: str = ""

    @abstractmethod
    def utterance(self, path: str, match: re.Match[str]) -> Utterance | Exclusion:
        """Read one clip from its name.

        Args:
            path: The file, relative to the corpus folder.
            match: What :attr:`pattern` found in the name.
        """

    def no_speech(self, path: str, match: re.Match[str]) -> str:
        """Say why a well-named file is no clip of the corpus, whatever else has its name.

        Args:
            path: The file, relative to the corpus folder.
            match: What :attr:`pattern` found in the name.

        Returns:
            The reason, or nothing for a clip.
        """
        return ""

    def utterances(self, folder: Path) -> Iterator[Utterance | Exclusion]:
        """See :meth:`Corpus.utterances`; a name found twice is taken once."""
        start = folder / self.subfolder
        if not start.is_dir():
            raise CorpusError(
                f"{self.name}: there is no folder {start}. What has to lie in {folder}: "
                f"{self.card.layout}"
            )
        base = f"{self.subfolder}/" if self.subfolder else ""
        listing = list_sounds(start)
        # Some public copies of a corpus hold every clip in two places, which would otherwise
        # count each clip twice and put the same sound on both sides of a split.
        first: dict[str, str] = {}
        for file in listing.sounds:
            path = base + file
            stem = PurePosixPath(path).stem
            match = self.pattern.fullmatch(stem)
            if match is None:
                yield Exclusion(path, f"the name does not read as {self.rule}")
            elif reason := self.no_speech(path, match):
                yield Exclusion(path, reason)
            elif stem in first:
                yield Exclusion(path, f"the same name as {first[stem]}, taken once")
            else:
                first[stem] = path
                yield self.utterance(path, match)
        yield from faults(listing, base)


def faults(listing: Listing, base: str = "") -> Iterator[Exclusion]:
    """What could not be looked at, as exclusions.

    Args:
        listing: Of a corpus folder or one in it.
        base: Path of that folder relative to the corpus folder, with a slash behind it.
    """
    for entry in listing.faults:
        yield Exclusion(printable(base + entry.path), entry.fault, entry.passing)


class NamedSounds:
    """The sounds below a folder, against the lines of a label table that name them.

    Args:
        folder: The corpus folder.
        place: Where the sounds lie in it.
        suffixes: Endings of the sounds.
    """

    def __init__(
        self, folder: Path, place: str, suffixes: tuple[str, ...] = AUDIO_SUFFIXES
    ) -> None:
        listing = list_sounds(folder / place, suffixes)
        self._present = {f"{place}/{file}" for file in listing.sounds}
        self._unusable = {fault.path: fault for fault in faults(listing, f"{place}/")}
        self._named: set[str] = set()

    def name(self, path: str) -> bool:
        """Note that a line names a sound; tell whether it is the first to do so."""
        first = path not in self._named
        self._named.add(path)
        return first

    def lacking(self, path: str, reason: str) -> Exclusion | None:
        """Tell what is wrong with a sound, ``reason`` if it is not there; None for a good one."""
        if path in self._present:
            return None
        return self._unusable.pop(path, Exclusion(path, reason))

    def others(self, reason: str) -> Iterator[Exclusion]:
        """What no line names, with the reason, and what could not be looked at."""
        for path in sorted(self._present - self._named):
            yield Exclusion(path, reason)
        yield from self._unusable.values()


def table_rows(
    corpus: str, table: Path, columns: Collection[str], remedy: str, tabs: bool = False
) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a label table that comes with a corpus.

    Args:
        corpus: Name of the corpus, for messages.
        table: The file, with a header.
        columns: Columns that it must have.
        remedy: What to do where it is missing.
        tabs: Whether tabs part the fields, and quotation marks quote nothing; else commas.

    Yields:
        A line's number, and its fields without blanks around them.

    Raises:
        CorpusError: The table is missing, or a column of it.
    """
    if not table.is_file():
        raise CorpusError(f"{corpus}: {table} is missing; {remedy}")
    with table.open(newline="", encoding="utf-8-sig") as lines:
        reader = (
            csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
            if tabs
            else csv.DictReader(lines)
        )
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise CorpusError(f"{corpus}: {table} has no column {', '.join(missing)}; {remedy}")
        for row in reader:
            # Fields beyond the header stand under None.
            fields = {name: (row[name] or "").strip() for name in row if name is not None}
            yield reader.line_num, fields
