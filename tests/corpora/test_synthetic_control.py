"""The same voices through one microphone: same files, same plan, another sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lowser_lib import audio
from lowser_lib.corpora import synthetic
from lowser_lib.corpora.synthetic import STUDIO, through_one_channel


def test_one_channel_keeps_the_files_and_changes_the_band(tmp_path: Path) -> None:
    through_one_channel("synthetic_bangla", tmp_path / "one", max_speakers=1)
    synthetic.synthesize(
        tmp_path, names=["synthetic_bangla"], max_speakers=1, progress=False, jobs=1
    )
    ours = sorted(path.name for path in (tmp_path / "one" / "audio").iterdir())
    planned = synthetic.make_plan("synthetic_bangla", max_speakers=1)
    assert ours == sorted(Path(clip.path).name for batch in planned for clip in batch.clips)
    original, shared = (
        audio.load_audio(folder / "audio" / ours[0])
        for folder in (tmp_path / "synthetic_bangla", tmp_path / "one")
    )
    high = [
        float((np.abs(np.fft.rfft(wave))[len(wave) * 5 // 16 :] ** 2).sum() / (wave**2).sum())
        for wave in (original, shared)
    ]
    assert high[1] > 10 * high[0]  # a telephone ends below 4 kHz, a studio does not
    assert STUDIO.high == 8_000
