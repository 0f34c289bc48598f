"""Listening games: one speaker, the same words, several emotions, in an order that is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lowser_lib import audio
from lowser_lib.course import display

Waveform = NDArray[Any]


def one_of_each(
    clips: pd.DataFrame, emotions: Sequence[str], roots: Sequence[Path], seed: int = 0
) -> dict[str, Waveform]:
    """Choose a clip of each emotion: one speaker, the same words, where the corpus has that.

    Args:
        clips: A manifest that holds every one of the emotions.
        emotions: Which.
        roots: Folders below which the files lie.
        seed: Which of the speakers and sentences that have all emotions; no chance is involved.

    Returns:
        Emotion to its waveform, (samples,) at 16 kHz.

    Raises:
        ValueError: The clips lack one of the emotions.
    """
    lacking = sorted(set(emotions) - set(clips["emotion"].dropna()))
    if lacking:
        raise ValueError(f"clips must hold every emotion asked for, but lack {lacking}")
    groups = [group for _, group in clips.groupby(["speaker", "text_id"], dropna=False)]
    complete = [group for group in groups if set(emotions) <= set(group["emotion"])]
    chosen = complete[seed % len(complete)] if complete else clips
    first = chosen.drop_duplicates("emotion").set_index("emotion")["path"]
    return {emotion: audio.load_audio(audio.locate(first[emotion], roots)) for emotion in emotions}


def shuffled(
    sounds: Mapping[str, Waveform], letters: str, seed: int = 0
) -> tuple[dict[str, Waveform], dict[str, str]]:
    """Hide what each sound is behind a letter.

    Args:
        sounds: Name to waveform.
        letters: One letter a sound.
        seed: Of the order.

    Returns:
        Letter to waveform, and letter to name.
    """
    order = np.random.default_rng(seed).permutation(list(sounds))
    answers = {letter: str(name) for letter, name in zip(letters, order, strict=True)}
    return {letter: sounds[name] for letter, name in answers.items()}, answers


def which_is(
    wanted: str, pairs: Mapping[str, Mapping[str, Waveform]], seed: int = 0
) -> tuple[dict[str, Waveform], list[display.Question]]:
    """Ask of several pairs of sounds which one is the wanted one.

    Args:
        wanted: Name of the sound that is asked for, in every pair.
        pairs: Name of the pair to its two sounds by name.
        seed: Of the order; the wanted one does not come first everywhere.

    Returns:
        Sounds by label, such as ``Urdu 1``, and one question a pair.
    """
    turned = np.random.default_rng(seed).permutation(len(pairs)) % 2
    sounds: dict[str, Waveform] = {}
    questions = []
    for (name, pair), turn in zip(pairs.items(), turned, strict=True):
        labels = {f"{name} {n}": kind for n, kind in enumerate(list(pair)[:: 1 - 2 * turn], 1)}
        sounds |= {label: pair[kind] for label, kind in labels.items()}
        options = {label: f"this one is {kind}." for label, kind in labels.items()}
        right = next(label for label, kind in labels.items() if kind == wanted)
        questions.append(display.choices(f"{name}: which clip is {wanted}?", options, right=right))
    return sounds, questions
