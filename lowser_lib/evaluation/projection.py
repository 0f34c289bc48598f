"""Embeddings drawn on a plane by t-SNE (van der Maaten and Hinton 2008, JMLR 9, 2579–2605).

t-SNE keeps neighbours together and says little else: distances between clusters, their sizes and
their densities mean nothing, and random numbers draw clusters too where perplexity is low. It shows
what a classifier or a nearest neighbour has measured; it is no measurement itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lowser_lib.errors import EvaluationError

#: Neighbours that the method looks at, as a multiple of the perplexity; van der Maaten 2014 (JMLR
#: 15, section 4.1). A picture of fewer points would have every point near every other.
NEIGHBOURS = 3


def tsne(embeddings: ArrayLike, seed: int = 0, perplexity: float = 30.0) -> NDArray[np.float64]:
    """Place embeddings on a plane, neighbours beside each other.

    The picture begins with the first two principal components (Kobak and Berens 2019) and is drawn
    with one thread: the same numbers give the same picture, however many threads there are. Scale
    features before, where they have units of their own.

    Args:
        embeddings: Shape (n, d), finite, d at least 2; one clip a row.
        seed: Of the little that is drawn, from 0 to 2**32 - 1.
        perplexity: About how many neighbours a point has, at least 1. 30 is van der Maaten's.

    Returns:
        Shape (n, 2), in the order given. The unit is the method's own.

    Raises:
        EvaluationError: The shape is wrong, a value is not finite, all points are one, or there
            are too few for this perplexity: more than 3 × perplexity are needed.
        ValueError: ``perplexity`` is below 1 or not finite.
    """
    if not (perplexity >= 1 and np.isfinite(perplexity)):
        raise ValueError(f"perplexity must be at least 1 and finite, not {perplexity!r}")
    points = np.asarray(embeddings, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] < 2:
        raise EvaluationError(
            f"embeddings must have shape (clips, dimension), 2 dimensions at least, not "
            f"{points.shape}"
        )
    if not np.isfinite(points).all():
        raise EvaluationError(
            f"embeddings: {int((~np.isfinite(points)).any(axis=1).sum())} of {len(points)} clips "
            "have values that are not finite; look for damaged inputs or a training that diverged"
        )
    if len(points) <= NEIGHBOURS * perplexity:
        fitting = (len(points) - 1) / NEIGHBOURS
        remedy = f"lower perplexity to {fitting:.3g}, or " if fitting >= 1 else ""
        raise EvaluationError(
            f"{len(points)} points are too few for a perplexity of {perplexity:g}, which needs "
            f"more than {NEIGHBOURS * perplexity:g}: {remedy}take more clips"
        )
    if (points == points[0]).all():
        raise EvaluationError(
            f"all {len(points)} embeddings are the same: there is nothing to draw. Training has "
            "collapsed, or one clip was given many times"
        )
    # Neither the unit nor the offset of all points matters; without them nothing overflows.
    points = points - points.mean(axis=0)
    points /= np.abs(points).max()
    with threadpool_limits(1):  # sums of several threads are rounded otherwise
        placed = TSNE(
            perplexity=perplexity,
            init="pca",
            learning_rate="auto",
            random_state=seed,
            n_jobs=1,
        ).fit_transform(points)
    return np.asarray(placed, dtype=np.float64)
