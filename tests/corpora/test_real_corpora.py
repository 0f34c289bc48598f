"""The parsers on real speech; needs LOWSER_CORPORA and skips without it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from lowser_lib import corpora
from lowser_lib.corpora import Row
from lowser_lib.corpora.urdu_words import UrduWords


def _rows(name: str, root: Path) -> list[Row]:
    """Read a corpus that is in place; nothing may be left out."""
    if not (root / name).is_dir():
        pytest.skip(f"real speech: {name} is not in {root}")
    rows, exclusions = corpora.read(name, root, jobs=2)
    assert exclusions == []
    assert len({row.utterance_id for row in rows}) == len(rows)
    assert all(row.duration > 0 and row.sample_rate > 0 for row in rows)
    for speaker in {row.speaker for row in rows}:
        assert len({row.gender for row in rows if row.speaker == speaker}) == 1
    return rows


def test_urdu(corpora_root: Path) -> None:
    rows = _rows("urdu", corpora_root)
    assert Counter(row.emotion for row in rows) == dict.fromkeys(
        ("angry", "happy", "neutral", "sad"), 100
    )
    speakers = Counter(gender for _, gender in {(row.speaker, row.gender) for row in rows})
    assert speakers == {"male": 18, "female": 11}
    assert Counter(row.gender for row in rows) == {"male": 344, "female": 56}
    assert Counter(row.emotion for row in rows if row.gender == "female") == {
        "happy": 46,
        "neutral": 4,
        "sad": 6,
    }


def test_emodb(corpora_root: Path) -> None:
    rows = _rows("emodb", corpora_root)
    assert Counter(row.emotion for row in rows) == {
        "angry": 127,
        "bored": 81,
        "neutral": 79,
        "happy": 71,
        "fearful": 69,
        "sad": 62,
        "disgusted": 46,
    }
    speakers = Counter(gender for _, gender in {(row.speaker, row.gender) for row in rows})
    assert speakers == {"male": 5, "female": 5}
    sentences = {row.text_id for row in rows}
    assert len(sentences) == 10
    for emotion in {row.emotion for row in rows}:
        assert {row.text_id for row in rows if row.emotion == emotion} == sentences


def test_ravdess(corpora_root: Path) -> None:
    rows = _rows("ravdess", corpora_root)
    names = {"neutral", "calm", "happy", "sad", "angry", "fearful", "disgusted", "surprised"}
    assert {row.emotion for row in rows} <= names
    assert {row.text_id for row in rows} == {"01", "02"}
    for row in rows:
        folder, actor = row.path.split("/")[-2], int(row.speaker.rpartition("/")[2])
        assert folder == f"Actor_{actor:02d}"
        assert row.gender == ("male" if actor % 2 else "female")


def test_bangla(corpora_root: Path) -> None:
    rows = _rows("bangla_emotion", corpora_root)
    assert len(rows) == 98
    assert {row.speaker for row in rows} == {"bangla_emotion/unknown"}
    assert {row.emotion for row in rows} == {"angry", "happy", "neutral", "sad"}
    speech = _rows("bangla_speech", corpora_root)
    assert len(speech) == 200
    assert Counter(row.speaker for row in speech) == {
        f"bangla_speech/{letters}": 40 for letters in ("MI", "N", "S", "U", "Z")
    }
    assert {row.emotion for row in speech} == {None}


def test_urdu_words_join_to_clips_of_two_to_four_seconds(
    corpora_root: Path, tmp_path: Path
) -> None:
    source = corpora_root / "urdu_words"
    if not source.is_dir():
        pytest.skip(f"real speech: urdu_words is not in {corpora_root}")
    UrduWords().build(source, tmp_path / "urdu_words")
    rows = _rows("urdu_words", tmp_path)
    assert all(2.0 <= row.duration <= 4.0 for row in rows)
    speakers = {(row.speaker, row.gender) for row in rows}
    assert Counter(gender for _, gender in speakers) == {"male": 8, "female": 2}
    words = list(UrduWords().survey(source))
    assert sum(len(str(row.text_id).split("+")) for row in rows) == len(words)
    assert min(Counter(row.speaker for row in rows).values()) >= 4


def test_corpora_that_are_complete_verify_as_complete(corpora_root: Path) -> None:
    for name in ("urdu", "emodb"):
        if (corpora_root / name).is_dir():
            report = corpora.verify(name, corpora_root, jobs=2)
            assert report.complete, report.summary()
