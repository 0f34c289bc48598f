"""The comparison of nano with random weights: what one training and the yardsticks report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from lowser_lib.corpora.base import EMOTIONS
from lowser_lib.errors import AudioError
from lowser_lib.experiments import profiles
from pretraining import comparison
from pretraining.comparison import (
    FLOOR,
    HELD_OUT,
    BandStatistics,
    Speech,
    Variant,
    match_bands,
    neural,
    yardsticks,
)


def made_up(corpus: str, speakers: int, seed: int) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """Clips of one corpus, an emotion a quarter of the bands."""
    rows = [
        {"corpus": corpus, "speaker": f"{corpus}/{speaker}", "emotion": emotion}
        for speaker in range(speakers)
        for emotion in EMOTIONS
    ]
    random = np.random.default_rng(seed)
    mels = []
    for row in rows:
        mel = random.normal(0.0, 0.1, (80, 20)).astype(np.float32)
        first = 20 * EMOTIONS.index(row["emotion"])
        mel[first : first + 20] += 1.0
        mels.append(mel)
    return pd.DataFrame(rows), mels


@pytest.fixture
def speech(monkeypatch: pytest.MonkeyPatch) -> Speech:
    """Ten speakers of a source and four of a target, recorded over another line."""
    speech = Speech.__new__(Speech)
    profile = replace(profiles.get("fast"), epochs=1, head_epochs=30, batch_size=8)
    speech.profile = profile
    speech.source, speech.source_mels = made_up("home", 10, 0)
    target, mels = made_up("abroad", 4, 1)
    louder = [mel + 3.0 for mel in mels]
    speech.targets = {"abroad (xx)": target}
    speech.mels = {
        ("abroad (xx)", False): louder,
        ("abroad (xx)", True): match_bands(louder, BandStatistics.of(speech.source_mels)),
    }
    speech.source_features = np.stack([mel.mean(axis=1) for mel in speech.source_mels])
    speech.features = {"abroad (xx)": np.stack([mel.mean(axis=1) for mel in louder])}
    monkeypatch.setattr(comparison, "speech_of", lambda name: speech)
    monkeypatch.setattr(comparison.profiles, "get", lambda name: profile)
    return speech


def test_a_training_is_tested_on_strangers_and_abroad(speech: Speech) -> None:
    rows = pd.DataFrame(neural("any", 0, Variant(pretrained=False, fine_tune=False)))
    assert (rows["method"] == "random weights, frozen").all()
    assert rows["test"].tolist() == [HELD_OUT, *["abroad (xx)"] * 4]
    assert rows["matching"].tolist() == ["none", "none", "embeddings", "bands", "both"]
    scores = rows.set_index(["test", "matching"])["macro_f1"]
    assert scores[HELD_OUT, "none"] > 0.8  # chance: 0.25
    assert scores["abroad (xx)", "both"] > 0.8


def test_yardsticks_know_what_always_the_same_scores(speech: Speech) -> None:
    rows = pd.DataFrame(yardsticks("any", 0)).set_index(["method", "test", "matching"])
    scores = rows["macro_f1"]
    assert scores["majority", HELD_OUT, "none"] == pytest.approx(0.1)
    assert scores["eGeMAPS + SVM", "abroad (xx)", "measures"] == 1.0
    # With the ruler of the source a corpus that is louder in every band looks all the same.
    assert scores["eGeMAPS + SVM", "abroad (xx)", "none"] < 0.5


def test_splits_share_no_speaker_and_change_with_the_seed(speech: Speech) -> None:
    parts = [speech.split(seed) for seed in (0, 1)]
    for train, validation, test in parts:
        groups = [set(part["speaker"]) for part in (train, validation, test)]
        assert not groups[0] & groups[1] and not groups[1] & groups[2] and not groups[0] & groups[2]
        assert len(set.union(*groups)) == 10
    assert set(parts[0][2]["speaker"]) != set(parts[1][2]["speaker"])


@pytest.mark.parametrize(
    ("variant", "name"),
    [
        (Variant(pretrained=True, fine_tune=False), "nano, frozen"),
        (Variant(pretrained=True, fine_tune=True), "nano, fine-tuned"),
        (Variant(True, True, head_first=False), "nano, fine-tuned at once"),
        (Variant(pretrained=False, fine_tune=True), "random weights, fine-tuned"),
    ],
)
def test_methods_are_named(variant: Variant, name: str) -> None:
    assert variant.name == name


def clips(seed: int, gain: float = 1.0, offset: float = 0.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        (gain * rng.standard_normal((5, int(frames))) + offset).astype(np.float32)
        for frames in rng.integers(20, 60, 4)
    ]


def test_statistics_of_two_clips_by_hand() -> None:
    first, second = np.array([[1.0, 3.0]]), np.array([[5.0]])
    statistics = BandStatistics.of([first, second])
    assert statistics.mean == pytest.approx([3.0])
    assert statistics.deviation == pytest.approx([np.sqrt(8 / 3)])


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 5), st.floats(-3, 3))
def test_afterwards_the_statistics_are_the_reference(seed: int, gain: float, offset: float) -> None:
    reference = BandStatistics.of(clips(0))
    matched = match_bands(clips(seed, gain, offset), reference)
    result = BandStatistics.of(matched)
    np.testing.assert_allclose(result.mean, reference.mean, atol=1e-5)
    np.testing.assert_allclose(result.deviation, reference.deviation, atol=1e-5)


def test_gain_and_channel_of_a_corpus_make_no_difference() -> None:
    reference = BandStatistics.of(clips(0))
    channel = np.linspace(-2, 2, 5)[:, None]
    plain = match_bands(clips(7), reference)
    coloured = match_bands([0.5 * mel + channel for mel in clips(7)], reference)
    for left, other in zip(plain, coloured, strict=True):
        np.testing.assert_allclose(left, other, atol=1e-5)


def test_given_statistics_are_used_clip_by_clip() -> None:
    corpus, reference = clips(3), BandStatistics.of(clips(0))
    whole = match_bands(corpus, reference)
    single = match_bands(corpus[:1], reference, BandStatistics.of(corpus))
    np.testing.assert_array_equal(whole[0], single[0])


def test_a_silent_band_stays_finite() -> None:
    (matched,) = match_bands([np.zeros((5, 9), np.float32)], BandStatistics.of(clips(0)))
    assert np.isfinite(matched).all()
    assert BandStatistics.of([np.zeros((5, 9))]).deviation == pytest.approx([FLOOR] * 5)


def test_no_clips() -> None:
    with pytest.raises(AudioError, match="no clip"):
        BandStatistics.of([])
