"""URDU: emotional Urdu found in television talk shows."""

from __future__ import annotations

import re

from lowser_lib.corpora.base import DataCard, Download, Exclusion, NamedCorpus, Utterance

CODES = {"A": "angry", "H": "happy", "N": "neutral", "S": "sad"}


class Urdu(NamedCorpus):
    """Parser of ``SGX_FXX_EYY.wav`` in a folder for each emotion.

    ``G`` is the gender (M, F) and ``X`` the speaker's number, ``XX`` counts the speaker's files,
    ``E`` is the emotion and ``YY`` counts the files of that emotion.
    """

    rule = "SGX_FXX_EYY with gender M or F and emotion A, H, N or S"
    pattern = re.compile(r"S([MF])(\d+)_F\d+_([AHNS])\d+", re.IGNORECASE)
    card = DataCard(
        name="urdu",
        title="URDU, emotional speech from Urdu talk shows",
        languages=("ur",),
        size="400 clips of about 2.5 s; 100 an emotion",
        speakers=(
            "29 by the file names: 11 female, 18 male (the authors' text says 38); "
            "56 clips by women, 344 by men"
        ),
        elicitation="found: unscripted talk on television, labelled by listeners",
        licence="for research only",
        citation=(
            "S. Latif, A. Qayyum, M. Usman and J. Qadir, Cross Lingual Speech Emotion Recognition: "
            "Urdu vs. Western Languages, FIT 2018, arXiv:1812.10411"
        ),
        where=(
            "the authors' public repository, open to anyone: "
            "https://github.com/siddiquelatif/URDU-Dataset"
        ),
        layout="Angry/SM1_F1_A01.wav and the like in Angry/, Happy/, Neutral/, Sad/",
        downloads=(
            Download(
                url=("https://github.com/siddiquelatif/URDU-Dataset/archive/refs/heads/master.zip"),
                filename="URDU-Dataset-master.zip",
            ),
        ),
        expected={
            "clips": 400,
            "speakers": 29,
            "female speakers": 11,
            "male speakers": 18,
            **{f"emotion {name}": 100 for name in CODES.values()},
        },
        notes=(
            "Gender and emotion are entangled: women speak no angry clip, and 46 of their 56 are "
            "happy. Compare genders within an emotion, and only where both have clips."
        ),
    )

    def utterance(self, path: str, match: re.Match[str]) -> Utterance | Exclusion:
        """Read gender, speaker and emotion; the folder must not contradict the name."""
        gender, number, code = (field.upper() for field in match.groups())
        emotion = CODES[code]
        folder = path.rpartition("/")[0].rpartition("/")[2].lower()
        if folder in CODES.values() and folder != emotion:
            return Exclusion(path, f"the name says {emotion}, the folder {folder}")
        return Utterance(
            path=path,
            speaker=f"S{gender}{int(number)}",
            gender="male" if gender == "M" else "female",
            language="ur",
            raw_label=code,
            emotion=emotion,
        )
