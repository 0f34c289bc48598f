"""The museum of chapter 01: every exhibit is what its name says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lowser_lib import audio
from lowser_lib.course import material
from lowser_lib.errors import AudioError

LOADS = {
    "good", "rate_8k", "rate_96k", "eight_bit", "stereo", "flac_inside", "too_short", "too_long",
}  # fmt: skip


def test_the_library_loads_the_good_ones_and_refuses_the_others(tmp_path: Path) -> None:
    clip = 0.5 * np.sin(np.arange(21_000) / 7).astype(np.float32)
    material.build_museum(tmp_path / "museum", clip)
    files = sorted((tmp_path / "museum").iterdir())
    assert len(files) == 16
    for file in files:
        if file.stem in LOADS:
            wave = audio.load_audio(file)
            assert np.abs(wave).max() <= 1
        else:
            with pytest.raises(AudioError, match=file.name):
                audio.load_audio(file)
    np.testing.assert_allclose(audio.load_audio(files[files.index(tmp_path / "museum/good.wav")]),
                               clip, atol=1e-4)  # fmt: skip
