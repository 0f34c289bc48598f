"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def corpora_root() -> Path:
    """Root of the real corpora; the test skips, visibly, where there are none."""
    folder = os.environ.get("LOWSER_CORPORA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("real speech: set LOWSER_CORPORA to the folder of the unpacked corpora")
    return Path(folder)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Tiny products are slower on many threads than on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
