"""Files that are whole or not there, what they hash to, and the folder that the course keeps.

A file is written beside its place and then moved into it.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowser_lib.errors import RunError

HOME_VARIABLE = "LOWSER_HOME"


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


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal digits."""
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


def write_text(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old content or the new, never a part.

    Args:
        path: The file; its folder is made where it is missing.
        text: The content, written as UTF-8 with Unix line ends.

    Raises:
        RunError: The file cannot be written (no space, no permission); what was there stays.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", newline="\n", dir=path.parent, suffix=".part", delete=False
        ) as file:
            temporary = Path(file.name)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # Temporary files are private; a finished one is as readable as any other file.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise RunError(
            f"cannot write {path}: {error.strerror or error}; free some space or "
            f"choose another folder"
        ) from error


def write_json(path: Path, content: Any) -> None:
    """Write JSON, indented, with a final line end; keys keep their order.

    Args:
        path: The file.
        content: Plain values; numbers that are not finite are refused.

    Raises:
        RunError: The file cannot be written.
        ValueError: A number is not finite.
    """
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
