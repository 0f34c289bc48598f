"""How well embeddings tell speakers apart: is the nearest other clip the same speaker's?

A nearest neighbour needs no training, so the figure is that of the embeddings alone. Two clips of
one session share a microphone and a room, and two of one sentence its words; either may put them
side by side whoever speaks. So a clip's neighbour is looked for among the clips of *other* groups,
sessions or sentences, alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lowser_lib.errors import EvaluationError

#: Clips whose similarities to all others are in memory at once.
BLOCK = 1024
#: Similarities closer than this are equal: rounding decides nothing.
TIE = 1e-9


@dataclass(frozen=True)
class Identifiability:
    """How often the nearest clip of another group is the same speaker's.

    Attributes:
        accuracy: Share of the clips judged, in [0, 1].
        chance: The same for a neighbour drawn at random from the same candidates.
        n_clips: Clips judged.
        n_speakers: Their speakers.
        left_out: Clips that cannot be judged: their speaker has no clip in another group.
    """

    accuracy: float
    chance: float
    n_clips: int
    n_speakers: int
    left_out: int

    def __str__(self) -> str:
        return f"{self.accuracy:.2f} (chance {self.chance:.2f}, {self.n_clips} clips)"


def speaker_identifiability(
    embeddings: ArrayLike, speakers: ArrayLike, groups: ArrayLike | Sequence[object] | None = None
) -> Identifiability:
    """Accuracy of telling the speaker by the nearest neighbour, by cosine similarity.

    Where several clips are equally near, each counts for its share: embeddings that are all the
    same score exactly what chance does. A zero vector is equally near to all.

    Args:
        embeddings: Shape (n, d), finite; one clip a row.
        speakers: Who speaks each clip, shape (n,).
        groups: Session or sentence of each clip, shape (n,): neighbours come from other groups. A
            clip without one (None, NaN) is a group by itself. None: every clip is.

    Returns:
        The result, over the clips that have a clip of the same speaker among their candidates.
        Those that have none, and would be wrong whatever the embedding, are counted apart.

    Raises:
        EvaluationError: Shapes do not agree, a speaker is missing, a value is not finite, or no
            clip can be judged.
    """
    vectors = np.asarray(embeddings, dtype=np.float64)
    if vectors.ndim != 2 or not vectors.size or not np.isfinite(vectors).all():
        raise EvaluationError(
            f"embeddings must be finite and of shape (clips, dimension), not of {vectors.shape} "
            f"with {int((~np.isfinite(vectors)).sum())} values that are not finite"
        )
    speaker = _codes(speakers, len(vectors), "speakers")
    if (speaker < 0).any():
        raise EvaluationError(
            f"speakers: {int((speaker < 0).sum())} of {len(speaker)} clips have none; leave them "
            "out"
        )
    group = np.full(len(vectors), -1) if groups is None else _codes(groups, len(vectors), "groups")
    alone = group < 0
    group = np.where(alone, group.max() + 1 + np.cumsum(alone), group)

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    parts = [
        _judge(directions, speaker, group, slice(start, start + BLOCK))
        for start in range(0, len(vectors), BLOCK)
    ]
    right, chance = (np.concatenate(values) for values in zip(*parts, strict=True))
    judged = chance > 0
    if not judged.any():
        raise EvaluationError(
            "no speaker has clips in two groups: there is nothing to compare; leave groups out, or "
            "take clips of several sessions or sentences"
        )
    return Identifiability(
        accuracy=float(right[judged].mean()),
        chance=float(chance[judged].mean()),
        n_clips=int(judged.sum()),
        n_speakers=len(np.unique(speaker[judged])),
        left_out=int((~judged).sum()),
    )


def _judge(
    directions: NDArray[np.float64],
    speaker: NDArray[np.int64],
    group: NDArray[np.int64],
    rows: slice,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each clip of a block: the share of its nearest, and of its candidates, that are right."""
    candidate = group[rows, None] != group
    same = (speaker[rows, None] == speaker) & candidate
    similarity = np.where(candidate, directions[rows] @ directions.T, -np.inf)
    nearest = candidate & (similarity >= similarity.max(axis=1, keepdims=True) - TIE)
    return _share(same & nearest, nearest), _share(same, candidate)


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of each row's entries; 0 where there are none."""
    return part.sum(axis=1) / np.maximum(whole.sum(axis=1), 1)


def _codes(values: ArrayLike | Sequence[object], n: int, name: str) -> NDArray[np.int64]:
    """Values as whole numbers, -1 where one is missing."""
    column = np.asarray(values, dtype=object)
    if column.shape != (n,):
        raise EvaluationError(
            f"{name} must have one value for each of {n} clips, not shape {column.shape}"
        )
    return np.asarray(pd.factorize(column)[0], dtype=np.int64)
