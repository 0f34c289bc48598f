"""Words joined to clips: lengths, content, determinism, and nothing half-made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from lowser_lib import corpora
from lowser_lib.corpora import urdu_words
from lowser_lib.corpora.urdu_words import UrduWords
from lowser_lib.errors import CorpusError

Sound = Callable[..., Path]


@pytest.fixture
def words(tmp_path: Path, sound: Sound) -> Path:
    """Twenty words each of a man and a woman, one of another rate, one unreadable, one misnamed."""
    folder = tmp_path / "real/urdu_words"
    for speaker in ("AAMNG1", "AEFYG1"):
        for word in range(1, 21):
            file = folder / f"files/{speaker}/{speaker}{word:03d}.wav"
            sound(file, seconds=0.4 + 0.02 * word, pitch=100.0 + 10 * word)
    sound(folder / "files/AAMNG1/AAMNG1021.wav", seconds=0.5, rate=8_000)
    (folder / "files/AAMNG1/AAMNG1022.wav").write_bytes(b"not sound")
    (folder / "files/AAMNG1/notes.wav").touch()
    return folder


def _content(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_clips_are_two_to_four_seconds_of_one_speaker(words: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    digest = UrduWords().build(words, made / "urdu_words")
    rows, exclusions = corpora.read("urdu_words", made)
    assert exclusions == []
    assert len(digest) == 64
    assert {(row.speaker, row.gender) for row in rows} == {
        ("urdu_words/AA", "male"),
        ("urdu_words/AE", "female"),
    }
    assert all(2.0 <= row.duration <= 4.0 and row.sample_rate == 16_000 for row in rows)
    for speaker, n_words in (("AA", 21), ("AE", 20)):
        spoken = [
            word
            for row in rows
            if row.speaker.endswith(speaker)
            for word in str(row.text_id).split("+")
        ]
        assert sorted(spoken) == [f"{word:03d}" for word in range(1, n_words + 1)]


def test_words_stand_in_the_clip_sample_for_sample(words: Path, tmp_path: Path) -> None:
    UrduWords().build(words, tmp_path / "urdu_words")
    row = next(r for r in corpora.read("urdu_words", tmp_path)[0] if r.speaker.endswith("AE"))
    clip, _ = soundfile.read(tmp_path / row.path, dtype="int16")
    start, fade, gap = 0, 80, 1600  # 5 ms and 100 ms at 16 kHz
    for word in str(row.text_id).split("+"):
        sound, _ = soundfile.read(words / f"files/AEFYG1/AEFYG1{word}.wav", dtype="int16")
        inside = slice(fade, sound.size - fade)
        np.testing.assert_array_equal(clip[start:][: sound.size][inside], sound[inside])
        assert clip[start] == 0
        start += sound.size
        assert not clip[start : start + gap].any()
        start += gap
    assert start - gap == clip.size


def test_same_source_gives_the_same_bytes(words: Path, tmp_path: Path) -> None:
    first = UrduWords().build(words, tmp_path / "a")
    second = UrduWords().build(words, tmp_path / "deep/er/b")
    assert first == second
    assert _content(tmp_path / "a") == _content(tmp_path / "deep/er/b")
    assert {"corpus.csv", "complete.json", "excluded.csv"} <= set(_content(tmp_path / "a"))


def test_digest_follows_the_content(words: Path, tmp_path: Path, sound: Sound) -> None:
    first = UrduWords().build(words, tmp_path / "a")
    sound(words / "files/AAMNG1/AAMNG1001.wav", seconds=0.42, pitch=777.0)
    assert UrduWords().build(words, tmp_path / "b") != first


def test_complete_folder_is_left_as_it_is(words: Path, tmp_path: Path) -> None:
    target = tmp_path / "urdu_words"
    digest = UrduWords().build(words, target)
    before = {file: file.stat().st_mtime_ns for file in target.rglob("*")}
    assert UrduWords().build(tmp_path / "source is gone", target) == digest
    assert {file: file.stat().st_mtime_ns for file in target.rglob("*")} == before


@pytest.mark.parametrize("name", ["audio/*_001.wav", "corpus.csv", "complete.json"])
def test_a_damaged_folder_is_made_anew(words: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "urdu_words"
    digest, whole = UrduWords().build(words, target), _content(target)
    damaged = next(target.glob(name))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 4
    damaged.write_bytes(content)
    with pytest.warns(UserWarning, match="urdu_words is damaged and will be made anew"):
        assert UrduWords().build(words, target) == digest
    assert _content(target) == whole


def test_bad_words_are_listed_and_counted(words: Path, tmp_path: Path) -> None:
    UrduWords().build(words, tmp_path / "urdu_words")
    listed = (tmp_path / "urdu_words/excluded.csv").read_text(encoding="utf-8")
    assert "AAMNG1022.wav,cannot be read: " in listed
    assert str(tmp_path) not in listed
    assert 'notes.wav,"the name does not read as' in listed
    mark = json.loads((tmp_path / "urdu_words/complete.json").read_text(encoding="utf-8"))
    assert mark["excluded"] == 2


def test_full_disk_in_the_middle_leaves_nothing(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = soundfile.write, iter(range(100))

    def full_disk(*arguments: Any) -> None:
        if next(calls) == 2:
            raise OSError(28, "No space left on device")
        write(*arguments)

    monkeypatch.setattr(urdu_words.soundfile, "write", full_disk)
    made = tmp_path / "made"
    with pytest.raises(CorpusError, match="No space left on device"):
        UrduWords().build(words, made / "urdu_words")
    assert next(calls) == 3
    assert list(made.iterdir()) == []


def test_foreign_target_and_empty_source_are_refused(words: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(CorpusError, match="not made by us"):
        UrduWords().build(words, tmp_path / "mine")
    with pytest.raises(CorpusError, match="no folder"):
        UrduWords().build(tmp_path / "nowhere", tmp_path / "made")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="holds no words"):
        UrduWords().build(tmp_path / "empty", tmp_path / "made")


def test_single_words_are_surveyed_but_not_read(words: Path) -> None:
    with pytest.raises(CorpusError, match="lowser corpora prepare"):
        corpora.read("urdu_words", words.parent)
    report = corpora.verify("urdu_words", words.parent)
    assert report.counts["clips"] == 41
    assert len(report.exclusions) == 2
