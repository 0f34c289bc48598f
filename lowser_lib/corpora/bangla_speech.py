"""Unlabelled Bangla sentences with speaker ids."""

from __future__ import annotations

import re

from lowser_lib.corpora.base import DataCard, Exclusion, NamedCorpus, Utterance


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
