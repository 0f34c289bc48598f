"""The sweep over label budgets, on made-up views: records, resuming, curves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lowser_lib.course import cli
from lowser_lib.errors import ProfileError, RunError
from lowser_lib.evaluation import classification_metrics
from lowser_lib.experiments import budgets, engine, ledger_figures, records, summaries
from lowser_lib.experiments.budgets import ARMS, BudgetSweep, ProbeConfig
from lowser_lib.experiments.features import SpeechConfig, make_view, normalised
from lowser_lib.experiments.profiles import FAST
from lowser_lib.experiments.records import load_records
from lowser_lib.manifest import EMOTIONS
from lowser_lib.sampling import UNLABELLED
from lowser_lib.sampling.clips import MultiViewDataset

CLIPS, SPEAKERS = 36, 6
SMALL: Mapping[str, Any] = {
    "encoders.dimension": 8,
    "encoders.channels": 4,
    "pairwise.steps": 2,
    "tuning.steps": 2,
    "augmentation.hidden": 0.1,
}


def make_corpus(corpus: str, views: tuple[str, ...], **_: Any) -> tuple[pd.DataFrame, Any]:
    random = np.random.default_rng(0)
    number = np.arange(CLIPS)
    emotion = np.array([*EMOTIONS, None], dtype=object)[number // SPEAKERS % 5]
    table = pd.DataFrame(
        {
            "utterance_id": [f"{corpus}/{i:03d}" for i in number],
            "corpus": corpus,
            "speaker": [f"{corpus}/{i % SPEAKERS}" for i in number],
            "emotion": emotion,
        }
    )
    arrays = {
        "mel": [random.normal(size=(5, 20 + i % 7)) for i in number],
        "egemaps": list(random.normal(size=(CLIPS, 6))),
    }
    labels = [EMOTIONS.index(one) if isinstance(one, str) else UNLABELLED for one in emotion]
    return table, MultiViewDataset({name: arrays[name] for name in views}, labels)


def load(names: Iterable[str], **_: Any) -> Any:
    return SimpleNamespace(hashes=dict.fromkeys(names, "hash"))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BudgetSweep:
    monkeypatch.setattr(budgets, "extract_views", make_corpus)
    monkeypatch.setattr(budgets, "data", SimpleNamespace(load=load))
    return BudgetSweep(
        results=tmp_path, corpora=["table:made"], views=["mel", "egemaps"], budgets=(1, 99, 0),
        seeds=1, jobs=1, changes=SMALL,
    )  # fmt: skip


def test_a_run_a_corpus_fold_and_seed_each_with_all_views_budgets_and_arms(
    settings: BudgetSweep, tmp_path: Path
) -> None:
    lines: list[str] = []
    runs = engine.run(settings, lines.append)
    folder = tmp_path / "fast/sweeps/pairwise"
    names = [f"made-{fold}-0" for fold in range(FAST.folds)]
    assert sorted(path.stem for path in folder.iterdir()) == names
    assert len(lines) == FAST.folds
    for run in runs:
        results = run.metrics["results"]
        assert len(results) == 3 * 3 * len(ARMS)
        assert {one["view"] for one in results} == {"mel", "egemaps", "together"}
        assert all((one["uar"] is None) is (one["budget"] == 99) for one in results)
        truth = run.metrics["truth"]
        assert len(run.metrics["speakers"]) == len(truth)
        for one in results:
            if one["uar"] is not None:
                assert len(one["predicted"]) == len(truth)
                both = list(zip(truth, one["predicted"], strict=True))
                recalls = [
                    np.mean([a == b for a, b in both if a == emotion]) for emotion in set(truth)
                ]
                assert one["uar"] == pytest.approx(np.mean(recalls), abs=1e-6)
        # Unlabelled clips of the training speakers are pre-trained on; test speakers are not.
        held_out = len(set(run.metrics["speakers"]))
        assert run.metrics["pretraining"]["clips"] == CLIPS * (SPEAKERS - held_out) // SPEAKERS
    assert load_records(tmp_path, "fast", "pairwise") == runs

    # A second time nothing is run, and nothing changes.
    written = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again: list[str] = []
    assert engine.run(settings, again.append) == runs
    assert again == [f"{FAST.folds} of {FAST.folds} runs are finished already"]
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == written

    # A missing run comes out as it was.
    (folder / f"{names[0]}.json").unlink()
    repeated = engine.run(settings, again.append)
    assert [run.metrics for run in repeated] == [run.metrics for run in runs]

    # Other settings do not mix with these.
    other = replace(settings, changes={**SMALL, "pairwise.temperature": 0.2})
    with pytest.raises(RunError, match=r"comes from other settings \(pairwise\)"):
        engine.run(other, again.append)

    curves = summaries.curves(runs)
    assert set(curves.index.get_level_values("budget")) == {0, 1}
    assert curves["n_pairs"].eq(SPEAKERS).all()
    np.testing.assert_allclose(
        curves["difference"], curves["pairwise"] - curves["scratch"], atol=1e-9
    )
    assert "all" in summaries.text(runs)
    probes = summaries.curves(runs, "probe", "svm")
    np.testing.assert_allclose(probes["difference"], probes["probe"] - probes["svm"], atol=1e-9)
    with pytest.raises(RunError, match="no result of an arm 'words'; there are svm, untrained"):
        summaries.curves(runs, "words")


def test_tables_of_a_sweep_say_what_its_answers_say(settings: BudgetSweep) -> None:
    runs = engine.run(settings, lambda line: None)
    pairs = [("probe", "scratch"), ("probe", "probe")]
    counts = summaries.verdicts(runs, pairs)
    curves = summaries.curves(runs, "probe", "scratch")
    first = counts.loc["probe − scratch"]
    assert first["comparisons"] == len(curves) == 6
    assert first["points"] == pytest.approx(100 * curves["difference"].mean())
    # Of six speakers no p is below 1 / 32, and six tests multiply it.
    assert first["out of reach"] == 6 and first["better"] == first["worse"] == 0
    assert counts.loc["probe − probe", "points"] == 0

    gains = summaries.budget_gains(runs, pairs, (1, 0))
    assert list(gains["label"]) == ["mel", "egemaps", "together"] * 2
    assert (gains["low"] <= gains["estimate"]).all() and (gains["estimate"] <= gains["high"]).all()
    assert (gains.loc[gains["test"] == "probe − probe", "high"] == 0).all()
    assert summaries.budget_gains(runs, pairs, (99,)).empty  # no fold has so many labels

    marks = curves["mark"]
    (corpus, rows), *others = summaries.budget_scores(runs, ("svm", "probe"), marks).items()
    assert corpus == "table:made" and not others
    assert len(rows) == 3 * 2 * 2 and set(rows["mark"]) == {"ns"}
    (one,) = rows.query("view == 'mel' and budget == 1 and arm == 'svm'").to_dict("records")
    answers = ledger_figures.budget_answers(runs, "mel", 1, "svm")
    assert answers is not None
    scored = classification_metrics(answers.truth, answers.predicted[0], range(4))["uar"]
    assert one["estimate"] == pytest.approx(scored)


def test_starts_and_normalising_are_compared_on_what_all_have(settings: BudgetSweep) -> None:
    runs = engine.run(settings, lambda line: None)
    fewer = [run for run in runs if run.config["fold"]]
    crossed = summaries.crossed(fewer, runs, "table:made")
    mean = summaries.budget_table(fewer).groupby("arm")["uar"].mean()
    assert crossed == pytest.approx(
        {name: mean[arm] for name, arm in (("drawn", "untrained"), ("trained", "probe"),
                                           ("normalised", "untrained"), ("both", "probe"))}
    )  # fmt: skip
    assert summaries.crossed(runs, runs, "elsewhere") == {}
    rows = summaries.starts_gain({"here": runs, "there": runs, "no": []}, ("probe", "svm"), (1,))
    assert set(rows["label"]) == {"here", "there"} and len(rows) == 6
    wide = rows.pivot(index="test", columns="label", values="estimate")
    assert (wide["here"] == wide["there"]).all()


def test_a_sweep_can_be_tried_without_leaving_anything(
    settings: BudgetSweep, tmp_path: Path
) -> None:
    asked = {"corpora": settings.corpora, "views": settings.views, "seeds": 1, "changes": SMALL}
    (first, *_) = budgets.tried(budgets=(1,), **asked)
    assert first.metrics["results"] and not list(tmp_path.iterdir())


def test_the_arms_differ_in_their_start_alone(
    settings: BudgetSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_learned(clips: Any, *, encoders: Any, **_: Any) -> Any:
        healthy = {"spread": 1.0, "effective_rank": 9.0, "uniformity": -2.0}
        row = {"loss": 0.0, "matched": 0.0}
        for view in encoders:
            row |= {f"{view}_projection_{name}": value for name, value in healthy.items()}
        return SimpleNamespace(encoders=encoders, history=SimpleNamespace(rows=[row]))

    monkeypatch.setattr(budgets, "pretrain", nothing_learned)
    table = summaries.budget_table(engine.run(settings, lambda _: None))
    arms = {
        arm: one.reset_index(drop=True).drop(columns="arm") for arm, one in table.groupby("arm")
    }
    assert set(arms) == set(ARMS)
    pd.testing.assert_frame_equal(arms["scratch"], arms["pairwise"])
    pd.testing.assert_frame_equal(arms["untrained"], arms["probe"])


@pytest.mark.parametrize(("pretrained_on", "own"), [("other", 0), ("both", 1)])
def test_other_corpora_can_be_pretrained_on(
    settings: BudgetSweep, pretrained_on: str, own: int
) -> None:
    changes = {**SMALL, "speech.pretrained_on": pretrained_on}
    runs = engine.run(replace(settings, changes=changes, budgets=(1,)), lambda _: None)
    others = [name for name in FAST.corpora if name != "table:made"]
    for run in runs:
        assert run.config["others"] == others
        assert set(run.corpora) == {"table:made", *others}
        target = CLIPS * (SPEAKERS - len(set(run.metrics["speakers"]))) // SPEAKERS
        assert run.metrics["pretraining"]["clips"] == len(others) * CLIPS + own * target


def test_a_voice_is_taken_out_and_test_speakers_tell_nothing_of_the_rest() -> None:
    table, clips = make_corpus("table:made", ("mel", "egemaps"))
    loud = MultiViewDataset(
        {
            name: [array + 5.0 * (index % SPEAKERS) for index, array in enumerate(arrays)]
            for name, arrays in clips.views.items()
        }
    )
    means = {}
    for how in ("corpus", "speaker"):
        ready = normalised(table, loud, SpeechConfig(how), {"table:made/5"})
        rows = np.stack([array.numpy() for array in ready.views["egemaps"]])
        means[how] = pd.DataFrame(rows).groupby(table["speaker"].to_numpy()).mean().mean(axis=1)
        known = rows[(table["speaker"] != "table:made/5").to_numpy()]
        if how == "corpus":
            np.testing.assert_allclose(known.mean(axis=0), 0, atol=1e-5)
            np.testing.assert_allclose(known.std(axis=0), 1, atol=1e-5)
    # Six clips a speaker and a prior of four: most of a voice is gone, not all.
    assert np.ptp(means["speaker"].to_numpy()) < 0.7 * np.ptp(means["corpus"].to_numpy())


def test_frames_are_averaged_and_the_last_may_be_of_fewer() -> None:
    table, _ = make_corpus("table:made", ("mel",))
    mel = np.array([[1.0, 3.0, 5.0, 7.0, 10.0], [0.0, 2.0, 0.0, 0.0, 1.0]])
    clips = MultiViewDataset({"mel": [mel] * CLIPS})
    ready = normalised(table, clips, SpeechConfig(frames=2)).views["mel"][0]
    averaged = np.array([[2.0, 6.0, 10.0], [1.0, 0.0, 1.0]])
    expected = averaged - averaged.mean(axis=1, keepdims=True)
    expected /= averaged.std(axis=1, keepdims=True)
    np.testing.assert_allclose(ready.numpy(), expected, rtol=1e-5)


def test_a_damaged_record_is_refused(settings: BudgetSweep, tmp_path: Path) -> None:
    path = tmp_path / "fast/sweeps/pairwise/made-0-0.json"
    path.parent.mkdir(parents=True)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(RunError, match=r"made-0-0.json is damaged"):
        engine.run(settings)


def test_the_command_dispatches(
    settings: BudgetSweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = [f"{name}={json.dumps(value)}" for name, value in SMALL.items()]
    arguments = ["sweep", "pairwise", "--results", str(tmp_path), "--corpora", "table:made",
                 "--views", "egemaps", "mel", "--budgets", "1", "--seeds", "1",
                 "--jobs", "1"]  # fmt: skip
    assert cli.main([*arguments, "--set", *changes]) == 0
    assert "pairwise" in capsys.readouterr().out
    assert (tmp_path / "fast/sweeps/pairwise/made-0-0.json").is_file()
    assert cli.main(["sweep", "pairwise", "--languages", "xx"]) == 2
    assert "no target for language 'xx'" in capsys.readouterr().err


def test_refuses(tmp_path: Path) -> None:
    for wrong in ({"seeds": 0}, {"jobs": 0}, {"budgets": (1, -1)}, {"budgets": ()}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            BudgetSweep(results=tmp_path, **wrong)
    with pytest.raises(ProfileError, match="unknown view 'words'; choose from mel"):
        make_view("words")
    with pytest.raises(RunError, match="no result yet"):
        summaries.curves([])
    with pytest.raises(ValueError, match="normalise must be one of"):
        SpeechConfig(normalise="words")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="pretrained_on must be one of"):
        SpeechConfig(pretrained_on="words")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="penalty must be above 0, not 0"):
        ProbeConfig(penalty=0)
    with pytest.raises(ValueError, match="frames must be at least 1, not 0"):
        SpeechConfig(frames=0)


def test_the_record_names_the_device_that_was_computed_on(
    settings: BudgetSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(budgets, "measure", lambda run: {"results": []})
    assert records.device()["type"] == "cuda"
    for record in engine.run(settings, lambda _: None):
        assert record.device["type"] == "cpu" and record.device["threads"] == 1
