"""SUBESCO: acted Bangla, the largest of the emotional corpora in that language."""

from __future__ import annotations

import re

from lowser_lib.corpora.base import DataCard, Download, Exclusion, NamedCorpus, Utterance

CODES = {
    "ANGRY": "angry",
    "DISGUST": "disgusted",
    "FEAR": "fearful",
    "HAPPY": "happy",
    "NEUTRAL": "neutral",
    "SAD": "sad",
    "SURPRISE": "surprised",
}


class Subesco(NamedCorpus):
    """Parser of ``F_01_OISHI_S_10_ANGRY_1.wav``: gender, number, name, sentence, emotion, take."""

    rule = "gender, number, name, S, sentence, emotion and take, like F_01_OISHI_S_10_ANGRY_1"
    # One clip was published as F_02_MONIKA_S_2_SURPRISE_3].wav; nothing else of it is in doubt.
    pattern = re.compile(r"([MF])_(\d+)_([A-Z]+)_S_(\d+)_([A-Z]+)_(\d+)\]?", re.IGNORECASE)
    card = DataCard(
        name="subesco",
        title="SUST Bangla Emotional Speech Corpus (SUBESCO)",
        languages=("bn",),
        size="7000 clips of about 4 s, 48 kHz, more than 7 hours; 1000 an emotion",
        speakers="20: 10 female, 10 male",
        elicitation="acted by professionals: ten sentences, seven emotions, five takes",
        licence="CC BY 4.0",
        citation=(
            "S. Sultana, M. S. Rahman, M. R. Selim and M. Z. Iqbal, SUST Bangla Emotional Speech "
            "Corpus (SUBESCO): An audio-only emotional speech corpus for Bangla, PLoS ONE 16(4): "
            "e0250173, 2021, doi:10.1371/journal.pone.0250173"
        ),
        where="Zenodo record 4526477, open to anyone: https://zenodo.org/records/4526477",
        layout="F_01_OISHI_S_10_ANGRY_1.wav and the like, at any depth",
        downloads=(
            Download(
                url="https://zenodo.org/records/4526477/files/SUBESCO.zip", filename="SUBESCO.zip"
            ),
        ),
        expected={
            "clips": 7000,
            "speakers": 20,
            "female speakers": 10,
            "male speakers": 10,
            **{f"emotion {name}": 1000 for name in CODES.values()},
        },
        notes="Each sentence is spoken in every emotion by every speaker.",
    )

    def utterance(self, path: str, match: re.Match[str]) -> Utterance | Exclusion:
        """Read gender, speaker, sentence and emotion."""
        gender, number, _name, sentence, label, _take = match.groups()
        emotion = CODES.get(label.upper())
        if emotion is None:
            return Exclusion(path, f"emotion {label} is not one of {', '.join(CODES)}")
        gender = gender.upper()
        # Numbers run from 01 for each gender, so that a number alone names two people.
        return Utterance(
            path=path,
            speaker=f"{gender}_{int(number):02d}",
            gender="male" if gender == "M" else "female",
            language="bn",
            raw_label=label,
            emotion=emotion,
            text_id=str(int(sentence)),
        )
