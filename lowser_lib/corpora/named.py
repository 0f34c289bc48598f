"""Finding sound files in a folder, and the corpora whose file names say it all."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from lowser_lib.corpora.base import Corpus, Exclusion, Utterance
from lowser_lib.errors import CorpusError

AUDIO_SUFFIXES = (".wav", ".mp3", ".flac", ".ogg")
"""Endings of the sound files that the course reads, compared in lower case."""


class NamedCorpus(Corpus):
    """A corpus whose file names tell speaker and emotion.

    Attributes:
        pattern: Matched against the whole file name without its ending.
        rule: The naming rule in words, for the reason of an exclusion.
        subfolder: Where the clips lie below the corpus folder; empty looks everywhere.
    """

    pattern: re.Pattern[str]
    rule: str
    subfolder: str = ""

    @abstractmethod
    def utterance(self, path: str, match: re.Match[str]) -> Utterance | Exclusion:
        """Read one clip from its name.

        Args:
            path: The file, relative to the corpus folder.
            match: What :attr:`pattern` found in the name.
        """

    def utterances(self, folder: Path) -> Iterator[Utterance | Exclusion]:
        """See :meth:`Corpus.utterances`; a name found twice is taken once."""
        start = folder / self.subfolder
        if not start.is_dir():
            raise CorpusError(
                f"{self.name}: there is no folder {start}. What has to lie in {folder}: "
                f"{self.card.layout}"
            )
        # Some public copies of a corpus hold every clip in two places, which would otherwise
        # count each clip twice and put the same sound on both sides of a split.
        first: dict[str, str] = {}
        for file in audio_files(start):
            path = f"{self.subfolder}/{file}" if self.subfolder else file
            stem = PurePosixPath(path).stem
            match = self.pattern.fullmatch(stem)
            if match is None:
                yield misnamed(path, self.rule)
            elif stem in first:
                yield Exclusion(path, f"the same name as {first[stem]}, taken once")
            else:
                first[stem] = path
                yield self.utterance(path, match)


def is_stray(path: Path) -> bool:
    """Tell whether a file is left over from a file manager and no part of any corpus.

    These are hidden files (``.DS_Store``), the ``._name.wav`` companions that macOS writes,
    ``desktop.ini``, and everything below ``__MACOSX``. They match the ending of sound files without
    being any, so that parsers pass over them before they look at names.
    """
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return hidden or path.name.lower() in {"desktop.ini", "thumbs.db"}


def audio_files(folder: Path, suffixes: tuple[str, ...] = AUDIO_SUFFIXES) -> list[str]:
    """List the sound files below a folder.

    Args:
        folder: Where to look, at any depth.
        suffixes: Endings wanted, in lower case; ``.WAV`` matches ``.wav``.

    Returns:
        Paths relative to ``folder`` with forward slashes, sorted, stray files left out.
    """
    found = []
    for file in folder.rglob("*"):
        relative = file.relative_to(folder)
        if file.suffix.lower() in suffixes and not is_stray(relative) and file.is_file():
            found.append(relative.as_posix())
    return sorted(found)


def misnamed(path: str, pattern: str) -> Exclusion:
    """Exclude a file whose name does not fit its corpus's naming rule.

    Args:
        path: The file, relative to the corpus folder.
        pattern: The rule in words, such as ``03-01-EE-II-SS-RR-AA.wav``.
    """
    return Exclusion(path, f"the name does not read as {pattern}")
