"""A table written from the names of files and folders."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from lowser_lib import corpora, manifest
from lowser_lib.corpora.table import propose
from lowser_lib.course import cli
from lowser_lib.errors import CorpusError

Sound = Callable[..., Path]


@pytest.fixture
def box(tmp_path: Path, sound: Sound) -> Path:
    """A folder of sounds in somebody's own order."""
    for speaker in ("anna", "bert"):
        for code in ("W", "F"):
            for number in (1, 2):
                sound(tmp_path / f"box/{speaker}_{speaker[0]}/x_{code}_{number}.wav", seconds=0.6)
    (tmp_path / "box/notes.txt").touch()
    sound(tmp_path / "box/stray.wav")
    return tmp_path / "box"


def test_names_are_read_by_a_pattern(box: Path) -> None:
    table = propose(box, "{speaker}_*/x_{label}_{text_id}", {"language": "PL"}, {"W": "anger"})
    lines = list(csv.DictReader(table.text().splitlines()))
    assert lines[0] == {
        "path": "anna_a/x_F_1.wav",
        "speaker": "anna",
        "gender": "unknown",
        "language": "pl",
        "label": "F",
        "text_id": "1",
    }
    assert [line["label"] for line in lines] == ["F", "F", "anger", "anger"] * 2
    assert [item.path for item in table.exclusions] == ["stray.wav"]
    report = "\n".join(table.summary())
    assert "8 clips in pl; speakers: 2 unknown" in report
    assert "label F: 4 clips, no class of the course" in report
    assert "label anger: 4 clips, angry" in report


@pytest.mark.parametrize(
    ("word", "gender"), [("F", "female"), ("weiblich", "female"), ("MAN", "male"), ("x", "unknown")]
)
def test_words_for_genders_are_understood(box: Path, word: str, gender: str) -> None:
    fixed = {"language": "German", "gender": word}
    table = propose(box, "{speaker}_*/*", fixed, {})
    assert {line["gender"] for line in table.lines} == {gender}
    assert {line["language"] for line in table.lines} == {"de"}


@pytest.mark.parametrize(
    ("pattern", "fixed", "message"),
    [
        ("{label}_*", {"language": "de"}, "nothing tells the speaker"),
        ("{speaker}_*", {}, "nothing tells the language"),
        ("{speaker}{speaker}", {"language": "de"}, "once, and"),
        ("{mood}", {"language": "de"}, r"\{mood\} in the pattern"),
        ("{speaker}-{label}", {"language": "de"}, "9 files left out; first: "),
        ("{speaker}_*/*", {"language": "Klingon"}, "no ISO 639 code"),
        ("{speaker}_*/*", {"language": "de", "gender": "robot"}, "'robot' is not understood"),
    ],
)
def test_what_cannot_be_read_is_named(
    box: Path, pattern: str, fixed: dict[str, str], message: str
) -> None:
    with pytest.raises(CorpusError, match=message):
        propose(box, pattern, fixed, {})


def test_from_a_folder_elsewhere_to_a_manifest(
    box: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "corpora"
    root.mkdir()
    monkeypatch.setenv("LOWSER_CORPORA", str(root))
    words = ["corpora", "new", "mine", str(box), "--pattern", "{speaker}_{gender}/x_{label}_*"]
    words += ["--language", "de", "--words", "W=angry", "F=calm", "--own-classes"]
    # The folders end in a and b, which are no genders.
    assert cli.main([*words, "--dry-run"]) == 2
    assert "gender 'a' is not understood" in capsys.readouterr().err
    words[5] = "{speaker}_*/x_{label}_{text_id}"
    assert cli.main([*words, "--dry-run"]) == 0
    assert "would write" in capsys.readouterr().out
    assert not (root / "mine").exists()
    assert cli.main(words) == 0
    table, exclusions = manifest.read("table:mine", root)
    assert exclusions == []
    assert table["emotion"].value_counts().to_dict() == {"angry": 4, "calm": 4}
    assert table["path"].iloc[0] == "mine/audio/anna_a/x_F_1.wav"
    assert corpora.verify("table:mine", root).notes == [
        "1 sound file that no line of corpus.csv names (first: audio/stray.wav)"
    ]
    assert cli.main(words) == 2
    assert "is there already" in capsys.readouterr().err


def test_two_people_with_one_number_are_pointed_out(tmp_path: Path, sound: Sound) -> None:
    for name in ("SM1_a", "SF1_b"):
        sound(tmp_path / f"{name}.wav")
    table = propose(tmp_path, "S{gender}{speaker}_*", {"language": "ur"}, {})
    assert any("speakers with two genders" in line for line in table.summary())
