"""Two Bangla corpora: emotions without speaker ids, and many speakers without emotions."""

from __future__ import annotations

import re

from lowser_lib.corpora.base import (
    EMOTIONS,
    UNKNOWN_SPEAKER,
    DataCard,
    Exclusion,
    NamedCorpus,
    Utterance,
)


class BanglaEmotion(NamedCorpus):
    """Parser of ``angry/c_1.wav``: the folder is the emotion, nothing tells the speaker.

    All clips carry the one speaker ``unknown``. That keeps every split honest: splits are disjoint
    by speaker, so this corpus can only ever stand on one side as a whole.
    """

    rule = "a word and a number in a folder named after an emotion, like angry/c_1"
    pattern = re.compile(r"[A-Za-z]+_[A-Za-z]*\d+")
    card = DataCard(
        name="bangla_emotion",
        title="Bangla emotional speech without speaker ids",
        languages=("bn",),
        size="98 clips",
        speakers="unknown: the corpus names neither speakers nor genders",
        elicitation="acted, by the sound of it; not documented",
        licence="none stated: for private study only",
        citation="no publication is known; name the place where you found it",
        where="no lasting public address is known; put your own copy in place",
        layout="angry/c_1.wav and the like in angry/, happy/, neutral/, sad/",
        expected={"clips": 98},
        notes=(
            "No speaker-disjoint split is possible within it. Use it whole as a test set, and "
            "say that its intervals cannot be estimated by speaker."
        ),
    )

    def utterance(self, path: str, match: re.Match[str]) -> Utterance | Exclusion:
        """Take the emotion from the folder."""
        folder = path.rpartition("/")[0].rpartition("/")[2]
        if folder.lower() not in EMOTIONS:
            return Exclusion(path, f"the folder is none of {', '.join(EMOTIONS)}")
        return Utterance(
            path=path,
            speaker=UNKNOWN_SPEAKER,
            gender="unknown",
            language="bn",
            raw_label=folder,
            emotion=folder.lower(),
        )


class BanglaSpeech(NamedCorpus):
    """Parser of ``Speech/MI100.wav``: letters for the speaker, then a number."""

    rule = "a speaker's letters and a number, like MI100"
    pattern = re.compile(r"([A-Za-z]+)(\d+)")
    card = DataCard(
        name="bangla_speech",
        title="Bangla sentences of five speakers",
        languages=("bn",),
        size="200 clips of a sentence each; once recorded at 8 kHz",
        speakers="5; genders are not documented",
        elicitation="read sentences, no emotion asked for; unlabelled",
        licence="none stated: for private study only",
        citation="no publication is known; name the place where you found it",
        where="no lasting public address is known; put your own copy in place",
        layout="Speech/MI100.wav and the like",
        expected={"clips": 200, "speakers": 5},
        labelled=False,
        notes=(
            "Nothing above 4 kHz: the band alone tells it from other corpora. The number is a "
            "file's, not known to be a sentence's, so that there is no sentence id."
        ),
    )

    def utterance(self, path: str, match: re.Match[str]) -> Utterance | Exclusion:
        """Take the speaker from the letters."""
        return Utterance(path=path, speaker=match.group(1).upper(), gender="unknown", language="bn")
