"""Tables of several methods on several tests agree with the intervals that they are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lowser_lib.errors import EvaluationError
from lowser_lib.evaluation import (
    Answers,
    Interval,
    by_clip,
    compared,
    paired_speaker_bootstrap,
    speaker_bootstrap,
)
from lowser_lib.evaluation.intervals import MEAN

LABELS = (0, 1)
DRAWS = 200


def answers(right: float, speakers: int, seed: int, seeds: int = 1) -> Answers:
    """So many answers are right, of speakers with ten clips each, the same truth for all."""
    truth = np.random.default_rng(speakers).integers(2, size=10 * speakers)
    kept = np.random.default_rng(seed).random((seeds, len(truth))) < right
    names = np.repeat([f"s{number}" for number in range(speakers)], 10)
    return Answers.of(truth, np.where(kept, truth, 1 - truth), names, LABELS)


def score(side: Answers) -> Interval:
    return speaker_bootstrap(side.truth, side.predicted, side.speaker, LABELS, n_resamples=DRAWS)


SIDES = {
    "good": {"ur": answers(0.9, 8, 1), "de": answers(0.8, 5, 2), "bn": answers(0.7, 1, 3)},
    "poor": {"ur": answers(0.6, 8, 4), "de": answers(0.6, 5, 5), "bn": answers(0.6, 1, 6)},
}


def test_scores_are_those_of_the_bootstrap() -> None:
    table: Any = compared(SIDES, n_resamples=DRAWS).set_index(["method", "corpus"])
    for method, tests in SIDES.items():
        for test, side in tests.items():
            wanted = score(side)
            row = table.loc[(method, test)]
            assert row["estimate"] == pytest.approx(wanted.estimate)
            assert row["low"] == pytest.approx(wanted.low, nan_ok=True)
    assert np.isnan(table.loc[("good", "bn"), "low"])


def test_the_mean_counts_tests_alike_and_needs_known_speakers() -> None:
    row = compared(SIDES, only=MEAN, n_resamples=DRAWS).loc["good"]
    parts = [score(SIDES["good"][test]).estimate for test in ("ur", "de")]
    assert row["estimate"] == pytest.approx(np.mean(parts))
    assert row["low"] < row["estimate"] < row["high"]


def test_differences_are_paired() -> None:
    table = compared(SIDES, "poor", only="ur", n_resamples=DRAWS)
    assert list(table.index) == ["good"]
    good, poor = SIDES["good"]["ur"], SIDES["poor"]["ur"]
    wanted = paired_speaker_bootstrap(
        good.truth, good.predicted, poor.predicted, good.speaker, LABELS, n_resamples=DRAWS
    )
    assert table.loc["good", "estimate"] == pytest.approx(wanted.estimate)
    assert table.loc["good", "low"] == pytest.approx(wanted.low)


def test_a_method_less_itself_is_nothing() -> None:
    twice = {"one": SIDES["good"], "other": SIDES["good"]}
    assert (compared(twice, "one").dropna()[["estimate", "low", "high"]] == 0).all(axis=None)


def test_only_tests_that_all_methods_have() -> None:
    table = compared(
        {"good": SIDES["good"], "poor": {"ur": SIDES["poor"]["ur"]}}, n_resamples=DRAWS
    )
    assert set(table["corpus"]) == {"ur"}


def test_numbers_of_seeds_may_differ() -> None:
    sides = {"good": {"ur": answers(0.9, 8, 1, 3)}, "poor": {"ur": answers(0.6, 8, 4, 2)}}
    row = compared(sides, "poor", n_resamples=DRAWS).iloc[0]
    assert row["low"] < row["estimate"] < row["high"]


@pytest.mark.parametrize("sides", [{}, {"good": {}}, {"good": SIDES["good"]}])
def test_nothing_to_compare_gives_no_row(sides: dict[str, dict[str, Answers]]) -> None:
    assert compared(sides, "poor").empty
    assert compared(sides, "poor", only=MEAN).empty


def test_different_clips_are_refused() -> None:
    with pytest.raises(EvaluationError, match="truth"):
        compared({"good": {"ur": answers(0.9, 8, 1)}, "poor": {"ur": answers(0.9, 7, 1)}}, "poor")


def test_clips_of_one_speaker_promise_too_much() -> None:
    # Each speaker is read right or wrong as a whole: ten clips of one tell no more than one.
    truth = np.tile([0, 1], 40)
    names = np.repeat([f"s{number}" for number in range(8)], 10)
    read = np.repeat([1, 1, 1, 1, 1, 0, 0, 0], 10).astype(bool)
    side = Answers.of(truth, np.where(read, truth, 1 - truth), names, LABELS)
    drawn = compared({"speakers": {"ur": side}, "clips": {"ur": by_clip(side)}}, only="ur")
    wide = drawn["high"] - drawn["low"]
    assert wide["speakers"] > 2 * wide["clips"]
    assert drawn["estimate"].nunique() == 1
