"""Files that are whole or not there, what they hash to, and the folder that the course keeps.

Everything that LowSER keeps is written beside its place, under a hidden name that ends in
``.part``, and moved there once it is complete: a reader sees the old content or the new, never a
piece. What a killed process leaves behind is removed by whoever next writes into the same folder,
a day later.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowser_lib.errors import LowserError, RunError

if TYPE_CHECKING:
    from torch import Tensor

STALE_AFTER = 86_400.0
"""Seconds after which nobody is at work any more on what has not got its name yet."""

SEAL = "content_sha256"
"""Key under which a JSON file keeps the hash of the rest of it."""

HOME_VARIABLE = "LOWSER_HOME"
"""The environment variable that names the folder; it is read here alone."""

REINSTALL = "install LowSER again (`make setup`)"
"""What to do where something that comes with LowSER is missing or damaged."""

_PART = re.compile(r"\..*\.[0-9a-f]{32}\.part", re.DOTALL)


def home() -> Path:
    """Folder for what the course makes; the user's cache folder unless ``LOWSER_HOME`` is set.

    Returns:
        An absolute path. The folder need not exist yet.
    """
    chosen = os.environ.get(HOME_VARIABLE, "").strip()
    if chosen:
        folder = Path(chosen)
    else:
        import pooch  # imported late: `lowser doctor` runs where packages are missing

        folder = Path(pooch.os_cache("lowser"))
    return folder.expanduser().absolute()


# Writing


@contextlib.contextmanager
def writing(
    path: Path, error: type[LowserError] = RunError, elsewhere: str = "choose another folder"
) -> Iterator[None]:
    """Turn what goes wrong while a path is written into an error that says what to do.

    Args:
        path: The file or folder that is written.
        error: The error to raise.
        elsewhere: What to do where the place itself is no good.

    Raises:
        LowserError: ``error``, with the path, the cause and the remedy.
    """
    try:
        yield
    except OSError as cause:
        if cause.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "free some space there"
        elif cause.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = "allow writing there"
        elif cause.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
            remedy = "move away what has taken the name"
        else:
            remedy = "look at the disk"
        raise error(f"cannot write {path}: {why(cause, path)}; {remedy}, or {elsewhere}") from cause


def why(cause: OSError, path: Path | None = None) -> str:
    """The cause of a failed call of the system in words, with its file if that is another one.

    Args:
        cause: What the system answered.
        path: The file that is named already.
    """
    reason = cause.strerror or str(cause) or type(cause).__name__
    culprit = Path(os.fsdecode(cause.filename)) if isinstance(cause.filename, str | bytes) else path
    if culprit is None or culprit == path or _PART.fullmatch(culprit.name):
        return reason
    return f"{reason} ({culprit})"


@contextlib.contextmanager
def whole_file(
    path: Path, error: type[LowserError] = RunError, elsewhere: str = "choose another folder"
) -> Iterator[Path]:
    """Give a path to write to; its file takes the place of ``path`` when the block is left.

    Args:
        path: The file; its folder is made where it is missing.
        error: The error to raise where it cannot be written.
        elsewhere: What to do where the folder is no good.

    Yields:
        A new path in the same folder. The block does nothing but write it.

    Raises:
        LowserError: ``error``: the file cannot be written; what was there stays.
    """
    part = _part(path)
    with writing(path, error, elsewhere):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep(path.parent)
            try:
                yield part
            except RuntimeError as failed:  # so torch reports a full disk, without saying so
                full = shutil.disk_usage(path.parent).free < 2**20
                code = errno.ENOSPC if full else errno.EIO
                raise OSError(code, os.strerror(code) if full else str(failed)) from failed
            with part.open("rb") as stream:
                # A full disk may only show itself here; after it, no hole can get the name.
                os.fsync(stream.fileno())
            part.replace(path)
        finally:
            with contextlib.suppress(OSError):
                part.unlink()


@contextlib.contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Give a new hidden folder beside a path, to be moved there when it is complete.

    Args:
        path: The folder to come; the one above it is made where it is missing.

    Yields:
        A folder. The caller renames it; what is left of it is removed when the block is left.

    Raises:
        OSError: It cannot be made; see :func:`writing`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    part = _part(path)
    part.mkdir()
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_bytes(
    path: Path,
    content: bytes,
    error: type[LowserError] = RunError,
    elsewhere: str = "choose another folder",
) -> None:
    """Write a file, whole or not at all; arguments and errors as :func:`whole_file`."""
    with whole_file(path, error, elsewhere) as part:
        part.write_bytes(content)


def write_text(path: Path, text: str, error: type[LowserError] = RunError) -> None:
    """Write a text, as UTF-8 with Unix line ends; arguments and errors as :func:`whole_file`."""
    write_bytes(path, text.encode(), error)


def write_json(
    path: Path, content: Any, error: type[LowserError] = RunError, sealed: bool = False
) -> None:
    """Write JSON, indented, with a final line end; keys keep their order.

    Args:
        path: The file.
        content: Plain values; a mapping where it is to be sealed.
        error: The error to raise where it cannot be written.
        sealed: Whether to add the content's own hash, which :func:`read_json` compares.

    Raises:
        LowserError: ``error``: the file cannot be written; what was there stays.
        ValueError: A number is not finite.
    """
    if sealed:
        content = {**content, SEAL: _seal(content)}
    write_text(
        path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", error
    )


def write_safetensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    error: type[LowserError],
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write named tensors in the safetensors format, whole or not at all.

    Args:
        path: The file.
        tensors: Tensors by name, on any device.
        error: The error to raise where it cannot be written.
        notes: Words to keep beside them.

    Raises:
        LowserError: ``error``: the file cannot be written; what was there stays.
    """
    import safetensors.torch  # imported late, as torch is: most files need neither

    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = safetensors.torch.save(stored, dict(notes) if notes else None)
    write_bytes(path, content, error)


