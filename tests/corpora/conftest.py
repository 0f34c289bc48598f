"""Made-up corpora: tiny sound files in the documented layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

Sound = Callable[..., Path]


@pytest.fixture
def sound() -> Sound:
    """Write a short tone; the ending of the name chooses the format."""

    def write(file: Path, seconds: float = 0.1, rate: int = 16_000, pitch: float = 220.0) -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        time = np.arange(round(seconds * rate)) / rate
        soundfile.write(file, 0.3 * np.sin(2 * np.pi * pitch * time), rate)
        return file

    return write
