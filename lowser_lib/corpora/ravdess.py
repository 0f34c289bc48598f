"""RAVDESS: acted North American English, everything told by the file name."""

from __future__ import annotations

import re

from lowser_lib.corpora.base import DataCard, Download, Exclusion, NamedCorpus, Utterance

CODES = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgusted",
    "08": "surprised",
}
"""The third field of a name; the authors' own list, in plain English."""

N_ACTORS = 24


class Ravdess(NamedCorpus):
    """Parser of ``MM-CC-EE-II-SS-RR-AA.wav``.

    The fields are modality (03 audio only), channel (01 speech, 02 song), emotion, intensity,
    statement, repetition and actor; actors with odd numbers are male.
    """

    rule = "MM-CC-EE-II-SS-RR-AA (seven numbers of two digits)"
    pattern = re.compile(r"(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)")
    card = DataCard(
        name="ravdess",
        title="Ryerson Audio-Visual Database of Emotional Speech and Song, speech part",
        languages=("en",),
        size="1440 clips of about 3.7 s, 48 kHz; 192 an emotion, neutral 96",
        speakers="24 actors: 12 female, 12 male",
        elicitation="acted by professionals: two sentences, eight emotions, two intensities",
        licence="CC BY-NC-SA 4.0",
        citation=(
            "S. R. Livingstone and F. A. Russo, The Ryerson Audio-Visual Database of Emotional "
            "Speech and Song (RAVDESS), PLoS ONE 13(5): e0196391, 2018, "
            "doi:10.1371/journal.pone.0196391"
        ),
        where="Zenodo record 1188976, open to anyone: https://zenodo.org/records/1188976",
        layout="Actor_01/03-01-EE-II-SS-RR-AA.wav to Actor_24/..., at any depth",
        downloads=(
            Download(
                url="https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip",
                filename="Audio_Speech_Actors_01-24.zip",
                bytes=208_468_073,
                md5="bc696df654c87fed845eb13823edef8a",
            ),
        ),
        expected={
            "clips": 1440,
            "speakers": 24,
            "female speakers": 12,
            "male speakers": 12,
            "emotion neutral": 96,
            **{f"emotion {name}": 192 for name in CODES.values() if name != "neutral"},
        },
        notes=(
            "Two sentences only: a model can learn them by heart. A few files are stereo, and "
            "03-01-03-01-02-01-07 and 03-01-03-01-02-02-07 hold the same sound."
        ),
    )

    def no_speech(self, path: str, match: re.Match[str]) -> str:
        """Tell speech from song, and the sound files from the sound of the videos."""
        modality, channel = match.group(1), match.group(2)
        if channel != "01":
            return f"vocal channel {channel}: only 01 is speech (02 is song)"
        if modality != "03":
            return (
                f"modality {modality}: only 03 is a sound file; 01 and 02 are videos, whose sound "
                f"is that of the clip 03{path.rpartition('/')[2][2:]}"
            )
        return ""

    def utterance(self, path: str, match: re.Match[str]) -> Utterance | Exclusion:
        """Read the seven fields; numbers outside the authors' lists are excluded."""
        _modality, _channel, code, _intensity, statement, _repetition, actor = match.groups()
        if code not in CODES:
            return Exclusion(path, f"emotion {code} is not one of 01 to 08")
        if not 1 <= int(actor) <= N_ACTORS:
            return Exclusion(path, f"actor {actor} is not one of 01 to {N_ACTORS}")
        return Utterance(
            path=path,
            speaker=actor,
            gender="male" if int(actor) % 2 else "female",
            language="en",
            raw_label=code,
            emotion=CODES[code],
            text_id=statement,
        )
