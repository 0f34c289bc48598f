"""Files that are either whole or not there: written beside their place, then moved into it."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from lowser_lib.errors import RunError


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