# Reading


def read_json(path: Path, error: type[LowserError], remedy: str, sealed: bool = False) -> Any:
    """Read JSON; where it is sealed, compare the hash and leave it out.

    Args:
        path: The file.
        error: The error to raise where it is missing or damaged.
        remedy: What to do then.
        sealed: Whether to refuse a file that has no seal.

    Raises:
        LowserError: ``error``: the file is missing, damaged, or not what was written.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if sealed and (not isinstance(content, dict) or SEAL not in content):
            raise ValueError(f"it has no checksum ({SEAL})")
        if isinstance(content, dict) and SEAL in content and content.pop(SEAL) != _seal(content):
            raise ValueError("it is not what was written")
    except OSError as cause:
        raise error(f"{path} cannot be read: {why(cause, path)}; {remedy}") from cause
    except (ValueError, RecursionError) as cause:
        raise error(f"{path} is damaged: {cause}; {remedy}") from cause
    return content


def read_safetensors(
    path: Path, error: type[LowserError], remedy: str, expected: str | None = None
) -> dict[str, Tensor]:
    """Read named tensors, and make sure that they are the ones meant.

    Args:
        path: A file in the safetensors format.
        error: The error to raise where it is missing or damaged.
        remedy: What to do then.
        expected: The SHA-256 that the file must have; None takes any.

    Raises:
        LowserError: ``error``: the file is missing, damaged, or another one.
    """
    import safetensors.torch

    try:
        stored = path.read_bytes()
    except OSError as cause:
        raise error(f"{path}: cannot be read ({why(cause, path)}); {remedy}") from cause
    if expected is not None and hashlib.sha256(stored).hexdigest() != expected:
        card = path.with_suffix(".json").name
        raise error(f"{path}: not the weights that {card} announces; {remedy}")
    try:
        return safetensors.torch.load(stored)
    except safetensors.SafetensorError as cause:
        raise error(f"{path}: not a safetensors file ({cause}); {remedy}") from cause


# Weights


def read_card(path: Path, error: type[LowserError]) -> dict[str, Any]:
    """Read the card of an encoder that comes with LowSER.

    Args:
        path: The card, JSON.
        error: The error to raise where it is missing or damaged.

    Returns:
        ``dims``, ``description``, and ``sha256`` of the weights' file (null as long as no weights
        are shipped); once trained also ``training``: settings, hours of speech, and phoneme error
        rates as shares of 1.

    Raises:
        LowserError: ``error``: the card is missing or damaged.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        itemgetter("dims", "description", "sha256")(content)  # without them it is no card
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise error(f"{path}: missing or damaged ({cause!r}); {REINSTALL}") from cause
    return content


