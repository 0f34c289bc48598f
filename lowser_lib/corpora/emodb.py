"""EmoDB: the Berlin database, acted German."""

from __future__ import annotations

import re

from lowser_lib.corpora.base import DataCard, Download, Exclusion, NamedCorpus, Utterance

CODES = {
    "W": "angry",  # Wut
    "L": "bored",  # Langeweile
    "E": "disgusted",  # Ekel
    "A": "fearful",  # Angst
    "F": "happy",  # Freude
    "T": "sad",  # Trauer
    "N": "neutral",
}

GENDERS = {
    "03": "male",
    "08": "female",
    "09": "female",
    "10": "male",
    "11": "male",
    "12": "male",
    "13": "female",
    "14": "female",
    "15": "male",
    "16": "female",
}
"""The ten speakers of the documentation, by number."""


class EmoDb(NamedCorpus):
    """Parser of ``03a01Fa.wav``: speaker, sentence, emotion (German initial), version.

    Release 2.0 adds ``laryngo/``: under each clip's own name the movement of the vocal folds,
    which is no speech.
    """

    rule = "speaker, sentence, emotion and version, like 03a01Fa"
    # Case matters: the capital in the middle is the emotion, the last letter a version.
    pattern = re.compile(r"(\d\d)([ab]\d\d)([A-Z])([a-z]?)")
    card = DataCard(
        name="emodb",
        title="Berlin Database of Emotional Speech (EmoDB)",
        languages=("de",),
        size="535 clips of about 2.8 s, 16 kHz; angry 127, bored 81, neutral 79, happy 71, ...",
        speakers="10: 5 female, 5 male",
        elicitation="acted in an anechoic chamber: ten everyday sentences, seven emotions",
        licence="free to use; the authors ask to be cited",
        citation=(
            "F. Burkhardt, A. Paeschke, M. Rolfes, W. Sendlmeier and B. Weiss, A Database of "
            "German Emotional Speech, Interspeech 2005"
        ),
        where="the authors' page, open to anyone: http://emodb.bilderbar.info",
        layout="wav/03a01Fa.wav and the like",
        downloads=(
            Download(url="http://emodb.bilderbar.info/download/download.zip", filename="emodb.zip"),
        ),
        expected={
            "clips": 535,
            "speakers": 10,
            "female speakers": 5,
            "male speakers": 5,
            "emotion angry": 127,
            "emotion bored": 81,
            "emotion neutral": 79,
            "emotion happy": 71,
            "emotion fearful": 69,
            "emotion sad": 62,
            "emotion disgusted": 46,
        },
        notes=(
            "Each sentence is spoken in every emotion, so that words do not give the emotion "
            "away. Clips that fewer than 80 % of the listeners recognised were left out."
        ),
    )

    def no_speech(self, path: str, match: re.Match[str]) -> str:
        """Tell electroglottograms from speech by their folder."""
        folders = path.lower().split("/")[:-1]
        electrode = any(name.startswith(("laryngo", "egg")) for name in folders)
        return "an electroglottogram (release 2.0), not speech" if electrode else ""

    def utterance(self, path: str, match: re.Match[str]) -> Utterance | Exclusion:
        """Read speaker, sentence and emotion; the gender is the documentation's."""
        speaker, sentence, code, _version = match.groups()
        if speaker not in GENDERS:
            return Exclusion(path, f"speaker {speaker} is none of the ten in the documentation")
        if code not in CODES:
            return Exclusion(path, f"emotion {code} is not one of {', '.join(CODES)}")
        return Utterance(
            path=path,
            speaker=speaker,
            gender=GENDERS[speaker],
            language="de",
            raw_label=code,
            emotion=CODES[code],
            text_id=sentence,
        )
