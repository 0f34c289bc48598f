"""The tables of data cards and profiles that chapter 00 shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from lowser_lib import audio, corpora
from lowser_lib.course import material
from lowser_lib.errors import AudioError
from lowser_lib.experiments.profiles import PROFILES


def test_every_corpus_of_the_profiles_is_in_the_overview_once() -> None:
    table = material.cards(PROFILES.values())
    named = [name for names in table["corpus"] for name in names.split(", ")]
    assert sorted(named) == sorted({n for p in PROFILES.values() for n in p.corpora})
    for _, row in table.iterrows():
        for name in row["corpus"].split(", "):
            assert corpora.get(name).card.licence == row["licence"]
            assert ("yes" if corpora.get(name).card.synthetic else "no") == row["synthetic"]


def test_a_whole_card_says_what_the_card_says() -> None:
    card = corpora.get("urdu").card
    table = material.card("urdu").set_index("")
    assert list(table.columns) == ["urdu"]
    assert table.loc["notes", "urdu"] == card.notes
    assert table.loc["licence", "urdu"] == card.licence


def test_profiles_are_told_apart_by_what_they_work_with() -> None:
    table = material.profile_table(PROFILES.values()).set_index("name")
    assert list(table.index) == list(PROFILES)
    for name, profile in PROFILES.items():
        assert table.loc[name, "encoder"] == profile.encoder
        others = "all other languages" in str(table.loc[name, "learned from"])
        assert others == (profile.protocol == "others")
        assert table.loc[name, "seeds"] == len(profile.seeds)
        assert str(table.loc[name, "tested on"]).split(", ") == list(profile.targets.values())


# Listening games: who is chosen, what is hidden, and that the answers are the right ones


def corpus(folder: Path, rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    """A table of clips, each of a level of its own, so that it can be told from the others."""
    table = pd.DataFrame(rows, columns=["speaker", "text_id", "emotion"])
    table["path"] = [f"toy/{number}.wav" for number in range(len(rows))]
    (folder / "toy").mkdir()
    for number, path in enumerate(table["path"], start=1):
        wave = 0.02 * number * np.sign(np.sin(np.arange(9600) / 5))
        soundfile.write(folder / path, wave, 16_000, subtype="FLOAT")
    return table


def level(wave: np.ndarray) -> int:
    return round(float(np.abs(wave).max()) / 0.02)


def test_one_of_each_is_one_speaker_with_the_same_words(tmp_path: Path) -> None:
    clips = corpus(
        tmp_path,
        [
            ("ana", "a", "angry"),
            ("ana", "b", "sad"),
            ("bo", "a", "angry"),
            ("bo", "a", "sad"),
            ("cem", "b", "sad"),
            ("cem", "b", "angry"),
        ],
    )
    for seed, levels in ((0, [3, 4]), (1, [6, 5]), (2, [3, 4])):
        sounds = material.one_of_each(clips, ["angry", "sad"], [tmp_path], seed)
        assert list(sounds) == ["angry", "sad"]
        assert [level(wave) for wave in sounds.values()] == levels


def test_one_of_each_makes_do_with_different_speakers_and_refuses_a_lack(tmp_path: Path) -> None:
    clips = corpus(tmp_path, [("ana", "a", "angry"), ("bo", "b", "sad")])
    assert len(material.one_of_each(clips, ["angry", "sad"], [tmp_path])) == 2
    with pytest.raises(ValueError, match="happy"):
        material.one_of_each(clips, ["angry", "happy"], [tmp_path])


def test_shuffled_hides_names_behind_letters() -> None:
    sounds = {name: np.full(4, value) for value, name in enumerate(("angry", "happy", "sad"))}
    orders = set()
    for seed in range(20):
        hidden, answers = material.shuffled(sounds, "ABC", seed)
        assert list(hidden) == list(answers) == ["A", "B", "C"]
        assert all((hidden[letter] == sounds[answers[letter]]).all() for letter in "ABC")
        orders.add(tuple(answers.values()))
    assert len(orders) > 3


def test_which_is_asks_for_the_wanted_sound() -> None:
    pair = {"angry": np.ones(4), "sad": np.zeros(4)}
    places = set()
    for seed in range(10):
        sounds, questions = material.which_is("angry", {"Urdu": pair, "Bangla": pair}, seed)
        assert list(sounds) == ["Urdu 1", "Urdu 2", "Bangla 1", "Bangla 2"]
        for question in questions:
            right = [label for label, answer in question.folds if answer.startswith("Right: ")]
            assert [sounds[label].max() for label in right] == [1.0]
            places.add(right[0][-1])
    assert places == {"1", "2"}


# The museum of chapter 01: every exhibit is what its name says


LOADS = {
    "good", "rate_8k", "rate_96k", "eight_bit", "stereo", "flac_inside", "too_short", "too_long",
}  # fmt: skip


def test_the_library_loads_the_good_ones_and_refuses_the_others(tmp_path: Path) -> None:
    clip = 0.5 * np.sin(np.arange(21_000) / 7).astype(np.float32)
    material.build_museum(tmp_path / "museum", clip)
    files = sorted((tmp_path / "museum").iterdir())
    assert len(files) == 16
    for file in files:
        if file.stem in LOADS:
            wave = audio.load_audio(file)
            assert np.abs(wave).max() <= 1
        else:
            with pytest.raises(AudioError, match=file.name):
                audio.load_audio(file)
    np.testing.assert_allclose(audio.load_audio(files[files.index(tmp_path / "museum/good.wav")]),
                               clip, atol=1e-4)  # fmt: skip
