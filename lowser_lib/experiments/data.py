"""The speech of a profile: what is missing and can be made is made, the rest must be in place.

``data.load(profile)`` gives one manifest over the profile's labelled corpora, the roots below
which their files lie, what was left out, and a hash of each corpus for the run record.

Some corpora do not know the speaker of a few clips (MSP-Podcast). No split could be sure to keep
such a clip apart from its own speaker, so these are left out, and listed. A corpus that knows no
speaker at all stays whole: it can still be tested on.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import pandas as pd
from tqdm import tqdm

from lowser_lib import corpora, files, manifest
from lowser_lib.corpora import Exclusion
from lowser_lib.errors import ProfileError, require
from lowser_lib.experiments import paths, preparation
from lowser_lib.experiments.preparation import Prepared
from lowser_lib.experiments.profiles import Profile
from lowser_lib.sampling import ClipDataset
from lowser_lib.sampling.clips import mel_clips
from lowser_lib.views import View
from lowser_lib.views.cache import extract_all

Value = TypeVar("Value")


LIMIT_SEED = 0
"""Seed of the draw when a profile limits the clips of a corpus: all runs use the same clips."""


@runtime_checkable
class Derived(Protocol):
    """A corpus whose clips are made from the files as they came."""

    def build(self, source: Path, target: Path) -> str:
        """Make the clips in ``target`` from the folder ``source``."""


@dataclass(frozen=True)
class CourseData:
    """The speech that a notebook works with.

    Attributes:
        manifest: All usable utterances of the corpora asked for, unlimited.
        roots: Folders below which the manifest's paths are found, for
            :func:`lowser_lib.audio.locate`.
        exclusions: What was left out, and why.
        hashes: Corpus name to the SHA-256 of its content.
        profile: The profile, or None when corpora were asked for by name.
        notes: What else should be known of the folders, a line each.
    """

    manifest: pd.DataFrame
    roots: tuple[Path, ...]
    exclusions: tuple[Exclusion, ...]
    hashes: Mapping[str, str]
    profile: Profile | None = None
    notes: tuple[str, ...] = ()

    def corpus(self, name: str) -> pd.DataFrame:
        """All utterances of one corpus.

        Args:
            name: Name of the corpus.

        Raises:
            ProfileError: It was not loaded.
        """
        if name not in self.hashes:
            raise ProfileError(f"corpus {name!r} is not loaded, only {', '.join(self.hashes)}")
        rows = self.manifest["corpus"] == preparation.folder_name(name)
        return self.manifest[rows].reset_index(drop=True)

    def source(self, names: Iterable[str] | None = None) -> pd.DataFrame:
        """Labelled utterances to learn from, at most as many as the profile allows a corpus.

        Args:
            names: Names of corpora; None takes the profile's sources, which are English.
        """
        profile = self._profile()
        parts = [
            limit(_labelled(self.corpus(name)), profile.max_source_clips)
            for name in (profile.sources if names is None else names)
        ]
        return manifest.combine(*parts)

    def target(self, language: str) -> pd.DataFrame:
        """The labelled utterances on which transfer to a language is measured.

        Args:
            language: ISO 639-1 code, a key of the profile's targets.
        """
        profile = self._profile()
        name = _of_language(profile.targets, language)
        return limit(_labelled(self.corpus(name)), profile.max_target_clips)

    def unlabelled(self, language: str) -> pd.DataFrame:
        """Utterances of a language whose emotion is not used: load with ``unlabelled=True``.

        Args:
            language: ISO 639-1 code, a key of the profile's unlabelled corpora.
        """
        profile = self._profile()
        parts = []
        for name in _of_language(profile.unlabelled, language):
            table = self.corpus(name)
            silent = table[table["emotion"].isna() & (table["language"] == language)]
            parts.append(limit(silent.reset_index(drop=True), profile.max_unlabelled_clips))
        return manifest.combine(*parts)

    def extract(self, view: View, table: pd.DataFrame, jobs: int = 1) -> list[np.ndarray]:
        """What a view makes of clips, in their order; from the cache where it is there."""
        return extract_all(view, table, self.roots, paths.features(), jobs, progress=watched())

    def clips(self, table: pd.DataFrame, jobs: int = 1) -> ClipDataset:
        """Spectrograms of clips, labelled with their emotions as numbers; see :meth:`extract`."""
        return mel_clips(table, self.roots, cache=paths.features(), jobs=jobs)

    def left_out(self) -> pd.DataFrame:
        """The exclusions as a table with columns ``path`` and ``reason``."""
        rows = [(exclusion.path, exclusion.reason) for exclusion in self.exclusions]
        return pd.DataFrame(rows, columns=["path", "reason"])

    def _profile(self) -> Profile:
        if self.profile is None:
            raise ProfileError(
                "corpora were loaded by name; use corpus(name), or load a profile to have "
                "sources and targets"
            )
        return self.profile


def load(
    what: Profile | Iterable[str],
    *,
    unlabelled: bool = False,
    jobs: int | None = None,
    progress: bool | None = None,
) -> CourseData:
    """Load the speech of a profile, or corpora by name; make first what can be made.

    Args:
        what: A profile, or names of corpora (``table:NAME`` for a reader's own).
        unlabelled: With a profile: its unlabelled corpora too.
        jobs: Worker processes; None takes the profile's number, or 2.
        progress: Show progress bars; None shows them where somebody is watching.

    Returns:
        The course data.

    Raises:
        CorpusError: A corpus is unknown, or its layout does not fit.
        ProfileError: A real corpus is not on this machine; the message says where to get it.
        SynthesisError: Synthetic speech could not be made.
    """
    profile = what if isinstance(what, Profile) else None
    if profile is not None:
        names = profile.corpora if unlabelled else profile.labelled
    elif isinstance(what, str):
        raise ValueError(f"what must be a profile or a list of names, got the string {what!r}")
    else:
        names = tuple(dict.fromkeys(what))  # type: ignore[arg-type]
    if not names:
        raise ValueError("no corpora to load; give at least one name")
    workers = jobs if jobs is not None else profile.jobs if profile is not None else 2
    shown = watched() if progress is None else progress
    make(names, jobs=workers, progress=shown)
    bar = tqdm(names, desc="reading corpora", unit="corpus", leave=False, disable=not shown)
    prepared = [_of_known_speakers(preparation.prepare(name, jobs=workers)) for name in bar]
    return CourseData(
        manifest=manifest.combine(*(part.manifest for part in prepared)),
        roots=tuple(dict.fromkeys(part.root for part in prepared)),
        exclusions=tuple(exclusion for part in prepared for exclusion in part.exclusions),
        hashes={part.name: part.hash for part in prepared},
        profile=profile,
        notes=tuple(note for part in prepared for note in part.notes),
    )


def _of_known_speakers(part: Prepared) -> Prepared:
    """Leave out clips of unknown speakers, where other speakers of the corpus are known."""
    unknown = manifest.speaker_unknown(part.manifest)
    if not unknown.any() or unknown.all():
        return part
    reason = "the corpus knows its other speakers, not this one: no split by speaker would be sure"
    left_out = [Exclusion(path, reason) for path in part.manifest.loc[unknown, "path"]]
    known = part.manifest[~unknown].reset_index(drop=True)
    return replace(part, manifest=known, exclusions=(*part.exclusions, *left_out))


def make(names: Iterable[str], *, jobs: int = 2, progress: bool = False) -> None:
    """Make those of the named corpora that the course makes itself and that are not whole.

    Args:
        names: Names of corpora; real ones are left alone.
        jobs: Worker processes.
        progress: Show a progress bar.

    Raises:
        ProfileError: What a corpus is made from is not on this machine.
        SynthesisError: Synthetic speech could not be made.
    """
    from lowser_lib.corpora import synthetic

    root = paths.made_corpora()
    cards = {name: corpora.get(name).card for name in names}
    spoken = [name for name, card in cards.items() if card.synthetic]
    if spoken:
        synthetic.synthesize(root, names=spoken, jobs=jobs, progress=progress)
    for name, card in cards.items():
        if card.derived is not None:
            _derive(name, root / name)


def _derive(name: str, target: Path) -> None:
    """Make a corpus from the folder as it came, anew when that has changed."""
    source = paths.corpora_root()
    corpus = corpora.get(name)
    if source is None or not (source / name).is_dir():
        raise ProfileError(preparation.missing_message(name, corpus.card, source))
    if not isinstance(corpus, Derived):
        raise TypeError(f"corpus {name!r} says that it is derived, but has no build()")
    state = preparation.fingerprint(source / name)
    note = target.with_name(f"{target.name}.source")
    if target.exists() and (not note.is_file() or note.read_text(encoding="utf-8") != state):
        shutil.rmtree(target)
    corpus.build(source / name, target)
    files.write_text(note, state)


def missing(names: Iterable[str]) -> dict[str, str]:
    """What is needed, cannot be made, and is not on this machine.

    Args:
        names: Names of corpora.

    Returns:
        Name of each missing corpus to a message that says where and by what command it is got.
    """
    messages = {}
    for name in names:
        corpus, root = corpora.get(name), paths.corpora_root()
        if not corpus.card.synthetic and (root is None or not (root / corpus.name).is_dir()):
            messages[name] = preparation.missing_message(name, corpus.card, root)
    return messages


def limit(table: pd.DataFrame, maximum: int | None) -> pd.DataFrame:
    """Draw at most so many utterances, keeping each speaker's and emotion's share.

    Args:
        table: A manifest.
        maximum: Most rows, at least 1; None keeps all.

    Returns:
        Rows in their old order, numbered from 0. The draw is the same on every call.
    """
    if maximum is None or len(table) <= maximum:
        return table.reset_index(drop=True)
    require("1..", maximum=maximum)
    shuffled = table.sample(frac=1.0, random_state=np.random.default_rng(LIMIT_SEED))
    cells = shuffled.groupby(["corpus", "speaker", "emotion"], dropna=False)["utterance_id"]
    # The k-th of n in a cell comes at (k + ½)/n: cutting there takes the same share of each cell.
    order = (cells.cumcount() + 0.5) / cells.transform("size")
    chosen = order.sort_values(kind="stable").index[:maximum]
    return table.loc[chosen.sort_values()].reset_index(drop=True)


def _labelled(table: pd.DataFrame) -> pd.DataFrame:
    if len(table) and table["emotion"].isna().all():
        labels = table["raw_label"].dropna().value_counts()
        listed = ", ".join(f"{label} ({number})" for label, number in labels.head(10).items())
        raise ProfileError(
            f"no clip of corpus {table['corpus'].iloc[0]!r} has a label of the classes "
            f"{', '.join(manifest.EMOTIONS)}; its labels: {listed or 'none'}"
        )
    return table[table["emotion"].notna()].reset_index(drop=True)


def _of_language(table: Mapping[str, Value], language: str) -> Value:
    if language not in table:
        raise ProfileError(
            f"the profile has nothing for language {language!r}, only for {', '.join(table)}"
        )
    return table[language]


def watched() -> bool:
    """Tell whether progress shown now would be seen by a person.

    In JupyterLab a cell may ask its reader for input; under papermill, nbval and ``lowser refresh``
    it may not. That is how a notebook tells the two apart, so that its stored output never holds a
    half-drawn progress bar.

    Returns:
        True in a live notebook and in a terminal; False when executed by a program.
    """
    shell = sys.modules.get("IPython")
    session = shell.get_ipython() if shell is not None else None
    kernel = getattr(session, "kernel", None)
    if kernel is not None:
        return bool(getattr(kernel, "_allow_stdin", False))
    return sys.stderr.isatty()
