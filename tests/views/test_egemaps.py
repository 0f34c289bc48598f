"""eGeMAPS against openSMILE itself."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import opensmile
import pandas as pd
import pytest
import soundfile
from numpy.typing import NDArray

from lowser_lib.errors import AudioError
from lowser_lib.views import View
from lowser_lib.views.cache import extract_all
from lowser_lib.views.egemaps import (
    FAMILY,
    FEATURE_NAMES,
    MINIMUM_SAMPLES,
    SIX_FAMILIES,
    EgemapsView,
)


@pytest.fixture(scope="module")
def reference() -> opensmile.Smile:
    return opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)


def voice(seconds: float = 1.0, pitch: float = 120.0, seed: int = 0) -> NDArray[np.float32]:
    """A buzz with harmonics and a little noise: enough for openSMILE to find a voice in it."""
    time = np.arange(round(seconds * 16000)) / 16000
    buzz = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 20))
    noise = np.random.default_rng(seed).normal(0, 0.01, len(time))
    return (0.2 * buzz + noise).astype(np.float32)


def test_names_are_those_of_opensmile(reference: opensmile.Smile) -> None:
    assert tuple(reference.feature_names) == FEATURE_NAMES


def test_families_cover_all_features() -> None:
    counts = Counter(FAMILY[name] for name in FEATURE_NAMES)
    assert counts == {"frequency": 24, "energy": 15, "spectral": 43, "temporal": 6}
    assert FAMILY["jitterLocal_sma3nz_amean"] == "frequency"
    assert FAMILY["equivalentSoundLevel_dBp"] == "energy"


def test_six_families_tell_the_four_apart_further() -> None:
    assert tuple(SIX_FAMILIES) == FEATURE_NAMES
    pairs = {(SIX_FAMILIES[name], FAMILY[name]) for name in FEATURE_NAMES}
    alone = {("pitch", "frequency"), ("timing", "temporal"), ("loudness", "energy")}
    assert alone | {("spectrum", "spectral")} <= pairs
    assert {four for six, four in pairs if six == "timing"} == {"temporal"}
    assert SIX_FAMILIES["HNRdBACF_sma3nz_amean"] == "voice quality"
    assert SIX_FAMILIES["F1frequency_sma3nz_amean"] == "formants"


def test_equal_to_opensmile(reference: opensmile.Smile) -> None:
    waveform = voice()
    features = EgemapsView().extract(waveform)
    assert features.shape == (88,)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, reference.process_signal(waveform, 16000).to_numpy()[0])
    pitch = features[FEATURE_NAMES.index("F0semitoneFrom27.5Hz_sma3nz_amean")]
    assert pitch == pytest.approx(12 * np.log2(120 / 27.5), abs=0.3)


def test_full_scale_does_not_wrap_round() -> None:
    waveform = voice()
    waveform /= waveform.max()
    just_below = np.minimum(waveform, 32767 / 32768)
    view = EgemapsView()
    np.testing.assert_array_equal(view.extract(waveform), view.extract(just_below))


def test_is_a_view_and_crosses_processes() -> None:
    view = EgemapsView()
    assert isinstance(view, View)
    view.extract(voice())
    copy = pickle.loads(pickle.dumps(view))
    assert copy.settings == view.settings
    np.testing.assert_array_equal(copy.extract(voice()), view.extract(voice()))


@pytest.mark.parametrize("samples", [0, 1, MINIMUM_SAMPLES - 1])
def test_too_short(samples: int) -> None:
    with pytest.raises(AudioError, match=r"0\.1 s"):
        EgemapsView().extract(voice()[:samples])


def test_shortest_clip_is_finite() -> None:
    assert np.isfinite(EgemapsView().extract(voice()[:MINIMUM_SAMPLES])).all()


def test_not_finite_is_refused() -> None:
    waveform = voice()
    waveform[100] = np.nan
    with pytest.raises(AudioError, match="NaN"):
        EgemapsView().extract(waveform)


def test_stereo_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 16000\)"):
        EgemapsView().extract(np.stack([voice(), voice()]))


def test_two_processes_give_the_same_as_one(tmp_path: Path) -> None:
    paths = [f"{number}.wav" for number in range(16)]
    for number, path in enumerate(paths):
        clip = voice(0.3, pitch=100 + 10 * number, seed=number)
        soundfile.write(tmp_path / path, clip, 16000, subtype="PCM_16")
    manifest = pd.DataFrame({"path": paths})
    alone = extract_all(EgemapsView(), manifest, [tmp_path], None)
    together = extract_all(EgemapsView(), manifest, [tmp_path], None, jobs=2)
    np.testing.assert_array_equal(np.stack(alone), np.stack(together))


def test_names_can_be_read_without_loading_opensmile() -> None:
    code = "import sys, lowser_lib.views.egemaps; sys.exit('opensmile' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
