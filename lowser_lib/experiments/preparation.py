"""From the name of a corpus to a manifest that is ready to use, made once and kept.

Reading a corpus means listing its folder, reading every header and decoding every file to find the
bad ones. The outcome is kept below ``LOWSER_HOME/manifests`` under a key made of the folder's
fingerprint and the code that reads it: a changed folder or parser makes a new one, a damaged one is
made again. Where a file was left out for a fault that may pass (a permission, a busy disk), the
outcome is not kept.

A profile's limit on clips cannot be applied before the sound is looked at: the draw
(:func:`lowser_lib.experiments.data.limit`) is among usable clips, so that one bad file more would
change which clips are drawn.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

import lowser_lib
from lowser_lib import audio, corpora, files, manifest
from lowser_lib.corpora import DataCard, Exclusion
from lowser_lib.corpora.folders import printable, walk
from lowser_lib.errors import AudioError, ManifestError, ProfileError, RunError
from lowser_lib.experiments import paths

# Changing any of these may change what is read; their bytes are part of every key.
_CODE = ("corpora/*.py", "audio.py", "manifest.py")


@dataclass(frozen=True)
class Prepared:
    """One corpus, ready to use.

    Attributes:
        name: Name of the corpus.
        manifest: Its usable utterances of 0.5–12 s.
        exclusions: What was left out, and why.
        hash: SHA-256 of the usable files' names and bytes: the same on every machine.
        root: The folder in which the corpus has its own.
        notes: What else should be known of the folder, a line each.
    """

    name: str
    manifest: pd.DataFrame
    exclusions: tuple[Exclusion, ...]
    hash: str
    root: Path
    notes: tuple[str, ...] = ()


def folder_name(name: str) -> str:
    """Folder of a corpus below its root: ``table:mine`` lies in ``mine``.

    Args:
        name: Name of a corpus.

    Raises:
        CorpusError: The corpus is unknown.
    """
    return corpora.get(name).name


def prepare(name: str, jobs: int = 1) -> Prepared:
    """Make a corpus ready, or take what was made before.

    Args:
        name: Name of a corpus that is in place (see :func:`place`).
        jobs: Workers that read and decode files.

    Raises:
        CorpusError: The corpus is unknown or its layout does not fit.
        ManifestError: No clip could be used.
        ProfileError: The corpus is not in place.
        RunError: The cache cannot be written.
    """
    root = place(name)
    folder = root / folder_name(name)
    key = _key(folder)
    stem = paths.home() / "manifests" / f"{folder_name(name)}-{key[:16]}"
    kept = _load(name, root, stem, key)
    if kept is not None:
        return kept
    reading = corpora.survey(name, root, jobs=jobs)
    left_out = list(reading.exclusions)
    table = pd.DataFrame()
    if reading.rows:
        table, wrong_length = manifest.keep_durations(manifest.from_rows(reading.rows))
        table, bad = audio.check_files(table, [root], jobs=jobs)
        left_out += [*wrong_length, *bad]
    if table.empty:
        first = f"; first: {left_out[0].path}: {left_out[0].reason}" if left_out else ""
        raise ManifestError(
            f"corpus {name!r} in {folder} has no usable clip of 0.5–12 s "
            f"({len(left_out)} left out{first})"
        )
    content = content_hash(table["path"], root)
    prepared = Prepared(name, table, tuple(left_out), content, root, tuple(reading.notes))
    if not any(exclusion.passing for exclusion in left_out):
        _keep(prepared, stem, key)
    return prepared


def _keep(prepared: Prepared, stem: Path, key: str) -> None:
    """Write an outcome: the notes last, so that a half-written one is not taken."""
    manifest.save(prepared.manifest, stem.with_suffix(".parquet"))
    files.write_json(
        stem.with_suffix(".json"),
        {
            "key": key,
            "hash": prepared.hash,
            "parquet": audio.content_hash(stem.with_suffix(".parquet")),
            "exclusions": [asdict(exclusion) for exclusion in prepared.exclusions],
            "notes": prepared.notes,
        },
        sealed=True,
    )


def place(name: str) -> Path:
    """Find the root below which a corpus lies.

    Args:
        name: Name of a corpus.

    Raises:
        CorpusError: The corpus is unknown.
        ProfileError: The corpus is not on this machine.
    """
    card = corpora.get(name).card
    if is_made(card):
        root: Path | None = paths.made_corpora()
    else:
        root = paths.corpora_root()
    if root is None or not (root / folder_name(name)).is_dir():
        raise ProfileError(missing_message(name, card, root))
    return root


def is_made(card: DataCard) -> bool:
    """Whether the course makes a corpus itself, from nothing or from another.

    Args:
        card: The corpus's data card.
    """
    return card.synthetic or card.derived is not None


def missing_message(name: str, card: DataCard, root: Path | None) -> str:
    """Say that a corpus is missing, where it is looked for, and how it is got.

    Args:
        name: Name of the corpus.
        card: Its data card.
        root: Where it was looked for; None when no root is set.
    """
    if root == paths.made_corpora():
        return f"corpus {name!r} has not been made; run: lowser corpora prepare {name}"
    if root is None:
        missing = (
            f"corpus {name!r} is needed, and {paths.CORPORA_VARIABLE} is not set; set it to a "
        )
        missing += f"folder and put the corpus into its subfolder {folder_name(name)}/"
    else:
        missing = f"corpus {name!r} is not in {root / folder_name(name)}"
    where, layout = card.where.rstrip("."), card.layout.rstrip(".")
    if card.downloadable:
        target = f"--root {root}" if root else "--root FOLDER"
        where = f"`python data_scripts/download_corpora.py {name} {target}`, or {where}"
    return f"{missing}. Where to get it: {where}. What belongs there: {layout}."


def content_hash(files: Iterable[str], root: Path) -> str:
    """SHA-256 over the names and bytes of files, the same on every machine.

    Args:
        files: Paths relative to ``root``, with forward slashes.
        root: Where they lie.
    """
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name}\0{audio.content_hash(root / name)}\n".encode())
    return total.hexdigest()


def fingerprint(folder: Path) -> str:
    """SHA-256 over the names, sizes and times of a folder's files: quick, for this machine only.

    Links count as what they point to, so that sound replaced behind a link is noticed.

    Args:
        folder: A corpus folder.
    """
    total = hashlib.sha256()
    for entry in sorted(walk(folder), key=lambda entry: os.fsencode(entry.path)):
        line = f"{printable(entry.path)}\0{entry.size}\0{entry.time}\0{entry.fault}\n"
        total.update(line.encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def _key(folder: Path) -> str:
    library = Path(lowser_lib.__file__).parent
    total = hashlib.sha256(f"{folder}\0{fingerprint(folder)}\n".encode())
    for pattern in _CODE:
        for path in sorted(library.glob(pattern)):
            total.update(path.read_bytes())
    return total.hexdigest()


def _load(name: str, root: Path, stem: Path, key: str) -> Prepared | None:
    """What was kept under a key, or None where there is nothing or it is damaged."""
    table = stem.with_suffix(".parquet")
    try:
        notes = files.read_json(stem.with_suffix(".json"), RunError, "", sealed=True)
        if notes["key"] != key or notes["parquet"] != audio.content_hash(table):
            return None
        exclusions = tuple(Exclusion(**entry) for entry in notes["exclusions"])
        loaded = manifest.load(table)
        return Prepared(name, loaded, exclusions, notes["hash"], root, tuple(notes["notes"]))
    except (OSError, ValueError, KeyError, TypeError, AudioError, ManifestError, RunError):
        return None
