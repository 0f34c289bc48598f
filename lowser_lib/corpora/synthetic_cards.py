"""The data cards of the synthetic corpora, which say plainly that no human is speaking.

``data_scripts/synthesize.py`` and the course make them (see :mod:`lowser_lib.corpora.synthetic`);
they are written in the table format and read by :class:`lowser_lib.corpora.table.TableCorpus`.
"""

from __future__ import annotations

from lowser_lib.corpora.base import DataCard
from lowser_lib.corpora.table import COLUMNS, TABLE, TableCorpus

LANGUAGES = {"english": "en", "urdu": "ur", "german": "de", "bangla": "bn"}

_WARNING = (
    "SYNTHETIC: a rule-based synthesiser speaks, no human being. It serves to run and test the "
    "course without a download; a result on it says nothing about people."
)


def _card(name: str, title: str, languages: tuple[str, ...], labelled: bool) -> DataCard:
    """Write the card of one synthetic corpus."""
    emotion = (
        "none asked for; unlabelled"
        if not labelled
        else "made by rule: published prosody rules for angry, happy, neutral and sad"
    )
    note = _WARNING
    if name == "synthetic_urdu":
        note += " Skewed to 86 % male clips, as the real URDU corpus is."
    if name == "synthetic_urdu_balanced":
        note += " As many women's clips as men's, in the same cells: to be skewed on purpose."
    return DataCard(
        name=name,
        title=f"SYNTHETIC {title}",
        languages=languages,
        size="a few hundred to a thousand clips of a sentence each, 16 kHz, mono, 16 bit",
        speakers="SYNTHETIC: 20 or more made-up voices a language, female and male",
        elicitation=f"SYNTHETIC: {emotion}",
        licence="the sound is made on your machine and yours; eSpeak NG itself is under GPL 3.0",
        citation="eSpeak NG, https://github.com/espeak-ng/espeak-ng; rules cited in the source",
        where="made on your machine: the course makes it on first use, offline",
        layout=f"{TABLE} with the columns {', '.join(COLUMNS)}, and audio/*.wav",
        labelled=labelled,
        synthetic=True,
        notes=note,
    )


def synthetic_corpora() -> tuple[TableCorpus, ...]:
    """Give the six synthetic corpora, five labelled and one not."""
    labelled = [
        _card(f"synthetic_{name}", f"{name.capitalize()} with four emotions", (code,), True)
        for name, code in LANGUAGES.items()
    ]
    balanced = _card(
        "synthetic_urdu_balanced",
        "Urdu with four emotions, other voices than in synthetic_urdu",
        ("ur",),
        True,
    )
    voices = _card(
        "synthetic_voices",
        "unlabelled voices in four languages, in the role of Common Voice",
        tuple(sorted(LANGUAGES.values())),
        False,
    )
    return tuple(TableCorpus(card) for card in (*labelled, balanced, voices))
