"""The registry: every corpus by its name, and a reader's own corpora by ``table:NAME``."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from lowser_lib.corpora.bangla_emotion import BanglaEmotion
from lowser_lib.corpora.bangla_speech import BanglaSpeech
from lowser_lib.corpora.base import Corpus
from lowser_lib.corpora.common_voice import CommonVoice
from lowser_lib.corpora.crema_d import CremaD
from lowser_lib.corpora.emodb import EmoDb
from lowser_lib.corpora.iemocap import Iemocap
from lowser_lib.corpora.msp_podcast import MspPodcast
from lowser_lib.corpora.nemo import Nemo
from lowser_lib.corpora.ravdess import Ravdess
from lowser_lib.corpora.subesco import Subesco
from lowser_lib.corpora.synthetic_cards import synthetic_corpora
from lowser_lib.corpora.table import TABLE, TableCorpus, own_card
from lowser_lib.corpora.urdu import Urdu
from lowser_lib.corpora.urdu_words import UrduWords
from lowser_lib.errors import CorpusError

OWN = "table:"

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
        *synthetic_corpora(),
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
    hint = f"did you mean {close[0]}? " if close else ""
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
    own = sorted(
        folder
        for folder in folders
        if folder not in _REGISTRY and _is_name(folder) and (root / folder / TABLE).is_file()
    )
    return (*(name for name in _REGISTRY if name in folders), *(OWN + name for name in own))


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
