"""From folders to rows, and the report of a verification."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lowser_lib import corpora
from lowser_lib.errors import CorpusError

Sound = Callable[..., Path]


@pytest.fixture
def urdu(tmp_path: Path, sound: Sound) -> Path:
    """A corpora root whose URDU has two good clips and every kind of bad one."""
    folder = tmp_path / "urdu"
    sound(folder / "Angry/SM1_F1_A01.wav", seconds=0.25)
    sound(folder / "Sad/SF1_F1_S01.wav", seconds=0.5, rate=48_000)
    sound(folder / "Sad/SF1_F1_S01.flac", seconds=0.5)
    (folder / "Sad/SF1_F2_S02.wav").touch()
    (folder / "Sad/SF1_F3_S03.wav").write_bytes(b"no sound at all, only words " * 9)
    (folder / "Sad/SF1_F4_S04.wav").write_text("version https://git-lfs.github.com/spec/v1\noid")
    sound(folder / "Sad/SF1_F5_S05.wav", seconds=0.0)
    (folder / "Sad/odd.wav").touch()
    (folder / "Sad/._SF1_F1_S01.wav").touch()
    return tmp_path


def test_bad_files_are_listed_with_their_reason(urdu: Path) -> None:
    rows, exclusions = corpora.read("urdu", urdu)
    assert [row.path for row in rows] == ["urdu/Angry/SM1_F1_A01.wav", "urdu/Sad/SF1_F1_S01.flac"]
    reasons = {exclusion.path: exclusion.reason for exclusion in exclusions}
    assert set(reasons) == {
        f"urdu/Sad/{name}.wav"
        for name in (
            "SF1_F1_S01",
            "SF1_F2_S02",
            "SF1_F3_S03",
            "SF1_F4_S04",
            "SF1_F5_S05",
            "odd",
        )
    }
    assert reasons["urdu/Sad/SF1_F2_S02.wav"] == "the file is empty"
    assert "cannot be read: " in reasons["urdu/Sad/SF1_F3_S03.wav"]
    assert "git-lfs pointer" in reasons["urdu/Sad/SF1_F4_S04.wav"]
    assert reasons["urdu/Sad/SF1_F5_S05.wav"] == "holds no samples"
    assert all("\n" not in reason for reason in reasons.values())


def test_row_holds_header_and_prefixed_ids(urdu: Path) -> None:
    row = corpora.read("urdu", urdu)[0][0]
    assert row == corpora.Row(
        utterance_id="urdu/Angry/SM1_F1_A01",
        corpus="urdu",
        path="urdu/Angry/SM1_F1_A01.wav",
        language="ur",
        speaker="urdu/SM1",
        gender="male",
        emotion="angry",
        raw_label="A",
        text_id=None,
        duration=0.25,
        sample_rate=16_000,
    )


def test_threads_do_not_change_the_result(urdu: Path) -> None:
    assert corpora.read("urdu", urdu, jobs=1) == corpora.read("urdu", urdu, jobs=3)


def test_files_that_differ_only_in_their_ending_keep_ids_unique(
    tmp_path: Path, sound: Sound
) -> None:
    lines = ["path,speaker,gender,language,label,text_id"]
    for file in ("a.wav", "a.flac", "b.c.wav", "b.wav"):
        sound(tmp_path / "mine" / file)
        lines.append(f"{file},anna,female,de,,")
    (tmp_path / "mine/corpus.csv").write_text("\n".join(lines), encoding="utf-8")
    rows, exclusions = corpora.read("table:mine", tmp_path)
    assert [row.utterance_id for row in rows] == ["mine/a", "mine/b.c", "mine/b"]
    assert [(e.path, e.reason) for e in exclusions] == [
        ("mine/a.flac", "differs from a.wav only in its ending, taken once")
    ]


def test_verification_counts_and_compares(urdu: Path) -> None:
    report = corpora.verify("urdu", urdu)
    assert not report.ok
    assert not report.complete
    assert report.counts == {
        "clips": 2,
        "speakers": 2,
        "female speakers": 1,
        "male speakers": 1,
        "emotion angry": 1,
        "emotion sad": 1,
    }
    assert "clips: 2 found, 400 in the complete corpus" in report.differences
    assert "emotion happy: 0 found, 100 in the complete corpus" in report.differences
    text = report.summary(most=2)
    assert "6 left out" in text
    assert "... and 4 more" in text


def test_verification_finds_the_same_sound_twice(tmp_path: Path, sound: Sound) -> None:
    for number, pitch in ((1, 200.0), (2, 300.0), (3, 200.0)):
        sound(tmp_path / f"bangla_speech/Speech/MI00{number}.wav", pitch=pitch)
    report = corpora.verify("bangla_speech", tmp_path, duplicates=True)
    pair = ("bangla_speech/Speech/MI001.wav", "bangla_speech/Speech/MI003.wav")
    assert report.duplicates == [pair]
    assert " = ".join(pair) in report.summary()
    assert report.ok
    assert corpora.verify("bangla_speech", tmp_path).duplicates == []


def test_verification_of_a_folder_with_nothing_in_it(tmp_path: Path) -> None:
    (tmp_path / "ravdess").mkdir()
    report = corpora.verify("ravdess", tmp_path)
    assert not report.ok
    assert "nothing readable" in report.summary()
    with pytest.raises(CorpusError, match="no folder"):
        corpora.verify("emodb", tmp_path)
