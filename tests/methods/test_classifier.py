"""A classifier on its way out: saved, read elsewhere, asked, damaged, given another encoder."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from made_up_clips import corpus, together

from lowser_lib.encoders import EncoderDimensions, WhisperEncoder
from lowser_lib.errors import AudioError, CheckpointError, EvaluationError
from lowser_lib.methods import classifier
from lowser_lib.methods.classifier import Classifier, load, save, windows
from lowser_lib.methods.frozen import Embedded, FrozenConfig, train_frozen

SHAPE = EncoderDimensions(80, 1500, 8, 2, 2)
CLASSES = ("angry", "happy", "neutral", "sad")


def made(encoder: WhisperEncoder, step: str = "corpus", **settings: Any) -> Classifier:
    """A classifier whose head has learned made-up vectors as wide as the encoder's states."""
    clips = together(corpus("a", 0), corpus("b", 1))
    if encoder.dimension != 8:
        rows = np.random.default_rng(0).normal(size=(len(clips), encoder.dimension))
        clips = Embedded.of(rows, clips.corpora, clips.speakers, clips.labels)
    model = train_frozen(clips, None, FrozenConfig(C=0.1, standardisation=step))
    return Classifier(encoder, model, CLASSES, **settings)


@pytest.fixture
def model() -> Classifier:
    return made(WhisperEncoder.random(SHAPE, 0), layer=1, notes={"training": {"corpora": ["a"]}})


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    sound = np.random.default_rng(seed).uniform(-0.5, 0.5, int(16000 * seconds))
    return sound.astype(np.float32)


def test_one_row_a_clip_with_a_probability_a_class(model: Classifier, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(1), 16000, subtype="FLOAT")
    table = model.predict([tmp_path / "a.wav", noise(1), torch.from_numpy(noise(2, 1))])
    assert table.columns.tolist() == ["emotion", *CLASSES]
    assert table.index.tolist() == [str(tmp_path / "a.wav"), "1", "2"]
    np.testing.assert_allclose(table[list(CLASSES)].sum(axis=1), 1)
    assert (table["emotion"] == table[list(CLASSES)].idxmax(axis=1)).all()
    np.testing.assert_allclose(table.iloc[0, 1:].astype(float), table.iloc[1, 1:].astype(float))
    for clip in (tmp_path / "a.wav", str(tmp_path / "a.wav"), noise(1)):
        np.testing.assert_allclose(model.predict(clip).iloc[0, 1:].astype(float),
                                   table.iloc[0, 1:].astype(float), rtol=1e-12)  # fmt: skip
    assert len(model.predict([])) == 0


def test_answers_are_those_of_the_parts_by_hand(model: Classifier) -> None:
    states = model.view.extract(noise(1))[None]
    rows = model.model.standardiser(states, [""])
    expected = model.model.head.probabilities(rows)[0]
    np.testing.assert_allclose(model.predict(noise(1)).iloc[0, 1:].astype(float), expected)


def test_a_long_recording_is_heard_in_windows(model: Classifier) -> None:
    long = noise(14)
    spans = windows(len(long))
    assert [(start / 16000, end / 16000) for start, end in spans] == [
        (0, 6),
        (3, 9),
        (6, 12),
        (8, 14),
    ]
    each = model.predict([long[start:end] for start, end in spans])
    mean = each[list(CLASSES)].mean()
    np.testing.assert_allclose(model.predict(long).iloc[0, 1:].astype(float), mean)
    assert windows(12 * 16000) == [(0, 12 * 16000)]
    heard = model.over_time(long)
    assert heard.answers["start"].tolist() == [0, 3, 6, 8]
    assert heard.answers.columns.tolist() == ["start", "end", "emotion", *CLASSES]
    assert heard.spectrogram.shape == (80, 1400)
    np.testing.assert_array_equal(heard.waveform, long)
    assert len(model.over_time(noise(2)).answers) == 1


@pytest.mark.parametrize("step", ["none", "corpus", "speaker"])
def test_round_trip_in_a_new_process(step: str, tmp_path: Path) -> None:
    model = made(WhisperEncoder.random(SHAPE, 0), step, layer=1, notes={"scores": {"uar": 0.5}})
    save(model, tmp_path / "model")
    soundfile.write(tmp_path / "a.wav", noise(1), 16000, subtype="FLOAT")
    code = (
        "import sys; from lowser_lib.methods.classifier import load;"
        "model = load(sys.argv[1]); print(model.notes['scores']['uar']);"
        "print(model.predict(sys.argv[2]).to_json(orient='records', double_precision=15))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model"), str(tmp_path / "a.wav")]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert answer[0] == "0.5"
    (row,) = json.loads(answer[1])
    expected = model.predict(tmp_path / "a.wav").iloc[0]
    assert row["emotion"] == expected["emotion"]
    assert [row[name] for name in CLASSES] == pytest.approx(
        [expected[n] for n in CLASSES], rel=1e-6
    )


