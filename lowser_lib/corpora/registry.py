"""The registry: every corpus by its name, and a reader's own corpora by ``table:NAME``.

The synthetic corpora have their cards here: the course makes them
(:mod:`lowser_lib.corpora.synthetic`) in the table format, so that they need no parser of their own.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from lowser_lib.corpora.bangla import BanglaEmotion, BanglaSpeech
from lowser_lib.corpora.base import Corpus, DataCard
from lowser_lib.corpora.common_voice import CommonVoice
from lowser_lib.corpora.crema_d import CremaD
from lowser_lib.corpora.emodb import EmoDb
from lowser_lib.corpora.iemocap import Iemocap
from lowser_lib.corpora.msp_podcast import MspPodcast
from lowser_lib.corpora.nemo import Nemo
from lowser_lib.corpora.ravdess import Ravdess
from lowser_lib.corpora.subesco import Subesco
from lowser_lib.corpora.table import COLUMNS, TABLE, TableCorpus, own_card
from lowser_lib.corpora.urdu import Urdu
from lowser_lib.corpora.urdu_words import UrduWords
from lowser_lib.errors import CorpusError

OWN = "table:"

_SYNTHETIC = {
    "synthetic_english": ("English with four emotions", ("en",)),
    "synthetic_urdu": ("Urdu with four emotions", ("ur",)),
    "synthetic_german": ("German with four emotions", ("de",)),
    "synthetic_bangla": ("Bangla with four emotions", ("bn",)),
    "synthetic_urdu_balanced": (
        "Urdu with four emotions, other voices than in synthetic_urdu",
        ("ur",),
    ),
    "synthetic_voices": (
        "unlabelled voices in four languages, in the role of Common Voice",
        ("bn", "de", "en", "ur"),
    ),
}
"""Title and languages of each synthetic corpus."""

_NOTES = {
    "synthetic_urdu": " Skewed to 86 % male clips, as the real URDU corpus is.",
    "synthetic_urdu_balanced": (
        " As many women's clips as men's, in the same cells: to be skewed on purpose."
    ),
}

_WARNING = (
    "SYNTHETIC: a rule-based synthesiser speaks, no human being. It serves to run and test the "
    "course without a download; a result on it says nothing about people."
)


def _synthetic_card(name: str) -> DataCard:
    """Write the card of one synthetic corpus, which says plainly that no human is speaking."""
    title, languages = _SYNTHETIC[name]
    labelled = name != "synthetic_voices"
    emotion = (
        "made by rule: published prosody rules for angry, happy, neutral and sad"
        if labelled
        else "none asked for; unlabelled"
    )
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
        notes=_WARNING + _NOTES.get(name, ""),
    )


# Add a corpus here, and in a file of its own that holds its parser and its data card.
_REGISTRY: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        Ravdess(),
        CremaD(),
        Iemocap(),
        MspPodcast(),
        Urdu(),
        EmoDb(),
        Subesco(),
        BanglaEmotion(),
        Nemo(),
        UrduWords(),
        BanglaSpeech(),
        CommonVoice(),
        *(TableCorpus(_synthetic_card(name)) for name in _SYNTHETIC),
    )
}


def names() -> tuple[str, ...]:
    """Name the registered corpora: real ones first, synthetic ones last."""
    return tuple(_REGISTRY)


def get(name: str) -> Corpus:
    """Find a corpus.

    Args:
        name: A registered name, or ``table:NAME`` for the folder ``NAME`` with a ``corpus.csv``.

    Raises:
        CorpusError: There is no such corpus.
    """
    if name in _REGISTRY:
        return _REGISTRY[name]
    if name.startswith(OWN):
        return _own(name.removeprefix(OWN))
    close = difflib.get_close_matches(name, _REGISTRY, n=1)
    likely = close or ([OWN + name] if _is_name(name) else [])
    hint = f"did you mean {likely[0]}? " if likely else ""
    raise CorpusError(
        f"there is no corpus {name!r}; {hint}Known: {', '.join(_REGISTRY)}. A folder of your own "
        f"with a {TABLE} is {OWN}NAME"
    )


def found(root: Path) -> tuple[str, ...]:
    """Name the corpora whose folder lies below a corpora root, with a reader's own.

    Args:
        root: The corpora root; it need not exist.

    Returns:
        Registered names in the order of :func:`names`, then ``table:NAME`` sorted by name.
    """
    if not root.is_dir():
        return ()
    folders = {folder.name for folder in root.iterdir() if folder.is_dir()}
    tables = sorted(
        folder
        for folder in folders
        if folder not in _REGISTRY and _is_name(folder) and (root / folder / TABLE).is_file()
    )
    return (*(name for name in _REGISTRY if name in folders), *(OWN + name for name in tables))


def _is_name(name: str) -> bool:
    """Tell whether a folder's name may become part of ids: no slash, blank or leading dot."""
    return re.fullmatch(r"\w[\w.-]*", name) is not None


def _own(name: str) -> Corpus:
    """Make the parser of a reader's own corpus."""
    if not _is_name(name):
        raise CorpusError(
            f"{name!r} cannot name a corpus: use letters, digits, '_', '-' and '.', as in "
            f"{OWN}my_corpus"
        )
    if name in _REGISTRY:
        raise CorpusError(
            f"{OWN}{name}: {name} is a registered corpus already; give your folder another name"
        )
    return TableCorpus(own_card(name))
