"""Speech that is skewed on purpose, by a known amount: by gender, or in its words.

In an acted corpus every emotion is said in the same sentences, so that words cannot give it away.
Elsewhere they do: an angry caller complains, a happy one thanks. A model that has heard such speech
may listen to the words alone and look as if it heard emotions: *lexical leakage*. How much of a
score is words can only be told where the lean is known, so here it is made: some sentences become
an emotion's *own*, and it says them more often than others do.

A draw of lean λ takes a share λ of each emotion's clips from its own sentences alone, and the rest
evenly from all sentences. At 0 the words say nothing, at 1 they say everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd

from lowser_lib.errors import SplitError, require
from lowser_lib.manifest import EMOTIONS, NO_EMOTION

ROLES = ("own", "nobody's", "another's")
"""Whose a clip's sentence is: of the emotion that it is said in, of none, or of another."""


def own_sentences(manifest: pd.DataFrame, seed: int) -> dict[str, tuple[str, ...]]:
    """Deal the sentences out to the emotions, as many to each; what is left over is nobody's.

    Args:
        manifest: A manifest with the column ``text_id``; clips without a sentence do not count.
        seed: Another seed deals otherwise.

    Returns:
        Emotion to its own sentences, sorted.

    Raises:
        SplitError: There are fewer sentences than emotions.
    """
    sentences = np.sort(manifest["text_id"].dropna().unique().astype(str))
    each = len(sentences) // len(EMOTIONS)
    if not each:
        raise SplitError(
            f"{len(sentences)} sentences cannot be dealt out to {len(EMOTIONS)} emotions; take a "
            "corpus whose text_id names more"
        )
    dealt = np.random.default_rng(seed).permutation(sentences)
    return {
        emotion: tuple(sorted(map(str, dealt[place * each : (place + 1) * each])))
        for place, emotion in enumerate(EMOTIONS)
    }


def roles(manifest: pd.DataFrame, owners: Mapping[str, tuple[str, ...]]) -> np.ndarray:
    """Whose sentence each clip says.

    Args:
        manifest: A manifest whose rows all have an emotion.
        owners: Emotion to its own sentences, as of :func:`own_sentences`.

    Returns:
        One of :data:`ROLES` a clip, shape (n,).
    """
    owner = {text: emotion for emotion, texts in owners.items() for text in texts}
    of_text = manifest["text_id"].map(owner).to_numpy(dtype=object)
    emotion = manifest["emotion"].to_numpy(dtype=object)
    return np.where(pd.isna(of_text), ROLES[1], np.where(of_text == emotion, ROLES[0], ROLES[2]))


def room(manifest: pd.DataFrame, owners: Mapping[str, tuple[str, ...]]) -> int:
    """The most clips that :func:`leaning` can draw whatever the lean.

    Args:
        manifest: A manifest in which every emotion says all sentences.
        owners: Emotion to its own sentences.

    Returns:
        A multiple of four; 0 where an emotion never says one of its own.
    """
    cells = manifest.groupby(["emotion", "text_id"]).size()
    every = {str(text) for text in manifest["text_id"].dropna()}
    least = min(
        cells.get((emotion, text), 0) for emotion, texts in owners.items() for text in texts
    )
    spread = min(cells.get((emotion, text), 0) for emotion in owners for text in every)
    fewest = min(len(texts) for texts in owners.values())
    return len(EMOTIONS) * int(min(fewest * least, len(every) * spread))


def leaning(
    manifest: pd.DataFrame,
    lean: float,
    total: int,
    seed: int,
    owners: Mapping[str, tuple[str, ...]] | None = None,
) -> pd.DataFrame:
    """Draw clips whose words lean toward the emotion.

    The number of clips, and of each emotion, is the same whatever the lean. Speakers take turns.

    Args:
        manifest: A manifest; rows without an emotion or a sentence are never drawn.
        lean: From 0, words say nothing, to 1, each emotion says its own sentences alone.
        total: Clips drawn, a multiple of four; see :func:`room`.
        seed: Another seed draws others.
        owners: Emotion to its own sentences; None: :func:`own_sentences` of this seed. Speech that
            is to lean the same way, such as that of other speakers, has to be given the same.

    Returns:
        The rows drawn, in manifest order.

    Raises:
        SplitError: An emotion has too few clips of a sentence.
        ValueError: A number is out of range.
    """
    require("[0, 1]", lean=lean)
    if total < len(EMOTIONS) or total % len(EMOTIONS):
        raise ValueError(f"total must be a multiple of {len(EMOTIONS)} above 0, got {total}")
    owners = owners or own_sentences(manifest, seed)
    generator = np.random.default_rng(seed)
    sentences = np.sort(manifest["text_id"].dropna().unique().astype(str))
    order = np.argsort(manifest["utterance_id"].to_numpy(dtype=str), kind="stable")
    emotions, texts, speakers = (
        manifest[column].to_numpy(dtype=object)[order]
        for column in ("emotion", "text_id", "speaker")
    )
    drawn = np.zeros(len(manifest), dtype=bool)
    for emotion in EMOTIONS:
        turns: Counter[str] = Counter()  # clips that each speaker has given to this emotion
        for text, count in _counts(sentences, owners[emotion], lean, total, generator).items():
            cell = np.flatnonzero((emotions == emotion) & (texts == text))
            if len(cell) < count:
                raise SplitError(
                    f"{count} clips of {emotion} with sentence {text} are needed, but there are "
                    f"{len(cell)}: ask for fewer than {total} clips, or a smaller lean"
                )
            cell = generator.permutation(cell)
            before = pd.Series(speakers[cell]).groupby(speakers[cell]).cumcount().to_numpy()
            given = before + np.array([turns[speaker] for speaker in speakers[cell]], dtype=int)
            chosen = cell[np.argsort(given, kind="stable")[:count]]
            drawn[order[chosen]] = True
            turns.update(speakers[chosen])
    return manifest[drawn]


