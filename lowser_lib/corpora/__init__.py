"""Corpora: one parser each, a registry, and the way from folders to manifest rows.

>>> from pathlib import Path
>>> from lowser_lib import corpora
>>> corpora.get("emodb").card.languages
('de',)

``corpora.read("emodb", root)`` gives the rows of the manifest and what was left out;
``corpora.verify("emodb", root)`` compares the folder with the complete corpus. Downloads are in
:mod:`lowser_lib.corpora.download`. To add a corpus, write a file with a :class:`Corpus` and its
:class:`DataCard` and name it in :mod:`lowser_lib.corpora.registry`; a folder with a ``corpus.csv``
needs no code at all (:mod:`lowser_lib.corpora.table`).
"""

from __future__ import annotations

from lowser_lib.corpora.base import (
    EMOTIONS,
    GENDERS,
    Corpus,
    DataCard,
    Download,
    Exclusion,
    Row,
    Utterance,
)
from lowser_lib.corpora.reading import Reading, Verification, corpus_folder, read, survey, verify
from lowser_lib.corpora.registry import found, get, names

__all__ = [
    "EMOTIONS",
    "GENDERS",
    "Corpus",
    "DataCard",
    "Download",
    "Exclusion",
    "Reading",
    "Row",
    "Utterance",
    "Verification",
    "corpus_folder",
    "found",
    "get",
    "names",
    "read",
    "survey",
    "verify",
]
