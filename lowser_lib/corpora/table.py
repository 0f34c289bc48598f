"""Any folder described by one table, so that a reader's own corpus needs no code.

Put the sound files anywhere below a folder ``NAME`` in the corpora root, and beside them
``corpus.csv`` (UTF-8, with a header line)::

    path,speaker,gender,language,label,text_id
    audio/0001.wav,anna,female,de,angry,s01
    audio/0002.wav,anna,female,de,,s02

``path`` is relative to the folder, with forward slashes. ``gender`` is female, male or unknown (f,
m, and empty for unknown, will do), ``language`` an ISO 639-1 code, or an ISO 639-3 one where there
is none. ``label`` and ``text_id`` may be empty. Semicolons or tabs may stand for the commas.

A label outside the course's four classes is kept, and counts as no class. A table that has classes
of its own names them in one more column, ``emotion``: calm, fearful, or one of the four.

Then ``corpora.get("table:NAME")`` is the corpus. A line that cannot be used is left out and listed
by its number; it never costs the lines behind it.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lowser_lib import files
from lowser_lib.corpora.base import (
    EMOTIONS,
    GENDERS,
    SYNONYMS,
    Corpus,
    DataCard,
    Exclusion,
    NamedClass,
    Utterance,
    class_of,
    faults,
)
from lowser_lib.corpora.folders import is_stray, list_sounds, printable, walk
from lowser_lib.errors import CorpusError

TABLE = "corpus.csv"
COLUMNS = ("path", "speaker", "gender", "language", "label", "text_id")
CLASS_COLUMN = "emotion"

GENDER_WORDS = {"f": "female", "m": "male", "": "unknown", **{name: name for name in GENDERS}}
"""What may stand for a gender, in capitals or not."""

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_LONGEST_QUOTE = 50  # lines over which a quoted field may run
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


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
        lines = _lines(self.name, table)
        header, delimiter = _header(self.name, table, lines)
        # A table from one system may spell a name otherwise than the folder from another does: é
        # is one letter or two (NFC, NFD).
        spelt = {unicodedata.normalize("NFC", entry.path): entry.path for entry in walk(folder)}
        seen: set[str] = set()
        for number, fields in _records(lines, delimiter, len(header)):
            where = f"{TABLE}:{number}"
            if isinstance(fields, str):
                yield Exclusion(where, fields)
            elif len(fields) > len(header) and any(fields[len(header) :]):
                reason = f"has {len(fields)} fields, the header {len(header)}"
                yield Exclusion(where, f"{reason}; put a field that holds a mark into quotes")
            else:
                row = dict(zip(header, (field.strip() for field in fields), strict=False))
                yield _read(row, where, seen, spelt)

    def notes(self, folder: Path, named: Collection[str]) -> list[str]:
        """See :meth:`Corpus.notes`: sounds that the table does not speak of, counted."""
        listing = list_sounds(folder)
        other = [path for path in listing.sounds if path not in named]
        faults = [fault for fault in listing.faults if fault.path not in named]
        notes = []
        if other:
            plural = "s" if len(other) > 1 else ""
            notes.append(
                f"{len(other)} sound file{plural} that no line of {TABLE} names (first: {other[0]})"
            )
        notes += [f"{printable(fault.path)}: {fault.fault}" for fault in faults]
        return notes


def write_table(
    file: Path, lines: Iterable[Sequence[str]], header: Sequence[str] = COLUMNS
) -> None:
    """Write a table as it is read, with line ends that are the same everywhere.

    Args:
        file: The file.
        lines: Its fields, line by line.
        header: Names of the columns.
    """
    with file.open("w", newline="", encoding="utf-8") as sink:
        writer = csv.writer(sink, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(lines)


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


def _lines(name: str, table: Path) -> list[str]:
    """The lines of the table, whatever ends them."""
    if not table.is_file():
        raise CorpusError(
            f"{name}: {table} is missing; write one line a clip with the columns "
            f"{', '.join(COLUMNS)}, or have `lowser corpora new` write it"
        )
    try:
        content = table.read_bytes()
    except OSError as error:
        raise CorpusError(f"{name}: {table} cannot be read ({error.strerror or error})") from error
    # Excel's "Unicode text" is UTF-16; its "CSV UTF-8" begins with a mark.
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = len(re.findall(rb"\r\n|\r|\n", content[: error.start])) + 1
        raise CorpusError(
            f"{name}: {table} is not UTF-8: line {line} holds the byte 0x{content[error.start]:02x}"
            f" (cp1252, perhaps); save it as UTF-8 ('CSV UTF-8' in Excel)"
        ) from error
    return re.split(r"\r\n|\r|\n", text)


def _header(name: str, table: Path, lines: list[str]) -> tuple[list[str], str]:
    """Column names, and what parts them: the mark that finds most of the columns."""
    first = lines[0]
    columns = {
        mark: [cell.strip(' "').lower() for cell in first.split(mark)] for mark in _DELIMITERS
    }
    delimiter = max(columns, key=lambda mark: len({*COLUMNS} & {*columns[mark]}))
    header = columns[delimiter]
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise CorpusError(
            f"{name}: {table} has no column {', '.join(missing)}; its columns have to be "
            f"{', '.join(COLUMNS)}, parted by {', '.join(_DELIMITERS.values())}"
        )
    return header, delimiter


def _records(lines: list[str], delimiter: str, width: int) -> Iterator[tuple[int, list[str] | str]]:
    """The lines as fields, each with its number; or in words what is wrong with a line.

    A quoted field may run over several lines. A quotation mark that nobody closes must not swallow
    the lines behind it: such a line is read as it stands where that gives the right number of
    fields.
    """
    number = 1
    while number < len(lines):
        line, number = lines[number], number + 1
        if not line.strip():
            continue
        try:
            yield number, _split(line, delimiter)
            continue
        except csv.Error as error:
            fault = str(error)
        last = _end_of_quote(lines, number - 1, delimiter, width)
        if last is not None:
            yield number, _split("\n".join(lines[number - 1 : last + 1]), delimiter)
            number = last + 1
            continue
        plain = line.split(delimiter)
        if len(plain) == width and "limit" not in fault:
            yield number, plain
        elif "limit" in fault:
            yield number, f"has a field longer than {csv.field_size_limit()} characters"
        else:
            yield number, "has a quotation mark that nothing closes; close it, or leave it out"


def _end_of_quote(lines: list[str], start: int, delimiter: str, width: int) -> int | None:
    """The line on which the field that is quoted on line ``start`` ends, if it does so soon."""
    for last in range(start + 1, min(start + _LONGEST_QUOTE, len(lines))):
        if len(lines[last].split(delimiter)) >= width:  # a line in its own right
            return None
        try:
            fields = _split("\n".join(lines[start : last + 1]), delimiter)
        except csv.Error:
            continue
        return last if len(fields) == width else None
    return None


def _split(text: str, delimiter: str) -> list[str]:
    records = list(csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True))
    return records[0] if records else []


def _read(
    row: dict[str, str], where: str, seen: set[str], spelt: dict[str, str]
) -> Utterance | Exclusion:
    """Read one line of the table."""
    path = row["path"].replace("\\", "/")
    shown = path if len(path) <= 200 else f"{path[:200]}…"
    speaker, gender = row.get("speaker", ""), row.get("gender", "")
    language = re.split("[-_]", row.get("language", ""))[0].lower()  # pl-PL is Polish
    if not path or not speaker:
        return Exclusion(path or where, "has no path or no speaker in the table")
    pure = PurePosixPath(path)
    row["text_id"] = " ".join(row.get("text_id", "").split())  # a text may run over lines
    if _CONTROL.search("".join(row.values())):
        return Exclusion(where, "holds a control character; write plain text")
    if pure.is_absolute() or ".." in pure.parts or re.match(r"[A-Za-z]:", path):
        return Exclusion(shown, "leads out of the corpus folder; give it relative to the folder")
    if not pure.name or is_stray(pure) or path == TABLE:
        return Exclusion(where, f"{shown!r} names no sound file")
    path = pure.as_posix()
    path = shown = spelt.get(unicodedata.normalize("NFC", path), path)
    if path in seen:
        return Exclusion(shown, "is in the table already, the first line is kept")
    seen.add(path)
    if gender.lower() not in GENDER_WORDS:
        words = ", ".join(word for word in GENDER_WORDS if word)
        return Exclusion(shown, f"gender {gender!r} is not one of {words}")
    if not re.fullmatch(r"[a-z]{2,3}", language):
        named = row.get("language", "")
        return Exclusion(shown, f"language {named!r} is no ISO 639 code such as ur or kab")
    label, word = row.get("label", ""), row.get(CLASS_COLUMN, "").lower()
    if word and not re.fullmatch(r"[^\W\d_][\w -]*", word):
        return Exclusion(shown, f"{CLASS_COLUMN} {word!r} is no word")
    emotion: str | None = NamedClass(SYNONYMS.get(word, word)) if word else None
    if CLASS_COLUMN not in row:
        emotion = SYNONYMS.get(label.lower(), label.lower()) or None
    return Utterance(
        path=path,
        speaker=speaker,
        gender=GENDER_WORDS[gender.lower()],
        language=language,
        raw_label=label or None,
        emotion=emotion,
        text_id=row.get("text_id") or None,
    )


_GENDERS = {
    **GENDER_WORDS,
    **dict.fromkeys(("w", "woman", "women", "girl", "frau", "weiblich", "kobieta", "k"), "female"),
    **dict.fromkeys(("man", "men", "boy", "mann", "männlich", "mężczyzna", "h"), "male"),
    **dict.fromkeys(("u", "x", "other", "o", "n/a", "na"), "unknown"),
}
_LANGUAGES = {
    "english": "en",
    "german": "de",
    "deutsch": "de",
    "polish": "pl",
    "polski": "pl",
    "urdu": "ur",
    "bangla": "bn",
    "bengali": "bn",
    "french": "fr",
    "spanish": "es",
    "italian": "it",
}
_FIELD = re.compile(r"\{(\w+)\}|(\*)")


@dataclass(frozen=True)
class NewTable:
    """A table that could be written.

    Attributes:
        lines: A line a clip, by the columns of the table.
        exclusions: Files that the pattern does not fit, or that cannot be read.
    """

    lines: list[dict[str, str]]
    exclusions: list[Exclusion]

    @property
    def columns(self) -> tuple[str, ...]:
        """The header of the table."""
        return (*COLUMNS, CLASS_COLUMN) if CLASS_COLUMN in self.lines[0] else COLUMNS

    def text(self) -> str:
        """The table as it will be written."""
        stream = io.StringIO()
        writer = csv.DictWriter(stream, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.lines)
        return stream.getvalue()

    def summary(self) -> list[str]:
        """What was understood, in lines: speakers by gender, labels with their classes."""
        genders = Counter({line["speaker"]: line["gender"] for line in self.lines}.values())
        people = ", ".join(f"{number} {gender}" for gender, number in sorted(genders.items()))
        languages = ", ".join(sorted({line["language"] for line in self.lines}))
        report = [f"{len(self.lines)} clips in {languages}; speakers: {people}"]
        both = Counter(speaker for speaker, _ in {(s["speaker"], s["gender"]) for s in self.lines})
        two = [speaker for speaker, number in both.items() if number > 1]
        if two:
            report.append(
                f"speakers with two genders, who will be taken as unknown: {', '.join(two[:10])}; "
                f"two people with one number each need a letter of the gender in {{speaker}}"
            )
        labels = Counter((line["label"], line.get(CLASS_COLUMN)) for line in self.lines)
        for (label, given), number in sorted(labels.items(), key=str):
            into = given or class_of(label) or "no class of the course"
            report.append(f"label {label or '(none)'}: {number} clips, {into}")
        report += [f"left out: {item.path}: {item.reason}" for item in self.exclusions[:10]]
        if len(self.exclusions) > 10:
            report.append(f"... and {len(self.exclusions) - 10} more left out")
        return report


def propose(
    folder: Path,
    pattern: str,
    fixed: Mapping[str, str],
    words: Mapping[str, str],
    own_classes: bool = False,
    prefix: str = "",
) -> NewTable:
    """Read a folder's names as a table.

    Args:
        folder: Where the sounds lie, at any depth.
        pattern: The end of a path without its ending: ``{speaker}``, ``{gender}``, ``{language}``,
            ``{label}`` and ``{text_id}`` stand for a part of a name, ``*`` for one of no interest.
        fixed: Values of columns that are the same for all clips.
        words: What a code among the labels stands for, such as ``W`` for ``angry``.
        own_classes: Make each label a class, be it one of the course's four or not.
        prefix: Put in front of each path.

    Raises:
        CorpusError: No sound, a pattern that cannot be read or fits no file, a column that neither
            pattern nor values give, or a value that a table may not hold.
    """
    expression, given = _expression(pattern)
    lacking = [name for name in ("speaker", "language") if name not in given and name not in fixed]
    if lacking:
        raise CorpusError(
            f"nothing tells the {' and the '.join(lacking)}: put {{{lacking[0]}}} into the pattern "
            f"{pattern!r}, or give one for all clips with --{lacking[0]}"
        )
    listing = list_sounds(folder)
    exclusions = list(faults(listing))
    lines: list[dict[str, str]] = []
    for path in listing.sounds:
        match = expression.search("/" + str(PurePosixPath(path).with_suffix("")))
        if match is None:
            exclusions.append(Exclusion(path, f"the name does not read as {pattern}"))
            continue
        fields = {**fixed, **match.groupdict()}
        label = words.get(fields.get("label", ""), fields.get("label", ""))
        gender = _GENDERS.get(fields.get("gender", "").lower())
        code = re.split("[-_]", fields["language"].lower())[0]
        language = _LANGUAGES.get(code, code)
        if gender is None:
            exclusions.append(Exclusion(path, f"gender {fields['gender']!r} is not understood"))
        elif not re.fullmatch("[a-z]{2,3}", language):
            exclusions.append(Exclusion(path, f"language {language!r} is no ISO 639 code"))
        else:
            line = {
                "path": prefix + path,
                "speaker": fields["speaker"],
                "gender": gender,
                "language": language,
                "label": label,
                "text_id": fields.get("text_id", ""),
            }
            if own_classes:
                line[CLASS_COLUMN] = SYNONYMS.get(label.lower(), label.lower())
            lines.append(line)
    if not lines:
        first = f"; first: {exclusions[0].path}: {exclusions[0].reason}" if exclusions else ""
        raise CorpusError(
            f"{folder} gives no line for a table: {len(exclusions)} files left out{first}. The "
            f"pattern reads the end of a path without its ending, as in {{speaker}}/{{label}}_*"
        )
    return NewTable(lines, exclusions)


def write(table: NewTable, target: Path) -> Path:
    """Write ``corpus.csv`` into a corpus folder.

    Args:
        table: From :func:`propose`.
        target: The corpus folder.

    Raises:
        CorpusError: There is such a file already, or the folder cannot be written.
    """
    file = target / TABLE
    if file.exists():
        raise CorpusError(f"{file} is there already; move it away to have another written")
    files.write_text(file, table.text(), CorpusError)
    return file


def words_shown() -> str:
    """The words that are understood, for a reader who looks for theirs."""
    nouns = ", ".join(f"{noun} = {word}" for noun, word in SYNONYMS.items())
    genders = ", ".join(f"{word} = {gender}" for word, gender in _GENDERS.items() if word)
    return f"classes: {', '.join(EMOTIONS)} (and excited = happy); {nouns}. genders: {genders}"


def _expression(pattern: str) -> tuple[re.Pattern[str], list[str]]:
    """The pattern as a regular expression, and the columns it gives."""
    parts, given, place = ["/"], [], 0
    for field in _FIELD.finditer(pattern):
        parts.append(re.escape(pattern[place : field.start()]))
        name = field.group(1)
        if name is not None and (name not in COLUMNS[1:] or name in given):
            raise CorpusError(
                f"{{{name}}} in the pattern {pattern!r}: it may hold each of "
                f"{', '.join(f'{{{column}}}' for column in COLUMNS[1:])} once, and *"
            )
        parts.append(f"(?P<{name}>[^/]+?)" if name else "[^/]*?")
        given += [name] if name else []
        place = field.end()
    parts.append(re.escape(pattern[place:]) + r"\Z")
    return re.compile("".join(parts)), given
