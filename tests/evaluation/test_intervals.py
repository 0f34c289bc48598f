"""Bootstrap intervals: closed forms, a slow direct computation, coverage in simulation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray
from scipy import stats

from lowser_lib.errors import EvaluationError
from lowser_lib.evaluation import (
    METRICS,
    Answers,
    Interval,
    classification_metrics,
    mean_interval,
    paired_speaker_bootstrap,
    speaker_bootstrap,
)
from lowser_lib.evaluation.intervals import jackknife
from lowser_lib.evaluation.metrics import metric_from_counts

LABELS = (0, 1, 2, 3)


def made_up(
    n_speakers: int, seed: int, clips: int = 20, seeds: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Make up truth, predictions (seeds, n) and speakers; some speakers are easier than others."""
    generator = np.random.default_rng(seed)
    speakers = np.repeat(np.arange(n_speakers), clips)
    truth = np.tile(LABELS, n_speakers * clips // 4)
    skill = generator.beta(6, 4, size=n_speakers)[speakers]
    wrong = (truth + generator.integers(1, 4, size=(seeds, len(truth)))) % 4
    return truth, np.where(generator.random((seeds, len(truth))) < skill, truth, wrong), speakers


@pytest.mark.parametrize("metric", METRICS)
def test_perfect_predictions_leave_no_doubt(metric: str) -> None:
    truth, _, speakers = made_up(5, seed=0)
    interval = speaker_bootstrap(truth, truth, speakers, LABELS, metric)
    assert (interval.estimate, interval.low, interval.high) == (1.0, 1.0, 1.0)
    assert interval.n_speakers == 5


@pytest.mark.parametrize("metric", METRICS)
def test_equal_to_resampling_the_clips_themselves(metric: str) -> None:
    truth, predictions, speakers = made_up(6, seed=1)
    interval = speaker_bootstrap(
        truth, predictions[0], speakers, LABELS, metric, 50, generator=np.random.default_rng(3)
    )
    weights = np.random.default_rng(3).multinomial(6, [1 / 6] * 6, size=50)
    draws = []
    for weight in weights:
        rows = np.concatenate(
            [np.tile(np.flatnonzero(speakers == who), times) for who, times in enumerate(weight)]
        )
        draws.append(classification_metrics(truth[rows], predictions[0][rows], LABELS)[metric])
    assert interval.estimate == pytest.approx(
        classification_metrics(truth, predictions[0], LABELS)[metric]
    )
    # Six speakers: stretched by the missing variance, and by Student's quantile.
    stretch = np.sqrt(6 / 5) * stats.t.ppf(0.975, 5) / stats.norm.ppf(0.975)
    bounds = interval.estimate + stretch * (np.quantile(draws, [0.025, 0.975]) - interval.estimate)
    assert (interval.low, interval.high) == pytest.approx(tuple(np.clip(bounds, 0, 1)))


def test_covers_the_truth_where_resampling_clips_does_not() -> None:
    generator = np.random.default_rng(0)
    by_speaker = by_clip = 0
    for trial in range(100):
        truth, predictions, speakers = made_up(20, seed=trial, clips=40)
        everyone = np.arange(len(truth))  # each clip a speaker of its own
        for who, resamples in ((speakers, 200), (everyone, 100)):
            interval = speaker_bootstrap(
                truth, predictions[0], who, LABELS, "accuracy", resamples, generator=generator
            )
            covers = interval.low <= 0.6 <= interval.high  # mean of Beta(6, 4)
            by_speaker += covers and who is speakers
            by_clip += covers and who is everyone
    assert 85 <= by_speaker <= 100
    assert by_clip <= 80


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 8), st.integers(0, 1000), st.sampled_from(METRICS))
def test_bounds_are_ordered_and_wider_at_a_higher_level(
    n_speakers: int, seed: int, metric: str
) -> None:
    truth, predictions, speakers = made_up(n_speakers, seed, clips=8)
    narrow, wide = (
        speaker_bootstrap(truth, predictions, speakers, LABELS, metric, 200, level)
        for level in (0.5, 0.95)
    )
    assert 0 <= wide.low <= narrow.low <= narrow.high <= wide.high <= 1


