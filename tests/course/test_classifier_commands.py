"""`lowser train` and `lowser predict` on a corpus of one's own, with classes of its own."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lowser_lib.course.classifier_commands import scores
from lowser_lib.course.cli import main
from lowser_lib.methods import classifier


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table with the classes calm and fearful: four speakers, six clips each."""
    folder = tmp_path / "corpora" / "mine"
    folder.mkdir(parents=True)
    random, rows = np.random.default_rng(0), []
    for speaker in range(4):
        for number in range(6):
            label = ("calm", "fearful")[number % 2]
            tone = np.sin(np.arange(9600) * (0.02 + 0.2 * (number % 2)))
            sound = 0.02 * random.standard_normal(9600) + 0.2 * tone
            soundfile.write(folder / f"{speaker}_{number}.wav", sound, 16000)
            gender = ("female", "male")[speaker % 2]
            rows.append((f"{speaker}_{number}.wav", f"s{speaker}", gender, "en", label, "", label))
    with (folder / "corpus.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "speaker", "gender", "language", "label", "text_id", "emotion"))
        writer.writerows(rows)
    monkeypatch.setenv("LOWSER_CORPORA", str(tmp_path / "corpora"))
    monkeypatch.setenv("LOWSER_HOME", str(tmp_path / "home"))
    return folder


def test_from_a_table_to_answers(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = own.parents[1] / "model"
    assert main(["train", "table:mine", "--output", str(output)]) == 0
    message = capsys.readouterr().out
    assert "classes: calm, fearful" in message
    assert "by the rule" in message
    card = json.loads((output / "card.json").read_text(encoding="utf-8"))
    assert card["training"]["corpora"][0]["speakers"] == 4
    assert card["scores"]["uar"]["estimate"] > 0.9
    low, high = card["scores"]["macro_f1"]["interval_95"]
    assert low <= card["scores"]["macro_f1"]["estimate"] <= high
    assert card["scores_alone"]["chance"] == 0.5
    model = classifier.load(output)
    assert model.predict(own / "0_1.wav")["emotion"].tolist() == ["fearful"]

    clips = [str(own / "0_0.wav"), str(own / "0_1.wav")]
    assert main(["predict", str(output), *clips]) == 0
    assert "standardised by" in capsys.readouterr().out
    assert main(["predict", str(output), *clips, "--csv", "--one-speaker"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "clip,emotion,calm,fearful"
    assert main(["predict", str(output), *clips, "--json", "--adapt"]) == 0
    assert [row["emotion"] for row in json.loads(capsys.readouterr().out)] == ["calm", "fearful"]
    assert main(["predict", str(output), clips[0], "no.wav"]) == 1
    shown = capsys.readouterr()
    assert "1 of 2 files could not be heard" in shown.err
    assert "no.wav" in shown.err
    assert main(["predict", str(output), "no.wav"]) == 2


def test_fine_tuned_on_request(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = own.parents[1] / "model"
    command = ["train", "table:mine", "--output", str(output), "--layers", "1"]
    assert main([*command, "--fine-tune", "--epochs", "1"]) == 0
    card = json.loads((output / "card.json").read_text(encoding="utf-8"))
    assert card["encoder"]["name"] is None
    assert "held out of all training" in card["scores"]["protocol"]
    assert len(classifier.load(output).predict(own / "0_0.wav")) == 1
    capsys.readouterr()
    assert main([*command, "--epochs", "1"]) == 2
    assert "--epochs goes with --fine-tune" in capsys.readouterr().err
    assert main([*command[:-1], "99"]) == 2
    assert "--layers must be from 1 to" in capsys.readouterr().err


def test_a_class_that_never_occurs_is_not_scored_as_0() -> None:
    truth, speakers = np.array([0, 1, 0, 1]), np.array(["a", "a", "b", "b"])
    card = scores(truth, truth, speakers, ("calm", "fearful", "proud"), "by hand")
    assert card["macro_f1"] == {"estimate": 1.0, "interval_95": [1.0, 1.0]}
    taken = scores(truth, np.array([0, 2, 0, 1]), speakers, ("calm", "fearful", "proud"), "")
    assert taken["macro_f1"]["estimate"] == pytest.approx((1 + 2 / 3 + 0) / 3, abs=1e-4)
