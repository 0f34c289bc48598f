"""A reader's own table as it comes: marks, quotes, encodings, odd paths, classes of its own."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from lowser_lib import corpora, manifest
from lowser_lib.corpora import Exclusion, Utterance
from lowser_lib.corpora.table import _records, propose
from lowser_lib.course import cli
from lowser_lib.errors import CorpusError

Sound = Callable[..., Path]
HEADER = "path,speaker,gender,language,label,text_id"


def _read(folder: Path, content: str | bytes) -> tuple[list[Utterance], dict[str, str]]:
    folder.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    (folder / "corpus.csv").write_bytes(data)
    result = list(corpora.get("table:mine").utterances(folder))
    reasons = {item.path: item.reason for item in result if isinstance(item, Exclusion)}
    return [item for item in result if isinstance(item, Utterance)], reasons


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_of_every_spreadsheet_are_read(
    tmp_path: Path, mark: str, end: str, encoding: str
) -> None:
    lines = [HEADER.replace(",", mark), mark.join(("ä.wav", "Jürgen", "M", "PL", "anger", ""))]
    outcome, reasons = _read(tmp_path, (end.join(lines) + end).encode(encoding))
    assert outcome == [Utterance("ä.wav", "Jürgen", "male", "pl", "anger", "angry")]
    assert reasons == {}


def test_an_encoding_that_is_not_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    table = f"{HEADER}\na.wav,s,f,de,,\nb.wav,J\u00fcrgen,m,de,,\n".encode("cp1252")
    with pytest.raises(CorpusError, match=r"line 3 holds the byte 0xfc .*save it as UTF-8"):
        _read(tmp_path, table)


def test_a_quotation_mark_that_nothing_closes_costs_no_other_line(tmp_path: Path) -> None:
    lines = [f"{HEADER},sentence"]
    for number in range(20):
        sentence = '"Come here' if number in (2, 11) else "Some words"
        lines.append(f"{number}.wav,s,female,de,angry,t{number},{sentence}")
    answer, reasons = _read(tmp_path, "\n".join(lines))
    assert [item.path for item in answer] == [f"{number}.wav" for number in range(20)]
    assert reasons == {}
    answer, reasons = _read(tmp_path, f'{HEADER}\n"a.wav,s,f\nb.wav,s,f,de,,\n')
    assert [item.path for item in answer] == ["b.wav"]
    assert "quotation mark that nothing closes" in reasons["corpus.csv:2"]


def test_quoted_fields_may_hold_marks_and_line_ends(tmp_path: Path) -> None:
    text = f'{HEADER}\na.wav,s,f,de,"angry","one\ntwo, ""three"""\nb.wav,s,f,de,,\n'
    result, reasons = _read(tmp_path, text)
    assert [(item.path, item.text_id) for item in result] == [
        ("a.wav", 'one two, "three"'),
        ("b.wav", None),
    ]
    assert reasons == {}


@given(st.lists(st.lists(st.text(alphabet='ab ",;', max_size=4), min_size=3, max_size=3)))
@settings(max_examples=60, deadline=None)
def test_a_table_that_a_spreadsheet_wrote_is_read_back(rows: list[list[str]]) -> None:
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    assert [fields for _, fields in _records(["a,b,c", *quoted], ",", 3)] == rows


def test_rows_that_name_no_file_are_listed(tmp_path: Path) -> None:
    paths = [".", "./", "/", "\\", "..", "corpus.csv", "x\0.wav", "y" * 5000 + ".wav", ".hidden"]
    lines = [f"{path},a,male,de,angry," for path in paths]
    lines += ["good.wav,a,male,de,angry,", "z.wav,a,male,de," + "x" * 200_000 + ","]
    lines += ["a.wav,a,male,de,angry,s1,one too many", "b.wav,a,male,de,angry,s1,,,"]
    result, reasons = _read(tmp_path, "\n".join([HEADER, *lines]))
    assert [item.path for item in result if len(item.path) < 99] == ["good.wav", "b.wav"]
    assert len(result) + len(reasons) == len(lines) - 1  # `/` and its twin are one path
    assert "longer than 131072 characters" in reasons["corpus.csv:12"]
    assert "has 7 fields, the header 6" in reasons["corpus.csv:13"]
    assert all(len(reason) < 300 and "\n" not in reason for reason in reasons.values())


