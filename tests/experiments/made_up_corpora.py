"""Made-up corpora: hums with formants, in the layouts that the real corpora come in.

A hum is a train of pulses through three resonances: enough for pitch, loudness and formants to be
found in it, and for a voice and a mood to leave a mark, and made in a millisecond.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import lfilter

RATE = 16_000
MOODS = {  # semitones above the speaker's own pitch, times as loud, times as long
    "angry": (4.0, 1.6, 0.8),
    "happy": (5.0, 1.2, 0.9),
    "neutral": (0.0, 1.0, 1.0),
    "sad": (-2.0, 0.6, 1.2),
}


def hum(speaker: str, female: bool, mood: str, sentence: str = "", take: int = 0) -> np.ndarray:
    """One clip of 0.6 to 1.0 s, float64 in [-1, 1]; the same arguments give the same clip."""
    voice = np.random.default_rng(zlib.crc32(speaker.encode()))
    words = np.random.default_rng(zlib.crc32(sentence.encode()))
    chance = np.random.default_rng(zlib.crc32(f"{speaker}/{mood}/{sentence}/{take}".encode()))
    rise, loud, long = MOODS.get(mood, (0.0, 1.0, 1.0))
    pitch = (210.0 if female else 115.0) * voice.uniform(0.85, 1.15) * 2 ** (rise / 12)
    samples = int(RATE * np.clip(0.75 * long + chance.uniform(-0.08, 0.08), 0.6, 1.0))
    time = np.arange(samples) / RATE
    wave = pitch * (1 + 0.12 * np.sin(2 * np.pi * chance.uniform(1.5, 3.0) * time))
    phase = np.cumsum(wave) / RATE
    sound = np.diff(np.floor(phase), prepend=0.0) + 0.005 * chance.normal(size=samples)
    stretch = (1.15 if female else 1.0) * voice.uniform(0.95, 1.05)
    for formant, width in zip(
        words.permutation([500.0, 1500.0, 2500.0]), (90, 110, 170), strict=True
    ):
        radius = np.exp(-np.pi * width / RATE)
        angle = 2 * np.pi * stretch * formant * words.uniform(0.8, 1.2) / RATE
        sound = lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], sound)
    syllables = 0.55 - 0.45 * np.cos(2 * np.pi * 4.0 * time)
    sound = sound * syllables * np.minimum(1, np.minimum(time, time[::-1]) / 0.02)
    return np.clip(0.25 * loud * sound / np.abs(sound).max(), -1, 1)


def _write(file: Path, sound: np.ndarray, rate: int = RATE) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, np.repeat(sound, rate // RATE), rate)


def iemocap(folder: Path) -> None:
    """Five sessions of a woman and a man; every mood twice, and a turn without agreement."""
    codes = {"ang": "angry", "hap": "happy", "exc": "happy", "neu": "neutral", "sad": "sad"}
    for number in range(1, 6):
        session, dialog = folder / f"Session{number}", f"Ses{number:02d}F_impro01"
        lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
        for gender in "FM":
            for place, code in enumerate([*codes, *codes, "xxx"]):
                turn = f"{dialog}_{gender}{place:03d}"
                lines += [f"[{place}.0000 - {place}.9000]\t{turn}\t{code}\t[2.5, 2.5, 2.5]"]
                lines += ["C-E1:\tNeutral;\t()", ""]  # what one listener said
                sound = hum(f"Ses{number}{gender}", gender == "F", codes.get(code, "neutral"),
                            take=place)  # fmt: skip
                _write(session / "sentences/wav" / dialog / f"{turn}.wav", sound)
        labels = session / "dialog/EmoEvaluation" / f"{dialog}.txt"
        labels.parent.mkdir(parents=True)
        labels.write_text("\n".join(lines), encoding="utf-8")


def msp_podcast(folder: Path) -> None:
    """Twelve known speakers with every mood; unknown ones, other labels, clips without label."""
    codes = {"A": "angry", "H": "happy", "N": "neutral", "S": "sad"}
    rows = [(f"{speaker}", speaker % 2 == 0, code) for speaker in range(12) for code in codes]
    rows += [("Unknown", True, code) for code in ("A", "N", "X", "C")]
    lines = ["FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set"]
    for place, (speaker, female, code) in enumerate(rows):
        name = f"MSP-PODCAST_{place // 10:04d}_{place:04d}.wav"
        gender = "Unknown" if speaker == "Unknown" else "Female" if female else "Male"
        lines.append(f"{name},{code},4.0,4.0,4.0,{speaker},{gender},Train")
        _write(folder / "Audios" / name, hum(f"msp{speaker}", female, codes.get(code, "neutral")))
    _write(
        folder / "Audios/MSP-PODCAST_9999_0001.wav", hum("test", True, "sad")
    )  # not in the table
    (folder / "Labels").mkdir()
    table = folder / "Labels/labels_consensus.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")


def common_voice(folder: Path) -> None:
    """Ten volunteers a language, five of whose clips are validated; genders as in new releases."""
    columns = [
        "client_id",
        "path",
        "sentence_id",
        "sentence",
        "up_votes",
        "down_votes",
        "age",
        "gender",
        "locale",
    ]
    genders = ["male_masculine", "male_masculine", "female_feminine", ""]
    for language in ("bn", "de", "ur"):
        lines = ["\t".join(columns)]
        for speaker in range(10):
            gender = genders[speaker % len(genders)]
            for place in range(5):
                name, client = (
                    f"common_voice_{language}_{speaker}{place}.mp3",
                    f"{language}{speaker}",
                )
                fields = [
                    client,
                    name,
                    f"s{place}",
                    'Er sagte "nein.',
                    "2",
                    "0",
                    "",
                    gender,
                    language,
                ]
                lines.append("\t".join(fields))
                sound = hum(client, gender.startswith("female"), "neutral", f"{language}{place}")
                _write(folder / language / "clips" / name, sound, rate=32_000)
        table = folder / language / "validated.tsv"
        table.write_text("\n".join(lines) + "\n", encoding="utf-8")


def subesco(folder: Path) -> None:
    """Four women and four men; two sentences in five emotions, one of them outside the four."""
    moods = {"ANGRY": "angry", "HAPPY": "happy", "NEUTRAL": "neutral", "SAD": "sad", "FEAR": ""}
    for gender in "FM":
        for number in range(1, 5):
            for label, mood in moods.items():
                for sentence in ("1", "10"):
                    name = f"{gender}_{number:02d}_NAME_S_{sentence}_{label}_1.wav"
                    sound = hum(f"{gender}{number}", gender == "F", mood, sentence)
                    _write(folder / name, sound, rate=48_000)


def emodb(folder: Path) -> None:
    """The ten documented speakers; two sentences in the four emotions, and bored."""
    women = ("08", "09", "13", "14", "16")
    moods = {"W": "angry", "F": "happy", "N": "neutral", "T": "sad", "L": ""}
    for speaker in (*women, "03", "10", "11", "12", "15"):
        for code, mood in moods.items():
            for sentence in ("a01", "b02"):
                sound = hum(speaker, speaker in women, mood, sentence)
                _write(folder / "wav" / f"{speaker}{sentence}{code}a.wav", sound)


def urdu(folder: Path) -> None:
    """Mostly men, and women of one mood, as on television: no woman is angry."""
    moods = {"A": "angry", "H": "happy", "N": "neutral", "S": "sad"}
    for number in range(1, 9):
        for code, mood in moods.items():
            for take in range(1, 6):
                name = f"SM{number}_F{take}_{code}{number:02d}{take}.wav"
                _write(
                    folder / mood.capitalize() / name, hum(f"SM{number}", False, mood, take=take)
                )
    for number in range(1, 4):
        for code in "HHHS":
            take = len(list(folder.rglob(f"SF{number}_*"))) + 1
            name = f"SF{number}_F{take}_{code}{number:02d}{take}.wav"
            sound = hum(f"SF{number}", True, moods[code], take=take)
            _write(folder / moods[code].capitalize() / name, sound)


def build(root: Path) -> Path:
    """Put down all corpora of the paper profile below a root, and return it."""
    for make in (iemocap, msp_podcast, common_voice, subesco, emodb, urdu):
        folder = root / make.__name__
        folder.mkdir(parents=True)
        make(folder)
    return root
