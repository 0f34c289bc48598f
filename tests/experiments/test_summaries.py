"""What sweeps amount to: means, paired differences, what is not compared, and the text."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from lowser_lib.errors import RunError
from lowser_lib.evaluation import classification_metrics, mean_interval
from lowser_lib.experiments import summaries
from lowser_lib.experiments.records import RunRecord


def made_up(method: str, seed: int, answers: str, told: tuple[float, float] | None) -> RunRecord:
    """A run on 2 speakers with 4 clips each: truth 0123 0123."""
    half = {"truth": "0123", "none": answers[:4], "embeddings": "0123"}
    clips = {"a": half, "b": {**half, "none": answers[4:]}}
    truth = [0, 1, 2, 3] * 2
    score = classification_metrics(truth, [int(digit) for digit in answers], list(range(4)))
    one = {"accuracy": 0.0, "chance": 0.1, "n_clips": 8, "n_speakers": 2, "left_out": 0}
    metrics: dict[str, Any] = {
        "transfer": {"none": score, "embeddings": {"macro_f1": 1.0}}, "clips": clips
    }  # fmt: skip
    if told is not None:
        both = {"before": {**one, "accuracy": told[0]}, "after": {**one, "accuracy": told[1]}}
        metrics["stage1"] = {"batch": {"missing": "a batch holds 4 speakers"}}
        metrics["identifiability"] = {"target corpus": both, "none": dict.fromkeys(both)}
    config = {"method": method, "language": "ur", "encoder_sha256": "e"}
    return RunRecord(1, "04", f"{method}-ur-{seed}", "tiny", seed, metrics, config,
                     {"table:english": "s"}, {}, {}, {}, 1.0, "")  # fmt: skip


OURS = [made_up("new", 0, "01230123", (0.2, 0.5)), made_up("new", 1, "01230122", (0.4, 0.7))]
THEIRS = [made_up("baseline", seed, "01210121", None) for seed in (0, 1)]


def test_means_and_differences_are_those_of_the_runs() -> None:
    none, matched = summaries.summarise(OURS, THEIRS, 200).to_dict("records")
    ours, theirs = (
        np.array([run.metrics["transfer"]["none"]["macro_f1"] for run in part])
        for part in (OURS, THEIRS)
    )
    assert (none["language"], none["matching"], matched["matching"]) == ("ur", "none", "embeddings")
    assert none["mean"] == mean_interval(ours)
    assert none["baseline"] == mean_interval(theirs)
    assert none["over_seeds"] == mean_interval(ours - theirs)
    assert none["over_speakers"].estimate == pytest.approx((ours - theirs).mean())
    assert none["over_speakers"].n_speakers == 2
    # Two speakers say little of others: the interval is wide, and not cut off at what was seen.
    assert none["over_speakers"].low < 0 < none["over_speakers"].estimate
    assert none["over_speakers"].high > none["over_speakers"].estimate
    assert matched["over_seeds"].estimate == 0


def test_only_seeds_that_both_have_are_compared() -> None:
    none, _ = summaries.summarise(OURS, THEIRS[1:], 50).to_dict("records")
    assert none["mean"].n_seeds == 2
    assert none["over_seeds"].n_seeds == 1
    assert math.isnan(none["over_seeds"].low)
    alone, _ = summaries.summarise(OURS, []).to_dict("records")
    assert alone["over_seeds"] is None


def test_runs_on_other_clips_are_not_compared() -> None:
    other = made_up("baseline", 1, "01210121", None)
    other.metrics["clips"]["b"]["truth"] = "0132"
    with pytest.raises(RunError, match="baseline-ur-1 was tested on other clips"):
        summaries.summarise(OURS, [THEIRS[0], other])


@pytest.mark.parametrize("what", ["encoder_sha256", "folds", "protocol", "table:english"])
def test_runs_from_another_start_are_not_compared(what: str) -> None:
    other = made_up("baseline", 0, "01210121", None)
    (other.corpora if what == "table:english" else other.config)[what] = "other"
    with pytest.raises(RunError, match=f"new-ur-0 cannot be compared.*differ in {what}"):
        summaries.summarise(OURS, [other])


def test_identifiability_is_averaged_where_it_was_measured() -> None:
    (row,) = summaries.identifiability(OURS).to_dict("records")
    assert (row["language"], row["clips"]) == ("ur", "target corpus")
    assert (row["before"], row["after"]) == (pytest.approx(0.3), pytest.approx(0.6))
    assert summaries.identifiability(THEIRS).empty


def test_the_text_says_what_is_missing() -> None:
    whole = summaries.text(OURS, THEIRS, 50)
    assert "difference, over speakers and seeds" in whole
    assert "0.300 0.600" in whole
    assert "ur: a batch holds 4 speakers" in whole
    assert "lowser sweep baseline" not in whole
    assert "lowser sweep baseline" in summaries.text(OURS, [])
    assert "difference" not in summaries.text(THEIRS, THEIRS)


def test_how_monitors_moved() -> None:
    def watched(seed: int, last: float, collapsed: bool) -> RunRecord:
        notes = {
            f"{space}_{name}": [0.25, 9.0, last]
            for space in ("embedding", "projection")
            for name in ("spread", "effective_rank")
        }
        run = made_up("byol", seed, "01230123", None)
        run.metrics["byol"] = {"collapse": {**notes, "verdict": {"collapsed": collapsed}}}
        return run

    moved = summaries.collapses([watched(0, 0.5, False), watched(1, 0.7, True)])
    assert (moved["runs"], moved["collapsed"]) == (2, 1)
    assert moved["embedding spread"] == moved["projection effective rank"] == "0.25 → 0.6"


def test_folds_of_one_network_need_two_speakers_each() -> None:
    def many(method: str, seed: int, speakers: int, wrong: int) -> RunRecord:
        run = made_up(method, seed, "01230123", None)
        right, never = {"truth": "0123", "none": "0123", "embeddings": "0123"}, "0000"
        clips = {f"s{number}": right for number in range(speakers)}
        clips |= {f"s{number}": {**right, "embeddings": never} for number in range(wrong)}
        config = {**run.config, "language": "ur" if speakers > 9 else "de"}
        return dataclasses.replace(
            run, profile="fast", config=config, metrics={**run.metrics, "clips": clips}
        )

    ours = [many("new", 0, 10, 2), many("new", 0, 9, 2)]
    theirs = [many("baseline", 0, 10, 0), many("baseline", 0, 9, 0)]
    table = summaries.fold_spreads(ours, theirs)
    assert list(table.index) == ["Urdu"]  # nine speakers make no five folds
    row = table.loc["Urdu"]
    assert row["speakers"] == 10 and row["other folds"] == 0 < row["folds"]
    assert row["change"] == pytest.approx(row["folds"])
    assert np.isnan(row["seeds"]) and np.isnan(row["other seeds"])
