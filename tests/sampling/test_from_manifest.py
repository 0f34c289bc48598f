"""From a manifest to clips: order, labels, shapes, missing files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from lowser_lib import manifest
from lowser_lib.errors import AudioError
from lowser_lib.sampling import UNLABELLED
from lowser_lib.sampling.clips import mel_clips
from lowser_lib.views.mel import log_mel


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    random = np.random.default_rng(0)
    lines = ["path,speaker,gender,language,label,text_id"]
    for number, label in enumerate(["sad", "", "angry"]):
        sound = 0.1 * random.standard_normal(12800 + 1600 * number)
        soundfile.write(folder / f"{number}.wav", sound, 16000)
        lines.append(f"{number}.wav,s{number},female,en,{label},t1")
    (folder / "corpus.csv").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def test_clips_come_in_order_with_their_emotions(root: Path) -> None:
    table, _ = manifest.read("table:mine", root)
    clips = mel_clips(table, root, cache=root / "kept")
    assert clips.labels.tolist() == [3, UNLABELLED, 0]
    assert [tuple(mel.shape) for mel in clips.samples] == [(80, 80), (80, 90), (80, 100)]
    samples, _ = soundfile.read(root / "mine/2.wav", dtype="float32")
    torch.testing.assert_close(clips.samples[2], log_mel(torch.from_numpy(samples)))
    again = mel_clips(table.iloc[::-1], [root], cache=root / "kept")
    torch.testing.assert_close(again.samples[0], clips.samples[2])


def test_a_missing_file_is_named(root: Path) -> None:
    table, _ = manifest.read("table:mine", root)
    (root / "mine/1.wav").unlink()
    with pytest.raises(AudioError, match=r"1\.wav"):
        mel_clips(table, root)
