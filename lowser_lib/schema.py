"""The schema of the manifest, and the check that holds a table to it.

A manifest is a :class:`pandas.DataFrame` with one row an utterance. Columns (:data:`COLUMNS`):

================  =======  =====================================================================
``utterance_id``  str      unique; ``corpus/`` and the rest of the path without its ending
``corpus``        str      name of the corpus
``path``          str      the sound file, relative to the corpora root, forward slashes
``language``      str      ISO 639-1 code
``speaker``       str      unique across corpora; ``corpus/unknown`` where a corpus tells none
``gender``        str      ``female``, ``male``, ``unknown``
``emotion``       str      ``angry``, ``happy``, ``neutral``, ``sad``; null: no label, or another
``raw_label``     str      the corpus's own label, or null
``text_id``       str      id of the sentence, or null
``duration``      float64  length in seconds
``sample_rate``   int64    samples a second of the file, in Hz
================  =======  =====================================================================

What makes, filters and keeps manifests is in :mod:`lowser_lib.manifest`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from lowser_lib.corpora.base import EMOTIONS, GENDERS
from lowser_lib.errors import ManifestError

COLUMNS = (
    "utterance_id",
    "corpus",
    "path",
    "language",
    "speaker",
    "gender",
    "emotion",
    "raw_label",
    "text_id",
    "duration",
    "sample_rate",
)
"""The columns of every manifest, in order; further columns are kept behind them."""

UNKNOWN_SPEAKER = "unknown"
"""Last part of the ``speaker`` of a clip whose corpus does not tell who speaks."""

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
    missing = [column for column in COLUMNS if column not in manifest.columns]
    if missing:
        raise ManifestError(
            f"the manifest has no column {', '.join(map(repr, missing))}; it has "
            f"{', '.join(map(repr, manifest.columns)) or 'no columns at all'}. "
            f"Make manifests with lowser_lib.manifest.from_rows."
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


def speaker_unknown(manifest: pd.DataFrame) -> pd.Series:
    """Tell for each row, as a boolean, whether its corpus leaves the speaker unnamed."""
    return manifest["speaker"] == manifest["corpus"] + "/" + UNKNOWN_SPEAKER


def _typed(manifest: pd.DataFrame) -> pd.DataFrame:
    """Columns in order and of their types, but for ``sample_rate``, which may hold bad values."""
    extra = [column for column in manifest.columns if column not in COLUMNS]
    typed = manifest[[*COLUMNS, *extra]].copy()
    for column in _TEXT:
        typed[column] = typed[column].astype("str")
    for column in ("duration", "sample_rate"):
        typed[column] = pd.to_numeric(typed[column], errors="coerce").astype("float64")
    return typed


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
        ~text["language"].str.fullmatch("[a-z]{2}|"),
        "not an ISO 639-1 code",
        "Write two lower-case letters, such as `ur`.",
    )
    yield from _problem(
        text["gender"],
        ~text["gender"].isin([*GENDERS, ""]),
        "unknown gender",
        f"Write {', '.join(GENDERS[:-1])} or {GENDERS[-1]}.",
    )
    yield from _problem(
        text["emotion"],
        ~text["emotion"].isin(EMOTIONS) & table["emotion"].notna(),
        "unknown emotion",
        f"Write {', '.join(EMOTIONS)}, or null for no label or another emotion; the corpus's own "
        f"word belongs in raw_label.",
    )


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
        ~(np.isfinite(rate) & (rate > 0) & (rate % 1 == 0)),
        "not a positive whole number of Hz",
        "Take it from the header of the file.",
    )
