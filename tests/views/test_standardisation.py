"""Level and channel taken back out of spectrograms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lowser_lib.errors import AudioError
from lowser_lib.views.standardisation import (
    FLOOR,
    BandStatistics,
    match_bands,
    standardise_speakers,
)


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
    found = BandStatistics.of(matched)
    np.testing.assert_allclose(found.mean, reference.mean, atol=1e-5)
    np.testing.assert_allclose(found.deviation, reference.deviation, atol=1e-5)


def test_gain_and_channel_of_a_corpus_make_no_difference() -> None:
    reference = BandStatistics.of(clips(0))
    channel = np.linspace(-2, 2, 5)[:, None]
    plain = match_bands(clips(7), reference)
    coloured = match_bands([0.5 * mel + channel for mel in clips(7)], reference)
    for one, other in zip(plain, coloured, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


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


SPEAKERS = ["a", "b", "a", "b", "a"]


def test_without_a_prior_every_speaker_has_mean_0_and_deviation_1() -> None:
    rows = np.random.default_rng(0).normal(3, 2, (5, 7)) + np.arange(5)[:, None] % 2
    found = np.stack(standardise_speakers(list(rows), SPEAKERS, [True] * 5, prior=0))
    for speaker in "ab":
        own = found[[one == speaker for one in SPEAKERS]]
        np.testing.assert_allclose(own.mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(own.std(axis=0), 1, atol=1e-6)
    assert found.dtype == np.float32


def test_an_endless_prior_is_everybodys_statistics_and_they_are_the_references() -> None:
    rows = np.random.default_rng(1).normal(size=(5, 7))
    reference = np.array([True, True, True, False, False])
    found = np.stack(standardise_speakers(list(rows), SPEAKERS, reference, prior=np.inf))
    known = rows[reference]
    np.testing.assert_allclose(found, (rows - known.mean(0)) / known.std(0), rtol=1e-5, atol=1e-6)


def test_shrinkage_by_hand() -> None:
    # Speaker b: one clip of 4, and a prior of 1 clip: half its own mean and variance (4, 0), half
    # those of the reference clips 0 and 2 (1, 1).
    found = standardise_speakers(
        list(np.array([[0.0], [2.0], [4.0]])), "aab", [True, True, False], prior=1
    )
    assert found[2] == pytest.approx((4 - 2.5) / np.sqrt(0.5))


def test_spectrograms_of_unequal_length_count_by_frames() -> None:
    mels = [np.array([[0.0, 2.0]]), np.array([[4.0, 4.0, 5.0]])]
    found = standardise_speakers(mels, "aa", [True, True], frames=True, prior=0)
    together = np.concatenate(found, axis=1)
    assert [one.shape for one in found] == [(1, 2), (1, 3)]
    np.testing.assert_allclose([together.mean(), together.std()], [0, 1], atol=1e-6)


def test_what_does_not_vary_is_zero() -> None:
    found = standardise_speakers(list(np.full((3, 2), 7.0)), "aab", [True] * 3)
    np.testing.assert_array_equal(np.stack(found), 0)


def test_speakers_are_refused_without_reference_or_with_other_numbers() -> None:
    rows = np.zeros((2, 3))
    with pytest.raises(AudioError, match="no reference clip"):
        standardise_speakers(list(rows), "ab", [False, False])
    with pytest.raises(ValueError, match="2 arrays, 1 speakers and 2 marks"):
        standardise_speakers(list(rows), "a", [True, True])
    with pytest.raises(ValueError, match="prior must be at least 0, not -1"):
        standardise_speakers(list(rows), "ab", [True, True], prior=-1)
