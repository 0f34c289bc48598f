"""Cross-entropy of labelled clips, weighted by class or by cells of a group and a class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lowser_lib.losses.nt_xent import NO_LABEL


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean of −log p(class) over the labelled clips, each clip counted by its weight.

    Args:
        logits: ``(N, C)``.
        labels: ``(N,)`` whole numbers, -1 where a clip has no label: classes from 0, or cells, of
            which the remainder by C is the class.
        weights: of the classes ``(C,)``, or of the cells; None: all 1.

    Returns:
        A scalar; NaN where no clip has a label.
    """
    n_classes = logits.shape[1]
    classes = torch.where(labels == NO_LABEL, NO_LABEL, labels % n_classes)
    if weights is None or len(weights) == n_classes:
        return F.cross_entropy(logits, classes, weight=weights, ignore_index=NO_LABEL)
    labelled = labels != NO_LABEL
    costs = F.cross_entropy(logits[labelled], classes[labelled], reduction="none")
    weight = weights.to(costs.dtype)[labels[labelled]]
    return (weight * costs).sum() / weight.sum()
