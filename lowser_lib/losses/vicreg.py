"""VICReg: two views of a clip agree, and neither the spread nor the independence of features goes.

Bardes, Ponce and LeCun 2022 (*VICReg*, arXiv 2105.04906). BYOL is kept from one answer for all by
how its networks are trained; here the loss itself forbids it. With Z the projections of N clips in
D features, and Z′ those of another view of the same clips,

    λ · s(Z, Z′) + μ · [v(Z) + v(Z′)] + ν · [c(Z) + c(Z′)]

holds three terms, each a function of its own below: invariance s, variance v, covariance c
(equations 1 to 6; that v is halved over the two views is what the authors' code and lightly do).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lowser_lib.errors import require

#: Added to a variance before its root, which has no slope at 0; the paper's.
EPSILON = 1e-4


def invariance(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared difference of two views ``(N, D)``, over clips and features: a scalar."""
    return F.mse_loss(first, second)


def variance(points: Tensor) -> Tensor:
    """How far features ``(N, D)`` fall short of deviation 1: the mean of max(0, 1 − deviation)."""
    deviations = (points.var(dim=0) + EPSILON).sqrt()
    return F.relu(1 - deviations).mean()


def covariance(points: Tensor) -> Tensor:
    """Squared covariances of different features ``(N, D)``, summed and divided by D."""
    n, d = points.shape
    centred = points - points.mean(dim=0)
    squares = (centred.T @ centred / (n - 1)).square()
    return (squares.sum() - squares.diagonal().sum()) / d


def vicreg_loss(
    first: Tensor, second: Tensor, weights: tuple[float, float, float] = (25.0, 25.0, 1.0)
) -> dict[str, Tensor]:
    """The three terms of two views of the same clips, and their weighted sum.

    Computed in at least float32, also under autocast.

    Args:
        first: ``(N, D)`` floating point, N at least 2; not normalised.
        second: ``(N, D)``, of the same clips in the same order.
        weights: λ, μ and ν, at least 0; the paper's by default.

    Returns:
        ``loss``, ``invariance``, ``variance`` (half of the sum over both views) and ``covariance``
        (the sum over both views).

    Raises:
        ValueError: a shape, a type or a weight is wrong.
    """
    for name, points in (("first", first), ("second", second)):
        if points.ndim != 2 or len(points) < 2 or not points.is_floating_point():
            raise ValueError(
                f"{name} must be floating point of shape (clips, dimension), of two clips at "
                f"least, not {points.dtype} of shape {tuple(points.shape)}"
            )
    if first.shape != second.shape:
        shapes = f"{tuple(first.shape)} and {tuple(second.shape)}"
        raise ValueError(f"first and second must have the same shape, not {shapes}")
    for weight in weights:
        require("[0, inf)", weights=weight)
    with torch.autocast(first.device.type, enabled=False):
        first, second = (
            points.to(torch.promote_types(points.dtype, torch.float32))
            for points in (first, second)
        )
        terms = {
            "invariance": invariance(first, second),
            "variance": (variance(first) + variance(second)) / 2,
            "covariance": covariance(first) + covariance(second),
        }
        weighted = [w * term for w, term in zip(weights, terms.values(), strict=True)]
        return {"loss": torch.stack(weighted).sum(), **terms}