def test_a_named_encoder_is_not_stored_but_looked_for(tmp_path: Path) -> None:
    nano = WhisperEncoder.load("nano", layers=2)
    model = made(nano, layer=2, encoder_name="nano")
    save(model, tmp_path)
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["encoder"]["name"] == "nano"
    assert card["encoder"]["tensor_hash"] == nano.tensor_hash()
    assert card["encoder"]["layers"] == 2
    assert (tmp_path / "model.safetensors").stat().st_size < 50_000
    assert any("judging a person" in use for use in card["not_for"])
    result = load(tmp_path)
    np.testing.assert_array_equal(result.predict(noise(1)), model.predict(noise(1)))


def test_another_encoder_is_refused(model: Classifier, tmp_path: Path) -> None:
    save(model, tmp_path)
    assert load(tmp_path, WhisperEncoder.random(SHAPE, 0)).classes == CLASSES
    with pytest.raises(CheckpointError, match=r"the encoder at hand is .*seed 1"):
        load(tmp_path, WhisperEncoder.random(SHAPE, 1))


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)


def other_card(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        card = json.loads((folder / "card.json").read_text())
        (folder / "card.json").write_text(json.dumps({**card, **changes}))

    return change


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "card.json").unlink(),
        lambda folder: (folder / "card.json").write_text("{"),
        lambda folder: (folder / "card.json").write_text("[]"),
        lambda folder: (folder / "card.json").write_text("{}"),
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: flip(folder / "model.safetensors"),
        other_card(classes=["angry"]),
        other_card(format=2),
        other_card(layer=9),
    ],
)
def test_damage_is_said(model: Classifier, damage: Callable[[Path], None], tmp_path: Path) -> None:
    save(model, tmp_path / "model")
    damage(tmp_path / "model")
    with pytest.raises(CheckpointError, match="model"):
        load(tmp_path / "model")


def test_voices_are_taken_out_where_they_are_told() -> None:
    model = made(WhisperEncoder.random(SHAPE, 0), "speaker", layer=1)
    clips = [noise(1, seed) * (1 if seed < 4 else 0.1) for seed in range(8)]
    alone = model.predict(clips)
    voiced = model.predict(clips, speakers=["a"] * 4 + ["b"] * 4)
    unknown = model.predict(clips, speakers=[""] * 8)
    np.testing.assert_array_equal(unknown, alone)
    assert not np.allclose(voiced.iloc[:, 1:].astype(float), alone.iloc[:, 1:].astype(float))
    np.testing.assert_allclose(model.predict(clips[:1]).iloc[:, 1:], alone.iloc[:1, 1:], rtol=1e-12)
    adapted = model.predict(clips, adapt=True)
    rows = np.stack([model.view.extract(clip) for clip in clips])
    rows = (rows.astype(float) - rows.mean(0, dtype=float)) / rows.std(0, dtype=float)
    expected = model.model.head.probabilities(rows)
    np.testing.assert_allclose(adapted.iloc[:, 1:].astype(float), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("clips", "error", "message"),
    [
        ([np.zeros((2, 9))], AudioError, "waveform 0.*shape"),
        ([np.zeros(0)], AudioError, "waveform 0"),
        ([np.full(1600, np.nan)], AudioError, "waveform 0: must be finite"),
        ([np.full(1600, 3e4)], AudioError, "waveform 0: reaches 30000"),
        ([np.zeros(100)], AudioError, "too short"),
        (["no.wav"], AudioError, "no.wav"),
    ],
)
def test_bad_clips_are_named(
    model: Classifier, clips: list[Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        model.predict(clips)


def test_bad_clips_are_passed_over_where_their_messages_are_taken(model: Classifier) -> None:
    failures: list[str] = []
    clips: list[Any] = [np.zeros(0), noise(14), "no.wav", noise(1)]
    table = model.predict(clips, ["a", "b", "c", "d"], failures=failures)
    assert table.index.tolist() == ["1", "3"]
    assert ["waveform 0" in failures[0], "no.wav" in failures[1], len(failures)] == [True, True, 2]
    expected = model.predict([noise(14), noise(1)], ["b", "d"])
    np.testing.assert_array_equal(table, expected)
    assert model.predict(["no.wav"], failures=failures).empty


def test_bad_arguments_are_named(model: Classifier) -> None:
    with pytest.raises(ValueError, match="speakers must name 1 clips"):
        model.predict(noise(1), speakers=["a", "b"])
    with pytest.raises(EvaluationError, match="adapt needs two"):
        model.predict(noise(1), adapt=True)
    encoder = WhisperEncoder.random(SHAPE, 0)
    with pytest.raises(ValueError, match="classes must be 4 different"):
        Classifier(encoder, model.model, ("a", "b"))
    with pytest.raises(ValueError, match="encoder_name"):
        Classifier(encoder, model.model, CLASSES, encoder_name="mine")
    with pytest.raises(ValueError, match="not 'mix'"):
        Classifier(encoder, model.model, CLASSES, layer="mix")
    assert classifier.LONGEST == 12
