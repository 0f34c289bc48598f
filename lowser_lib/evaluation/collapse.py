"""Has a network learned to say the same of every clip? Four figures of its embeddings.

An objective without negatives, such as BYOL's, costs nothing where all embeddings are one; the loss
then looks better than ever. So the embeddings themselves are looked at, in each epoch.

* :func:`spread`: standard deviation of embeddings of length 1, per dimension, times √d. 0 where all
  are the same, 1 where they point everywhere alike (Chen and He 2021, *SimSiam*, arXiv 2011.10566,
  section 4.1).
* :func:`effective_rank`: of how many dimensions use is made (Roy and Vetterli 2007, *The effective
  rank*; Garrido et al. 2023, *RankMe*, arXiv 2210.02885).
* :func:`uniformity` and :func:`pair_alignment`: how evenly embeddings fill the sphere, and how near
  those of positive pairs are (Wang and Isola 2020, arXiv 2005.10242). Smaller is better in both,
  and collapse makes the second perfect at the cost of the first.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import svdvals
from scipy.spatial.distance import pdist

from lowser_lib.errors import EvaluationError, require

#: Collapsed: a spread or effective rank below this share of what it was at first. Set on seeds 0
#: and 1 of the toy in the tests and of a tiny Whisper on toy speech, 90 to 300 steps of BYOL alone:
#: without a predictor, or with τ = 0 and none, spread and rank fell to 0.02–0.33 of their first
#: values, with τ = 0 the rank of the tiny Whisper to 0.39; healthy runs kept 0.65 and more. The
#: tests judge other seeds.
SHARE = 0.5

#: Collapsed whatever it was at first: a spread below this means a mean cosine of about
#: 1 − 0.1² = 0.99 between any two clips. Our choice.
LEAST_SPREAD = 0.1

#: Nearer than this, the two views of a clip are one and the same but for rounding.
SAME = 1e-6


def spread(embeddings: ArrayLike) -> float:
    """Standard deviation of embeddings of length 1, mean over the dimensions, times √d.

    Args:
        embeddings: Shape (n, d), finite, at least two; zero vectors stay zero.

    Returns:
        0 for embeddings that all point one way; about 1 for directions drawn evenly; at most 1,
        since the squares add up to 1 at most.

    Raises:
        EvaluationError: The shape is wrong, or a value is not finite.
    """
    directions = _directions(embeddings)
    return float(directions.std(axis=0).mean() * np.sqrt(directions.shape[1]))


def effective_rank(embeddings: ArrayLike) -> float:
    """Exponential of the entropy of the singular values' shares.

    Of the matrix as it is, neither centred nor normalised, as in RankMe: where all embeddings are
    nearly one vector, that vector's singular value is nearly all there is, and the rank nearly 1.

    Args:
        embeddings: Shape (n, d), finite, at least two.

    Returns:
        From 1 (all in one direction) to the smaller of n and d (all directions alike). 0 where all
        embeddings are zero.

    Raises:
        EvaluationError: The shape is wrong, or a value is not finite.
    """
    values = svdvals(_matrix(embeddings))
    if not values.sum() > 0:
        return 0.0
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def uniformity(embeddings: ArrayLike, t: float = 2.0) -> float:
    """Log of the mean of exp(−t · squared distance), over all pairs of embeddings of length 1.

    Args:
        embeddings: Shape (n, d), finite, at least two.
        t: Above 0; 2 as in Wang and Isola 2020.

    Returns:
        At most 0, which is that of embeddings that all point one way; about −2t for directions
        drawn evenly in many dimensions.

    Raises:
        EvaluationError: The shape is wrong, or a value is not finite.
        ValueError: ``t`` is not above 0.
    """
    require("(0, inf]", t=t)
    distances = pdist(_directions(embeddings), "sqeuclidean")
    return float(np.log(np.exp(-t * distances).mean()))


def pair_alignment(embeddings: ArrayLike, labels: ArrayLike, alpha: float = 2.0) -> float:
    """Mean distance, to the power of ``alpha``, of positive pairs of embeddings of length 1.

    Args:
        embeddings: Shape (n, d), finite, at least two.
        labels: Shape (n,): all pairs with the same label are positive. For two views of each clip,
            the clip's number.
        alpha: Above 0; 2 as in Wang and Isola 2020.

    Returns:
        0 where the two of a pair always point the same way, at most 2 to the power of ``alpha``;
        NaN, "not estimable", where no two clips share a label.

    Raises:
        EvaluationError: The shape is wrong, or a value is not finite.
        ValueError: ``alpha`` is not above 0.
    """
    require("(0, inf]", alpha=alpha)
    directions, names = _directions(embeddings), np.asarray(labels)
    if names.shape != (len(directions),):
        raise EvaluationError(
            f"labels must have one value for each of {len(directions)} clips, not shape "
            f"{names.shape}"
        )
    first, second = np.triu_indices(len(names), 1)  # in the order of pdist
    positive = names[first] == names[second]
    distances = pdist(directions)[positive]
    return float((distances**alpha).mean()) if len(distances) else float("nan")


def collapse_figures(embeddings: ArrayLike, labels: ArrayLike | None = None) -> dict[str, float]:
    """All four figures: what a recipe's ``monitor`` is asked for after each epoch.

    Args:
        embeddings: Shape (n, d), finite, at least two.
        labels: Which embeddings are positives of each other, as in :func:`pair_alignment`; None:
            unknown.

    Returns:
        ``spread``, ``effective_rank``, ``uniformity``, and ``alignment`` where it can be told.

    Raises:
        EvaluationError: A shape is wrong, or a value is not finite.
    """
    figures = {
        "spread": spread(embeddings),
        "effective_rank": effective_rank(embeddings),
        "uniformity": uniformity(embeddings),
    }
    near = float("nan") if labels is None else pair_alignment(embeddings, labels)
    return figures if np.isnan(near) else {**figures, "alignment": near}


class Verdict(NamedTuple):
    """Whether embeddings have collapsed.

    Attributes:
        collapsed: Whether they all point one way, or use few of the dimensions they used at first.
        reason: What was found and what the likely causes are; empty where nothing was. Views that
            are all the same are named here, too: they do not collapse embeddings, but teach
            nothing.
    """

    collapsed: bool
    reason: str


def judge_collapse(
    figures: Mapping[str, float], start: Mapping[str, float] | None = None
) -> Verdict:
    """Say whether embeddings have collapsed, and warn where they have.

    Args:
        figures: As :func:`collapse_figures` gives them.
        start: The same, early in training: what use was made of the space before. None: unknown,
            and only an outright collapse is found.

    Returns:
        The verdict; its reason is also warned of.
    """
    signs = []
    if figures["spread"] < LEAST_SPREAD:
        signs.append(f"all embeddings point nearly the same way (spread {figures['spread']:.3f})")
    for name, words in (("spread", "the spread"), ("effective_rank", "the effective rank")):
        if start is not None and figures[name] < SHARE * start[name]:
            signs.append(f"{words} fell from {start[name]:.3g} to {figures[name]:.3g}")
    reason = ""
    if signs:
        reason = (
            f"embeddings have collapsed: {'; '.join(signs)}. Likely causes: no predictor; a target "
            "network that follows at once (τ near 0) or lets gradients through; a learning rate "
            "or weight decay too high; too little weight on the labels"
        )
    elif figures.get("alignment", 1.0) < SAME:
        reason = (
            "the two views of a clip are the same: there is nothing to learn from them. Likely "
            "cause: no augmentation (strength or probability 0)"
        )
    if reason:
        warnings.warn(reason, stacklevel=2)
    return Verdict(bool(signs), reason)


def judge_history(rows: Sequence[Mapping[str, float]], space: str = "projection") -> Verdict:
    """Say whether a training run collapsed: its last epoch beside its first.

    Args:
        rows: One an epoch, of a run with :func:`collapse_figures` as its monitor; see
            :class:`lowser_lib.training.History`.
        space: What the names of its figures begin with: ``"projection"`` (what a loss compares,
            and what collapses first), ``"embedding"``, or of one view alone, such as
            ``"mel_projection"``.

    Returns:
        The verdict; its reason is also warned of.

    Raises:
        EvaluationError: The run was not monitored.
    """
    prefix = f"{space}_"
    first, last = (
        {name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)}
        for row in ((rows[0], rows[-1]) if rows else ({}, {}))
    )
    if not (first and last):
        raise EvaluationError(
            f"the history has no figures of {space}s: train with monitor=collapse_figures"
        )
    return judge_collapse(last, first)


def _directions(embeddings: ArrayLike) -> NDArray[np.float64]:
    """Embeddings at length 1; zero vectors stay zero."""
    matrix = _matrix(embeddings)
    # Divided by the largest entry first, so that no square overflows or vanishes.
    largest = np.abs(matrix).max(axis=1, keepdims=True)
    matrix = np.divide(matrix, largest, out=np.zeros_like(matrix), where=largest > 0)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.divide(matrix, lengths, out=np.zeros_like(matrix), where=lengths > 0)


def _matrix(embeddings: ArrayLike) -> NDArray[np.float64]:
    """Make sure that embeddings are a finite matrix with at least two rows."""
    matrix = np.asarray(embeddings, dtype=np.float64)
    if matrix.ndim != 2 or len(matrix) < 2 or not matrix.size or not np.isfinite(matrix).all():
        raise EvaluationError(
            "embeddings must be finite and of shape (clips, dimension), two clips at least, not of "
            f"shape {matrix.shape} with {int((~np.isfinite(matrix)).sum())} values that are not "
            "finite"
        )
    return matrix