def test_does_not_depend_on_the_order_of_clips_or_the_names_of_speakers() -> None:
    truth, predictions, speakers = made_up(5, seed=2, seeds=2)
    order = np.random.default_rng(0).permutation(len(truth))
    names = np.array(["urdu/SF1", "urdu/SF2", "urdu/SM1", "urdu/SM2", "urdu/SM3"])
    first = speaker_bootstrap(truth, predictions, speakers, LABELS)
    second = speaker_bootstrap(truth[order], predictions[:, order], names[speakers][order], LABELS)
    assert first == second


def test_several_seeds_are_averaged_and_their_spread_widens_the_interval() -> None:
    truth, _, speakers = made_up(10, seed=0)
    right, wrong = truth, (truth + 1) % 4
    interval = speaker_bootstrap(truth, np.stack([right, right, wrong, wrong]), speakers, LABELS)
    assert interval.estimate == 0.5
    assert interval.n_seeds == 4
    # No speaker differs from another: all of the width is the seeds' (0 to 4 of 4 are right).
    assert (interval.low, interval.high) == (0.0, 1.0)
    same = speaker_bootstrap(truth, np.stack([right] * 4), speakers, LABELS)
    assert (same.low, same.high) == (1.0, 1.0)


def test_one_speaker_is_not_estimable() -> None:
    truth, predictions, speakers = made_up(1, seed=0)
    interval = speaker_bootstrap(truth, predictions[0], speakers, LABELS)
    assert interval.estimate == classification_metrics(truth, predictions[0], LABELS)["macro_f1"]
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert not interval.estimable
    assert not interval.excludes(-1)
    assert str(interval).endswith("[not estimable]")


def test_default_draws_repeat_and_a_generator_moves_on() -> None:
    truth, predictions, speakers = made_up(6, seed=4)
    assert speaker_bootstrap(truth, predictions, speakers, LABELS) == speaker_bootstrap(
        truth, predictions, speakers, LABELS
    )
    generator = np.random.default_rng(0)
    first, second = (
        speaker_bootstrap(truth, predictions, speakers, LABELS, generator=generator)
        for _ in range(2)
    )
    assert first != second


def test_paired_difference_of_a_method_with_itself_is_nothing() -> None:
    truth, predictions, speakers = made_up(6, seed=5)
    interval = paired_speaker_bootstrap(
        truth, predictions[0], predictions[0], speakers, LABELS, n_resamples=100
    )
    assert (interval.estimate, interval.low, interval.high) == (0.0, 0.0, 0.0)


def test_pairing_takes_away_what_makes_a_speaker_hard_for_both() -> None:
    truth, predictions, speakers = made_up(10, seed=6)
    worse = predictions[0].copy()
    worse[::10] = (truth[::10] + 1) % 4  # the same share of each speaker's clips
    better = predictions[0]
    difference = paired_speaker_bootstrap(truth, better, worse, speakers, LABELS, "accuracy")
    alone = speaker_bootstrap(truth, better, speakers, LABELS, "accuracy")
    assert difference.estimate == pytest.approx(np.mean(better == truth) - np.mean(worse == truth))
    assert difference.excludes(0)
    assert difference.high - difference.low < (alone.high - alone.low) / 2


def test_paired_takes_different_numbers_of_seeds() -> None:
    truth, predictions, speakers = made_up(6, seed=7, seeds=3)
    interval = paired_speaker_bootstrap(truth, predictions, predictions[:2], speakers, LABELS)
    assert interval.n_seeds == 2
    assert interval.low <= interval.estimate <= interval.high


def test_seed_j_is_compared_with_seed_j() -> None:
    truth, _, speakers = made_up(10, seed=0)
    hit = np.arange(len(truth)) % 10  # as many clips of every speaker
    first = np.stack([np.where(hit < share, truth, (truth + 1) % 4) for share in (2, 5, 8)])
    second = np.stack([np.where(hit < share - 1, truth, (truth + 1) % 4) for share in (2, 5, 8)])
    pair = paired_speaker_bootstrap(truth, first, second, speakers, LABELS, "accuracy")
    # Seeds differ by 60 points, but every seed of the first is better than its partner by ten.
    assert (pair.low, pair.high) == pytest.approx((0.1, 0.1))
    turned = paired_speaker_bootstrap(truth, first, second[::-1], speakers, LABELS, "accuracy")
    assert turned.estimate == pytest.approx(0.1) and turned.low < -0.3


