"""A table for a folder of sounds, written from the names of its files and folders.

A pattern says which part of a path is what: ``{speaker}/{label}_{text_id}`` reads
``anna/anger_07.wav``. Whatever names do not tell is given once for all clips.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lowser_lib import files
from lowser_lib.corpora.base import EMOTIONS, SYNONYMS, Exclusion, class_of, faults
from lowser_lib.corpora.folders import list_sounds
from lowser_lib.corpora.table import CLASS_COLUMN, COLUMNS, GENDER_WORDS, TABLE
from lowser_lib.errors import CorpusError

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
        for (label, own), number in sorted(labels.items(), key=str):
            into = own or class_of(label) or "no class of the course"
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
    for found in _FIELD.finditer(pattern):
        parts.append(re.escape(pattern[place : found.start()]))
        name = found.group(1)
        if name is not None and (name not in COLUMNS[1:] or name in given):
            raise CorpusError(
                f"{{{name}}} in the pattern {pattern!r}: it may hold each of "
                f"{', '.join(f'{{{column}}}' for column in COLUMNS[1:])} once, and *"
            )
        parts.append(f"(?P<{name}>[^/]+?)" if name else "[^/]*?")
        given += [name] if name else []
        place = found.end()
    parts.append(re.escape(pattern[place:]) + r"\Z")
    return re.compile("".join(parts)), given
