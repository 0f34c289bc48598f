"""Clips as vectors, made up of what a class, a voice and a channel do."""

from __future__ import annotations

import numpy as np

from lowser_lib.methods.frozen import Embedded


def corpus(
    name: str,
    seed: int,
    speakers: int = 6,
    clips: int = 12,
    moods: int | None = None,
    turn: float = 0.0,
) -> Embedded:
    """Made-up clips: a class, a voice and a channel shift them.

    ``moods`` are the classes of a speaker; ``turn`` is how far the classes lie elsewhere.
    """
    random = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(4, 8))
    directions = directions + turn * np.random.default_rng(seed + 50).normal(size=(4, 8))
    channel, voices = random.normal(0, 3, 8), random.normal(0, 1.5, (speakers, 8))
    who = np.repeat(np.arange(speakers), clips)
    labels = (np.arange(len(who)) % (moods or 4) + who * (moods or 4)) % 4
    rows = channel + voices[who] + 1.5 * directions[labels] + random.normal(size=(len(who), 8))
    names = [f"{name}/{number}" for number in who]
    return Embedded.of(rows, [name] * len(who), names, labels)


def together(*parts: Embedded) -> Embedded:
    columns = [(p.features, p.corpora, p.speakers, p.labels) for p in parts]
    return Embedded.of(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def accuracy(answers: np.ndarray, clips: Embedded) -> float:
    return float((answers.argmax(axis=1) == clips.labels).mean())
