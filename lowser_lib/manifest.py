"""The manifest: one table for all corpora, one row an utterance.

Parsers (:mod:`lowser_lib.corpora`) say what each corpus holds in the corpus's own words; here the
words become the four classes of the course, the rows become a :class:`pandas.DataFrame`, and
:func:`validate` holds that table to its schema. Everything later reads the manifest and nothing
else, so that a split, a sampler or a figure never has to know a corpus.

A manifest is a :class:`pandas.DataFrame` with one row an utterance. Columns (:data:`COLUMNS`):

================  =======  =====================================================================
``utterance_id``  str      unique; ``corpus/`` and the rest of the path without its ending
``corpus``        str      name of the corpus
``path``          str      the sound file, relative to the corpora root, forward slashes
``language``      str      ISO 639-1 code, or ISO 639-3 where there is none
``speaker``       str      unique across corpora; ``corpus/unknown`` where a corpus tells none
``gender``        str      ``female``, ``male``, ``unknown``
``emotion``       str      ``angry``, ``happy``, ``neutral``, ``sad``, or a class that a
                           ``table:`` corpus names itself; null: no label, or another
``raw_label``     str      the corpus's own label, or null
``text_id``       str      id of the sentence, or null
``duration``      float64  length in seconds
``sample_rate``   int64    samples a second of the file, in Hz
================  =======  =====================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import date, timedelta
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from lowser_lib import corpora, files
from lowser_lib.corpora import EMOTIONS, GENDERS, Exclusion, Row
from lowser_lib.corpora.base import SYNONYMS, UNKNOWN_SPEAKER, class_of
from lowser_lib.errors import ManifestError

COLUMNS = tuple(field.name for field in fields(Row))
"""The columns of every manifest, in order; further columns are kept behind them."""

MAXIMUM_RATE = 10_000_000
"""Hz; far above what sound is stored at, so that a slip is seen."""

UNLABELLED = -1
"""The number of an emotion that there is not; a supervised loss leaves such clips out."""

_NULLABLE = ("emotion", "raw_label", "text_id")
_TEXT = COLUMNS[:-2]
_REQUIRED_TEXT = tuple(column for column in _TEXT if column not in _NULLABLE)


def validate(manifest: pd.DataFrame) -> pd.DataFrame:
    """Hold a manifest to its schema.

    Args:
        manifest: The table to check; it is not changed.

    Returns:
        A copy with the columns in order and of their types; the rows and their index are kept.

    Raises:
        ManifestError: With one line for each breach: column, count, first values, what to do.
    """
    if manifest.columns.nlevels > 1:
        raise ManifestError(
            f"the manifest's columns have {manifest.columns.nlevels} levels (a MultiIndex); give "
            f"each column one name, with `manifest.columns = [...]`."
        )
    missing = [column for column in COLUMNS if column not in manifest.columns]
    if missing:
        raise ManifestError(
            f"the manifest has no column {', '.join(map(repr, missing))}; it has "
            f"{_few(manifest.columns)}. Make manifests with lowser_lib.manifest.from_rows."
        )
    repeated = manifest.columns[manifest.columns.duplicated()]
    if len(repeated):
        raise ManifestError(f"the manifest has column {repeated[0]!r} twice; drop one of them.")
    if manifest.empty:
        raise ManifestError(
            "the manifest is empty. Look at what was left out and why, and at the folder that "
            "was read (`lowser corpora verify`)."
        )
    typed = _typed(manifest)
    problems = [
        *_text_problems(typed),
        *_speaker_problems(typed),
        *_number_problems(typed, manifest),
    ]
    if problems:
        raise ManifestError("the manifest breaks its schema:\n- " + "\n- ".join(problems))
    return typed.astype({"sample_rate": "int64"})


def _few(columns: pd.Index) -> str:
    """The names of columns, cut short where they are many."""
    names = [repr(name)[:60] for name in columns[:20]]
    more = f", ... ({len(columns)} in all)" if len(columns) > len(names) else ""
    return ", ".join(names) + more or "no columns at all"


def speaker_unknown(manifest: pd.DataFrame) -> pd.Series:
    """Tell for each row, as a boolean, whether its corpus leaves the speaker unnamed."""
    return manifest["speaker"] == manifest["corpus"] + "/" + UNKNOWN_SPEAKER


def _typed(manifest: pd.DataFrame) -> pd.DataFrame:
    """Columns in order and of their types, but for ``sample_rate``, which may hold bad values."""
    extra = [column for column in manifest.columns if column not in COLUMNS]
    typed = manifest[[*COLUMNS, *extra]].copy()
    for column in _TEXT:
        try:
            typed[column] = typed[column].astype("str")
        except UnicodeEncodeError as error:
            raise ManifestError(
                f"column {column!r} holds text that is not UTF-8: {ascii(error.object)[:200]}. It "
                f"comes from a file name in another encoding; give the file another name."
            ) from error
    for column in ("duration", "sample_rate"):
        # A date or a span of time would become its count of nanoseconds.
        numbers = typed[column] if not _is_time(typed[column]) else np.nan
        typed[column] = pd.to_numeric(numbers, errors="coerce")
        typed[column] = typed[column].astype("float64")
    return typed


def _is_time(values: pd.Series) -> bool:
    if values.dtype == object:
        return bool(values.map(lambda value: isinstance(value, date | timedelta)).any())
    return values.dtype.kind in "mM"


def _problem(
    values: pd.Series, bad: pd.Series | np.ndarray, fault: str, remedy: str
) -> Iterator[str]:
    """One line about the values for which ``bad`` is true, or nothing when it never is."""
    mask = np.asarray(bad, dtype=bool)
    if not mask.any():
        return
    faulty = values[mask]
    different = faulty.drop_duplicates()
    shown = ", ".join(
        "(empty)" if pd.isna(value) or value == "" else repr(value)
        for value in different.head(3).tolist()
    )
    more = ", ..." if len(different) > 3 else ""
    count = f"{len(faulty)} row{'s' if len(faulty) > 1 else ''}"
    yield f"column {values.name!r}, {count}: {fault}: {shown}{more}. {remedy}"


def _text_problems(table: pd.DataFrame) -> Iterator[str]:
    text = {column: table[column].fillna("") for column in _TEXT}
    for column in _REQUIRED_TEXT:
        yield from _problem(
            text[column], text[column].str.strip() == "", "no value", "Every row needs one."
        )
    for column in ("utterance_id", "path"):
        yield from _problem(
            text[column],
            text[column].duplicated(keep=False) & (text[column] != ""),
            "the same value more than once",
            "Each utterance is listed once; look for a corpus that was read twice.",
        )
    pairs = zip(text["utterance_id"], text["corpus"], strict=True)
    yield from _problem(
        text["utterance_id"],
        np.array([bool(uid) and not uid.startswith(f"{corpus}/") for uid, corpus in pairs]),
        "does not begin with its corpus and a slash",
        "Write corpus/path without the ending.",
    )
    yield from _problem(
        text["path"],
        # An absolute path, a drive letter, a backslash, or a step up and out of the root.
        text["path"].str.contains(r"^/|^[A-Za-z]:|\\|(?:^|/)\.\.(?:/|$)", regex=True),
        "not a path below the corpora root",
        "Write it relative to the root, with forward slashes and without `..`.",
    )
    yield from _problem(
        text["language"],
        ~text["language"].str.fullmatch("[a-z]{2,3}|"),
        "not an ISO 639-1 code",
        "Write two lower-case letters, such as `ur`, or the three of ISO 639-3 where there are "
        "none, such as `kab`.",
    )
    yield from _problem(
        text["gender"],
        ~text["gender"].isin([*GENDERS, ""]),
        "unknown gender",
        f"Write {', '.join(GENDERS[:-1])} or {GENDERS[-1]}.",
    )
    yield from _problem(
        text["emotion"],
        ~(text["emotion"].isin(EMOTIONS) | _own_class(text)) & table["emotion"].notna(),
        "unknown emotion",
        f"Write {', '.join(EMOTIONS)}, or null for no label or another emotion; the corpus's own "
        f"word belongs in raw_label.",
    )


def _own_class(text: dict[str, pd.Series]) -> pd.Series:
    """Which rows have a class that their corpus named itself, as a ``table:`` corpus may."""
    word = text["emotion"].str.fullmatch(r"[^\W\d_][\w -]*") & (
        text["emotion"] == text["emotion"].str.lower()
    )
    foreign = text["emotion"].isin([*SYNONYMS]) | text["corpus"].isin(corpora.names())
    return word & ~foreign


def _speaker_problems(table: pd.DataFrame) -> Iterator[str]:
    corpora_of = table[["speaker", "corpus"]].dropna().drop_duplicates()
    yield from _problem(
        table["speaker"],
        table["speaker"].isin(corpora_of["speaker"][corpora_of["speaker"].duplicated()]),
        "the same speaker in more than one corpus",
        "Put the corpus and a slash in front of each speaker.",
    )
    gendered = table[table["gender"].isin(["female", "male"]) & ~speaker_unknown(table)]
    genders_of = gendered[["speaker", "gender"]].drop_duplicates()
    yield from _problem(
        table["speaker"],
        table["speaker"].isin(genders_of["speaker"][genders_of["speaker"].duplicated()]),
        "both female and male",
        "These are two people, or a mistake in the corpus; write `unknown` if it cannot be told.",
    )


def _number_problems(table: pd.DataFrame, given: pd.DataFrame) -> Iterator[str]:
    duration, rate = table["duration"], table["sample_rate"]
    yield from _problem(
        given["duration"],
        ~(np.isfinite(duration) & (duration > 0)),
        "not a positive number of seconds",
        "Leave files without sound out; lowser_lib.audio.check_files finds them.",
    )
    yield from _problem(
        given["sample_rate"],
        ~((rate > 0) & (rate <= MAXIMUM_RATE) & (rate % 1 == 0)),
        f"not a positive whole number of Hz up to {MAXIMUM_RATE}",
        "Take it from the header of the file.",
    )


NO_EMOTION = "none"
"""Heading under which :func:`skew_table` counts rows whose emotion is null."""


def emotion_codes(table: pd.DataFrame, classes: Sequence[str] = EMOTIONS) -> np.ndarray:
    """Emotions as numbers, in one order everywhere: their places in ``classes``.

    Args:
        table: Rows of a manifest.
        classes: The classes, by default the four of the course.

    Returns:
        int64 ``(N,)``; :data:`UNLABELLED` where a row has none of the classes.
    """
    codes = {emotion: code for code, emotion in enumerate(classes)}
    return table["emotion"].map(codes).fillna(UNLABELLED).to_numpy(dtype=np.int64)


def from_rows(rows: Iterable[Row]) -> pd.DataFrame:
    """Manifest of what the parsers found.

    Emotions are merged into the four classes by :func:`class_of`, but for classes that a corpus
    names itself. Whatever lies outside becomes null, and is still to be read in ``raw_label``:
    ``skew_table(manifest, rows=("corpus", "raw_label"))`` shows which label went where.

    Args:
        rows: Rows of one corpus or of several, in any order.

    Returns:
        A validated manifest, sorted by ``utterance_id``, numbered from 0.

    Raises:
        ManifestError: The rows break the schema, or there are none.
    """
    items = list(rows)
    columns = {column: [getattr(row, column) for row in items] for column in COLUMNS}
    columns["emotion"] = [class_of(word) for word in columns["emotion"]]
    for column in ("raw_label", "text_id"):
        columns[column] = [value or None for value in columns[column]]
    return _sorted(validate(pd.DataFrame(columns)))


def read(name: str, root: Path, jobs: int = 1) -> tuple[pd.DataFrame, list[Exclusion]]:
    """Manifest of one corpus in place, with what had to be left out of it."""
    rows, exclusions = corpora.read(name, Path(root), jobs=jobs)
    if not rows:
        first = f"; first: {exclusions[0].path}: {exclusions[0].reason}" if exclusions else ""
        raise ManifestError(
            f"corpus {name!r} below {root} has no usable clip ({len(exclusions)} left out{first}). "
            f"`lowser corpora verify` compares its folder with the layout it should have."
        )
    return from_rows(rows), exclusions


def combine(*manifests: pd.DataFrame) -> pd.DataFrame:
    """One manifest from several, for instance of several corpora.

    Returns:
        A validated manifest, sorted by ``utterance_id``, numbered from 0.

    Raises:
        ManifestError: The whole breaks the schema: an id twice, a speaker in two corpora.
        ValueError: No manifest was given.
    """
    if not manifests:
        raise ValueError("combine() needs at least one manifest, got none")
    typed = [validate(manifest) for manifest in manifests]
    return _sorted(validate(pd.concat(typed, ignore_index=True)))


def keep_durations(
    manifest: pd.DataFrame, minimum: float = 0.5, maximum: float = 12.0
) -> tuple[pd.DataFrame, list[Exclusion]]:
    """Keep utterances of a given length; the defaults are those of Gong et al. 2025.

    Args:
        manifest: A manifest.
        minimum: Shortest length kept, in seconds.
        maximum: Longest length kept, in seconds.

    Returns:
        The rows within the limits (both included), numbered from 0, possibly none; and the others
        as a list of exclusions that tell each length.

    Raises:
        ValueError: The limits are negative or the wrong way round.
    """
    if not 0.0 <= minimum <= maximum:
        raise ValueError(f"need 0 <= minimum <= maximum, got {minimum=} and {maximum=}")
    keep = manifest["duration"].between(minimum, maximum)
    dropped = manifest[~keep]
    exclusions = [
        Exclusion(
            path,
            f"{seconds:.2f} s long, shorter than {minimum:g} s"
            if seconds < minimum
            else f"{seconds:.2f} s long, longer than {maximum:g} s",
        )
        for path, seconds in zip(dropped["path"], dropped["duration"], strict=True)
    ]
    return manifest[keep].reset_index(drop=True), exclusions


def save(manifest: pd.DataFrame, path: Path) -> None:
    """Write a manifest as Parquet: complete or not at all.

    Args:
        manifest: A manifest; it is validated first.
        path: The file to write; its folder is made if need be, an older file replaced.

    Raises:
        ManifestError: The manifest breaks its schema, or the file cannot be written.
    """
    valid, path = validate(manifest), Path(path)
    with files.whole_file(path, ManifestError) as part:
        # Checksums let `load` notice a flipped bit in a file that is otherwise well formed.
        valid.to_parquet(part, index=False, write_page_checksum=True)


def load(path: Path) -> pd.DataFrame:
    """Read a manifest that :func:`save` wrote."""
    path = Path(path)
    if not path.is_file():
        raise ManifestError(
            f"{path}: there is no such manifest. `lowser corpora prepare` makes it."
        )
    try:
        manifest = pd.read_parquet(path, page_checksum_verification=True)
    except Exception as error:  # a damaged footer raises whatever pyarrow stumbles over
        raise ManifestError(
            f"{path}: not a complete Parquet file ({error}). Delete it and make it anew with "
            f"`lowser corpora prepare`."
        ) from error
    try:
        return validate(manifest)
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}") from error


def skew_table(
    manifest: pd.DataFrame,
    rows: Sequence[str] | str = ("corpus", "gender"),
    columns: str = "emotion",
) -> pd.DataFrame:
    """Count utterances in each cell of a cross table, empty cells included.

    An empty cell (no angry woman in URDU) says more than a small one, so genders and emotions
    appear whether or not anything falls under them; ``unknown`` and :data:`NO_EMOTION` (rows whose
    emotion is null) only where there are such rows.

    Args:
        manifest: A manifest.
        rows: Column or columns of the manifest that make the rows of the table.
        columns: Column of the manifest that makes its columns.

    Returns:
        Integer counts; they sum to the number of rows of the manifest.

    Raises:
        ManifestError: A column named is not in the manifest.
    """
    row_names = [rows] if isinstance(rows, str) else list(rows)
    absent = [name for name in [*row_names, columns] if name not in manifest.columns]
    if absent:
        raise ManifestError(
            f"cannot count by {absent[0]!r}: the manifest has no such column, only "
            f"{_few(manifest.columns)}."
        )
    values = manifest[[*row_names, columns]].astype("str").fillna(NO_EMOTION)
    counts = values.value_counts().unstack(columns, fill_value=0)
    levels = [_levels(name, values[name]) for name in row_names]
    if len(row_names) == 1:
        index = pd.Index(levels[0], name=row_names[0])
    else:
        index = _observed_product(values[row_names], row_names, levels)
    header = pd.Index(_levels(columns, values[columns]), name=columns)
    return counts.reindex(index=index, columns=header, fill_value=0).astype("int64")


def _sorted(manifest: pd.DataFrame) -> pd.DataFrame:
    return manifest.sort_values("utterance_id", kind="stable", ignore_index=True)


def _levels(name: str, values: pd.Series) -> list[str]:
    """What may stand in a column, in the order of the course, then whatever else was found."""
    fixed = {"emotion": EMOTIONS, "gender": GENDERS[:-1]}.get(name, ())
    return [*fixed, *sorted(set(values) - set(fixed))]


def _observed_product(
    values: pd.DataFrame, names: Sequence[str], levels: Sequence[Sequence[str]]
) -> pd.MultiIndex:
    """Each combination that occurs, with women and men and all emotions whether they do or not."""
    free = [place for place, name in enumerate(names) if name not in ("emotion", "gender")]
    whole = set(values.itertuples(index=False, name=None))
    groups = {tuple(cell[place] for place in free) for cell in whole}
    cells = [
        cell
        for cell in product(*levels)
        if tuple(cell[place] for place in free) in groups
        and (cell in whole or ("gender", "unknown") not in zip(names, cell, strict=True))
    ]
    return pd.MultiIndex.from_tuples(cells, names=list(names))
