"""BYOL: one network predicts what another, slower one says of the same clip heard otherwise.

Grill et al. 2020 (*Bootstrap your own latent*, arXiv 2006.07733, equation 2). With q the prediction
and z the target, both at length 1, a clip costs their squared distance,

    ‖q − z‖² = 2 − 2 · cos(q, z),

which lies between 0 (same direction) and 4 (opposite). There is no negative: nothing in the loss
keeps two clips apart, and the same answer for all of them costs nothing. What keeps the networks
from giving it is how they are trained, see :mod:`lowser_lib.methods.byol`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lowser_lib.losses.nt_xent import check_points, unit_length


def byol_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared distance of predictions and targets, all at length 1.

    Twice lightly's ``NegativeCosineSimilarity``, plus 2. Computed in at least float32, also under
    autocast. A zero vector has cosine 0 to everything: it costs 2, and has no gradient.

    Args:
        prediction: ``(N, D)`` floating point; need not be normalised.
        target: ``(N, D)``, of the same clips in the same order. No gradient flows into it.

    Returns:
        The loss, a scalar in [0, 4]: float64 where both are, otherwise float32.

    Raises:
        ValueError: a shape or type is wrong.
    """
    for name, value in (("prediction", prediction), ("target", target)):
        check_points(name, value)
    if prediction.shape != target.shape:
        raise ValueError(
            f"prediction and target must have the same shape, not {tuple(prediction.shape)} and "
            f"{tuple(target.shape)}"
        )
    precise = prediction.dtype == target.dtype == torch.float64
    dtype = torch.float64 if precise else torch.float32
    with torch.autocast(prediction.device.type, enabled=False):
        q, z = unit_length(prediction.to(dtype)), unit_length(target.detach().to(dtype))
        return 2 - 2 * (q * z).sum(dim=1).mean()


def symmetric_byol_loss(
    predictions: tuple[Tensor, Tensor], targets: tuple[Tensor, Tensor]
) -> Tensor:
    """BYOL over two views of the same clips: each predicts the other's target.

    The mean of both directions. Grill et al. 2020 (section 3.1) take their sum; the mean is our
    choice, so that a share λ of it means the same with one direction and with two.

    Args:
        predictions: of the first and of the second view, ``(N, D)`` each.
        targets: what the target network says of the first and of the second view, ``(N, D)`` each.

    Returns:
        The loss, a scalar in [0, 4].

    Raises:
        ValueError: see :func:`byol_loss`.
    """
    (first, second), (target_first, target_second) = predictions, targets
    return (byol_loss(first, target_second) + byol_loss(second, target_first)) / 2