@pytest.mark.parametrize("speakers", [10, 24, 29])
def test_intervals_cover_other_speakers_and_seeds(speakers: int) -> None:
    """A difference of two methods that are equally good, on the same speakers and seeds."""
    random, covered, trials = np.random.default_rng(0), 0, 150
    who = np.repeat(np.arange(speakers), 16)
    truth = np.tile(LABELS, speakers * 4)
    for _ in range(trials):
        skill, likes = random.normal(0, 0.6, speakers), random.normal(0, 0.4, speakers)
        sides: list[list[NDArray[np.int64]]] = [[], []]
        for _ in range(3):
            luck = random.normal(0, 0.15)
            for side, kept in ((0, likes[who]), (1, 0.0)):
                level = skill[who] + luck + kept + random.normal(0, 0.1)
                right = random.random(len(truth)) < 1 / (1 + np.exp(-level))
                sides[side].append(np.where(right, truth, (truth + 1) % 4))
        pair = paired_speaker_bootstrap(
            truth, sides[0], sides[1], who, LABELS, "uar", 200, generator=random
        )
        covered += pair.low <= 0 <= pair.high
    assert 0.92 <= covered / trials <= 0.99


def test_leaving_speakers_out_gives_the_variance_of_a_mean() -> None:
    truth, predictions, speakers = made_up(12, seed=3)
    counts = Answers.of(truth, predictions, speakers, LABELS).confusions()

    def accuracy(sides: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
        return metric_from_counts(sides[0].sum(axis=1), "accuracy")

    interval = jackknife([counts], accuracy)
    score = [np.mean((predictions[0] == truth)[speakers == who]) for who in range(12)]
    low, high = stats.ttest_1samp(score, 0).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_mean_interval_equals_scipy() -> None:
    scores = [0.41, 0.47, 0.39, 0.50]
    interval = mean_interval(scores, level=0.9)
    low, high = stats.ttest_1samp(scores, 0).confidence_interval(0.9)
    assert (interval.low, interval.high) == pytest.approx((low, high))
    assert interval.estimate == pytest.approx(np.mean(scores))
    assert interval.n_seeds == 4


def test_mean_interval_of_one_seed_is_not_estimable() -> None:
    assert not mean_interval([0.4]).estimable


def test_interval_reads_as_text() -> None:
    assert str(Interval(0.4159, 0.3, 0.529, 10)) == "0.42 [0.30, 0.53]"


@pytest.mark.parametrize("scores", [[], [0.4, math.nan], [math.inf]])
def test_mean_interval_refuses_what_is_not_a_score(scores: list[float]) -> None:
    with pytest.raises(EvaluationError, match="finite"):
        mean_interval(scores)


@pytest.mark.parametrize("speakers", [["a"], ["a", None], [["a", "b"]]])
def test_every_clip_needs_a_speaker(speakers: list[Any]) -> None:
    with pytest.raises(EvaluationError, match="speakers must have one"):
        speaker_bootstrap([0, 1], [0, 1], speakers, LABELS)


def test_bad_predictions() -> None:
    with pytest.raises(EvaluationError, match="y_pred holds 9"):
        speaker_bootstrap([0, 1], [[0, 1], [0, 9]], ["a", "b"], LABELS)
    with pytest.raises(EvaluationError, match="nothing to score"):
        speaker_bootstrap([0, 1], np.empty((0, 2), dtype=int), ["a", "b"], LABELS)
    with pytest.raises(EvaluationError, match=r"one answer for each of 2 .* \(1, 3\)"):
        speaker_bootstrap([0, 1], [0, 1, 1], ["a", "b"], LABELS)


@pytest.mark.parametrize(
    ("name", "value"), [("metric", "f1"), ("n_resamples", 0), ("level", 1.0), ("level", 95)]
)
def test_bad_arguments_are_named(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        speaker_bootstrap([0, 1], [0, 1], ["a", "b"], LABELS, **{name: value})  # type: ignore[arg-type]
