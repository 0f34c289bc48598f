"""What every corpus shares: the records that flow out of a parser, and the data card.

A corpus is a folder of sound files plus whatever tells who speaks and how: file names, a label
file, a table. A parser (:class:`Corpus`) turns such a folder into :class:`Utterance` records
without decoding any audio. :func:`lowser_lib.corpora.read` adds duration and sample rate from the
file headers and gives :class:`Row` records, the rows of the manifest. Whatever does not fit is
given back as an :class:`Exclusion`: listed and counted, never dropped in silence.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

EMOTIONS = ("angry", "happy", "neutral", "sad")
"""The four classes of the course, in the order in which every table and model uses them."""

GENDERS = ("female", "male", "unknown")
"""What a corpus may say of a speaker; ``unknown`` wherever it does not say."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One clip as its corpus describes it; no audio has been decoded.

    Attributes:
        path: The sound file, with forward slashes, relative to the corpus folder.
        speaker: The corpus's own speaker id, not yet prefixed with the corpus.
        gender: ``female``, ``male`` or ``unknown``.
        language: ISO 639-1 code such as ``ur``.
        raw_label: The corpus's own label as written (``W``, ``05``, ``exc``), or None.
        emotion: The same in plain English (``angry``, ``excited``, ``fearful``, ...), before any
            merging and with no regard to the four classes; None when unlabelled.
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

    Attributes:
        utterance_id: ``corpus/`` and the path without its ending; unique over all corpora.
        corpus: Name of the corpus.
        path: The sound file relative to the corpora root: ``corpus/`` and :attr:`Utterance.path`.
        language: ISO 639-1 code.
        speaker: ``corpus/`` and the corpus's own speaker id; unique over all corpora.
        gender: ``female``, ``male`` or ``unknown``.
        emotion: Plain English emotion before merging, or None.
        raw_label: The corpus's own label as written, or None.
        text_id: Id of the sentence spoken, or None.
        duration: Length in seconds, from the file header.
        sample_rate: Samples a second of the file, in Hz.
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
    """

    path: str
    reason: str


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
        title: Full name.
        languages: ISO 639-1 codes.
        size: Number and length of the clips, in words.
        speakers: Number of speakers by gender, in words.
        elicitation: How the emotion came about: acted, induced, or found in talk.
        licence: Terms of use.
        citation: The publication to cite.
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
