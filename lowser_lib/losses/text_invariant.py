"""NT-Xent whose positives say something else: one emotion comes together across sentences.

Supervised contrastive learning (Khosla et al. 2020, arXiv 2004.11362) takes as positives all clips
of one class. Where a class has words of its own, two clips with the same words are the easiest
positives of all, and what they teach is the words. So here a clip's positives are clips of the same
emotion in *another* sentence; those of the same emotion in the same sentence are left out of the
loss altogether, and clips of other emotions, in whatever words, are the negatives:

    l(i, j) = −log( exp s(i, j) / ( exp s(i, j) + Σ_{k: emotion k ≠ emotion i} exp s(i, k) ) ),

with s(i, j) the cosine of two embeddings over the temperature, and the mean taken over all ordered
pairs of positives. Which clips are pushed away can be narrowed to those of the same sentence in
another emotion: the hardest ones, since what tells them from the anchor is not the words.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from lowser_lib.errors import require
from lowser_lib.losses.nt_xent import check_points, unit_length

#: Which clips of other emotions are pushed away.
Negatives = Literal["all", "same-text"]


def text_invariant_masks(
    labels: Tensor, texts: Tensor | None, negatives: Negatives = "all"
) -> tuple[Tensor, Tensor]:
    """Which clips are a clip's positives, and which its negatives.

    Args:
        labels: ``(N,)`` whole numbers, the emotions.
        texts: ``(N,)`` whole numbers, the sentences; None: every clip says something else.
        negatives: ``"all"`` clips of other emotions, or those of the anchor's sentence alone.

    Returns:
        Two masks ``(N, N)``, a row an anchor: the same emotion in another sentence, and another
        emotion. A clip is neither to itself, nor to those of its emotion and sentence.
    """
    same_emotion = labels[:, None] == labels
    same_text = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    if texts is not None:
        same_text = texts[:, None] == texts
    negative = ~same_emotion if negatives == "all" else ~same_emotion & same_text
    return same_emotion & ~same_text, negative


def text_invariant_nt_xent(
    embeddings: Tensor,
    labels: Tensor,
    texts: Tensor | None = None,
    temperature: float = 0.1,
    negatives: Negatives = "all",
) -> Tensor:
    """Mean of l over all ordered pairs of one emotion and two sentences.

    Without ``texts`` it is :func:`lowser_lib.losses.nt_xent` with ``other_positives="exclude"``.
    Computed in at least float32, also under autocast. A clip without a positive has no pair, and a
    batch without any pair costs 0.

    Args:
        embeddings: ``(N, D)`` floating point; need not be normalised.
        labels: ``(N,)`` whole numbers, the emotions.
        texts: ``(N,)`` whole numbers, the sentences; None: positives are all clips of an emotion.
        temperature: above 0. 0.1 is our choice, the value that SupCon found best.
        negatives: as in :func:`text_invariant_masks`.

    Returns:
        The loss, a scalar of at least 0.

    Raises:
        ValueError: shapes do not agree, or the temperature is out of range.
    """
    check_points("embeddings", embeddings)
    for name, values in (("labels", labels), ("texts", texts)):
        if values is not None and values.shape != embeddings.shape[:1]:
            expected = tuple(embeddings.shape[:1])
            raise ValueError(f"{name} must have shape {expected}, not {tuple(values.shape)}")
    require("(0, inf)", temperature=temperature)
    require(get_args(Negatives), negatives=negatives)
    positive, negative = text_invariant_masks(labels, texts, negatives)
    with torch.autocast(embeddings.device.type, enabled=False):
        exact = torch.promote_types(embeddings.dtype, torch.float32)
        directions = unit_length(embeddings.to(exact))
        scores = directions @ directions.T / temperature
        # A row without a negative has the lowest rest there is: its pairs cost 0, with gradient 0.
        lowest = torch.finfo(scores.dtype).min / 2
        rest = scores.masked_fill(~negative, lowest).logsumexp(dim=1, keepdim=True)
        costs = F.softplus(rest - scores).masked_fill(~positive, 0.0)
        return costs.sum() / positive.sum().clamp(min=1)
