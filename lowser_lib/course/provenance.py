"""Where a number comes from: library versions and the state of the checkout."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from lowser_lib import __version__

LIBRARIES = (
    "torch", "torchaudio", "openai-whisper", "lightning-fabric", "numpy", "pandas", "scipy",
    "scikit-learn", "librosa", "opensmile", "soundfile", "soxr", "espeakng-loader",
)  # fmt: skip
"""Libraries that numbers depend on; their versions go into every record."""


def versions() -> dict[str, str]:
    """Versions of Python, of the course, and of the libraries that numbers depend on."""
    found = {"python": ".".join(map(str, sys.version_info[:3])), "lowser": __version__}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_commit(folder: Path) -> dict[str, Any]:
    """State of the checkout that holds a folder.

    Args:
        folder: Any folder of it.

    Returns:
        ``hash`` (None outside a repository or before its first commit) and ``dirty``: whether
        tracked files other than the records themselves differ from it.
    """
    head = _git(folder, "rev-parse", "HEAD")
    if head is None:
        return {"hash": None, "dirty": True}
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no", "--",
                   ":/", ":(top,exclude)results")  # fmt: skip
    return {"hash": head, "dirty": changes != ""}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
