"""Sweeps of frozen encoders: what is chosen, who is heard, and that no target label is read."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from made_up_corpora import MOODS, hum

from lowser_lib.course import cli
from lowser_lib.encoders import EncoderDimensions, WhisperEncoder
from lowser_lib.encoders.whisper import save_encoder
from lowser_lib.errors import ProfileError
from lowser_lib.experiments import engine, frozen, profiles, speech
from lowser_lib.experiments.frozen import (
    FORMS,
    GROUPS,
    LARGEST,
    FrozenSweep,
    ThinnedSweep,
    crossed,
    halved,
    situations,
)
from lowser_lib.experiments.records import RunRecord, load_records
from lowser_lib.experiments.rehearsal import Chosen, Clips, Grid, choose, moods_kept, rehearsals
from lowser_lib.experiments.speech import Speech
from lowser_lib.methods.frozen import Embedded
from lowser_lib.methods.self_training import train_self_training
from lowser_lib.views.standardisation import STEPS

SMALL = {
    "grid.C": (0.01, 0.1), "grid.svm": (1.0,), "grid.priors": (10.0,), "grid.limits": (0.1, 0.3),
    "grid.shares": (0.5,), "grid.later": (0.01,), "grid.rounds": 1,
}  # fmt: skip


def made_up(
    corpora: str = "abc", clips: int = 8, signal: float = 3.0, seed: int = 0
) -> tuple[Embedded, np.ndarray]:
    """Five speakers a corpus who show all moods; a voice and a mood shift clips in 6 dimensions."""
    random = np.random.default_rng(seed)
    moods = signal * random.normal(size=(4, 6))
    rows = list(product(corpora, range(5), range(4), range(clips // 4)))
    voices = {(c, s): 2 * random.normal(size=6) for c, s, _, _ in rows}
    features = [moods[m] + voices[c, s] + random.normal(size=6) for c, s, m, _ in rows]
    names = [f"{c}{s}" for c, s, _, _ in rows]
    every = Embedded.of(features, [c for c, *_ in rows], names, [m for _, _, m, _ in rows])
    return every, np.array([c for c, *_ in rows], dtype=object)


CHOSEN = Chosen(0, 0.1, (0.1,), 10.0, 0.2, 0.5, 0.01, None)


# --- chosen on sources --------------------------------------------------------------------------


def test_each_source_language_plays_the_target_in_turn() -> None:
    languages = np.array(["de", "de", "ur", "pl"], dtype=object)
    parts = rehearsals(languages, np.zeros(4, dtype=bool))
    assert [part.name for part in parts] == ["de", "pl", "ur"]
    for part in parts:
        assert set(languages[part.target]) == {part.name}
        assert part.name not in languages[part.sources]
        assert (part.sources ^ part.target).all()


def test_of_a_single_language_its_validation_speakers_play_the_target() -> None:
    validation = np.array([True, False, False])
    (part,) = rehearsals(np.array(["en"] * 3, dtype=object), validation)
    assert (part.target == validation).all() and (part.sources == ~validation).all()


def test_the_layer_that_hears_emotion_is_chosen_and_the_rule_tells_speakers_apart() -> None:
    known, languages = made_up(clips=24)
    noise = np.random.default_rng(1).normal(size=(len(known), 2, 6))
    states = np.stack([noise[:, 0], known.features, noise[:, 1]], axis=1)
    none = np.zeros(len(known), dtype=bool)
    grid = Grid(C=(0.01, 0.1), shares=(0.5,), later=(0.01,), rounds=1)
    chosen, facts = choose(Clips(states, known, languages), none, grid)
    assert chosen.layer == 1
    assert len(chosen.by_layer) == 3
    assert facts["played the target"] == ["a", "b", "c"]
    assert {place["part"] for place in facts["moods"]} == {"whole", "half", "other half"}
    for place in (place for place in facts["moods"] if place["part"] == "whole"):
        # Where each speaker has one mood, the speaker's mean is the mood's.
        gains = place["speaker"] > place["corpus"]
        assert gains == (place["moods"] == "all")
        assert (place["share"] <= chosen.limit) == gains


def test_a_support_vector_machine_is_chosen_where_it_is_better() -> None:
    known, languages = made_up(clips=16, signal=0.0)
    random = np.random.default_rng(0)
    # Rings around each other: no plane tells them apart, a radial kernel does.
    direction = random.normal(size=(len(known), 6))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    rings = direction * (1 + 3 * np.asarray(known.labels))[:, None]
    clips = Clips(rings[:, None], replace(known, features=rings), languages)
    grid = Grid(C=(0.01,), shares=(0.5,), later=(0.01,), rounds=1)
    chosen, facts = choose(clips, np.zeros(len(known), dtype=bool), grid, svm=True)
    assert chosen.svm in grid.svm
    assert max(facts["svm"]) > max(facts["layer and C"][0]) + 0.1


@pytest.mark.parametrize("moods", [1, 2, 4])
def test_so_many_moods_are_kept_of_each_speaker_and_all_moods_remain(moods: int) -> None:
    known, _ = made_up("a")
    labels = np.asarray(known.labels)
    kept = moods_kept(labels, known.speakers, moods, np.random.default_rng(0))
    for speaker in set(known.speakers):
        assert len(set(labels[kept & (known.speakers == speaker)])) == moods
    assert set(labels[kept]) == {0, 1, 2, 3}


def test_a_speaker_of_fewer_moods_keeps_what_there_is() -> None:
    speakers = np.array(["a", "a", "b"], dtype=object)
    kept = moods_kept(np.array([3, 3, 1]), speakers, 2, np.random.default_rng(0))
    assert kept.all()


# --- answers ------------------------------------------------------------------------------------


def test_no_label_of_the_target_is_read_for_any_answer() -> None:
    every, languages = made_up()
    sources, target = every.rows(languages != "c"), every.rows(languages == "c")
    half = halved(target, 0)
    known = crossed(sources, target, CHOSEN, Grid(rounds=2), half)
    shuffled = np.random.default_rng(0).permutation(np.asarray(target.labels))
    again = crossed(sources, replace(target, labels=shuffled), CHOSEN, Grid(rounds=2), half)
    assert known.of.keys() == set(product((*STEPS, "rule"), FORMS))
    for key, answers in known.of.items():
        assert (answers == again.of[key]).all()
    assert known.rule == again.rule


@pytest.mark.parametrize("moods", [1, 4])
def test_the_rule_is_the_librarys(moods: int) -> None:
    every, languages = made_up(clips=16)
    sources, target = every.rows(languages != "c"), every.rows(languages == "c")
    labels = np.asarray(target.labels)
    target = target.rows(moods_kept(labels, target.speakers, moods, np.random.default_rng(0)))
    done = train_self_training(sources, target, CHOSEN.settings("rule", Grid(rounds=2)))
    answers = crossed(sources, target, CHOSEN, Grid(rounds=2))
    assert answers.rule[0]["step"] == ("speaker" if moods == 4 else "corpus")
    assert answers.rule[0]["share"] == pytest.approx(done.first.share)
    expected = done.model.probabilities(target).argmax(axis=1)
    assert (answers.of["rule", "transductive"] == expected).all()
    assert ("rule", "inductive") not in answers.of


def test_inductive_answers_take_nothing_from_the_clips_that_are_tested() -> None:
    every, languages = made_up()
    sources, target = every.rows(languages != "c"), every.rows(languages == "c")
    half = halved(target, 0)
    known = crossed(sources, target, CHOSEN, Grid(rounds=2), half)
    changed = target.features.copy()
    changed[half] = np.random.default_rng(5).normal(size=changed[half].shape)  # heard second
    first = np.flatnonzero(half)[0]
    changed[first] = target.features[first]
    again = crossed(sources, replace(target, features=changed), CHOSEN, Grid(rounds=2), half)
    # The clip is answered by a model that heard the other half, which is as it was.
    key = ("corpus", "inductive")
    assert known.of[key][first] == again.of[key][first]
    assert (known.of["corpus", "plain"] != again.of["corpus", "plain"]).any()


def test_halves_share_no_speaker_unless_there_are_too_few() -> None:
    every, _ = made_up("a")
    half = halved(every, 0)
    assert not set(every.speakers[half]) & set(every.speakers[~half])
    nobody = replace(every, speakers=np.full(len(every), "", dtype=object))
    assert halved(nobody, 0).sum() == len(every) // 2


def test_watching_changes_no_answer() -> None:
    every, languages = made_up()
    sources, target = every.rows(languages != "c"), every.rows(languages == "c")
    pair = [
        train_self_training(sources, target, CHOSEN.settings("corpus", Grid()), watched=watched)
        for watched in (True, False)
    ]
    assert (pair[0].model.head.weights == pair[1].model.head.weights).all()


# --- thinned ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_thinned_targets_are_as_they_say(seed: int) -> None:
    every, _ = made_up("a", clips=32)
    labels = np.asarray(every.labels)
    for each in situations(labels, every.speakers, seed):
        counts = np.bincount(labels[each.rows], minlength=4)
        shown = [len(set(labels[each.rows][each.speakers == name])) for name in set(each.speakers)]
        if each.what == "class":
            assert counts.argmax() == seed or each.degree == LARGEST[0]
            assert counts.max() / counts.sum() == pytest.approx(each.degree, abs=0.03)
            assert abs(counts.sum() - 40 / each.degree * each.degree * 40 / 28) < 4
        elif each.what == "moods":
            assert set(shown) == {each.degree} and len(each.rows) == 40
        else:
            assert len(each.rows) == len(labels)
            sizes = pd.Series(each.speakers).value_counts()
            assert sizes.max() == each.degree
    assert len(list(situations(labels, every.speakers, seed))) == len(LARGEST) + 3 + len(GROUPS)


# --- the sweeps, on toy speech ------------------------------------------------------------------


def write_corpus(folder: Path, language: str) -> None:
    folder.mkdir(parents=True)
    with (folder / "corpus.csv").open("w", newline="", encoding="utf-8") as table:
        rows = csv.writer(table)
        rows.writerow(["path", "speaker", "gender", "language", "label", "text_id"])
        for speaker, mood, take in product(range(5), MOODS, range(2)):
            name = f"{speaker}-{mood}-{take}.wav"
            voice = f"{language}{speaker}"
            sound = hum(voice, speaker % 2 == 0, mood, take=take)
            soundfile.write(folder / name, sound, 16000)
            gender = "female" if speaker % 2 == 0 else "male"
            rows.writerow([name, f"s{speaker}", gender, language, mood, "t0"])


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A profile ``hums`` of corpora in three languages."""
    folder = tmp_path_factory.mktemp("frozen")
    for language in ("en", "ur", "de"):
        write_corpus(folder / "corpora" / language, language)
    save_encoder(
        WhisperEncoder.random(EncoderDimensions(80, 1500, 16, 2, 1), 0), folder / "tiny.pt"
    )
    hums = replace(
        profiles.FAST, name="hums", sources=("table:en",),
        targets={"ur": "table:ur", "de": "table:de"}, unlabelled={},
        encoder=str(folder / "tiny.pt"), jobs=1,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOWSER_HOME", str(folder / "home"))
        patch.setenv("LOWSER_CORPORA", str(folder / "corpora"))
        patch.setattr(profiles, "PROFILES", {**profiles.PROFILES, "hums": hums})
        yield folder
    speech.speech_of.cache_clear()
    frozen.view_of.cache_clear()


@pytest.fixture(scope="module")
def done(ground: Path) -> list[RunRecord]:
    sweep = FrozenSweep(
        results=ground / "results", profile=profiles.get("hums"), seeds=1, changes=SMALL
    )
    return engine.run(sweep, lambda _: None)


def test_a_record_a_target_and_seed_english_included(ground: Path, done: list[RunRecord]) -> None:
    folder = ground / "results/hums/sweeps/frozen-tiny-pt"
    stems = {f"{language}-{seed}" for language, seed in product(("ur", "de", "en"), range(1))}
    assert {path.stem for path in folder.iterdir()} == stems
    names = [" ".join(key) for key in product((*STEPS, "rule"), FORMS)]
    for record in done:
        assert set(record.metrics["scores"]) >= {*names, "corpus layer 1", "speaker layer 0"}
        tested = {"ur": "table:ur", "de": "table:de", "en": "table:en"}[record.config["target"]]
        assert record.corpora.keys() == {"table:ur", "table:de", "table:en"}
        assert record.config["target"] not in record.metrics["choice"]["played the target"]
        assert tested.removeprefix("table:") == record.config["target"]
        clips = record.metrics["clips"]
        assert len(clips) == 5 and all(len(each["truth"]) == 8 for each in clips.values())
    assert len(load_records(ground / "results", "hums", "frozen-tiny-pt")) == 3


def test_labels_of_the_target_are_read_for_the_score_alone(
    ground: Path, done: list[RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = FrozenSweep(results=ground / "none", profile=profiles.get("hums"), changes=SMALL)
    run = next(run for run in sweep.plan() if run.stem == "ur-0")
    whole = Speech.target

    def shuffled(self: Speech, language: str) -> pd.DataFrame:
        table = whole(self, language)
        return table.assign(emotion=np.random.default_rng(0).permutation(table["emotion"]))

    monkeypatch.setattr(Speech, "target", shuffled)
    again = sweep.measure([run])["ur-0"]
    kept = next(record for record in done if record.name.endswith("ur-0")).metrics
    assert again["scores"] != kept["scores"]
    for key in ("chosen", "choice", "rule", "monitor", "held_out"):
        assert again[key] == kept[key]
    for speaker, answers in kept["clips"].items():
        for name, digits in answers.items():
            assert (name == "truth") or again["clips"][speaker][name] == digits


def test_english_sources_choose_by_their_validation_speakers(ground: Path) -> None:
    sweep = FrozenSweep(
        results=ground / "results", profile=profiles.get("hums"), seeds=1, changes=SMALL,
        protocol="english", encoder="egemaps", languages=["ur"],
    )  # fmt: skip
    (record,) = engine.run(sweep, lambda _: None)
    assert record.name == "frozen-english-egemaps-ur-0"
    assert record.metrics["choice"]["played the target"] == ["en"]
    assert {"corpus svm", "speaker svm"} <= record.metrics["scores"].keys()
    with pytest.raises(ProfileError, match="'en'"):
        replace(sweep, languages=["en"]).plan()


def test_the_thinned_sweep_and_what_is_printed(
    ground: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--profile", "hums", "--seeds", "1", "--results", str(ground / "results")]
    small = [
        "--set",
        *(f"{key}={list(v) if isinstance(v, tuple) else v}" for key, v in SMALL.items()),
    ]
    assert cli.main(["sweep", "thinned", *common, "--languages", "ur", *small]) == 0
    assert "moods" in capsys.readouterr().out
    records = load_records(ground / "results", "hums", "thinned-tiny-pt")
    assert [each["what"] for each in records[0].metrics["situations"]].count("moods") == 3
    assert ThinnedSweep(results=ground, profile=profiles.get("hums")).tested() == ("ur", "de")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["baseline", "--encoder", "nano"], "--encoder is not for lowser sweep baseline"),
        (["frozen", "--corpora", "emodb"], "--corpora is not for lowser sweep frozen"),
        (["frozen", "--profile", "hums", "--languages", "bn"], "'bn'"),
    ],
)
def test_options_without_a_use_are_refused(
    ground: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sweep", *arguments]) != 0
    assert message in capsys.readouterr().err
