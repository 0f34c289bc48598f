"""Corpora whose file names say it all, on small made-up trees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from lowser_lib import corpora
from lowser_lib.corpora import Exclusion, Utterance
from lowser_lib.corpora.emodb import EmoDb
from lowser_lib.corpora.ravdess import CODES, Ravdess
from lowser_lib.errors import CorpusError

Sound = Callable[..., Path]


def _parse(name: str, folder: Path, *files: str) -> dict[str, Utterance | Exclusion]:
    """Make empty files and list what the parser says of each."""
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    result = list(corpora.get(name).utterances(folder))
    assert len({item.path for item in result}) == len(result)
    return {item.path: item for item in result}


EXAMPLES = {
    "ravdess": (
        "Actor_02/03-01-06-02-01-02-02.wav",
        ("02", "female", "en", "06", "fearful", "01"),
    ),
    "urdu": ("Angry/SM1_F10_A010.wav", ("SM1", "male", "ur", "A", "angry", None)),
    "emodb": ("wav/16b10Lb.wav", ("16", "female", "de", "L", "bored", "b10")),
    "subesco": (
        "F_01_OISHI_S_10_ANGRY_1.wav",
        ("F_01", "female", "bn", "ANGRY", "angry", "10"),
    ),
    "bangla_emotion": (
        "sad/Test_sadness3.wav",
        ("unknown", "unknown", "bn", "sad", "sad", None),
    ),
    "bangla_speech": ("Speech/MI100.wav", ("MI", "unknown", "bn", None, None, None)),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_documented_name_is_read(name: str, tmp_path: Path) -> None:
    path, fields = EXAMPLES[name]
    assert _parse(name, tmp_path, path) == {path: Utterance(path, *fields)}


@pytest.mark.parametrize("name", EXAMPLES)
def test_ending_in_capitals_is_the_same(name: str, tmp_path: Path) -> None:
    path, fields = EXAMPLES[name]
    path = path.replace(".wav", ".WAV")
    assert _parse(name, tmp_path, path) == {path: Utterance(path, *fields)}


@pytest.mark.parametrize("name", EXAMPLES)
def test_other_names_are_listed_and_strays_passed_over(name: str, tmp_path: Path) -> None:
    good, _ = EXAMPLES[name]
    folder = good.rpartition("/")[0]
    base = good.rpartition("/")[2]
    bad = f"{folder}/odd name!.wav".lstrip("/")
    stray = (f"{folder}/._{base}".lstrip("/"), f"{folder}/desktop.ini".lstrip("/"))
    outcome = _parse(name, tmp_path, good, bad, *stray)
    assert set(outcome) == {good, bad}
    assert isinstance(outcome[bad], Exclusion)
    assert "does not read as" in outcome[bad].reason  # type: ignore[union-attr]


@pytest.mark.parametrize("name", [n for n in EXAMPLES if n != "bangla_emotion"])
def test_second_copy_of_a_clip_is_taken_once(name: str, tmp_path: Path) -> None:
    good, _ = EXAMPLES[name]
    copy = f"zz_copy/{good}"
    answer = _parse(name, tmp_path, good, copy)
    assert isinstance(answer[good], Utterance)
    assert answer[copy] == Exclusion(copy, f"the same name as {good}, taken once")


@pytest.mark.parametrize(
    ("name", "path", "reason"),
    [
        ("ravdess", "Actor_01/03-02-03-01-01-01-01.wav", "song"),
        ("ravdess", "Actor_01/03-01-09-01-01-01-01.wav", "emotion 09"),
        ("ravdess", "Actor_25/03-01-03-01-01-01-25.wav", "actor 25"),
        ("urdu", "Happy/SM1_F1_A01.wav", "the name says angry, the folder happy"),
        ("urdu", "Angry/SX1_F1_A01.wav", "does not read"),
        ("emodb", "wav/17a01Fa.wav", "speaker 17"),
        ("emodb", "wav/03a01Xa.wav", "emotion X"),
        ("emodb", "wav/03A01FA.wav", "does not read"),
        ("subesco", "F_01_OISHI_S_10_BORED_1.wav", "emotion BORED"),
        ("bangla_emotion", "bored/a_1.wav", "folder is none of"),
    ],
)
def test_value_outside_the_documentation_is_excluded(
    name: str, path: str, reason: str, tmp_path: Path
) -> None:
    result = _parse(name, tmp_path, path)[path]
    assert isinstance(result, Exclusion)
    assert reason in result.reason


@given(
    emotion=st.sampled_from(sorted(CODES)),
    actor=st.integers(1, 24),
    rest=st.tuples(*[st.integers(1, 2)] * 3),
)
@settings(max_examples=25, deadline=None)
def test_ravdess_name_is_read_back(emotion: str, actor: int, rest: tuple[int, int, int]) -> None:
    intensity, statement, repetition = rest
    stem = f"03-01-{emotion}-{intensity:02d}-{statement:02d}-{repetition:02d}-{actor:02d}"
    match = Ravdess.pattern.fullmatch(stem)
    assert match is not None
    result = Ravdess().utterance(f"Actor_{actor:02d}/{stem}.wav", match)
    assert isinstance(result, Utterance)
    assert (result.raw_label, result.emotion) == (emotion, CODES[emotion])
    assert (int(result.speaker), result.text_id) == (actor, f"{statement:02d}")
    assert result.gender == ("male" if actor in range(1, 25, 2) else "female")


def test_emodb_has_five_women_and_five_men() -> None:
    # Speakers 03, 10, 11, 12 and 15 are the men of the documentation.
    genders = {}
    for speaker in ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16"):
        match = EmoDb.pattern.fullmatch(f"{speaker}a01Fa")
        assert match is not None
        result = EmoDb().utterance("x", match)
        assert isinstance(result, Utterance)
        genders[speaker] = result.gender
    assert sorted(s for s, g in genders.items() if g == "male") == ["03", "10", "11", "12", "15"]


def _places(found: dict[str, Utterance | Exclusion], reason: str) -> list[str]:
    """Paths of the utterances; all else has to be left out for a reason with these words."""
    for item in found.values():
        assert isinstance(item, Utterance) or reason in item.reason
    return [path for path, item in found.items() if isinstance(item, Utterance)]


def test_emodb_takes_speech_and_no_electroglottogram(tmp_path: Path) -> None:
    # Release 2.0: each clip's name lies in laryngo/, too, which sorts before wav/.
    speech = ("wav/03a01Fa.wav", "wav/03a01Nc.wav")
    electrode = ("laryngo/03a01Fa.wav", "EGG/03a01Nc.wav", "egg_data/more/03a01Fa.wav")
    result = _parse("emodb", tmp_path, *electrode, *speech)
    assert _places(result, "electroglottogram") == list(speech)
    assert result[speech[0]] == Utterance(speech[0], "03", "male", "de", "F", "happy", "a01")
    assert len(result) == 5


def test_emodb_of_electroglottograms_alone_gives_no_clip(tmp_path: Path) -> None:
    result = _parse("emodb", tmp_path, "laryngo/03a01Fa.wav", "egg/16b10Lb.wav")
    assert len(result) == 2
    assert _places(result, "electroglottogram") == []


@pytest.mark.parametrize("modality", ["01", "02"])
def test_ravdess_takes_the_sound_file_beside_a_video(modality: str, tmp_path: Path) -> None:
    clip = "Actor_07/03-01-05-01-02-01-07.wav"
    video = f"Actor_07/{modality}-01-05-01-02-01-07.wav"
    alone = f"Video_Actor_07/{modality}-01-03-01-01-01-07.wav"
    result = _parse("ravdess", tmp_path, video, alone, clip)
    assert _places(result, f"modality {modality}") == [clip]
    assert result[clip] == Utterance(clip, "07", "male", "en", "05", "angry", "02")
    assert len(result) == 3


def test_ravdess_song_is_no_speech(tmp_path: Path) -> None:
    clip = "Audio_Speech_Actors_01-24/Actor_08/03-01-04-01-01-01-08.wav"
    songs = tuple(
        f"Audio_Song_Actors_01-24/Actor_08/{modality}-02-04-01-01-01-08.wav"
        for modality in ("01", "02", "03")
    )
    result = _parse("ravdess", tmp_path, *songs, clip)
    assert _places(result, "vocal channel 02") == [clip]
    assert result[clip] == Utterance(clip, "08", "female", "en", "04", "sad", "01")
    assert len(result) == 4


def test_urdu_man_and_woman_of_one_number_are_two_people(tmp_path: Path) -> None:
    result = _parse("urdu", tmp_path, "Happy/SM1_F1_H01.wav", "Happy/SF1_F1_H02.wav")
    assert {item.speaker for item in result.values() if isinstance(item, Utterance)} == {
        "SM1",
        "SF1",
    }


def test_subesco_clip_published_with_a_stray_bracket_is_read(tmp_path: Path) -> None:
    path = "SUBESCO/F_02_MONIKA_S_2_SURPRISE_3].wav"
    result = _parse("subesco", tmp_path, path)[path]
    assert isinstance(result, Utterance)
    assert (result.speaker, result.emotion, result.text_id) == ("F_02", "surprised", "2")


def _crema_d(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "VideoDemographics.csv").write_text(
        "ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Caucasian,Not Hispanic\n"
        "1002,21,Female,Caucasian,Not Hispanic\n",
        encoding="utf-8",
    )


def test_crema_d_takes_sex_from_its_table_and_only_the_wav_folder(tmp_path: Path) -> None:
    _crema_d(tmp_path)
    result = _parse(
        "crema_d",
        tmp_path,
        "AudioWAV/1001_DFA_ANG_XX.wav",
        "AudioWAV/1002_IEO_HAP_HI.wav",
        "AudioWAV/1002_ITH_SAD_X.wav",
        "AudioWAV/1003_DFA_ANG_XX.wav",
        "AudioWAV/1002_DFA_JOY_XX.wav",
        "AudioMP3/1001_DFA_ANG_XX.mp3",
    )
    first = "AudioWAV/1001_DFA_ANG_XX.wav"
    assert result[first] == Utterance(first, "1001", "male", "en", "ANG", "angry", "DFA")
    second = result["AudioWAV/1002_IEO_HAP_HI.wav"]
    assert isinstance(second, Utterance)
    assert (second.gender, second.emotion) == ("female", "happy")
    assert isinstance(result["AudioWAV/1002_ITH_SAD_X.wav"], Utterance)
    reasons = {path: item.reason for path, item in result.items() if isinstance(item, Exclusion)}
    assert reasons == {
        "AudioWAV/1003_DFA_ANG_XX.wav": "actor 1003 is not in VideoDemographics.csv",
        "AudioWAV/1002_DFA_JOY_XX.wav": "emotion JOY is not one of ANG, DIS, FEA, HAP, NEU, SAD",
    }


def test_crema_d_without_its_table_or_its_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "AudioWAV").mkdir()
    with pytest.raises(CorpusError, match=r"VideoDemographics\.csv is missing"):
        list(corpora.get("crema_d").utterances(tmp_path))
    _crema_d(tmp_path)
    (tmp_path / "AudioWAV").rmdir()
    with pytest.raises(CorpusError, match=r"no folder .*AudioWAV"):
        list(corpora.get("crema_d").utterances(tmp_path))
    (tmp_path / "VideoDemographics.csv").write_text("a,b\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="no column ActorID, Sex"):
        list(corpora.get("crema_d").utterances(tmp_path))
