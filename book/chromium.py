"""Find the system's Chromium and start it, for printing and for the browser tests."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = "no Chromium here; on Debian: apt-get install chromium"

# No sandbox: in containers Chromium is started by root. It opens files of this build only.
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]


def find() -> str | None:
    """Path of the first browser of :data:`NAMES`, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def start(playwright: Playwright) -> Browser:
    """Start the system's Chromium, without a window.

    Raises:
        RuntimeError: There is none.
    """
    path = find()
    if path is None:
        raise RuntimeError(MISSING)
    return playwright.chromium.launch(executable_path=path, args=_FLAGS)
