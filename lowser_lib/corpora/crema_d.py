"""CREMA-D: acted American English by 91 people of many backgrounds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lowser_lib.corpora.base import DataCard, Exclusion, NamedCorpus, Utterance, table_rows

CODES = {
    "ANG": "angry",
    "DIS": "disgusted",
    "FEA": "fearful",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}

TABLE = "VideoDemographics.csv"


class CremaD(NamedCorpus):
    """Parser of ``AudioWAV/1001_DFA_ANG_XX.wav``: actor, sentence, emotion, intensity.

    The gender is the column ``Sex`` of ``VideoDemographics.csv``.
    """

    rule = "actor, sentence, emotion and intensity, like 1001_DFA_ANG_XX"
    pattern = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_(LO|MD|HI|XX?)", re.IGNORECASE)
    subfolder = "AudioWAV"
    card = DataCard(
        name="crema_d",
        title="Crowd-sourced Emotional Multimodal Actors Dataset (CREMA-D)",
        languages=("en",),
        size="7442 clips of about 2.5 s, 16 kHz; 1271 an emotion, neutral 1087",
        speakers="91 actors: 43 female, 48 male, aged 20 to 74",
        elicitation="acted: twelve sentences, six emotions; judged by 2443 listeners",
        licence="Open Database License (ODbL) 1.0",
        citation=(
            "H. Cao, D. G. Cooper, M. K. Keutmann, R. C. Gur, A. Nenkova and R. Verma, CREMA-D: "
            "Crowd-sourced Emotional Multimodal Actors Dataset, IEEE Transactions on Affective "
            "Computing 5(4), 2014, doi:10.1109/TAFFC.2014.2336244"
        ),
        where=(
            "https://github.com/CheyneyComputerScience/CREMA-D, open to anyone. The sound is kept "
            "in git-lfs, so that the repository's zip archive holds pointers instead of sound: "
            "install git-lfs, then `git clone --depth 1` the address into the folder crema_d"
        ),
        layout="AudioWAV/1001_DFA_ANG_XX.wav and the like, and VideoDemographics.csv beside it",
        expected={
            "clips": 7442,
            "speakers": 91,
            "female speakers": 43,
            "male speakers": 48,
            "emotion neutral": 1087,
            **{f"emotion {name}": 1271 for name in CODES.values() if name != "neutral"},
        },
        notes=(
            "The label is the emotion that was asked for, which listeners did not always hear. "
            "The same clips lie in AudioMP3/, which is not read."
        ),
    )

    def utterances(self, folder: Path) -> Iterator[Utterance | Exclusion]:
        """See :meth:`Corpus.utterances`; genders come from the table."""
        genders = _genders(folder / TABLE)
        for item in super().utterances(folder):
            if isinstance(item, Exclusion):
                yield item
            elif item.speaker not in genders:
                yield Exclusion(item.path, f"actor {item.speaker} is not in {TABLE}")
            else:
                yield replace(item, gender=genders[item.speaker])

    def utterance(self, path: str, match: re.Match[str]) -> Utterance | Exclusion:
        """Read actor, sentence and emotion."""
        actor, sentence, code, _intensity = (field.upper() for field in match.groups())
        if code not in CODES:
            return Exclusion(path, f"emotion {code} is not one of {', '.join(CODES)}")
        return Utterance(
            path=path,
            speaker=actor,
            gender="unknown",
            language="en",
            raw_label=code,
            emotion=CODES[code],
            text_id=sentence,
        )


def _genders(table: Path) -> dict[str, str]:
    """Read actor → gender from ``VideoDemographics.csv`` (ActorID, Age, Sex, ...)."""
    rows = table_rows("crema_d", table, ("ActorID", "Sex"), "fetch the repository anew")
    sexes = {row["ActorID"]: row["Sex"].lower() for _, row in rows}
    return {actor: sex if sex in {"male", "female"} else "unknown" for actor, sex in sexes.items()}
