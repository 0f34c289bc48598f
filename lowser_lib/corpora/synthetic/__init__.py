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
:mod:`.channel` (where, and what that does to the sound) and :mod:`.plan` (how many of what).

A corpus folder appears complete or not at all. The clips are made in a hidden folder beside it,
which takes its name only when everything is in it and ``complete.json``, written last, says what it
is. A folder without that file, damaged, of another version or with other settings is never taken as
good. Of two processes that make the same corpus, the second to finish drops its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from lowser_lib import files
from lowser_lib.corpora.folders import Entry, walk
from lowser_lib.corpora.synthetic.channel import Channel
from lowser_lib.corpora.synthetic.plan import CORPORA, UNLABELLED_CORPORA, Batch, Clip, make_plan
from lowser_lib.corpora.synthetic.voices import COURSE_VARIANTS
from lowser_lib.corpora.synthetic.worker import Task, run_tasks
from lowser_lib.corpora.table import TABLE, write_table
from lowser_lib.errors import CorpusError, SynthesisError, require

__all__ = [
    "CORPORA",
    "COURSE_VARIANTS",
    "TABLE",
    "UNLABELLED_CORPORA",
    "Batch",
    "Channel",
    "Clip",
    "CorpusError",
    "Entry",
    "SynthesisError",
    "Task",
    "files",
    "make_plan",
    "require",
    "run_tasks",
    "walk",
    "write_table",
]

COMPLETE = "complete.json"

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
    names: Sequence[str], seed: int, jobs: int, clips_per_cell: int | None, max_speakers: int | None
) -> None:
    for name in names:
        if name not in CORPORA:
            raise CorpusError(f"no synthetic corpus {name!r}; there are {', '.join(NAMES)}")
    require("1..", jobs=jobs)
    require("1.. or None", clips_per_cell=clips_per_cell, max_speakers=max_speakers)
    require("0..", seed=seed)


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


def read_complete(folder: Path, identity: dict[str, object]) -> str | None:
    """Content hash of a corpus folder if it is whole and was made with these settings.

    The content is compared with the hash that was stored, once in a process unless a file's size or
    time changes: a damaged corpus is made anew instead of being used.

    Args:
        folder: the corpus folder; need not exist.
        identity: version, seed and settings that it must have.

    Returns:
        The hash that was stored when it was made; None for anything else, half-made ones included.
    """
    try:
        record = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))
        sound = sum(entry.name.endswith(".wav") for entry in os.scandir(folder / "audio"))
        size = (folder / TABLE).stat().st_size
        fits = all(record[key] == value for key, value in identity.items())
        if fits and record["count"] == sound and record["table_bytes"] == size:
            if _hash_now(folder) == record["sha256"]:
                return str(record["sha256"])
            warnings.warn(f"{folder} is damaged and will be made anew", stacklevel=2)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


_known: dict[Path, tuple[tuple[Entry, ...], str]] = {}
"""State and hash of the folders that this process has looked at."""


def _hash_now(folder: Path) -> str:
    state = tuple(walk(folder))
    if folder not in _known or _known[folder][0] != state:
        _known[folder] = (state, content_hash(folder))
    return _known[folder][1]


def content_hash(folder: Path) -> str:
    """SHA-256 over the names and bytes of the table and all clips, in order of their names."""
    digest = hashlib.sha256()
    for path in sorted([folder / TABLE, *(folder / "audio").glob("*.wav")]):
        content = path.read_bytes()
        # Lengths keep the boundary between a name and its bytes unambiguous.
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


@contextlib.contextmanager
def sibling(folder: Path) -> Iterator[Path]:
    """Give a new hidden folder beside ``folder``, with ``audio/`` in it; removed at the end."""
    with files.folder_beside(folder) as made:
        (made / "audio").mkdir()
        yield made


def finish(made: Path, folder: Path, identity: dict[str, object], batches: Iterable[Batch]) -> str:
    """Complete what was made and move it to its place.

    Args:
        made: the folder from :func:`sibling`, with all clips in it.
        folder: where the corpus belongs.
        identity: version, seed and settings.
        batches: what was made.

    Returns:
        The content hash of what now lies in ``folder``.

    Raises:
        OSError: the folder cannot be written or moved.
    """
    rows = [
        (clip.path, b.speaker.name, b.speaker.gender, b.speaker.language, clip.label, clip.text_id)
        for b in batches
        for clip in b.clips
    ]
    write_table(made / TABLE, sorted(rows))
    digest = content_hash(made)
    record = {
        **identity,
        "count": len(rows),
        "table_bytes": (made / TABLE).stat().st_size,
        "sha256": digest,
    }
    (made / COMPLETE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for _ in range(5):
        other = read_complete(folder, identity)
        if other is not None:  # someone else was faster
            return other
        if folder.exists():
            # Someone else may have moved it just now.
            with files.folder_beside(folder) as aside, contextlib.suppress(OSError):
                folder.rename(aside / "old")
        try:
            made.rename(folder)
            return digest
        except OSError:
            if not folder.exists():
                raise
    raise OSError(f"{folder} keeps being remade by other processes with other settings")


STUDIO = Channel(low=70.0, noise=-50.0)
"""The one channel of :func:`through_one_channel`: our choice, the middle of the English corpus."""


def through_one_channel(
    corpus: str, folder: Path, *, seed: int = 0, jobs: int = 2, max_speakers: int | None = None
) -> None:
    """Make the clips of a synthetic corpus anew, with one channel for all speakers: a control.

    In the corpora each speaker has a channel of their own, as people have, so a model that tells
    speakers apart may know the voice or the recording. What still tells them apart here is the
    voice.
    """
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    plan = make_plan(corpus, seed, max_speakers=max_speakers)
    run_tasks(
        [Task(replace(batch, channel=STUDIO), folder) for batch in plan], jobs, lambda _: None
    )
