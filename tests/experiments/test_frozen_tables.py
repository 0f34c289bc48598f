"""Tables of frozen sweeps, on made-up records whose figures are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from lowser_lib.errors import RunError
from lowser_lib.experiments import frozen_tables, records
from lowser_lib.experiments.frozen import FORMS
from lowser_lib.views.standardisation import STEPS

TRUTH = "01230123"


def record(metrics: dict[str, Any], seed: int = 0, kind: str = "frozen") -> records.RunRecord:
    return records.new_record(
        chapter="05", name=f"{kind}-ur-{seed}", profile="open", seed=seed, metrics=metrics,
        config={"kind": kind, "target": "ur"}, corpora={}, device={}, commit={}, seconds=0.0,
    )  # fmt: skip


def crossed(seed: int, answers: str) -> records.RunRecord:
    """All answers are right but those of the recipe in the middle of the table."""
    names = [f"{step} {form}" for step in (*STEPS, "rule") for form in FORMS]
    right = dict.fromkeys([*names, "corpus layer 0", "corpus layer 1", "corpus svm"], TRUTH)
    clips = {
        f"s{number}": {"truth": TRUTH, **right, "corpus plain": answers} for number in range(3)
    }
    return record({"clips": clips}, seed)


def test_scores_and_gains_are_those_of_the_answers() -> None:
    # Half of each class is wrong: of class 0 answered 1, and so on around: F1 .5 each.
    table = frozen_tables.recipe_table([crossed(seed, "01231230") for seed in (1, 0)], 50)
    assert len(table) == (len(STEPS) + 1) * len(FORMS)
    rows: dict[tuple[str, str], Any] = {
        (row["step"], row["form"]): row for row in table.to_dict("records")
    }
    plain = rows["corpus", "plain"]
    assert plain["score"].estimate == pytest.approx(0.5)
    assert plain["gain"] is None
    other = rows["rule", "inductive"]
    assert other["score"].estimate == 1
    assert other["gain"].estimate == pytest.approx(0.5)
    assert (other["gain"].n_speakers, other["gain"].n_seeds) == (3, 2)


def test_levels_and_gains_lie_at_the_nearest_language_that_was_taught() -> None:
    def run(language: str, answers: str) -> records.RunRecord:
        made = crossed(0, answers)
        made.metrics["held_out"] = {"macro_f1": 0.9}
        return replace(made, config={"kind": "frozen", "target": language})

    codes = ["en", "de", "ur"]
    distance = pd.DataFrame([[0, 1, 3], [1, 0, 2], [3, 2, 0]], codes, codes)
    others = [run(code, "01231230") for code in codes]
    table = frozen_tables.over_distance([run("de", TRUTH), run("ur", TRUTH)], others, distance)
    parts = {what: part.set_index("language") for what, part in table.groupby("what")}
    english = parts["taught in English"]
    assert english["distance"].to_dict() == {"de": 1, "ur": 3, "en": 0}
    assert english["estimate"].to_dict() == {"de": 1, "ur": 1, "en": 0.9}
    assert parts["taught in the others"]["distance"].to_dict() == {"en": 1, "de": 1, "ur": 2}
    assert parts["gain by self-training"]["estimate"].to_numpy() == pytest.approx(0.5)


def test_probes_by_layer_and_the_machine() -> None:
    table = frozen_tables.probe_table([crossed(0, TRUTH)], 20)
    assert list(table["layer"]) == ["0", "1", "svm"]
    assert all(interval.estimate == 1 for interval in table["score"])


def test_seeds_on_other_clips_are_refused() -> None:
    other = crossed(1, TRUTH)
    other.metrics["clips"]["s0"]["truth"] = "11230123"
    with pytest.raises(RunError, match="different clips"):
        frozen_tables.recipe_table([crossed(0, TRUTH), other], 20)


def test_thinned_means_over_seeds_and_the_rules_answer() -> None:
    def thinned(seed: int, step: str, share: float | None) -> records.RunRecord:
        scores = {
            "corpus plain": {"macro_f1": 0.4 + 0.2 * seed},
            "speaker plain": {"macro_f1": 0.8},
        }
        place = {"what": "moods", "degree": 1, "step": step, "share": share, "scores": scores}
        return record({"situations": [place]}, seed, "thinned")

    runs = [thinned(0, "corpus", 0.3), thinned(1, "speaker", None)]
    (row,) = frozen_tables.thinned_table(runs).to_dict("records")
    assert row["corpus"] == pytest.approx(0.5) and row["speaker"] == pytest.approx(0.8)
    assert row["rule"] == pytest.approx((0.4 + 0.8) / 2)
    assert (row["share"], row["taken out"]) == (pytest.approx(0.3), 0.5)
    assert "moods" in frozen_tables.text(runs)


def test_gains_by_moods_of_a_speaker() -> None:
    def place(moods: int, speaker: float) -> dict[str, Any]:
        scores = {"corpus plain": {"macro_f1": 0.5}, "speaker plain": {"macro_f1": speaker}}
        return {"what": "moods", "degree": moods, "step": "corpus", "share": 0.1, "scores": scores}

    run = record({"situations": [place(4, 0.7), place(1, 0.2)]}, 0, "thinned")
    gain = frozen_tables.by_moods([run])["Urdu"]["gain"]
    assert gain[4] == pytest.approx(0.2) and gain[1] == pytest.approx(-0.3)


def test_arms_are_compared_on_the_languages_and_seeds_that_all_have() -> None:
    long, short = [crossed(seed, TRUTH) for seed in (0, 1, 2)], [crossed(2, "01231230")]
    arms = {"long": (long, "corpus plain"), "short": (short, "corpus plain"), "none": ([], "x")}
    sides = frozen_tables.answers(arms)
    assert {name: list(its) for name, its in sides.items()} == {"long": ["Urdu"], "short": ["Urdu"]}
    assert sides["long"]["Urdu"].n_seeds == 1
    assert (sides["long"]["Urdu"].predicted == sides["long"]["Urdu"].truth).all()
    assert (sides["short"]["Urdu"].predicted == sides["long"]["Urdu"].truth).mean() == 0.5


def test_a_new_head_on_an_encoder_has_answers_of_its_own() -> None:
    run = crossed(0, "01231230")
    run.metrics["refit"] = {"adapted": crossed(0, TRUTH).metrics}
    arms = {"head": ([run], "corpus plain"), "new": ([run], "adapted: corpus plain")}
    right = {
        name: (its["Urdu"].predicted == its["Urdu"].truth).mean()
        for name, its in frozen_tables.answers(arms).items()
    }
    assert right == {"head": 0.5, "new": 1.0}


def test_curves_of_thinned_targets_with_and_without_self_training() -> None:
    def thinned(degree: int, step: str) -> dict[str, object]:
        scores = {
            f"{name} {form}": {"macro_f1": value + degree / 100}
            for name, value in (("corpus", 0.4), ("speaker", 0.6))
            for form in ("plain", "transductive")
        }
        scores["speaker transductive"]["macro_f1"] += 0.1
        return {"what": "moods", "degree": degree, "step": step, "share": 0.1, "scores": scores}

    run = record({"situations": [thinned(4, "speaker"), thinned(1, "corpus")]}, kind="thinned")
    curves = frozen_tables.thinned_curves([run], "moods")
    assert list(curves) == ["Urdu"]
    table = curves["Urdu"]
    assert list(table.index) == [4, 1] and list(table) == ["plain", "transductive"]
    assert table.to_numpy()[0].tolist() == pytest.approx(
        [0.64, 0.74]
    )  # the rule takes the speaker out
    assert table.to_numpy()[1].tolist() == pytest.approx([0.41, 0.41])


def test_what_is_seen_of_self_training_stands_beside_its_scores() -> None:
    def watched(seed: int, ran_away: str) -> records.RunRecord:
        rounds = [
            {"shares": [0.4, 0.6], "agreement": 1.0, "confidence": 0.3, "held_back": 0.3},
            {"shares": [0.9 + seed / 100, 0.1], "agreement": 0.5, "confidence": 0.8,
             "held_back": 0.7},
        ]  # fmt: skip
        scores = {"none plain": {"macro_f1": 0.5}, "none transductive": {"macro_f1": 0.3}}
        monitor = {"none": {"rounds": rounds, "ran_away": ran_away}, "rule": {"step": "none"}}
        return record({"monitor": monitor, "scores": scores}, seed)

    seen = frozen_tables.monitored([watched(0, ""), watched(4, "one class")])
    assert list(seen["macro-F1"].index) == [("Urdu", "none")]
    assert seen["largest class"].to_numpy()[0] == pytest.approx([0.6, 0.92])
    assert seen["macro-F1"].to_numpy()[0] == pytest.approx([0.5, 0.3])
    assert seen["held back"].to_numpy()[0] == pytest.approx([0.3, 0.7])
    assert seen["warned"].to_numpy()[0].tolist() == [0.0, 0.5]
    assert all(len(table) == 1 for table in seen.values())  # steps without a monitor are left out
