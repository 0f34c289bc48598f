"""What the cache of views holds, how large it is, and how to empty it: ``lowser cache``.

Everything in the cache can be made again, so that any of it may go at any time. Where a process is
writing while it is cleared, what it writes afterwards stays.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lowser_lib.errors import CacheError

#: What :mod:`lowser_lib.views.cache` writes: shards, and the temporary files that they come from.
PATTERNS = ("*.safetensors", ".*.tmp")


class CachedView(NamedTuple):
    """What one view has in the cache, in one of its settings.

    Attributes:
        view: Name of the view.
        settings: Name of the folder: a hash of the settings.
        shards: Files.
        clips: Entries in them; a clip that two processes extracted at once counts twice.
        size: Bytes on disk, leftovers of killed processes included.
    """

    view: str
    settings: str
    shards: int
    clips: int
    size: int


def contents(cache_dir: Path) -> list[CachedView]:
    """List what the cache holds, by view and settings.

    Args:
        cache_dir: The folder of all views' caches; it need not exist.

    Raises:
        CacheError: A folder cannot be read.
    """
    found = []
    for folder in _folders(cache_dir):
        shards = clips = size = 0
        for file in _files(folder):
            # Another process may clear the cache, or finish its shard, at any moment.
            with contextlib.suppress(FileNotFoundError):
                size += file.stat().st_size
                if file.suffix == ".safetensors":
                    shards += 1
                    clips += _count(file)
        if shards or size:
            found.append(CachedView(folder.parent.name, folder.name, shards, clips, size))
    return found


def clear(cache_dir: Path, view: str | None = None) -> int:
    """Delete what the cache holds; nothing but its own files is touched.

    Args:
        cache_dir: The folder of all views' caches; it need not exist.
        view: Name of the one view to clear; None clears all.

    Returns:
        Bytes that were freed.

    Raises:
        CacheError: The view has nothing there, or a file cannot be deleted.
    """
    folders = [one for one in _folders(cache_dir) if view in (None, one.parent.name)]
    if view is not None and not folders:
        known = ", ".join(sorted({one.parent.name for one in _folders(cache_dir)})) or "nothing"
        raise CacheError(f"the cache {cache_dir} has no view {view!r}; it holds {known}")
    freed = 0
    for folder in folders:
        for file in _files(folder):
            try:
                size = file.stat().st_size
                file.unlink()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise CacheError(f"cannot delete {file}: {error.strerror}") from error
            freed += size
        for emptied in (folder, folder.parent):
            with contextlib.suppress(OSError):  # something else lies there, or was just written
                emptied.rmdir()
    return freed


def _folders(cache_dir: Path) -> Iterator[Path]:
    """The folders of shards, ``VIEW/SETTINGS``."""
    try:
        yield from sorted(folder for folder in cache_dir.glob("*/*") if folder.is_dir())
    except OSError as error:
        raise CacheError(f"cannot read the cache {cache_dir}: {error.strerror}") from error


def _files(folder: Path) -> list[Path]:
    return sorted(file for pattern in PATTERNS for file in folder.glob(pattern))


def _count(shard: Path) -> int:
    """Entries of a shard; 0 where it is damaged, which the next reader will find."""
    try:
        with shard.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > shard.stat().st_size:
                return 0
            return len(json.loads(stream.read(length)).keys() - {"__metadata__"})
    except (ValueError, AttributeError):
        return 0
