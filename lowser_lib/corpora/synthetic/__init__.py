"""Synthetic corpora: emotional speech by rule, made on the reader's machine in half a minute.

They let every chapter run offline. They are no substitute for people: a synthesizer obeys the rules
it is given, so what is learned here about *methods* has to be shown again on real speech.

=================== ======================================================= ====================
corpus              speakers and clips                                      channel
=================== ======================================================= ====================
synthetic_english   24 speakers (12 f, 12 m), 768 clips                     studio
synthetic_urdu      29 speakers (11 f, 18 m), 502 clips, 86 % by men        talk show
synthetic_german    20 speakers (10 f, 10 m), 480 clips                     living room
synthetic_bangla    20 speakers (10 f, 10 m), 480 clips                     telephone
synthetic_voices    4 × 16 speakers, 1088 clips without labels              homes of volunteers
=================== ======================================================= ====================

Read on in :mod:`.prosody` (the rules of emotion and their sources), :mod:`.voices` (who speaks),
:mod:`.recording` (where), :mod:`.channel` (what that does to the sound) and :mod:`.plan` (how many
of what).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from lowser_lib.corpora.synthetic.plan import CORPORA, UNLABELLED_CORPORA, Batch, Clip, make_plan
from lowser_lib.corpora.synthetic.pool import Task, run_tasks
from lowser_lib.corpora.synthetic.voices import COURSE_VARIANTS
from lowser_lib.corpora.synthetic.writer import content_hash, finish, read_complete, sibling
from lowser_lib.errors import CorpusError, SynthesisError

__all__ = [
    "COURSE_VARIANTS",
    "NAMES",
    "UNLABELLED_CORPORA",
    "VERSION",
    "Batch",
    "Clip",
    "content_hash",
    "make_plan",
    "synthesize",
]

VERSION = 1
"""Changes whenever the same seed gives other sounds; older folders are then made anew."""

NAMES = tuple(CORPORA)
"""The synthetic corpora, labelled ones first."""


def synthesize(
    root: Path,
    *,
    names: Sequence[str] | None = None,
    seed: int = 0,
    jobs: int = 2,
    progress: bool = True,
    clips_per_cell: int | None = None,
    max_speakers: int | None = None,
) -> dict[str, str]:
    """Make synthetic corpora, each once.

    ``root/<name>/`` gets ``corpus.csv`` (see :mod:`lowser_lib.corpora.table`), ``audio/*.wav``
    (16 kHz, 16 bit, mono) and ``complete.json``. The bytes depend on ``seed`` and the two limits
    only: not on ``jobs``, and not on what else is made. What is complete already is left alone;
    what is half-made, or made by another version or with other settings, is made anew.

    Args:
        root: folder of the corpora that are made here.
        names: which of :data:`NAMES`; all by default.
        seed: of all that is random, at least 0.
        jobs: number of processes.
        progress: whether to show a progress bar, on standard error.
        clips_per_cell: for quick looks and tests: at most so many clips a speaker and emotion (a
            speaker, in ``synthetic_voices``).
        max_speakers: likewise: at most so many speakers a language and gender.

    Returns:
        SHA-256 of each corpus's content (:func:`content_hash`) by name.

    Raises:
        CorpusError: there is no such corpus.
        SynthesisError: the synthesizer crashed and kept crashing, or the folder cannot be written.
        ValueError: a number is out of range.
    """
    names = NAMES if names is None else tuple(dict.fromkeys(names))
    _check(names, seed, jobs, clips_per_cell, max_speakers)
    identity: dict[str, object] = {
        "version": VERSION,
        "seed": seed,
        "settings": {"clips_per_cell": clips_per_cell, "max_speakers": max_speakers},
    }
    root = Path(root)
    stored = {name: read_complete(root / name, identity) for name in names}
    hashes = {name: digest for name, digest in stored.items() if digest is not None}
    plans = {
        name: make_plan(name, seed, clips_per_cell, max_speakers)
        for name in names
        if name not in hashes
    }
    if plans:
        try:
            hashes.update(_make(root, plans, identity, jobs, progress))
        except OSError as error:
            raise SynthesisError(
                f"cannot write to {root} ({error}); free space there or check its permissions, "
                f"then try again"
            ) from error
    return {name: hashes[name] for name in names}


def _check(
    names: Sequence[str],
    seed: int,
    jobs: int,
    clips_per_cell: int | None,
    max_speakers: int | None,
) -> None:
    for name in names:
        if name not in CORPORA:
            raise CorpusError(f"no synthetic corpus {name!r}; there are {', '.join(NAMES)}")
    limits = {"clips_per_cell": clips_per_cell, "max_speakers": max_speakers}
    for argument, value in {"jobs": jobs, **limits}.items():
        if value is not None and value < 1:
            raise ValueError(f"{argument}={value}: expected at least 1")
    if seed < 0:
        raise ValueError(f"seed={seed}: expected at least 0")


def _make(
    root: Path,
    plans: dict[str, list[Batch]],
    identity: dict[str, object],
    jobs: int,
    progress: bool,
) -> dict[str, str]:
    """Make all planned corpora together, so that no process idles at the end of each."""
    clips = sum(len(batch.clips) for batches in plans.values() for batch in batches)
    hashes: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        folders = {name: stack.enter_context(sibling(root / name)) for name in plans}
        tasks = [Task(b, folders[name]) for name, batches in plans.items() for b in batches]
        bar = stack.enter_context(
            tqdm(
                total=clips, desc="synthetic speech", unit="clip", leave=False, disable=not progress
            )
        )

        def advance(task: Task) -> None:
            bar.update(len(task.batch.clips))

        run_tasks(tasks, jobs, done=advance)
        for name, batches in plans.items():
            hashes[name] = finish(folders[name], root / name, identity, batches)
    return hashes