def fetch(
    name: str,
    url: str,
    path: Path,
    sha256: str | None,
    error: type[LowserError],
    otherwise: str = "",
) -> Path:
    """Fetch published weights, or find the copy that lies there, perhaps put there by hand.

    Args:
        name: What they are called, for messages.
        url: Where they are published.
        path: Where they are kept; what arrives incomplete or with another hash is not kept.
        sha256: What the file must hash to, as hexadecimal digits; None takes what comes.
        error: The error to raise where they cannot be had.
        otherwise: What else may be put at ``path``.

    Returns:
        ``path``.

    Raises:
        LowserError: ``error``: there is no network, or the file has another hash.
    """
    import pooch

    try:
        pooch.retrieve(
            url,
            known_hash=sha256 and f"sha256:{sha256}",
            fname=path.name,
            path=path.parent,
            downloader=pooch.HTTPDownloader(progressbar=True, timeout=30),
        )
    except (OSError, ValueError) as cause:  # pooch: ValueError for a wrong hash; network: OSError
        if isinstance(cause, ValueError) and "hash" in str(cause):
            reason = f"what came back has not the SHA-256 {sha256}"
        else:
            reason = f"it could not be fetched ({type(cause).__name__})"
        held = " A file of that name lies there, but has another hash." if path.is_file() else ""
        known = f" (SHA-256 {sha256})" if sha256 else ""
        raise error(
            f"{name}: {reason}.{held} Without network, fetch {url} elsewhere and put it at "
            f"{path}{known}{otherwise}; the chapters look in LOWSER_HOME/checkpoints. Or use "
            "'nano', which needs no network"
        ) from cause
    return path


# Hashes


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal digits.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tensor_hash(tensors: Mapping[str, Any]) -> str:
    """SHA-256 of named tensors: sorted names, each followed by its values as float16.

    The same weights have the same hash however they are stored: OpenAI's float16, a float32 copy,
    or a model in memory.

    Args:
        tensors: name -> torch tensor, such as ``encoder.conv1.weight``; what is no tensor is left
            out.

    Returns:
        Hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name in sorted(name for name, tensor in tensors.items() if hasattr(tensor, "half")):
        digest.update(name.encode())
        digest.update(tensors[name].detach().cpu().half().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _seal(content: Mapping[str, Any]) -> str:
    """SHA-256 of plain values, whatever the order of the keys."""
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


# Leftovers


def leftovers(folder: Path) -> list[Path]:
    """What has not got its name yet, in a folder itself: of writers at work, or killed ones.

    Args:
        folder: A folder; it need not exist.
    """
    try:
        return sorted(path for path in folder.iterdir() if _PART.fullmatch(path.name))
    except OSError:
        return []


def all_leftovers(root: Path) -> list[Path]:
    """What has not got its name yet anywhere below a folder; see :func:`leftovers`."""
    folders = (Path(path) for path, _, _ in os.walk(root) if not _PART.fullmatch(Path(path).name))
    return [part for folder in folders for part in leftovers(folder)]


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; what vanishes meanwhile counts nothing."""
    total = 0
    for part in (path, *path.rglob("*")):
        with contextlib.suppress(OSError):
            total += 0 if part.is_dir() else part.lstat().st_size
    return total


def sweep(folder: Path) -> None:
    """Remove what killed processes left in a folder a day ago or earlier; in doubt, nothing.

    Args:
        folder: A folder; it need not exist.
    """
    for part in leftovers(folder):
        # Its writer may be alive, and give it its name at any moment.
        with contextlib.suppress(OSError):
            newest = max(path.lstat().st_mtime for path in (part, *part.rglob("*")))
            if time.time() - newest > STALE_AFTER:
                shutil.rmtree(part) if part.is_dir() else part.unlink()


def _part(path: Path) -> Path:
    # Short enough for every file system, whatever the name that it stands for.
    return path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex}.part")
