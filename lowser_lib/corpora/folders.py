"""What lies below a folder: every file under the name by which it is reached, links followed.

Corpora are often put together from links to a shared disk, so that links to folders are followed.
Nothing is opened here, and nothing is passed over in silence: what cannot be a sound file although
its name says so comes with the reason.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

AUDIO_SUFFIXES = (".wav", ".mp3", ".flac", ".ogg")
"""Endings of the sound files that the course looks for, compared in lower case."""

_OTHER = (
    "m4a m4b aac opus oga wma amr 3gp aif aiff aifc au snd caf w64 rf64 sph ape wv mka weba webm "
    "mp2 raw pcm"
)
OTHER_SUFFIXES = frozenset(f".{ending}" for ending in _OTHER.split())
"""Endings of sound that is not looked for: such files are listed, with what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something below a folder.

    Attributes:
        path: Relative to the folder, with forward slashes; as the system gives it, so that a name
            that is not UTF-8 holds surrogates (:func:`printable` makes it fit to show).
        size: Bytes of the file that a link points to; 0 where that cannot be told.
        time: When that file was last changed, in ns.
        fault: Why it is no file that could be read, or empty.
        passing: Whether the fault may be gone at the next look (a permission, a busy disk).
    """

    path: str
    size: int = 0
    time: int = 0
    fault: str = ""
    passing: bool = False


@dataclass(frozen=True)
class Listing:
    """The sound files below a folder.

    Attributes:
        sounds: Paths relative to the folder with forward slashes, sorted.
        faults: Whatever looks like a sound, or may hold some, and cannot be used; sorted by path.
    """

    sounds: tuple[str, ...]
    faults: tuple[Entry, ...] = field(default=())


def walk(folder: Path) -> Iterator[Entry]:
    """Go through all that lies below a folder, hidden files too.

    Folders behind links come last, so that a folder goes by its own name where it has one. A folder
    is entered once, and never one that holds the link itself: a circle of links ends.

    Args:
        folder: Where to look, at any depth.

    Yields:
        Files, and whatever is neither a file nor a folder. Folders themselves are not named, except
        with a fault: unreadable, in a circle, or named like a sound.
    """
    entered = {os.path.realpath(folder)}
    links: list[str] = []
    yield from _below(folder, "", entered, links)
    while links:
        path = links.pop(0)
        target = os.path.realpath(folder / path)
        inside = os.path.realpath((folder / path).parent)
        if target in entered or f"{inside}/".startswith(target.rstrip("/") + "/"):
            yield Entry(path, fault="a link to a folder that is read already, or in a circle")
            continue
        entered.add(target)
        yield from _below(folder, path + "/", entered, links)


def _below(folder: Path, prefix: str, entered: set[str], links: list[str]) -> Iterator[Entry]:
    """Go through one folder and those in it; links to folders are put on ``links``."""
    try:
        with os.scandir(folder / prefix) as content:
            items = sorted(content, key=lambda item: item.name)
    except FileNotFoundError:  # nothing lies below a folder that is not there
        return
    except OSError as error:
        fault = f"a folder that cannot be read ({error.strerror or error}); check who may read it"
        yield Entry(prefix.rstrip("/") or ".", fault=fault, passing=True)
        return
    for item in items:
        path = prefix + item.name
        try:
            status = item.stat()
        except OSError as error:
            yield Entry(path, fault=_no_status(item, error), passing=not item.is_symlink())
            continue
        if stat.S_ISDIR(status.st_mode):
            if PurePosixPath(path).suffix.lower() in AUDIO_SUFFIXES:
                yield Entry(path, fault="a folder, not a sound file")
            if item.is_symlink():
                links.append(path)
            elif (real := os.path.realpath(item.path)) not in entered:
                entered.add(real)
                yield from _below(folder, path + "/", entered, links)
        else:
            yield Entry(path, status.st_size, status.st_mtime_ns, no_regular_file(status.st_mode))


def _no_status(item: os.DirEntry[str], error: OSError) -> str:
    if item.is_symlink():
        return "a link to something that is not there; fetch what it stands for (git annex get?)"
    return f"cannot be looked at ({error.strerror or error}); check who may read it"


def no_file(path: Path) -> str:
    """Say why a path that is there leads to no file; empty for a file, and where nothing is.

    Args:
        path: Anything.
    """
    try:
        return no_regular_file(path.stat().st_mode)
    except (OSError, ValueError) as error:
        if path.is_symlink():
            return "a link to something that is not there, or in a circle"
        return f"cannot be looked at ({error})" if isinstance(error, PermissionError) else ""


def no_regular_file(mode: int) -> str:
    """Say what something is that can only be waited for, not read; empty for a file.

    Args:
        mode: As in :attr:`os.stat_result.st_mode`.
    """
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    kind = kinds.get(stat.S_IFMT(mode))
    return f"{kind}, not a sound file" if kind else ""


def list_sounds(folder: Path, suffixes: tuple[str, ...] = AUDIO_SUFFIXES) -> Listing:
    """List the sound files below a folder, and what only looks like one.

    Args:
        folder: Where to look, at any depth.
        suffixes: Endings wanted, in lower case; ``.WAV`` matches ``.wav``.
    """
    sounds: list[str] = []
    faults: list[Entry] = []
    for entry in walk(folder):
        path = PurePosixPath(entry.path)
        suffix = path.suffix.lower()
        if is_stray(path):
            continue
        # A folder's ending says nothing, so that each of its faults is told.
        if entry.fault and ("folder" in entry.fault or suffix in {*suffixes, *OTHER_SUFFIXES}):
            faults.append(entry)
        elif entry.fault:
            continue
        elif suffix in suffixes and not is_text(entry.path):
            faults.append(Entry(entry.path, fault="the name is not UTF-8; give it another"))
        elif suffix in suffixes:
            sounds.append(entry.path)
        elif suffix in OTHER_SUFFIXES:
            wanted = ", ".join(AUDIO_SUFFIXES)
            fault = f"ends in {suffix}, not in {wanted}; convert it: `ffmpeg -i FILE FILE.wav`"
            faults.append(Entry(entry.path, fault=fault))
    return Listing(tuple(sorted(sounds)), tuple(sorted(faults, key=lambda entry: entry.path)))


def is_stray(path: PurePosixPath | Path) -> bool:
    """Tell whether a file is left over from a file manager and no part of any corpus.

    These are hidden files (``.DS_Store``), the ``._name.wav`` companions that macOS writes,
    ``desktop.ini``, and everything below ``__MACOSX``. They match the ending of sound files without
    being any, so that parsers pass over them before they look at names.
    """
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return hidden or path.name.lower() in {"desktop.ini", "thumbs.db"}


def is_text(path: str) -> bool:
    """Tell whether a name can be written as UTF-8, which tables and reports need."""
    return not any("\ud800" <= letter <= "\udfff" for letter in path)


def printable(path: str) -> str:
    r"""Show a name that is not UTF-8: each odd byte as ``\xe4``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
