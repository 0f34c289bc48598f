"""Extract a view of every clip once, and keep it on disk.

What is kept is found again by content: the key of an entry is the SHA-256 of the sound file's
bytes, and its folder is named after the view, its settings and how files are decoded. A corpus
that is moved or renamed needs no new extraction; one changed sample does.

On disk, a view's folder holds *shards*, files in the safetensors format with up to 512 clips each.
A shard is written to a temporary file and then renamed, and never changed again. So a reader sees
a shard whole or not at all, a kill loses at most the clips since the last shard, and any number of
processes may write at once (each writes shards of its own; at worst a clip is there twice). Each
entry carries a checksum that is compared at every read: a damaged shard is deleted and its
clips are made anew. Shards are mapped into memory, not copied.

``lowser cache`` shows what the cache holds and empties it. Everything in it can be made again, so
that any of it may go at any time. Where a process is writing while it is cleared, what it writes
afterwards stays.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.numpy import save
from tqdm.auto import tqdm

from lowser_lib import files
from lowser_lib.audio import SAMPLE_RATE, content_hash, load_audio, locate
from lowser_lib.errors import AudioError, CacheError, require
from lowser_lib.views import View

SHARD_CLIPS = 512
SHARD_BYTES = 64 * 2**20

DECODING = 1
"""Raised whenever :func:`lowser_lib.audio.load_audio` comes to return other samples."""

FORMAT = 1
"""Raised whenever shards come to be written in another way."""

_FEW_CLIPS = 16  # fewer are done before other processes have started
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2"}


def extract_all(
    view: View,
    manifest: pd.DataFrame,
    roots: Sequence[Path],
    cache_dir: Path | None,
    jobs: int = 1,
    progress: bool = False,
) -> list[NDArray[Any]]:
    """Extract a view of every clip of a manifest, or read it from the cache.

    Args:
        view: What to extract.
        manifest: The clips; only the column ``path`` is read.
        roots: Folders that paths may be relative to; the first that has the file counts.
        cache_dir: Where to keep the arrays; None keeps nothing.
        jobs: Number of processes. Inside ``joblib.parallel_config`` another backend, such as a
            Dask cluster, takes the work.
        progress: Whether to show a progress bar on standard error.

    Returns:
        One array a row, in the order of the manifest. Arrays from the cache are mapped from disk;
        changing one changes neither the cache nor another row.

    Raises:
        AudioError: A file is missing or cannot be read, or a clip is too short for the view. What
            was extracted before it stays in the cache.
        CacheError: The cache cannot be written, as when the disk is full, or cannot be read.
        ValueError: ``jobs`` is below 1, or the settings of the view cannot be written as JSON.
    """
    require("1..", jobs=jobs)
    clips = [locate(path, roots) for path in manifest["path"]]
    if cache_dir is None:
        return list(_extract(view, clips, jobs, progress))
    folder = view_folder(view, cache_dir)
    keys = [content_hash(clip) for clip in clips]
    entries = read_entries(folder, set(keys))
    missing = {key: clip for key, clip in zip(keys, clips, strict=True) if key not in entries}
    if missing:
        _fill(folder, view, missing, jobs, progress)
        entries |= read_entries(folder, set(missing))
    lost = set(keys) - set(entries)
    if lost:
        raise CacheError(
            f"{len(lost)} entries that were just written to {folder} cannot be read back: check "
            "the disk, or name another folder with LOWSER_HOME"
        )
    # Two rows with the same sound must not share memory: someone may write into one of them.
    first: dict[str, int] = {}
    return [
        entries[key] if first.setdefault(key, row) == row else entries[key].copy()
        for row, key in enumerate(keys)
    ]


def view_folder(view: View, cache_dir: Path) -> Path:
    """Name the folder in which a view with these settings keeps its shards.

    Args:
        view: The view; its name, its settings and how files are decoded make the name.
        cache_dir: The folder of all views' caches.

    Returns:
        ``cache_dir/<view>/<16 hexadecimal digits>``; it need not exist.

    Raises:
        ValueError: The settings cannot be written as JSON.
    """
    key = {
        "settings": dict(view.settings),
        "sample_rate": SAMPLE_RATE,
        "decoding": DECODING,
        "format": FORMAT,
    }
    try:
        text = json.dumps(key, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"the settings of view {view.name!r} must be values that JSON can hold: {error}"
        ) from error
    return cache_dir / view.name / hashlib.sha256(text.encode()).hexdigest()[:16]


def read_entries(folder: Path, keys: set[str]) -> dict[str, NDArray[Any]]:
    """Map the entries that a folder has, and delete shards that turn out to be damaged.

    Args:
        folder: A folder of shards; it need not exist.
        keys: The entries wanted.

    Returns:
        Those of them that are there and sound.

    Raises:
        CacheError: A shard is there but cannot be read.
    """
    entries: dict[str, NDArray[Any]] = {}
    for shard in sorted(folder.glob("*.safetensors")):
        try:
            entries |= _read_shard(shard, keys - entries.keys())
        except FileNotFoundError:
            continue  # another process has just found it damaged
        except OSError as error:
            # Not damage: no permission, too many open files. Deleting would not help.
            raise CacheError(
                f"cannot read {shard}: {error.strerror}. Mend that, or name another folder with "
                "LOWSER_HOME"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            warnings.warn(
                f"damaged shard {shard} is deleted and its clips are extracted again ({error})",
                stacklevel=3,
            )
            with files.writing(shard, CacheError, "name another folder with LOWSER_HOME"):
                shard.unlink(missing_ok=True)
    return entries


def write_shard(folder: Path, entries: dict[str, NDArray[Any]]) -> Path:
    """Write entries as one shard: whole, or not at all.

    Args:
        folder: The view's folder, made if need be.
        entries: Arrays by the hash of their sound file.

    Returns:
        The shard.

    Raises:
        CacheError: The folder cannot be written, as when the disk is full.
        ValueError: An array holds something else than floats or signed integers.
    """
    for array in entries.values():
        if array.dtype.str not in _DTYPES.values():
            raise ValueError(
                f"a view must give one of {', '.join(_DTYPES.values())}, not {array.dtype}"
            )
    checksums = {key: _checksum(key, array) for key, array in entries.items()}
    content = save(entries, metadata={"crc32": json.dumps(checksums)})
    shard = folder / f"{hashlib.sha256(content).hexdigest()[:32]}.safetensors"
    files.write_bytes(shard, content, CacheError, "name another folder with LOWSER_HOME")
    return shard


def _fill(folder: Path, view: View, missing: dict[str, Path], jobs: int, progress: bool) -> None:
    """Extract what is missing and write it shard by shard."""
    pending: dict[str, NDArray[Any]] = {}
    size = 0
    try:
        arrays = _extract(view, list(missing.values()), jobs, progress)
        for key, array in zip(missing, arrays, strict=True):
            pending[key] = array
            size += array.nbytes
            if len(pending) >= SHARD_CLIPS or size >= SHARD_BYTES:
                # Handed over first, so that a full disk is not asked again on the way out.
                shard, pending, size = pending, {}, 0
                write_shard(folder, shard)
    finally:
        if pending:
            write_shard(folder, pending)


def _extract(view: View, clips: list[Path], jobs: int, progress: bool) -> Iterator[NDArray[Any]]:
    """Extract files in order, in this process or in several."""
    if len(clips) < _FEW_CLIPS or getattr(view, "in_process", False):
        jobs = 1
    with warnings.catch_warnings():
        # A process that has grown, as when a view loads torch, is replaced by a new one: nothing is
        # lost, and nothing has to be done.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        arrays = joblib.Parallel(n_jobs=jobs, return_as="generator")(
            joblib.delayed(_extract_file)(view, clip) for clip in clips
        )
        yield from tqdm(
            arrays, total=len(clips), desc=view.name, unit="clip", disable=not progress, leave=False
        )


def _extract_file(view: View, file: Path) -> NDArray[Any]:
    """Extract one file, naming it if the view refuses the clip."""
    waveform = load_audio(file)
    try:
        return np.ascontiguousarray(view.extract(waveform))
    except AudioError as error:
        raise AudioError(f"{file}: {error}") from error


def _read_shard(shard: Path, keys: set[str]) -> dict[str, NDArray[Any]]:
    """Map the wanted entries of one shard; any error means that it is damaged.

    The format is a length (8 bytes), a JSON header of that length, then the arrays' bytes.
    """
    with shard.open("rb") as stream:
        header_size = int.from_bytes(stream.read(8), "little")
        if header_size > shard.stat().st_size - 8:
            raise ValueError("the header is cut off")
        header = json.loads(stream.read(header_size))
    checksums = json.loads(header.pop("__metadata__")["crc32"])
    wanted = keys & header.keys()
    if not wanted:
        return {}
    # Copy-on-write: callers may write to an array without touching the file.
    data = np.asarray(np.memmap(shard, mode="c"))[8 + header_size :]
    entries: dict[str, NDArray[Any]] = {}
    for key in wanted:
        start, end = header[key]["data_offsets"]
        array = data[start:end].view(_DTYPES[header[key]["dtype"]]).reshape(header[key]["shape"])
        if _checksum(key, array) != checksums[key]:
            raise ValueError(f"wrong checksum of entry {key}")
        entries[key] = array
    return entries


def _checksum(key: str, array: NDArray[Any]) -> int:
    """CRC-32 of an entry: of its values and of what they mean."""
    return zlib.crc32(array.data, zlib.crc32(f"{key} {array.dtype} {array.shape}".encode()))


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
    listed = []
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
            listed.append(CachedView(folder.parent.name, folder.name, shards, clips, size))
    return listed


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
    folders = [place for place in _folders(cache_dir) if view in (None, place.parent.name)]
    if view is not None and not folders:
        known = ", ".join(sorted({place.parent.name for place in _folders(cache_dir)})) or "nothing"
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
    return sorted([*folder.glob("*.safetensors"), *files.leftovers(folder)])


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
