"""The manifest: one table for all corpora, one row an utterance.

Parsers (:mod:`lowser_lib.corpora`) say what each corpus holds in the corpus's own words; here the
words become the four classes of the course, the rows become a :class:`pandas.DataFrame`, and
:func:`validate` holds that table to its schema. Everything later reads the manifest and nothing
else, so that a split, a sampler or a figure never has to know a corpus.

The columns are described, and checked, in :mod:`lowser_lib.schema`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

import pandas as pd

from lowser_lib import corpora
from lowser_lib.corpora.base import EMOTIONS, GENDERS, Exclusion, Row
from lowser_lib.errors import ManifestError
from lowser_lib.schema import COLUMNS, UNKNOWN_SPEAKER, speaker_unknown, validate

__all__ = [
    "COLUMNS",
    "EMOTIONS",
    "GENDERS",
    "MERGED",
    "NO_EMOTION",
    "SYNONYMS",
    "UNKNOWN_SPEAKER",
    "class_of",
    "combine",
    "from_rows",
    "keep_durations",
    "load",
    "read",
    "save",
    "skew_table",
    "speaker_unknown",
    "validate",
]

MERGED = {"excited": "happy"}
"""Emotions counted as one of the four classes, as in Gong et al. 2025 (arXiv 2506.02059)."""

SYNONYMS = {
    "anger": "angry",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "neutrality": "neutral",
    "excitement": "excited",
}
"""Other forms of the words that :func:`class_of` knows, by the word that the course uses."""

NO_EMOTION = "none"
"""Heading under which :func:`skew_table` counts rows whose emotion is null."""


def class_of(word: str | None) -> str | None:
    """Class of an emotion given in plain English.

    Args:
        word: An emotion such as ``anger``, ``Excited`` or ``fearful``, or None.

    Returns:
        One of :data:`EMOTIONS`, or None for no emotion and for one outside the four.

    Example:
        >>> class_of("Anger"), class_of("excited"), class_of("fearful"), class_of(None)
        ('angry', 'happy', None, None)
    """
    if word is None:
        return None
    plain = word.strip().lower()
    plain = SYNONYMS.get(plain, plain)
    plain = MERGED.get(plain, plain)
    return plain if plain in EMOTIONS else None


def from_rows(rows: Iterable[Row]) -> pd.DataFrame:
    """Manifest of what the parsers found.

    Emotions are merged into the four classes by :func:`class_of`. Whatever lies outside them
    becomes null, and is still to be read in ``raw_label``:
    ``skew_table(manifest, rows=("corpus", "raw_label"))`` shows which label went where.

    Args:
        rows: Rows of one corpus or of several, in any order.

    Returns:
        A validated manifest, sorted by ``utterance_id``, numbered from 0.

    Raises:
        ManifestError: The rows break the schema, or there are none.
    """
    found = list(rows)
    columns = {column: [getattr(row, column) for row in found] for column in COLUMNS}
    columns["emotion"] = [class_of(word) for word in columns["emotion"]]
    for column in ("raw_label", "text_id"):
        columns[column] = [value or None for value in columns[column]]
    return _sorted(validate(pd.DataFrame(columns)))


def read(name: str, root: Path, jobs: int = 1) -> tuple[pd.DataFrame, list[Exclusion]]:
    """Manifest of one corpus in place, with what had to be left out of it.

    Args:
        name: Name of the corpus in the registry (``urdu``, ``table:my_corpus``).
        root: The corpora root, in which the corpus has its folder.
        jobs: Workers that read file headers.

    Raises:
        CorpusError: The corpus is unknown or not in place.
        ManifestError: No clip could be used, or the rows break the schema.
    """
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
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Checksums let `load` notice a flipped bit in a file that is otherwise well formed.
        valid.to_parquet(partial, index=False, write_page_checksum=True)
        partial.replace(path)
    except OSError as error:
        raise ManifestError(
            f"{path}: the manifest could not be written ({error.strerror or error}). "
            f"Free some space there, or choose another folder."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path) -> pd.DataFrame:
    """Read a manifest that :func:`save` wrote.

    Args:
        path: The Parquet file.

    Returns:
        A validated manifest, numbered from 0.

    Raises:
        ManifestError: The file is missing, damaged, or breaks the schema.
    """
    path = Path(path)
    if not path.is_file():
        raise ManifestError(
            f"{path}: there is no such manifest. `lowser corpora prepare` makes it."
        )
    try:
        manifest = pd.read_parquet(path, page_checksum_verification=True)
    except (OSError, ValueError) as error:
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
            f"{', '.join(map(repr, manifest.columns))}."
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
