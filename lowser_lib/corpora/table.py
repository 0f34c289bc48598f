"""Any folder described by one table, so that a reader's own corpus needs no code.

Put the sound files anywhere below a folder ``NAME`` in the corpora root, and beside them
``corpus.csv`` (UTF-8, with a header line)::

    path,speaker,gender,language,label,text_id
    audio/0001.wav,anna,female,de,angry,s01
    audio/0002.wav,anna,female,de,,s02

``path`` is relative to the folder, with forward slashes. ``gender`` is female, male or unknown
(empty reads as unknown), ``language`` an ISO 639-1 code. ``label`` and ``text_id`` may be empty.
Then ``corpora.get("table:NAME")`` is the corpus.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from lowser_lib.corpora.base import GENDERS, Corpus, DataCard, Exclusion, Utterance
from lowser_lib.errors import CorpusError

TABLE = "corpus.csv"
COLUMNS = ("path", "speaker", "gender", "language", "label", "text_id")

SYNONYMS = {
    "anger": "angry",
    "happiness": "happy",
    "joy": "happy",
    "excitement": "excited",
    "sadness": "sad",
    "fear": "fearful",
    "disgust": "disgusted",
    "surprise": "surprised",
    "boredom": "bored",
    "frustration": "frustrated",
}
"""Nouns that tables use where the course uses adjectives; other labels are taken as they are."""


class TableCorpus(Corpus):
    """Parser of a folder with ``corpus.csv``; see the module's description.

    Args:
        card: The data card; :func:`own_card` makes one for a reader's own corpus.
    """

    def __init__(self, card: DataCard) -> None:
        self.card = card

    def utterances(self, folder: Path) -> Iterator[Utterance | Exclusion]:
        """See :meth:`Corpus.utterances`; in the order of the table."""
        table = folder / TABLE
        if not table.is_file():
            raise CorpusError(
                f"{self.name}: {table} is missing; write one line a clip with the columns "
                f"{', '.join(COLUMNS)}"
            )
        seen: set[str] = set()
        try:
            with table.open(newline="", encoding="utf-8-sig") as lines:
                reader = csv.DictReader(lines)
                missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
                if missing:
                    raise CorpusError(
                        f"{self.name}: {table} has no column {', '.join(missing)}; its columns "
                        f"have to be {', '.join(COLUMNS)}"
                    )
                for row in reader:
                    fields = {name: (row[name] or "").strip() for name in COLUMNS}
                    yield _read(fields, f"{TABLE}:{reader.line_num}", seen)
        except UnicodeDecodeError as error:
            raise CorpusError(f"{self.name}: {table} is not UTF-8 ({error}); save it so") from error


def own_card(name: str) -> DataCard:
    """Make the card of a reader's own corpus, about which nothing is known beforehand."""
    untold = "see whoever made the corpus"
    return DataCard(
        name=name,
        title=f"Own corpus {name}",
        languages=("und",),
        size="as many clips as its table has lines",
        speakers=f"see the columns speaker and gender of {TABLE}",
        elicitation=untold,
        licence=untold,
        citation=untold,
        where="put in place by you",
        layout=f"{TABLE} with the columns {', '.join(COLUMNS)}, and the sound files it names",
    )


def _read(fields: dict[str, str], where: str, seen: set[str]) -> Utterance | Exclusion:
    """Read one line of the table."""
    path = fields["path"].replace("\\", "/")
    gender = fields["gender"].lower() or "unknown"
    if not path or not fields["speaker"]:
        return Exclusion(path or where, "has no path or no speaker in the table")
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or re.match(r"[A-Za-z]:", path):
        return Exclusion(path, "leads out of the corpus folder; give it relative to the folder")
    path = pure.as_posix()
    if path in seen:
        return Exclusion(path, "is in the table already, the first line is kept")
    seen.add(path)
    if gender not in GENDERS:
        return Exclusion(path, f"gender {gender!r} is not one of {', '.join(GENDERS)}")
    if not re.fullmatch(r"[a-z]{2}", fields["language"]):
        return Exclusion(path, f"language {fields['language']!r} is no ISO 639-1 code such as ur")
    label = fields["label"]
    return Utterance(
        path=path,
        speaker=fields["speaker"],
        gender=gender,
        language=fields["language"],
        raw_label=label or None,
        emotion=SYNONYMS.get(label.lower(), label.lower()) or None,
        text_id=fields["text_id"] or None,
    )