def _counts(
    sentences: np.ndarray,
    texts: tuple[str, ...],
    lean: float,
    total: int,
    generator: np.random.Generator,
) -> dict[str, int]:
    """Clips of each sentence for one emotion: whole numbers that add up, own sentences first."""
    others = [text for text in sentences if text not in texts]
    order = [*generator.permutation(np.array(texts)), *generator.permutation(np.array(others))]
    shares = [
        (1 - lean) / len(order) + (lean / len(texts) if text in texts else 0) for text in order
    ]
    # Rounding the running total, not each count, makes them add up to the emotion's clips. Half a
    # clip more or less by rounding of the machine is taken away first.
    ends = np.floor(np.cumsum(shares) * (total // len(EMOTIONS)) + 0.5 - 1e-9).astype(int)
    return dict(zip(map(str, order), map(int, np.diff(ends, prepend=0)), strict=True))


def skewed(
    manifest: pd.DataFrame,
    share: float,
    total: int,
    seed: int,
    *,
    column: str = "gender",
    value: str = "male",
) -> pd.DataFrame:
    """Draw clips so that one group has a given share of them, the same in every class.

    What a skew does is seen where nothing else changes: the number of clips and of each class is
    the same whatever the share. Within a group's clips of a class, speakers take turns. Unlabelled
    speech, in which no row has an emotion, is drawn as one class.

    Args:
        manifest: A manifest; rows without an emotion beside labelled ones, or of gender
            ``unknown``, are never drawn.
        share: The group's share, from 0 to 1.
        total: Clips drawn, a multiple of four where they are labelled.
        seed: Another seed draws others.
        column: The column that names the groups.
        value: The group; all others together have the rest.

    Returns:
        The rows drawn, in manifest order.

    Raises:
        SplitError: A group has too few rows of a class.
        ValueError: A number is out of range.
    """
    require("[0, 1]", share=share)
    emotion_of = manifest["emotion"].to_numpy(dtype=object)
    if manifest["emotion"].isna().all():
        emotion_of = np.full(len(manifest), NO_EMOTION, dtype=object)
    classes = [NO_EMOTION] if NO_EMOTION in emotion_of else list(EMOTIONS)
    if total < len(classes) or total % len(classes):
        raise ValueError(f"total must be a multiple of {len(classes)} above 0, got {total}")
    per_class = total // len(classes)
    wanted = {True: round(share * per_class)}
    wanted[False] = per_class - wanted[True]
    generator = np.random.default_rng(seed)
    drawn = np.zeros(len(manifest), dtype=bool)
    identifiers = manifest["utterance_id"].to_numpy(dtype=object)
    speakers = manifest["speaker"].to_numpy(dtype=object)
    known = (manifest[column] != "unknown").to_numpy(dtype=bool)
    ours = (manifest[column] == value).to_numpy(dtype=bool)
    for emotion in classes:
        of_class = known & (emotion_of == emotion)
        for group, count in wanted.items():
            rows = np.flatnonzero(of_class & (ours == group))
            if len(rows) < count:
                raise SplitError(
                    f"{count} clips of {emotion} {'with' if group else 'without'} {column} {value} "
                    f"are needed, but there are {len(rows)}: ask for fewer clips, or another share"
                )
            rows = generator.permutation(rows[np.argsort(identifiers[rows])])
            turns = pd.Series(rows).groupby(speakers[rows]).cumcount().to_numpy()
            drawn[rows[np.argsort(turns, kind="stable")][:count]] = True
    return manifest[drawn]
