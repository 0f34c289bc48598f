"""IEMOCAP, MSP-Podcast, Common Voice and own tables: label files on made-up trees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lowser_lib import corpora
from lowser_lib.corpora import Corpus, Exclusion, Utterance
from lowser_lib.corpora.common_voice import CommonVoice
from lowser_lib.corpora.iemocap import Iemocap
from lowser_lib.corpora.msp_podcast import MspPodcast
from lowser_lib.errors import CorpusError

Sound = Callable[..., Path]


def _split(corpus: Corpus, folder: Path) -> tuple[dict[str, Utterance], dict[str, str]]:
    """List utterances and reasons of exclusions, by path."""
    result = list(corpus.utterances(folder))
    utterances = {item.path: item for item in result if isinstance(item, Utterance)}
    reasons = {item.path: item.reason for item in result if isinstance(item, Exclusion)}
    assert len(utterances) + len(reasons) == len(result)
    return utterances, reasons


def _touch(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()


LABELS = """\
% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
A-E3:\tval 3; act 2; dom  2;\t()

[10.0100 - 11.3925]\tSes01F_impro01_M001\texc\t[4.0000, 3.5000, 2.5000]
[14.8872 - 18.0175]\tSes01F_impro01_F002\txxx\t[2.5000, 2.5000, 2.5000]
[19.2900 - 20.7875]\tSes01F_impro01_F003\tbored\t[2.5000, 3.0000, 3.0000]
[21.3257 - 24.7400]\tSes01F_impro01_M004\tang\t[2.0000, 3.0000, 3.5000]
[30.0000 - ]\tSes01F_impro01_M005\tsad\t[2.0000, 3.0000, 3.5000]
[31.0000 - 32.0000]\tnonsense\tsad\t[2.0000, 3.0000, 3.5000]
[33.0000 - 34.0000]\tSes01F_impro01_F000\tsad\t[2.0000, 3.0000, 3.5000]
"""


def _iemocap(folder: Path) -> str:
    labels = folder / "Session1/dialog/EmoEvaluation"
    labels.mkdir(parents=True)
    (labels / "Ses01F_impro01.txt").write_text(LABELS, encoding="utf-8")
    (labels / "._Ses01F_impro01.txt").write_bytes(b"\x00\xff[")
    (labels / "Categorical").mkdir()
    (labels / "Categorical/e1.txt").write_text("[1 - 2]\tx\ty\t[1]\n", encoding="utf-8")
    base = "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_"
    _touch(folder, *(f"{base}{turn}.wav" for turn in ("F000", "M001", "F002", "F003", "F999")))
    _touch(folder, f"{base}notes.txt", "Session1/sentences/wav/Ses01F_impro01/._x.wav")
    return base


def test_iemocap_reads_turn_lines(tmp_path: Path) -> None:
    base = _iemocap(tmp_path)
    utterances, reasons = _split(Iemocap(), tmp_path)
    first, second, third = (f"{base}{turn}.wav" for turn in ("F000", "M001", "F002"))
    assert utterances == {
        first: Utterance(first, "Ses01F", "female", "en", "neu", "neutral"),
        second: Utterance(second, "Ses01M", "male", "en", "exc", "excited"),
        third: Utterance(third, "Ses01F", "female", "en", "xxx", None),
    }
    where = "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    assert set(reasons) == {
        f"{base}F003.wav",
        f"{base}M004.wav",
        f"{base}F999.wav",
        f"{where}:11",
        f"{where}:12",
        f"{where}:13",
    }
    assert "label bored" in reasons[f"{base}F003.wav"]
    assert "missing" in reasons[f"{base}M004.wav"]
    assert "no file in EmoEvaluation" in reasons[f"{base}F999.wav"]


def test_iemocap_needs_sessions_and_label_folders(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds none of Session1"):
        list(Iemocap().utterances(tmp_path))
    (tmp_path / "Session2").mkdir()
    with pytest.raises(CorpusError, match=r"label folder .*EmoEvaluation is missing"):
        list(Iemocap().utterances(tmp_path))


CONSENSUS = """\
FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set
MSP-PODCAST_0001_0008.wav,N,2.2,4.0,2.6,30,Male,Test1
MSP-PODCAST_0001_0009.wav,H,3.8,3.6,3.8,39,Female,Train
MSP-PODCAST_0001_0011.wav,X,4.1,4.8,4.0,Unknown,Unknown,Development
MSP-PODCAST_0001_0012.wav,Q,4.1,4.8,4.0,39,Female,Train
MSP-PODCAST_0001_0013.wav,A,4.1,4.8,4.0,39,Female,Train
MSP-PODCAST_0001_0008.wav,A,2.2,4.0,2.6,30,Male,Train
"""


def _msp(folder: Path) -> None:
    (folder / "Labels").mkdir()
    (folder / "Labels/labels_consensus.csv").write_text(CONSENSUS, encoding="utf-8")
    _touch(folder, *(f"Audios/MSP-PODCAST_0001_00{n}.wav" for n in ("08", "09", "11", "12", "99")))


def test_msp_podcast_reads_its_table(tmp_path: Path) -> None:
    _msp(tmp_path)
    utterances, reasons = _split(MspPodcast(), tmp_path)
    left, two, three = (f"Audios/MSP-PODCAST_0001_00{n}.wav" for n in ("08", "09", "11"))
    assert utterances == {
        left: Utterance(left, "30", "male", "en", "N", "neutral"),
        two: Utterance(two, "39", "female", "en", "H", "happy"),
        three: Utterance(three, "unknown", "unknown", "en", "X", None),
    }
    assert set(reasons) == {
        "Audios/MSP-PODCAST_0001_0012.wav",
        "Audios/MSP-PODCAST_0001_0013.wav",
        "Audios/MSP-PODCAST_0001_0099.wav",
        "Labels/labels_consensus.csv:7",
    }
    assert "'Q'" in reasons["Audios/MSP-PODCAST_0001_0012.wav"]
    assert "missing" in reasons["Audios/MSP-PODCAST_0001_0013.wav"]


def test_msp_podcast_needs_table_columns_and_audio(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no folder Audios"):
        list(MspPodcast().utterances(tmp_path))
    (tmp_path / "Audios").mkdir()
    with pytest.raises(CorpusError, match=r"labels_consensus\.csv is missing"):
        list(MspPodcast().utterances(tmp_path))
    (tmp_path / "Labels").mkdir()
    (tmp_path / "Labels/labels_consensus.csv").write_text("FileName,EmoClass\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="no column SpkrID, Gender"):
        list(MspPodcast().utterances(tmp_path))


OLD = """\
client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent
abc\tclip_1.mp3\tEr sagte "nein.\t2\t0\t\tmale\t
def\tclip_2\tUnd?\t2\t0\t\tother\t
\tclip_3.mp3\tUnd?\t2\t0\t\tother\t
"""
NEW = """\
client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\tage\tgender\tlocale
ghi\tclip_1.mp3\ts1\t\u06c1\u0627\u06ba\t\t2\t0\t\tfemale_feminine\tur
jkl\tclip_2.mp3\ts2\t\u06c1\u0627\u06ba\t\t2\t0\t\tmale_masculine\tur
ghi\tclip_2.mp3\ts3\t\u06c1\u0627\u06ba\t\t2\t0\t\tfemale_feminine\tur
ghi\t../../../clip_9.mp3\ts3\t\u06c1\u0627\u06ba\t\t2\t0\t\tdo_not_wish_to_say\tur
"""


def test_common_voice_reads_old_and_new_releases(tmp_path: Path, sound: Sound) -> None:
    root = tmp_path / "common_voice"
    for language, table in (("de", OLD), ("ur", NEW), ("zh-CN", OLD)):
        (root / language).mkdir(parents=True)
        (root / language / "validated.tsv").write_text(table, encoding="utf-8")
    for file in ("de/clips/clip_1", "de/clips/clip_2", "ur/clips/clip_1", "ur/clips/clip_9"):
        sound(root / f"{file}.mp3", seconds=0.5, rate=32_000)
    rows, exclusions = corpora.read("common_voice", tmp_path, jobs=2)
    assert [
        (row.utterance_id, row.speaker, row.gender, row.language, row.text_id) for row in rows
    ] == [
        ("common_voice/de/clips/clip_1", "common_voice/abc", "male", "de", None),
        ("common_voice/de/clips/clip_2", "common_voice/def", "unknown", "de", None),
        ("common_voice/ur/clips/clip_1", "common_voice/ghi", "female", "ur", "s1"),
        ("common_voice/ur/clips/clip_9", "common_voice/ghi", "unknown", "ur", "s3"),
    ]
    assert all(row.emotion is None and row.sample_rate == 32_000 for row in rows)
    assert all(abs(row.duration - 0.5) < 0.1 for row in rows)
    reasons = {exclusion.path: exclusion.reason for exclusion in exclusions}
    assert reasons["common_voice/de/validated.tsv:4"] == "has no client_id or no path"
    assert "first is kept" in reasons["common_voice/ur/validated.tsv:4"]
    assert reasons["common_voice/ur/clips/clip_2.mp3"] == "the file is missing"
    chinese = next(
        item for item in CommonVoice().utterances(root) if item.path == "zh-CN/clips/clip_1.mp3"
    )
    assert isinstance(chinese, Utterance)
    assert chinese.language == "zh"


def test_common_voice_needs_its_table(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"holds no LANG/validated\.tsv"):
        list(CommonVoice().utterances(tmp_path))
    (tmp_path / "ur").mkdir()
    (tmp_path / "ur/validated.tsv").write_text("path\tsentence\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="no column client_id, gender"):
        list(CommonVoice().utterances(tmp_path))


TABLE = """\
path,speaker,gender,language,label,text_id
a/1.wav,anna,female,de,Anger,s01
a/2.wav,bert,,de,,
a\\3.wav,bert,male,de,surprised,"s,3"
a/4.wav,,male,de,angry,
/etc/5.wav,bert,male,de,angry,
../6.wav,bert,male,de,angry,
C:/7.wav,bert,male,de,angry,
a/8.wav,bert,martian,de,angry,
a/9.wav,bert,male,German,angry,
./a/1.wav,anna,female,de,angry,
"""


def test_own_table_is_read(tmp_path: Path) -> None:
    (tmp_path / "corpus.csv").write_text(TABLE, encoding="utf-8-sig")
    utterances, reasons = _split(corpora.get("table:mine"), tmp_path)
    assert list(utterances.values()) == [
        Utterance("a/1.wav", "anna", "female", "de", "Anger", "angry", "s01"),
        Utterance("a/2.wav", "bert", "unknown", "de"),
        Utterance("a/3.wav", "bert", "male", "de", "surprised", "surprised", "s,3"),
    ]
    assert {path: reason.split(";")[0].split(" ")[0] for path, reason in reasons.items()} == {
        "a/4.wav": "has",
        "/etc/5.wav": "leads",
        "../6.wav": "leads",
        "C:/7.wav": "leads",
        "a/8.wav": "gender",
        "a/9.wav": "language",
        "a/1.wav": "is",
    }


def test_own_table_becomes_rows_under_its_own_name(tmp_path: Path, sound: Sound) -> None:
    sound(tmp_path / "mine/a/1.wav", seconds=0.25, rate=8_000)
    sound(tmp_path / "mine/a/2.flac", seconds=0.5, rate=44_100)
    lines = ["path,speaker,gender,language,label,text_id", "a/1.wav,anna,female,de,happiness,s1"]
    lines += ["a/2.flac,bert,male,de,,"]
    (tmp_path / "mine/corpus.csv").write_text("\n".join(lines), encoding="utf-8")
    rows, exclusions = corpora.read("table:mine", tmp_path)
    assert exclusions == []
    assert rows == [
        corpora.Row(
            utterance_id="mine/a/1",
            corpus="mine",
            path="mine/a/1.wav",
            language="de",
            speaker="mine/anna",
            gender="female",
            emotion="happy",
            raw_label="happiness",
            text_id="s1",
            duration=0.25,
            sample_rate=8_000,
        ),
        corpora.Row(
            utterance_id="mine/a/2",
            corpus="mine",
            path="mine/a/2.flac",
            language="de",
            speaker="mine/bert",
            gender="male",
            emotion=None,
            raw_label=None,
            text_id=None,
            duration=0.5,
            sample_rate=44_100,
        ),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"corpus\.csv is missing"),
        (b"path,speaker\n", "no column gender, language, label, text_id"),
        (b"", "no column path"),
        ("path,speaker,gender,language,label,text_id\n\u00e4".encode("latin-1"), "not UTF-8"),
    ],
)
def test_bad_table_is_named(content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "corpus.csv").write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        list(corpora.get("table:mine").utterances(tmp_path))


def test_synthetic_corpus_is_read_by_the_table_parser(tmp_path: Path, sound: Sound) -> None:
    sound(tmp_path / "synthetic_urdu/audio/u1.wav")
    (tmp_path / "synthetic_urdu/corpus.csv").write_text(
        "path,speaker,gender,language,label,text_id\naudio/u1.wav,m01,male,ur,angry,s1\n",
        encoding="utf-8",
    )
    rows, exclusions = corpora.read("synthetic_urdu", tmp_path)
    assert exclusions == []
    assert [(r.utterance_id, r.emotion) for r in rows] == [("synthetic_urdu/audio/u1", "angry")]
