"""The pairwise loss: several views of one clip come together, two views at a time.

Khaertdinov et al. 2024 (arXiv 2406.07900) give each view of a clip an encoder and a projection of
its own, take NT-Xent for each pair of views, and combine. With z^a_i the projection of clip i in
view a, and s(u, v) the cosine of two projections over the temperature, the two views a and b of N
clips cost

    l(a, b) = 1/2N Σ_i [ −log( exp s(z^a_i, z^b_i) / Σ_{u ∈ A(i)} exp s(z^a_i, u) ) + the same,
                         a and b exchanged ],

and the loss is the mean of l over all unordered pairs of views. A(i) holds all clips of view b, the
positive among them, and, with ``within_view_negatives``, the other clips of view a. With them l is
NT-Xent as in SimCLR (Chen et al. 2020, equation 1); without, it is the symmetric loss between
modalities of CLIP (Radford et al. 2021, arXiv 2103.00020).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

from lowser_lib.errors import require
from lowser_lib.losses.nt_xent import check_points, nt_xent, unit_length


def pairwise_nt_xent(
    views: Sequence[Tensor], temperature: float = 0.1, within_view_negatives: bool = True
) -> Tensor:
    """Mean over all unordered pairs of views of the symmetric loss of two views.

    With two views and ``within_view_negatives``, equal to lightly's ``NTXentLoss``. That the mean
    is taken, so that the number of views does not change the loss's size, is our choice; so is the
    default of the switch.

    Computed in at least float32, also under autocast. A zero vector has similarity 0 to all others,
    and no gradient. A single clip has no negative and costs 0. Values that are not finite make the
    loss NaN.

    Args:
        views: two or more tensors ``(N, D)``, floating point; row i of each is the same clip. Need
            not be normalised.
        temperature: above 0. 0.1 is our choice, the value that SimCLR found best.
        within_view_negatives: whether the other clips of the anchor's own view are negatives too.
            Without them nothing keeps two clips apart within a view, but for the other view.

    Returns:
        The loss, a scalar of at least 0: float64 for float64 views, otherwise float32.

    Raises:
        ValueError: there are fewer than two views, or their shapes, types or the temperature are
            wrong.
    """
    _check_arguments(views, temperature)
    two_views = _with_own_view if within_view_negatives else _between_views
    losses = [two_views(*pair, temperature) for pair in combinations(views, 2)]
    return torch.stack(losses).mean()


def _with_own_view(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """l(a, b) with negatives from both views: NT-Xent whose labels are the clips' numbers."""
    clips = torch.arange(len(first), device=first.device).repeat(2)
    return nt_xent(torch.cat([first, second]), clips, temperature)


def _between_views(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """l(a, b) with negatives from the other view alone: two cross-entropies over N clips."""
    exact = torch.promote_types(torch.promote_types(first.dtype, second.dtype), torch.float32)
    with torch.autocast(first.device.type, enabled=False):
        rows, columns = (unit_length(view.to(exact)) for view in (first, second))
        scores = rows @ columns.T / temperature
        clips = torch.arange(len(scores), device=scores.device)
        return (F.cross_entropy(scores, clips) + F.cross_entropy(scores.T, clips)) / 2


def _check_arguments(views: Sequence[Tensor], temperature: float) -> None:
    """Raise ValueError for a wrong argument."""
    if isinstance(views, Tensor) or len(views) < 2:
        raise ValueError(
            "views must be a sequence of two or more tensors (clips, dimension), not "
            + (f"a tensor of shape {tuple(views.shape)}" if isinstance(views, Tensor)
               else f"{len(views)} of them")
        )  # fmt: skip
    for number, view in enumerate(views):
        check_points(f"views[{number}]", view)
        if view.shape != views[0].shape:
            raise ValueError(
                f"views[{number}] has shape {tuple(view.shape)}, but views[0] has "
                f"{tuple(views[0].shape)}: project all views to one width, row i the same clip"
            )
    require("(0, inf)", temperature=temperature)