def test_a_name_spelt_with_other_letters_finds_its_file(tmp_path: Path, sound: Sound) -> None:
    file = unicodedata.normalize("NFD", "é.wav")
    sound(tmp_path / "mine" / file, seconds=0.6)
    composed = unicodedata.normalize("NFC", file)
    assert composed != file
    table = f"{HEADER}\n{composed},a,f,fr,angry,\n{file},a,f,fr,angry,\n"
    (tmp_path / "mine/corpus.csv").write_text(table, encoding="utf-8")
    rows, exclusions = corpora.read("table:mine", tmp_path)
    assert [row.path for row in rows] == [f"mine/{file}"]
    assert [item.reason for item in exclusions] == [
        "is in the table already, the first line is kept"
    ]


def test_languages_without_two_letters_are_taken(tmp_path: Path, sound: Sound) -> None:
    sound(tmp_path / "mine/a.wav", seconds=0.6)
    (tmp_path / "mine/corpus.csv").write_text(f"{HEADER}\na.wav,a,f,kab,angry,\n")
    table, _ = manifest.read("table:mine", tmp_path)
    assert table["language"].tolist() == ["kab"]


def test_a_table_may_name_classes_of_its_own(tmp_path: Path, sound: Sound) -> None:
    lines = [f"{HEADER},emotion"]
    for label, emotion in (("1", "calm"), ("2", "Anger"), ("3", "fearful"), ("joy", "")):
        sound(tmp_path / f"mine/{label}.wav", seconds=0.6)
        lines.append(f"{label}.wav,a,f,de,{label},,{emotion}")
    (tmp_path / "mine/corpus.csv").write_text("\n".join(lines))
    table, exclusions = manifest.read("table:mine", tmp_path)
    assert exclusions == []
    named = dict(zip(table["raw_label"], table["emotion"], strict=True))
    assert {k: v for k, v in named.items() if isinstance(v, str)} == {
        "1": "calm",
        "2": "angry",
        "3": "fearful",
    }
    assert table["emotion"].isna().tolist() == [False, False, False, True]
    report = corpora.verify("table:mine", tmp_path).summary()
    assert "3 of 4 in the classes angry, calm, fearful; the others are joy 1" in report


def test_own_classes_are_for_own_tables_alone(tmp_path: Path, sound: Sound) -> None:
    sound(tmp_path / "mine/a.wav", seconds=0.6)
    (tmp_path / "mine/corpus.csv").write_text(f"{HEADER},emotion\na.wav,a,f,de,x,,calm\n")
    table, _ = manifest.read("table:mine", tmp_path)
    for word in ("Calm", "anger", "3"):
        with pytest.raises(manifest.ManifestError, match="unknown emotion"):
            manifest.validate(table.assign(emotion=word))
    foreign = table.assign(corpus="urdu", utterance_id="urdu/a", speaker="urdu/a")
    with pytest.raises(manifest.ManifestError, match="unknown emotion"):
        manifest.validate(foreign)


def test_labels_outside_the_classes_and_sounds_without_a_line_are_counted(
    tmp_path: Path, sound: Sound
) -> None:
    for number in range(4):
        sound(tmp_path / f"mine/{number}.wav", seconds=0.6)
    lines = [HEADER, "0.wav,a,f,de,0,", "1.wav,a,f,de,1,"]
    (tmp_path / "mine/corpus.csv").write_text("\n".join(lines))
    report = corpora.verify("table:mine", tmp_path)
    first = report.summary().splitlines()[0]
    assert "0 of 2 in the classes angry, happy, neutral, sad; the others are 0 1, 1 1" in first
    assert not report.complete
    assert report.notes == ["2 sound files that no line of corpus.csv names (first: 2.wav)"]


def test_a_speaker_of_two_genders_becomes_unknown_and_is_told(tmp_path: Path, sound: Sound) -> None:
    lines = [HEADER]
    for number, (speaker, gender) in enumerate((("a", "f"), ("a", "m"), ("a", "m"), ("b", "f"))):
        sound(tmp_path / f"mine/{number}.wav", seconds=0.6)
        lines.append(f"{number}.wav,{speaker},{gender},de,angry,")
    (tmp_path / "mine/corpus.csv").write_text("\n".join(lines))
    table, exclusions = manifest.read("table:mine", tmp_path)
    assert exclusions == []
    assert table["gender"].tolist() == ["unknown", "unknown", "unknown", "female"]
    notes = corpora.survey("table:mine", tmp_path).notes
    assert notes == ["speaker a is female in 1 and male in 2 clips: taken as unknown"]


# A table written from the names of files and folders


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
