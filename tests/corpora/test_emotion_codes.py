"""Each corpus's own labels, written out by hand from its documentation, and what they mean.

These tables repeat what the parsers hold, on purpose: two codes exchanged in a parser would train
and test everything on wrong labels without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lowser_lib import corpora
from lowser_lib.corpora import Utterance
from lowser_lib.corpora.base import class_of

NAMES = {
    # Livingstone and Russo 2018: 01 neutral, 02 calm, 03 happy, 04 sad, 05 angry, 06 fearful,
    # 07 disgust, 08 surprised.
    "ravdess": {
        "Actor_03/03-01-01-01-01-01-03.wav": "neutral",
        "Actor_03/03-01-02-01-01-01-03.wav": "calm",
        "Actor_03/03-01-03-01-01-01-03.wav": "happy",
        "Actor_03/03-01-04-01-01-01-03.wav": "sad",
        "Actor_03/03-01-05-01-01-01-03.wav": "angry",
        "Actor_03/03-01-06-01-01-01-03.wav": "fearful",
        "Actor_03/03-01-07-01-01-01-03.wav": "disgusted",
        "Actor_03/03-01-08-01-01-01-03.wav": "surprised",
    },
    # Burkhardt et al. 2005: W Wut, L Langeweile, E Ekel, A Angst, F Freude, T Trauer, N neutral.
    "emodb": {
        "wav/03a01Wa.wav": "angry",
        "wav/03a01La.wav": "bored",
        "wav/03a01Ea.wav": "disgusted",
        "wav/03a01Aa.wav": "fearful",
        "wav/03a01Fa.wav": "happy",
        "wav/03a01Ta.wav": "sad",
        "wav/03a01Na.wav": "neutral",
    },
    # Sultana et al. 2021: the emotion stands in the name.
    "subesco": {
        "F_01_OISHI_S_10_ANGRY_1.wav": "angry",
        "F_01_OISHI_S_10_DISGUST_1.wav": "disgusted",
        "F_01_OISHI_S_10_FEAR_1.wav": "fearful",
        "F_01_OISHI_S_10_HAPPY_1.wav": "happy",
        "F_01_OISHI_S_10_NEUTRAL_1.wav": "neutral",
        "F_01_OISHI_S_10_SAD_1.wav": "sad",
        "F_01_OISHI_S_10_SURPRISE_1.wav": "surprised",
    },
    # Cao et al. 2014: ANG, DIS, FEA, HAP, NEU, SAD.
    "crema_d": {
        "AudioWAV/1001_DFA_ANG_XX.wav": "angry",
        "AudioWAV/1001_DFA_DIS_XX.wav": "disgusted",
        "AudioWAV/1001_DFA_FEA_XX.wav": "fearful",
        "AudioWAV/1001_DFA_HAP_XX.wav": "happy",
        "AudioWAV/1001_DFA_NEU_XX.wav": "neutral",
        "AudioWAV/1001_DFA_SAD_XX.wav": "sad",
    },
    # Latif et al. 2018: A angry, H happy, N neutral, S sad; the folders say the same.
    "urdu": {
        "Angry/SM1_F1_A01.wav": "angry",
        "Happy/SM1_F2_H01.wav": "happy",
        "Neutral/SM1_F3_N01.wav": "neutral",
        "Sad/SM1_F4_S01.wav": "sad",
    },
    "bangla_emotion": {
        "angry/a_1.wav": "angry",
        "happy/a_2.wav": "happy",
        "neutral/a_3.wav": "neutral",
        "sad/a_4.wav": "sad",
    },
}

IEMOCAP = {  # Busso et al. 2008, and the release's documentation
    "ang": "angry",
    "hap": "happy",
    "exc": "excited",
    "neu": "neutral",
    "sad": "sad",
    "fru": "frustrated",
    "fea": "fearful",
    "sur": "surprised",
    "dis": "disgusted",
    "oth": "other",
    "xxx": None,
}
MSP_PODCAST = {  # Lotfian and Busso 2019, and the release's README
    "A": "angry",
    "S": "sad",
    "H": "happy",
    "U": "surprised",
    "F": "fearful",
    "D": "disgusted",
    "C": "contemptuous",
    "N": "neutral",
    "O": "other",
    "X": None,
}
NEMO = {  # Christop 2024
    "anger": "angry",
    "fear": "fearful",
    "happiness": "happy",
    "neutral": "neutral",
    "sadness": "sad",
    "surprised": "surprised",
}


def _touch(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()


def _utterances(name: str, folder: Path) -> Iterator[Utterance]:
    for item in corpora.get(name).utterances(folder):
        assert isinstance(item, Utterance), item
        yield item


@pytest.mark.parametrize("name", NAMES)
def test_names_mean_what_the_documentation_says(name: str, tmp_path: Path) -> None:
    for path in NAMES[name]:
        _touch(tmp_path / path)
    if name == "crema_d":
        table = "ActorID,Age,Sex\n1001,51,Male\n"
        (tmp_path / "VideoDemographics.csv").write_text(table, encoding="utf-8")
    assert {item.path: item.emotion for item in _utterances(name, tmp_path)} == NAMES[name]


def test_iemocap_labels(tmp_path: Path) -> None:
    folder = tmp_path / "Session1"
    lines = []
    for number, code in enumerate(IEMOCAP):
        turn = f"Ses01F_impro01_F{number:03d}"
        _touch(folder / f"sentences/wav/Ses01F_impro01/{turn}.wav")
        lines.append(f"[{number}.0 - {number}.5]\t{turn}\t{code}\t[2.5, 2.5, 2.5]")
    _touch(folder / "dialog/EmoEvaluation/Ses01F_impro01.txt")
    (folder / "dialog/EmoEvaluation/Ses01F_impro01.txt").write_text("\n".join(lines))
    result = {item.raw_label: item.emotion for item in _utterances("iemocap", tmp_path)}
    assert result == IEMOCAP


@pytest.mark.parametrize("table", ["labels_consensus.csv", "labels_concensus.csv"])
def test_msp_podcast_labels_under_both_spellings_of_the_table(tmp_path: Path, table: str) -> None:
    lines = ["FileName,EmoClass,SpkrID,Gender,Split_Set"]
    for number, code in enumerate(MSP_PODCAST):
        _touch(tmp_path / f"Audios/{number}.wav")
        lines.append(f"{number}.wav,{code},7,Female,Train")
    (tmp_path / "Labels").mkdir()
    (tmp_path / "Labels" / table).write_text("\n".join(lines))
    outcome = {item.raw_label: item.emotion for item in _utterances("msp_podcast", tmp_path)}
    assert outcome == MSP_PODCAST


def test_nemo_labels(tmp_path: Path) -> None:
    lines = ["file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage"]
    for code in NEMO:
        _touch(tmp_path / f"samples/EB0_{code}_1.wav")
        lines.append(f"EB0_{code}_1.wav\t{code}\tTak.\ttak\tEB0\tfemale\t27")
    (tmp_path / "data.tsv").write_text("\n".join(lines))
    answer = {item.raw_label: item.emotion for item in _utterances("nemo", tmp_path)}
    assert answer == NEMO


def test_ravdess_actor_01_is_a_man_and_24_a_woman(tmp_path: Path) -> None:
    for actor in ("01", "02", "23", "24"):
        _touch(tmp_path / f"Actor_{actor}/03-01-05-01-01-01-{actor}.wav")
    genders = {item.speaker: item.gender for item in _utterances("ravdess", tmp_path)}
    assert genders == {"01": "male", "02": "female", "23": "male", "24": "female"}


def test_the_four_classes_take_excited_and_the_nouns_and_nothing_else() -> None:
    classes = {"angry": "angry", "anger": "angry", "happy": "happy", "happiness": "happy"}
    classes |= {"joy": "happy", "excited": "happy", "excitement": "happy", "sad": "sad"}
    classes |= {"sadness": "sad", "neutral": "neutral", "neutrality": "neutral"}
    assert {word: class_of(word) for word in classes} == classes
    others = ("calm", "fearful", "fear", "bored", "boredom", "disgusted", "surprised", "other", "")
    assert [class_of(word) for word in others] == [None] * len(others)
