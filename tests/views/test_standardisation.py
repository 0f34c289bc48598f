"""Level, channel and voice taken back out of spectrograms and of vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.preprocessing import StandardScaler

from lowser_lib.errors import AudioError, EvaluationError
from lowser_lib.views.standardisation import (
    Standardiser,
    chosen_step,
    speaker_share,
    standardise_speakers,
)

SPEAKERS = ["a", "b", "a", "b", "a"]


def test_without_a_prior_every_speaker_has_mean_0_and_deviation_1() -> None:
    rows = np.random.default_rng(0).normal(3, 2, (5, 7)) + np.arange(5)[:, None] % 2
    outcome = np.stack(standardise_speakers(list(rows), SPEAKERS, [True] * 5, prior=0))
    for speaker in "ab":
        kept = outcome[[item == speaker for item in SPEAKERS]]
        np.testing.assert_allclose(kept.mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(kept.std(axis=0), 1, atol=1e-6)
    assert outcome.dtype == np.float32


def test_an_endless_prior_is_everybodys_statistics_and_they_are_the_references() -> None:
    rows = np.random.default_rng(1).normal(size=(5, 7))
    reference = np.array([True, True, True, False, False])
    answer = np.stack(standardise_speakers(list(rows), SPEAKERS, reference, prior=np.inf))
    known = rows[reference]
    np.testing.assert_allclose(answer, (rows - known.mean(0)) / known.std(0), rtol=1e-5, atol=1e-6)


def test_shrinkage_by_hand() -> None:
    # Speaker b: one clip of 4, and a prior of 1 clip: half its own mean and variance (4, 0), half
    # those of the reference clips 0 and 2 (1, 1).
    result = standardise_speakers(
        list(np.array([[0.0], [2.0], [4.0]])), "aab", [True, True, False], prior=1
    )
    assert result[2] == pytest.approx((4 - 2.5) / np.sqrt(0.5))


def test_spectrograms_of_unequal_length_count_by_frames() -> None:
    mels = [np.array([[0.0, 2.0]]), np.array([[4.0, 4.0, 5.0]])]
    outcome = standardise_speakers(mels, "aa", [True, True], frames=True, prior=0)
    together = np.concatenate(outcome, axis=1)
    assert [result.shape for result in outcome] == [(1, 2), (1, 3)]
    np.testing.assert_allclose([together.mean(), together.std()], [0, 1], atol=1e-6)


def test_what_does_not_vary_is_zero() -> None:
    result = standardise_speakers(list(np.full((3, 2), 7.0)), "aab", [True] * 3)
    np.testing.assert_array_equal(np.stack(result), 0)


def test_speakers_are_refused_without_reference_or_with_other_numbers() -> None:
    rows = np.zeros((2, 3))
    with pytest.raises(AudioError, match="no reference clip"):
        standardise_speakers(list(rows), "ab", [False, False])
    with pytest.raises(ValueError, match="2 arrays, 1 speakers and 2 marks"):
        standardise_speakers(list(rows), "a", [True, True])
    with pytest.raises(ValueError, match="prior must be at least 0, not -1"):
        standardise_speakers(list(rows), "ab", [True, True], prior=-1)


# ------------------------------------------------------------------------- one vector a clip


def points(n: int, seed: int = 0, width: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(2.0, 3.0, (n, width))


def test_corpus_step_equals_scikit_learn_by_corpus() -> None:
    rows, names = points(30), np.array(["a"] * 12 + ["b"] * 18, dtype=object)
    rows[names == "b"] *= 5
    result = Standardiser("corpus").fit(rows, names)(rows, names)
    for name in "ab":
        expected = StandardScaler().fit_transform(rows[names == name])
        np.testing.assert_allclose(result[names == name], expected, atol=1e-12)


def test_speaker_step_is_the_formula() -> None:
    rows, corpus = points(6), ["c"] * 6
    voices = ["u", "u", "u", "u", "v", ""]
    result = Standardiser("speaker", prior=10).fit(rows, corpus)(rows, corpus, voices)
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    of_u = 4 / 14 * rows[:4].mean(axis=0) + 10 / 14 * mean
    of_v = 1 / 11 * rows[4] + 10 / 11 * mean
    np.testing.assert_allclose(result[:4], (rows[:4] - of_u) / deviation)
    np.testing.assert_allclose(result[4], (rows[4] - of_v) / deviation)
    np.testing.assert_allclose(result[5], (rows[5] - mean) / deviation)  # unknown: the corpus's


@settings(max_examples=25, deadline=None)
@given(st.floats(0.1, 10), st.floats(-5, 5), st.sampled_from(["corpus", "speaker"]))
def test_a_channel_is_taken_out(gain: float, offset: float, step: str) -> None:
    rows, names, voices = points(12), ["c"] * 12, list("aaabbbbccccc")
    plain = Standardiser(step).fit(rows, names)(rows, names, voices)
    other = gain * rows + offset
    np.testing.assert_allclose(Standardiser(step).fit(other, names)(other, names, voices), plain)


def test_prior_at_its_ends() -> None:
    rows, names, voices = points(8), ["c"] * 8, list("aaaabbbb")
    corpus = Standardiser("corpus").fit(rows, names)(rows, names)
    endless = Standardiser("speaker", prior=float("inf")).fit(rows, names)(rows, names, voices)
    np.testing.assert_allclose(endless, corpus)
    whole = Standardiser("speaker", prior=0).fit(rows, names)(rows, names, voices)
    np.testing.assert_allclose(whole[:4].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_array_equal(Standardiser("none")(rows, names), rows)


def test_a_measured_corpus_keeps_what_was_measured_and_no_corpus_gets_the_average() -> None:
    rows = points(20)
    fitted = Standardiser().fit(rows[:10], ["a"] * 10).fit(rows[10:], ["b"] * 10)
    first = fitted(rows[:1], ["a"])
    np.testing.assert_allclose(first[0], (rows[0] - rows[:10].mean(0)) / rows[:10].std(0))
    mean = (rows[:10].mean(0) + rows[10:].mean(0)) / 2
    deviation = np.sqrt((rows[:10].var(0) + rows[10:].var(0)) / 2)
    np.testing.assert_allclose(fitted(rows[:1], [""])[0], (rows[0] - mean) / deviation)
    with pytest.raises(EvaluationError, match="one clip of corpus 'new'"):
        fitted(rows[:1], ["new"])
    with pytest.raises(EvaluationError, match="call fit first"):
        Standardiser()(rows[:1], [""])


@pytest.mark.parametrize("value", [0.0, 3.7, 1e9, 0.1])
def test_a_feature_that_does_not_vary_becomes_zero(value: float) -> None:
    rows = np.full((7, 2), value)
    np.testing.assert_array_equal(Standardiser().fit(rows, ["c"] * 7)(rows, ["c"] * 7), 0.0)


def test_bad_steps_and_names() -> None:
    rows = points(4)
    with pytest.raises(ValueError, match="step must"):
        Standardiser("clip")
    with pytest.raises(ValueError, match="prior must"):
        Standardiser("speaker", prior=-1)
    with pytest.raises(ValueError, match="speakers must be given"):
        Standardiser("speaker").fit(rows, ["c"] * 4)(rows, ["c"] * 4)
    with pytest.raises(EvaluationError, match=r"name one for each of 4 clips.*\(3,\)"):
        Standardiser().fit(rows, ["c"] * 3)
    with pytest.raises(EvaluationError, match="1 missing"):
        Standardiser().fit(rows, np.array(["c", "c", "c", None]))


# ------------------------------------------------------------------------------- the rule


def test_share_is_one_where_each_speaker_has_one_answer() -> None:
    voices = [f"s{number}" for number in range(8) for _ in range(20)]
    moods = [number % 4 for number in range(8) for _ in range(20)]
    assert speaker_share(voices, moods) == pytest.approx(1.0)
    assert chosen_step(speaker_share(voices, moods)) == "corpus"


def test_share_is_zero_where_speakers_show_all_alike() -> None:
    voices = [f"s{number}" for number in range(8) for _ in range(20)]
    assert speaker_share(voices, [0, 1, 2, 3] * 40) <= 0.0
    assert chosen_step(speaker_share(voices, [0, 1, 2, 3] * 40)) == "speaker"


@pytest.mark.parametrize("clips", [2, 4, 20])
def test_chance_is_taken_off(clips: int) -> None:
    """Few clips a speaker look like one mood each; the mean over shuffles is zero all the same."""
    random = np.random.default_rng(0)
    voices = np.repeat([f"s{number}" for number in range(12)], clips)
    shares = [
        speaker_share(voices, random.permutation(np.arange(12 * clips) % 4)) for _ in range(99)
    ]
    assert np.mean(shares) == pytest.approx(0, abs=3 * np.std(shares) / 99**0.5)


@pytest.mark.parametrize(
    ("voices", "answers"),
    [("aaaa", [0, 1, 2, 3]), ("abab", [1, 1, 1, 1]), (["", "", "a"], [0, 1, 2])],
)
def test_what_cannot_be_told_leaves_the_speaker_in(voices: Any, answers: list[int]) -> None:
    share = speaker_share(list(voices), answers)
    assert np.isnan(share)
    assert chosen_step(share) == "corpus"


def test_the_limit_is_the_rule() -> None:
    assert [chosen_step(share, 0.2) for share in (-0.1, 0.2, 0.21)] == ["speaker"] * 2 + ["corpus"]
