"""A control for the channel: the voices of a synthetic corpus, all through one microphone.

In the corpora of the course each speaker has a channel of their own (:mod:`.channel`), as people
have. So a model that tells speakers apart may know the voice, or the recording. Here the same
voices say the same words through one channel: what still tells them apart is the voice.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lowser_lib.corpora.synthetic.channel import Channel
from lowser_lib.corpora.synthetic.plan import make_plan
from lowser_lib.corpora.synthetic.worker import Task, run_tasks

STUDIO = Channel(low=70.0, noise=-50.0)
"""The one channel: our choice, the middle of what the English corpus has."""


def through_one_channel(
    corpus: str, folder: Path, *, seed: int = 0, jobs: int = 2, max_speakers: int | None = None
) -> None:
    """Make the clips of a synthetic corpus anew, with one channel for all speakers.

    Args:
        corpus: its name.
        folder: where to; gets ``audio/`` with the corpus's own file names.
        seed: of the corpus.
        jobs: number of processes.
        max_speakers: at most so many speakers a language and gender.

    Raises:
        SynthesisError: the synthesizer crashed and kept crashing.
    """
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    plan = make_plan(corpus, seed, max_speakers=max_speakers)
    run_tasks(
        [Task(replace(batch, channel=STUDIO), folder) for batch in plan], jobs, lambda _: None
    )
