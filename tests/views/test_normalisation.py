"""Level and channel taken back out of spectrograms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowser_lib.errors import AudioError
from lowser_lib.views.normalisation import FLOOR, BandStatistics, match_bands


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
