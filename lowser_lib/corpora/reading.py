"""From a corpus folder to manifest rows: parse, then read each file's header."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import joblib

from lowser_lib.corpora.base import Corpus, Exclusion, Row, Utterance
from lowser_lib.corpora.headers import read_header
from lowser_lib.corpora.registry import get
from lowser_lib.errors import CorpusError


def read(name: str, root: Path, jobs: int = 1) -> tuple[list[Row], list[Exclusion]]:
    """Read a corpus: what its parser finds, with duration and sample rate from the headers.

    No audio is decoded here; a header may promise more than the file holds, which
    :func:`lowser_lib.audio.check_files` finds out.

    Args:
        name: A registered name or ``table:NAME``.
        root: The corpora root; the corpus lies in ``root/NAME``.
        jobs: Threads that read headers; -1 takes one a core.

    Returns:
        Rows in the parser's order, and what was left out with the reason of each.

    Raises:
        CorpusError: The corpus is unknown, its folder is missing, or a table without which nothing
            can be read.
    """
    corpus = get(name)
    return to_rows(corpus, root, corpus.utterances(corpus_folder(corpus, root)), jobs)


def corpus_folder(corpus: Corpus, root: Path) -> Path:
    """Give the folder of a corpus, after making sure that it is there.

    Raises:
        CorpusError: It is not; the message tells how to get the corpus and the layout to put down.
    """
    folder = Path(root) / corpus.name
    if folder.is_dir():
        return folder
    if corpus.card.synthetic:
        remedy = f"it is {corpus.card.where}"
    elif corpus.card.downloadable:
        remedy = (
            f"fetch it with `python data_scripts/download_corpora.py {corpus.name} --root {root}` "
            f"or by hand ({corpus.card.where})"
        )
    else:
        remedy = f"to get it: {corpus.card.where}"
    raise CorpusError(
        f"{corpus.name}: there is no folder {folder}; {remedy}. What has to lie in the folder: "
        f"{corpus.card.layout}. `lowser corpora list` shows what is in place"
    )


def to_rows(
    corpus: Corpus, root: Path, found: Iterable[Utterance | Exclusion], jobs: int = 1
) -> tuple[list[Row], list[Exclusion]]:
    """Turn what a parser found into rows, reading each file's header.

    Args:
        corpus: Whose utterances they are.
        root: The corpora root.
        found: What the parser gave.
        jobs: Threads that read headers.

    Returns:
        Rows and exclusions; paths of both start with the corpus's name.
    """
    utterances: list[Utterance] = []
    exclusions: list[Exclusion] = []
    taken: dict[str, str] = {}
    for item in found:
        stem = str(PurePosixPath(item.path).with_suffix(""))
        if isinstance(item, Exclusion):
            exclusions.append(Exclusion(f"{corpus.name}/{item.path}", item.reason))
        elif stem in taken:
            # a.wav beside a.flac would give two rows one utterance_id.
            reason = f"differs from {taken[stem]} only in its ending, taken once"
            exclusions.append(Exclusion(f"{corpus.name}/{item.path}", reason))
        else:
            taken[stem] = item.path
            utterances.append(item)
    folder = Path(root) / corpus.name
    headers = joblib.Parallel(n_jobs=jobs, prefer="threads")(
        joblib.delayed(read_header)(folder / utterance.path) for utterance in utterances
    )
    rows: list[Row] = []
    for utterance, header in zip(utterances, headers, strict=True):
        if isinstance(header, str):
            exclusions.append(Exclusion(f"{corpus.name}/{utterance.path}", header))
        else:
            rows.append(_row(corpus.name, utterance, *header))
    return rows, exclusions


def _row(name: str, utterance: Utterance, duration: float, sample_rate: int) -> Row:
    """Put an utterance and its header together."""
    return Row(
        utterance_id=f"{name}/{PurePosixPath(utterance.path).with_suffix('')}",
        corpus=name,
        path=f"{name}/{utterance.path}",
        language=utterance.language,
        speaker=f"{name}/{utterance.speaker}",
        gender=utterance.gender,
        emotion=utterance.emotion,
        raw_label=utterance.raw_label,
        text_id=utterance.text_id,
        duration=duration,
        sample_rate=sample_rate,
    )
