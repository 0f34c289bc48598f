"""A corpus folder appears complete or not at all.

The clips are made in a hidden sibling folder, which takes its name only when everything is in it
and ``complete.json``, written last, says what it is. A folder without that file, of another version
or with other settings, is never taken as good. Two processes that make the same corpus do not
disturb each other: each has its own sibling, and the second to finish finds the first's and drops
its own.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from lowser_lib import files
from lowser_lib.corpora.folders import Entry, walk
from lowser_lib.corpora.synthetic.plan import Batch

TABLE = "corpus.csv"
COMPLETE = "complete.json"
COLUMNS = ("path", "speaker", "gender", "language", "label", "text_id")


def read_complete(folder: Path, identity: dict[str, object]) -> str | None:
    """Content hash of a corpus folder if it is whole and was made with these settings.

    The content is compared with the hash that was stored, once in a process unless a file's size or
    time changes: a damaged corpus is made anew instead of being used.

    Args:
        folder: the corpus folder; need not exist.
        identity: version, seed and settings that it must have.

    Returns:
        The hash that was stored when it was made; None for anything else, half-made ones included.
    """
    try:
        record = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))
        sound = sum(entry.name.endswith(".wav") for entry in os.scandir(folder / "audio"))
        size = (folder / TABLE).stat().st_size
        fits = all(record[key] == value for key, value in identity.items())
        if fits and record["count"] == sound and record["table_bytes"] == size:
            if _hash_now(folder) == record["sha256"]:
                return str(record["sha256"])
            warnings.warn(f"{folder} is damaged and will be made anew", stacklevel=2)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


_known: dict[Path, tuple[tuple[Entry, ...], str]] = {}
"""State and hash of the folders that this process has looked at."""


def _hash_now(folder: Path) -> str:
    state = tuple(walk(folder))
    if folder not in _known or _known[folder][0] != state:
        _known[folder] = (state, content_hash(folder))
    return _known[folder][1]


def content_hash(folder: Path) -> str:
    """SHA-256 over the names and bytes of the table and all clips, in order of their names."""
    digest = hashlib.sha256()
    for path in sorted([folder / TABLE, *(folder / "audio").glob("*.wav")]):
        content = path.read_bytes()
        # Lengths keep the boundary between a name and its bytes unambiguous.
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


@contextlib.contextmanager
def sibling(folder: Path) -> Iterator[Path]:
    """Give a new hidden folder beside ``folder``, with ``audio/`` in it; removed at the end."""
    with files.folder_beside(folder) as made:
        (made / "audio").mkdir()
        yield made


def write_table(folder: Path, batches: Iterable[Batch]) -> int:
    """Write ``corpus.csv``, the table that describes every clip, and count its rows."""
    rows = [
        (clip.path, b.speaker.name, b.speaker.gender, b.speaker.language, clip.label, clip.text_id)
        for b in batches
        for clip in b.clips
    ]
    with (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(sorted(rows))
    return len(rows)


def finish(made: Path, folder: Path, identity: dict[str, object], batches: Iterable[Batch]) -> str:
    """Complete what was made and move it to its place.

    Args:
        made: the folder from :func:`sibling`, with all clips in it.
        folder: where the corpus belongs.
        identity: version, seed and settings.
        batches: what was made.

    Returns:
        The content hash of what now lies in ``folder``.

    Raises:
        OSError: the folder cannot be written or moved.
    """
    count = write_table(made, batches)
    digest = content_hash(made)
    record = {
        **identity,
        "count": count,
        "table_bytes": (made / TABLE).stat().st_size,
        "sha256": digest,
    }
    (made / COMPLETE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for _ in range(5):
        other = read_complete(folder, identity)
        if other is not None:  # someone else was faster
            return other
        if folder.exists():
            # Someone else may have moved it just now.
            with files.folder_beside(folder) as aside, contextlib.suppress(OSError):
                folder.rename(aside / "old")
        try:
            made.rename(folder)
            return digest
        except OSError:
            if not folder.exists():
                raise
    raise OSError(f"{folder} keeps being remade by other processes with other settings")
