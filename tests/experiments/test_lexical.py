"""The sweep over leaning words, on toy speech and a tiny encoder: records, resuming, summary."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from joblib.externals.loky import get_reusable_executor

from lowser_lib import skews
from lowser_lib.corpora.base import EMOTIONS
from lowser_lib.course import cli
from lowser_lib.encoders import EncoderDimensions, WhisperEncoder
from lowser_lib.encoders.whisper import save_encoder
from lowser_lib.errors import ProfileError, RunError, SplitError
from lowser_lib.evaluation import Interval
from lowser_lib.experiments import engine, leaning, profiles, speech, summaries
from lowser_lib.experiments.lexical import ARMS, LexicalSweep
from lowser_lib.experiments.records import RunRecord, load_records


def write_corpus(folder: Path, sentences: int) -> None:
    """Ten speakers who say every sentence in every emotion, as noise."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    with (folder / "corpus.csv").open("w", newline="", encoding="utf-8") as table:
        rows = csv.writer(table)
        rows.writerow(["path", "speaker", "gender", "language", "label", "text_id"])
        for speaker, emotion, text in product(range(10), EMOTIONS, range(sentences)):
            name = f"{speaker}-{emotion}-{text}.wav"
            soundfile.write(folder / name, 0.1 * random.standard_normal(9600), 16000)
            rows.writerow([name, f"s{speaker}", "female", "en", emotion, f"t{text}"])


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A profile ``tiny`` of a crossed corpus, and one of too few sentences."""
    get_reusable_executor().shutdown(wait=True)
    folder = tmp_path_factory.mktemp("lexical")
    write_corpus(folder / "corpora" / "crossed", 5)
    write_corpus(folder / "corpora" / "few", 2)
    encoder = WhisperEncoder.random(EncoderDimensions(80, 1500, 16, 2, 1), 0)
    save_encoder(encoder, folder / "tiny.pt")
    tiny = replace(
        profiles.FAST, name="tiny", sources=("table:crossed",), targets={"ur": "table:few"},
        unlabelled={"ur": ("table:crossed",)}, encoder=str(folder / "tiny.pt"), epochs=1,
        head_epochs=1, jobs=1,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOWSER_HOME", str(folder / "home"))
        patch.setenv("LOWSER_CORPORA", str(folder / "corpora"))
        patch.setattr(profiles, "PROFILES", {**profiles.PROFILES, "tiny": tiny})
        yield folder
    speech.leaning_speech.cache_clear()


def run(results: Path, **options: Any) -> tuple[list[RunRecord], list[str]]:
    lines: list[str] = []
    given = {"profile": profiles.get("tiny"), "seeds": 1, "leans": (0.0, 1.0), **options}
    return engine.run(LexicalSweep(results=results, **given), lines.append), lines


@pytest.fixture(scope="module")
def done(ground: Path) -> list[RunRecord]:
    return run(ground / "results", seeds=2)[0]


def test_a_record_a_run_that_says_what_was_measured(ground: Path, done: list[RunRecord]) -> None:
    folder = ground / "results/tiny/sweeps/lexical"
    names = [f"{a}-{lean}-{s}" for a, lean, s in product(ARMS, ("000", "100"), range(2))]
    assert sorted(path.stem for path in folder.iterdir()) == sorted(names)
    for record in done:
        found = record.metrics
        truth, answers = (np.array(list(found[key])) for key in ("truth", "answers"))
        # Two of ten speakers are held out, with every sentence in every emotion.
        assert len(truth) == len(found["speakers"]) == len(found["texts"]) == 2 * 4 * 5
        # At every lean as many: 4 emotions × 1 sentence of its own × 8 speakers.
        assert found["clips"] == 4 * 8
        owner = {text: emotion for emotion, own in found["owners"].items() for text in own}
        own = (
            np.array([owner.get(text) for text in found["texts"]])
            == np.array(EMOTIONS)[truth.astype(int)]
        )
        recalls = [(answers == truth)[own & (truth == one)].mean() for one in "0123"]
        assert found["uar"]["own"] == pytest.approx(np.mean(recalls), abs=1e-6)
        assert found["sentences"]["chance"] == 0.2
        assert record.config["contrast"]["positives"] == ARMS[record.config["arm"]]["positives"]


def test_what_is_finished_is_not_run_again(ground: Path, done: list[RunRecord]) -> None:
    again, lines = run(ground / "results", seeds=2)
    assert lines == [f"{len(done)} of {len(done)} runs are finished already"]
    assert again == done
    found = load_records(ground / "results", "tiny", "lexical")
    assert sorted(found, key=lambda one: one.name) == sorted(done, key=lambda one: one.name)


def test_a_missing_run_comes_out_as_it_was(ground: Path, done: list[RunRecord]) -> None:
    path = ground / "results/tiny/sweeps/lexical/invariant-100-1.json"
    path.unlink()
    again, _ = run(ground / "results", seeds=2)
    assert [record.metrics for record in again] == [record.metrics for record in done]


def test_other_settings_do_not_mix(ground: Path, done: list[RunRecord]) -> None:
    with pytest.raises(RunError, match=r"other settings \(contrast\)"):
        run(ground / "results", changes={"contrast.weight": 2.0})


def test_summaries_are_means_and_paired_differences(done: list[RunRecord]) -> None:
    table = summaries.lexical_table(done)
    assert len(table) == len(done) * 4
    assert set(table["test"]) == {*skews.ROLES, "all"}
    leaks = summaries.leaks(done)
    first = done[0].metrics["uar"]
    row = leaks[(leaks["arm"] == "plain") & (leaks["lean"] == 0) & (leaks["seed"] == 0)]
    assert row["to another's"].item() == pytest.approx(first["own"] - first["another's"])
    gained = summaries.remedy(done).set_index(["lean", "of"])["interval"]
    by_hand = [
        two.metrics["uar"]["all"] - one.metrics["uar"]["all"]
        for one, two in zip(done[:2], done[8:10], strict=True)
    ]
    assert done[8].config["arm"] == "invariant"
    assert gained[0.0, "all"].estimate == pytest.approx(np.mean(by_hand))
    changes = 2 * [Interval(-0.1, -0.2, 0.0, 9)]
    found = pd.DataFrame({"lean": [0.0, 1.0], "test": leaning.CHANGE, "interval": changes})
    rows = summaries.contrast_changes({"people": found}, done)
    assert [(row["label"], row["test"]) for row in rows] == [
        ("people", "lean 1"), ("synthetic, fine-tuned", "lean 1"),
    ]  # fmt: skip
    assert rows[1]["estimate"] == pytest.approx(gained[1.0, "to another's"].estimate)
    assert "another's" in summaries.text(done)
    with pytest.raises(RunError, match="no result of an arm 'words'"):
        summaries.remedy(done, "words")


def test_the_command_line(ground: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--profile", "tiny", "--results", str(ground / "command")]
    assert cli.main(["sweep", "lexical", *place, "--seeds", "1", "--jobs", "1"]) == 0
    assert "by whose sentence a clip says" in capsys.readouterr().out
    assert cli.main(["sweep", "lexical", *place, "--corpora", "table:few", "--name", "few"]) == 2
    assert "2 sentences cannot be dealt out" in capsys.readouterr().err
    assert cli.main(["sweep", "lexical", *place, "--languages", "ur"]) == 2


def test_wrong_settings_are_refused(ground: Path, tmp_path: Path) -> None:
    for wrong in ({"seeds": 0}, {"jobs": 0}, {"arms": ("words",)}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            LexicalSweep(results=tmp_path, **wrong)
    with pytest.raises(ProfileError, match="'emodb' is not in"):
        run(tmp_path, corpus="emodb")
    with pytest.raises(SplitError, match="2 sentences"):
        run(tmp_path, corpus="table:few")
