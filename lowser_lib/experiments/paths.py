"""Where things lie on this machine; only here and in ``files`` are environment variables read.

``LOWSER_CORPORA`` is the root of the real corpora, one folder each; without it the course has
synthetic speech only. ``LOWSER_HOME`` is where the course keeps what it makes and can make again:
synthetic corpora, prepared manifests, cached features, downloaded checkpoints. Nothing is written
outside these two and the output folder that a command is given.
"""

from __future__ import annotations

import os
from pathlib import Path

from lowser_lib.errors import ProfileError
from lowser_lib.files import HOME_VARIABLE as HOME_VARIABLE, home as home

CORPORA_VARIABLE = "LOWSER_CORPORA"


def corpora_root() -> Path | None:
    """Root of the real corpora, or None where ``LOWSER_CORPORA`` is not set.

    Raises:
        ProfileError: The variable is set, but names no folder.
    """
    chosen = os.environ.get(CORPORA_VARIABLE, "").strip()
    if not chosen:
        return None
    folder = Path(chosen).expanduser().absolute()
    if not folder.is_dir():
        raise ProfileError(
            f"{CORPORA_VARIABLE} is set to {folder}, which is no folder; set it to the folder "
            f"that holds ravdess/, urdu/, emodb/, ... or unset it to work with synthetic speech"
        )
    return folder


def made_corpora() -> Path:
    """Root of the corpora that the course makes itself: synthetic speech, joined words."""
    return home() / "corpora"


def features() -> Path:
    """Folder of the cached views (mel, eGeMAPS-88, ...)."""
    return home() / "features"


def checkpoints() -> Path:
    """Folder of the downloaded checkpoints."""
    return home() / "checkpoints"


def project_root() -> Path | None:
    """The checkout that holds ``notebooks/``, or None where only the library is installed.

    The folder above the library is looked at first, then the working folder and those above it,
    so that a notebook finds its own checkout.
    """
    here = Path.cwd()
    for folder in (Path(__file__).resolve().parents[2], here, *here.parents):
        if (folder / "notebooks").is_dir() and (folder / "pyproject.toml").is_file():
            return folder
    return None


def require_project_root() -> Path:
    """The checkout that holds ``notebooks/``.

    Raises:
        ProfileError: There is none in sight.
    """
    folder = project_root()
    if folder is None:
        raise ProfileError(
            "no folder with notebooks/ and pyproject.toml here or above; change into a checkout "
            "of LowSER and run the command again"
        )
    return folder


def results_root() -> Path:
    """The run records of the checkout, ``results/``.

    Raises:
        ProfileError: No checkout is in sight.
    """
    return require_project_root() / "results"


def kernel_environment() -> dict[str, str]:
    """Variables for a notebook's kernel, which starts in another folder than the command did.

    Relative paths are made absolute, and the library that runs the command comes first on the
    kernel's module path, so that both are one.
    """
    library = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    modules = [library, *(str(Path(entry).absolute()) for entry in inherited if entry)]
    variables = {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(modules)),
        HOME_VARIABLE: str(home()),
    }
    root = corpora_root()
    if root is not None:
        variables[CORPORA_VARIABLE] = str(root)
    return variables
