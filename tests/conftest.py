"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def corpora_root() -> Path:
    """Root of the real corpora; the test skips, visibly, where there are none."""
    folder = os.environ.get("LOWSER_CORPORA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("real speech: set LOWSER_CORPORA to the folder of the unpacked corpora")
    return Path(folder)
