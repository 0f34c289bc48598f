"""Speech with a share of men that is set: what is learned from and tested on, what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lowser_lib import splits
from lowser_lib.encoders import EncoderDimensions, WhisperEncoder
from lowser_lib.encoders.whisper import save_encoder
from lowser_lib.errors import ProfileError, RunError
from lowser_lib.experiments import engine, profiles, records, speech, summaries
from lowser_lib.experiments.speech import Skew, SkewedSpeech, set_aside
from lowser_lib.experiments.transfer import TransferSweep

WriteTable = Callable[[Path, str, int, tuple[str, ...]], None]
EMOTIONS = ("angry", "happy", "neutral", "sad")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, write_table: WriteTable) -> Iterator[Path]:
    """A profile ``small`` of toy corpora, one of them balanced, and a tiny encoder."""
    folder = tmp_path_factory.mktemp("skewed")
    write_table(folder / "corpora" / "english", "en", 10, EMOTIONS)
    write_table(folder / "corpora" / "target", "ur", 3, EMOTIONS)
    write_table(folder / "corpora" / "voices", "ur", 8, ("",) * 10)
    write_table(folder / "corpora" / "even", "ur", 20, EMOTIONS * 2)
    encoder = WhisperEncoder.random(EncoderDimensions(80, 1500, 16, 2, 1), 0)
    save_encoder(encoder, folder / "tiny.pt")
    profile = replace(
        profiles.FAST,
        name="small",
        sources=("table:english",),
        targets={"ur": "table:target", "de": "table:target"},
        unlabelled={"ur": ("table:voices",), "de": ("table:voices",)},
        encoder=str(folder / "tiny.pt"),
        epochs=1,
        head_epochs=1,
        jobs=1,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOWSER_HOME", str(folder / "home"))
        patch.setenv("LOWSER_CORPORA", str(folder / "corpora"))
        patch.setattr(profiles, "PROFILES", {**profiles.PROFILES, "small": profile})
        patch.setattr(speech, "BALANCED", {"ur": "table:even"})
        patch.setattr(speech, "CLIPS", 40)
        patch.setattr(speech, "VOICES", 20)
        yield folder
    speech.speech_of.cache_clear()


def speech_of(skew: Skew) -> SkewedSpeech:
    skewed = speech.speech_of(profiles.get("small"), True, "english", skew)
    assert isinstance(skewed, SkewedSpeech)
    return skewed


def sweep(results: Path, **options: Any) -> TransferSweep:
    profile = profiles.get("small")
    return TransferSweep(method="baseline", results=results, profile=profile, seeds=1, **options)


def share(table: pd.DataFrame) -> float:
    return float((table["gender"] == "male").mean())


def test_only_the_share_changes(small: Path) -> None:
    tested = []
    for male in (0.5, 0.8):
        heard_from = speech_of(Skew(male))
        train, validation, test = heard_from.split(3, "ur")
        splits.assert_speaker_disjoint(train, validation, test)
        learned = pd.concat([train, validation])
        assert len(learned) == 40 and share(learned) == pytest.approx(male)
        assert (learned["emotion"].value_counts() == 10).all()
        heard, unheard = heard_from.voices("ur", 3)
        assert len(heard) == 20 and share(heard) == pytest.approx(male)
        assert not set(heard["text_id"]) & set(unheard["text_id"])
        assert test.equals(heard_from.target("ur")) and test.equals(heard_from.split(4, "ur")[2])
        tested.append(test)
    assert tested[0].equals(tested[1])


def test_voices_of_both_genders_are_tested_on(small: Path) -> None:
    test = speech_of(Skew(0.8)).target("ur")
    cells = test.groupby(["gender", "emotion"])["speaker"].agg(["size", "nunique"])
    assert len(cells) == 8 and (cells["size"] == 8).all() and (cells["nunique"] == 4).all()


def test_english_labels_are_left_as_they_are(small: Path) -> None:
    skewed = speech_of(Skew(0.8, "en"))
    plain = speech.speech_of(profiles.get("small"), True, "english", None)
    parts = zip(skewed.split(1, "ur"), plain.split(1, "ur"), strict=True)
    assert all(ours.equals(theirs) for ours, theirs in parts)
    assert skewed.sources("ur") == ("table:english",)
    assert share(skewed.voices("ur", 1)[0]) == pytest.approx(0.8)
    assert set(skewed.target("ur")["corpus"]) == {"even"}


def test_a_sweep_says_how_its_speech_was_skewed(small: Path) -> None:
    asked = sweep(small / "results", skew=Skew(0.8))
    assert asked.called == asked.named("baseline") == "baseline-male-80"
    (record,) = engine.run(asked, say=lambda line: None)
    assert record.config["skew"]["male"] == 0.8
    assert set(record.corpora) == {"table:even"}
    kept = records.load_record(small / "results", "small", "sweeps/baseline-male-80/ur-0")
    answers = records.predictions(kept)
    assert len(answers["truth"]) == 64
    genders = record.metrics["genders"]
    assert (
        sorted(genders[speaker] for speaker in set(answers["speaker"]))
        == ["female"] * 4 + ["male"] * 4
    )
    other = replace(asked, skew=Skew(0.5), name="baseline-male-80")
    with pytest.raises(RunError, match=r"other settings \(skew\)"):
        engine.run(other, say=lambda line: None)


def test_runs_on_other_skews_are_not_compared(small: Path) -> None:
    ours, others = (
        engine.run(sweep(small / "two", skew=Skew(male)), say=lambda line: None)
        for male in (0.8, 0.5)
    )
    with pytest.raises(RunError, match="skew"):
        summaries.summarise(ours, others, n_resamples=20)


def test_skews_that_cannot_be_are_refused(small: Path) -> None:
    with pytest.raises(ProfileError, match=r"share of men must lie in \[0, 1\], not 86"):
        Skew(86)
    with pytest.raises(ProfileError, match="labels must be one of ur, en, not 'de'"):
        Skew(0.86, "de")
    with pytest.raises(ProfileError, match="skewed speech is of 'ur', not 'de'"):
        engine.run(sweep(small / "r", languages=["de"], skew=Skew(0.8)))


def test_the_genders_are_set_aside_in_the_same_share(small: Path) -> None:
    table = speech_of(Skew(0.5)).target("ur")
    pool, test = set_aside(table)
    splits.assert_speaker_disjoint(pool, test)
    assert len(pool) + len(test) == len(table)
    assert test.groupby("gender")["speaker"].nunique().nunique() == 1


def test_the_share_is_part_of_the_name() -> None:
    assert Skew(0.95).suffix == "male-95" and Skew(0.5, "en").suffix == "voices-50"
