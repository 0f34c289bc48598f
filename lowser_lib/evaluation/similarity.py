"""What embeddings, and languages, have in common: PWCCA, t-SNE, distances between languages.

Canonical correlation analysis looks for the direction in ``x`` and the direction in ``y`` whose
values over the clips correlate best, then for the next best pair, uncorrelated with the first, and
so on. Morcos et al. 2018 (*Insights on representational similarity in neural networks with
canonical correlation*, arXiv 1806.05759, section 2.2) average the correlations, each weighted by
how much of ``x`` its direction accounts for: *projection-weighted* CCA. That makes the measure
lopsided: ``pwcca(x, y)`` asks how much of x is found in y.

Two embeddings that have nothing in common correlate by chance, and much so where clips are few: for
independent noise the mean square of the correlations is max(d1, d2) / (n − 1). :func:`noise_level`
gives its root, and :func:`pwcca` warns where that is high.

Embeddings are drawn on a plane by t-SNE (van der Maaten and Hinton 2008, JMLR 9, 2579–2605).

t-SNE keeps neighbours together and says little else: distances between clusters, their sizes and
their densities mean nothing, and random numbers draw clusters too where perplexity is low. It shows
what a classifier or a nearest neighbour has measured; it is no measurement itself. How far apart
two languages are is told by how often they use which sounds.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Hashable, Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import qr, svd
from scipy.spatial.distance import jensenshannon
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lowser_lib.errors import EvaluationError, require

#: Level of noise from which on :func:`pwcca` warns. Our choice: below it, an alignment of half and
#: more is clearly not chance; it takes about 11 clips a dimension.
NOISY = 0.3


def pwcca(x: ArrayLike, y: ArrayLike) -> float:
    """Projection-weighted CCA of two sets of embeddings of the same clips.

    With h_i the values over the clips of the i-th canonical direction of x, ρ_i its correlation
    with its partner in y, and x_j the centred columns of x:

        pwcca = Σ_i α_i ρ_i / Σ_i α_i,    α_i = Σ_j |⟨h_i, x_j⟩|,    i = 1 … min(d1, d2).

    No invertible linear map of ``y`` changes it, nor a shift or a rotation of clips; a map of ``x``
    does change the weights. A column that is a sum of others adds nothing, and does no harm.

    Args:
        x: Shape (n, d1), finite, n above d1 and d2; one clip a row.
        y: Shape (n, d2), the same clips in the same order.

    Returns:
        A value in [0, 1]; 1 where all that is weighed in x is a linear function of y.

    Raises:
        EvaluationError: Shapes do not fit, a value is not finite, a column is constant, or there
            are not more clips than dimensions.
    """
    ours, theirs = _centred(x, "x"), _centred(y, "y")
    if len(ours) != len(theirs):
        raise EvaluationError(
            f"x has {len(ours)} clips and y {len(theirs)}: row i of both has to be the same clip"
        )
    level = noise_level(len(ours), ours.shape[1], theirs.shape[1])
    if level > NOISY:
        warnings.warn(
            f"{len(ours)} clips are few for embeddings of {ours.shape[1]} and {theirs.shape[1]} "
            f"dimensions: independent noise of these sizes has a PWCCA of about {level:.2f}. Take "
            "more clips, or reduce the dimensions first, and compare with shuffled clips",
            stacklevel=2,
        )
    basis, other = _basis(ours), _basis(theirs)
    rotation, correlations, _ = svd(basis.T @ other, full_matrices=False)
    weights = np.abs((basis @ rotation).T @ ours).sum(axis=1)
    # Rounding may lift a correlation above 1 by a digit.
    return float(weights @ correlations.clip(0, 1) / weights.sum())


def noise_level(n: int, d1: int, d2: int) -> float:
    """What PWCCA makes of independent noise, about: the root mean square of its correlations.

    Exact for the root mean square of Gaussian noise (the mean is a little lower); 1 where there are
    not more clips than dimensions.

    Args:
        n: Clips.
        d1: Dimensions of the one set.
        d2: Dimensions of the other.
    """
    require("1..", n=n, d1=d1, d2=d2)
    return math.sqrt(min(1.0, max(d1, d2) / max(1, n - 1)))


def _centred(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Columns less their means, checked."""
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2 or not matrix.size:
        raise EvaluationError(
            f"{name} must have shape (clips, dimension), one of each at least, not {matrix.shape}"
        )
    clips, dimensions = matrix.shape
    if not np.isfinite(matrix).all():
        raise EvaluationError(
            f"{name}: {int((~np.isfinite(matrix)).any(axis=1).sum())} of {clips} clips have values "
            "that are not finite; look for damaged inputs or a training that diverged"
        )
    if clips <= dimensions:
        raise EvaluationError(
            f"{name}: {clips} clips with {dimensions} dimensions correlate perfectly with anything;"
            f" PWCCA needs more than {dimensions} clips, better ten times as many. Take more, or "
            "reduce the dimensions first (PCA)"
        )
    constant = np.flatnonzero(np.ptp(matrix, axis=0) == 0)
    if len(constant):
        shown = ", ".join(map(str, constant[:5])) + (", ..." if len(constant) > 5 else "")
        raise EvaluationError(
            f"{name}: {len(constant)} of {dimensions} columns are constant ({shown}): a constant "
            "has no correlation. Leave them out; in an embedding they are units that died"
        )
    return np.asarray(matrix - matrix.mean(axis=0))


def _basis(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """Orthonormal basis (n, r) of the columns' span, r their rank.

    QR makes a tall matrix a small triangle; the triangle's SVD tells which directions there are.
    The columns are brought to one length first, so that a unit of measurement decides nothing.
    """
    scaled = centred / np.linalg.norm(centred, axis=0)
    orthogonal, triangle = qr(scaled, mode="economic")
    left, sizes, _ = svd(triangle)
    there = sizes > sizes[0] * len(scaled) * np.finfo(np.float64).eps
    return np.asarray(orthogonal @ left[:, there])


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
    require("[1, inf)", perplexity=perplexity)
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


def frequency_distance(first: Iterable[Hashable], second: Iterable[Hashable]) -> float:
    """Jensen–Shannon distance of two samples: the root of the divergence, logarithms to base 2.

    Endres and Schindelin 2003 (*A New Metric for Probability Distributions*) show that it is a
    metric. It compares how often each thing occurs, and knows nothing of order, nor of which things
    are alike: two neighbouring vowels differ as much as a vowel and a click.

    Args:
        first: Things that were counted, such as the phonemes of some sentences.
        second: The same of the other sample.

    Returns:
        0 where all frequencies are equal, 1 where nothing occurs in both.

    Raises:
        EvaluationError: A sample is empty.
    """
    counts = [Counter(first), Counter(second)]
    if not all(counts):
        raise EvaluationError("a sample is empty: there are no frequencies to compare")
    things = list(dict.fromkeys([*counts[0], *counts[1]]))
    shares = [np.array([count[thing] for thing in things]) / count.total() for count in counts]
    # Rounding may leave a tiny negative divergence, whose root is not a number.
    return float(np.nan_to_num(jensenshannon(*shares, base=2)))
