"""A chapter reads its own record of people, and says how to make one that is missing."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from lowser_lib.errors import RunError
from lowser_lib.evaluation import compared
from lowser_lib.experiments import paths, people
from lowser_lib.experiments.records import RunRecord, new_record


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "results_root", lambda: tmp_path)
    (tmp_path / "open").mkdir()
    return tmp_path


def test_the_committed_record_is_read() -> None:
    metrics = people.measured("00-loudness")
    assert metrics is not None
    assert {"language", "clips", "UAR"} <= set(metrics["transfer"][0])


def test_a_missing_record_is_asked_for(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert people.measured("02-effects") is None
    assert "lowser run --profile open --chapters 02" in capsys.readouterr().out


def test_a_damaged_record_is_refused(results: Path) -> None:
    (results / "open" / "02-effects.json").write_text("{", encoding="utf-8")
    with pytest.raises(RunError, match="02-effects"):
        people.measured("02-effects")


def test_committed_sweeps_are_compared() -> None:
    layers = people.layers("frozen-tiny-en")
    assert list(layers) == ["0", "1", "2", "3", "4"]
    assert set(layers["0"]) == {"English", "Urdu", "German", "Bangla", "Polish"}
    steps = {step: ("frozen-tiny-en", f"{step} plain") for step in ("none", "corpus")}
    gain = compared(people.answers(steps), "none", only="mean", n_resamples=50)
    assert gain.low["corpus"] > 0.1


def test_a_sweep_without_records_is_left_out(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert people.answers({"tiny.en": ("frozen-tiny-en", "corpus plain")}) == {}
    assert people.layers("frozen-tiny-en") == {}
    said = capsys.readouterr().out.splitlines()
    assert said == ["No records yet of the sweep frozen-tiny-en in the profile open."] * 2


def test_doses_of_a_first_stage_show_speakers_and_emotions() -> None:
    table = people.doses({"as swept": "speaker_contrastive"})["German"]
    voices = people.identified("speaker_contrastive").loc["German"]
    assert list(table.index) == ["none", "as swept"]
    assert table["speakers"].tolist() == [voices["before"], voices["after"]]
    arms = {"adapted": ("speaker_contrastive", "adapted: corpus plain")}
    wanted = compared(people.answers(arms), only="German").loc["adapted", "estimate"]
    assert table.loc["as swept", "emotions"] == pytest.approx(wanted)


def test_without_records_there_are_no_doses(results: Path) -> None:
    assert people.identified("speaker_contrastive").empty
    assert people.doses({"as swept": "speaker_contrastive"}) == {}


def run(sweep: str, language: str, answers: str) -> RunRecord:
    """Two speakers who say 0 1 2 3, and the same answers for both."""
    answered = {"truth": "0123", "none": "0000", "embeddings": answers, "corpus plain": "0123"}
    return new_record(
        chapter="05", name=f"{sweep}-{language}-0", profile="open", seed=0,
        metrics={"clips": {"a": answered, "b": answered}}, config={"language": language},
        corpora={}, device={}, commit={}, seconds=0.0,
    )  # fmt: skip


def test_gains_are_paired_and_in_points(monkeypatch: pytest.MonkeyPatch) -> None:
    sweeps = {
        "plain": [run("plain", "ur", "0122"), run("plain", "de", "0123")],
        "new": [run("new", "ur", "0123"), run("new", "de", "0123"), run("new", "bn", "0123")],
    }
    monkeypatch.setattr(people, "swept", lambda name, profile: sweeps[name])
    table = people.gains({"before": "plain", "after": "new"}, "before")
    assert set(table["method"]) == {"after"}
    assert list(table["corpus"]) == ["Urdu", "German", "mean"]  # Bangla has no baseline
    # Classes 0 and 1 are right in both, 2 has precision 1/2 and recall 1, 3 is never answered.
    lost = (1 - 2 / 3 + 1) / 4
    assert people.points(table, "after", "Urdu").estimate == pytest.approx(100 * lost)
    mean = people.points(table, "after")
    assert mean.estimate == pytest.approx(50 * lost)
    assert mean.low <= mean.estimate <= mean.high
    kinds = {"before": ("plain", "none"), "after": ("plain", "corpus plain")}
    named = people.points(people.gains(kinds, "before"), "after", "Urdu")
    assert named.estimate == pytest.approx(100 * (1 - 0.4 / 4))  # all 0: F1 of it 2/5


def test_a_row_that_is_not_there_is_named() -> None:
    columns = ["method", "corpus", "estimate", "low", "high"]
    with pytest.raises(ValueError, match="'BYOL'"):
        people.points(pd.DataFrame([("new", "mean", 0, 0, 0)], columns=columns), "BYOL")
