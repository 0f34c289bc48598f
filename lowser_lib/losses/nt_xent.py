"""NT-Xent: clips with one label come together, all others move apart.

Sohn 2016 (N-pair loss) and Chen et al. 2020 (SimCLR, arXiv 2002.05709, equation 1) have one
positive a clip; Khosla et al. 2020 (SupCon, arXiv 2004.11362, equation 2) have several. With z the
embeddings at length 1 and s(i, j) = z_i · z_j / temperature, a positive pair (i, j) costs

    l(i, j) = −log( exp s(i, j) / Σ_k exp s(i, k) ),

and the loss is the mean of l over all ordered pairs of clips with the same label. Which k the sum
runs over is ``other_positives``: ``"exclude"`` takes j and all negatives of i, ``"include"`` all
clips but i itself. Where a clip has one positive, as with two views, the two are the same.
"""

from __future__ import annotations

from typing import Any, Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from lowser_lib.errors import require

#: What the denominator of a pair does with the anchor's other positives.
OtherPositives = Literal["exclude", "include"]

#: Anchors whose similarities are in memory at once. Our choice: 2,048 rows against 4,096 clips are
#: 32 MiB, half of the whole; fewer rows take less, but are slower where threads share them.
BLOCK = 2048

#: A vector whose largest entry is below this has no direction; the limit of ``F.normalize``.
SHORTEST = 1e-12

#: The label of a clip that has none.
NO_LABEL = -1


def nt_xent(
    embeddings: Tensor,
    labels: Tensor,
    temperature: float = 0.07,
    other_positives: OtherPositives = "exclude",
) -> Tensor:
    """Normalised temperature-scaled cross-entropy over all ordered positive pairs.

    Equal to ``NTXentLoss`` of pytorch-metric-learning (``"exclude"``), and to its ``SupConLoss``
    (``"include"``) where every label has equally many clips: ours is a mean over pairs, theirs a
    mean over anchors. With two clips a label, both are lightly's ``NTXentLoss``.

    Computed in at least float32, also under autocast: at the default temperature a rounding of
    bf16 moves a similarity by several percent. A zero vector has similarity 0 to every clip, and no
    gradient. Where an anchor has no negative, ``"exclude"`` makes its pairs cost 0. Values that
    are not finite make the loss NaN. There is no second derivative, and asking for one raises.

    Args:
        embeddings: ``(N, D)`` floating point, of any length but 0; need not be normalised.
        labels: ``(N,)`` whole numbers, such as the speaker of each clip.
        temperature: above 0; small values look at the hardest negatives alone. 0.07 is our choice,
            after SupCon's and pytorch-metric-learning's.
        other_positives: ``"exclude"``, or ``"include"`` for the SupCon form.

    Returns:
        The loss, a scalar of at least 0: float64 for float64 embeddings, otherwise float32.

    Raises:
        ValueError: a shape, type or switch is wrong; a clip has no label (-1), or no other clip has
            its label.
    """
    _check_arguments(embeddings, labels, temperature, other_positives)
    if embeddings.dtype in (torch.bfloat16, torch.float16):
        embeddings = embeddings.float()
    with torch.autocast(embeddings.device.type, enabled=False):
        directions, labels = unit_length(embeddings), labels.to(embeddings.device).contiguous()
        pairs = _count_pairs(labels)
        total = _SumOverPairs.apply(directions, labels, temperature, other_positives == "exclude")
        return cast(Tensor, total / pairs)


def plain_nt_xent(
    embeddings: Tensor,
    labels: Tensor,
    temperature: float = 0.07,
    other_positives: OtherPositives = "exclude",
) -> Tensor:
    """The same in plain sight, at the price of N × N scores in memory, several times over.

    For reading, and for :func:`nt_xent` to be compared with.
    """
    directions = F.normalize(embeddings, dim=1)
    scores = directions @ directions.T / temperature
    same = labels[:, None] == labels
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    exclude = other_positives == "exclude"
    rest = scores.masked_fill(same if exclude else itself, -torch.inf)
    rest = rest.logsumexp(dim=1, keepdim=True)
    costs = (torch.logaddexp(scores, rest) if exclude else rest) - scores
    return costs[same & ~itself].mean()


def unit_length(embeddings: Tensor) -> Tensor:
    """Vectors ``(N, D)`` at length 1; a zero vector stays zero and gets no gradient.

    Each is first divided by its largest entry, so that no square overflows or vanishes.
    """
    largest = embeddings.detach().abs().amax(dim=1, keepdim=True)
    directions = F.normalize(embeddings / largest.clamp_min(SHORTEST), dim=1)
    return directions.masked_fill(largest < SHORTEST, 0.0)


def check_points(name: str, points: Tensor) -> None:
    """Raise ValueError unless points are floating point ``(N, D)``, with one of each at least."""
    if points.ndim != 2 or 0 in points.shape or not points.is_floating_point():
        raise ValueError(
            f"{name} must be floating point of shape (clips, dimension), with one of each at "
            f"least, not {points.dtype} of shape {tuple(points.shape)}"
        )


class _SumOverPairs(torch.autograd.Function):
    """Sum of l(i, j) over all positive pairs, a block of anchors i at a time.

    Left to autograd, several matrices of N × N would wait in memory for the backward pass. But the
    gradient of a sum is known as soon as its terms are: it is taken at once, while a block's
    similarities are still at hand, and only its ``(N, D)`` numbers are kept.
    """

    @staticmethod
    def forward(
        ctx: Any, directions: Tensor, labels: Tensor, temperature: float, exclude: bool
    ) -> Tensor:
        """Sum the loss of all pairs."""
        wanted = ctx.needs_input_grad[0]
        scaled = directions / temperature
        gradient = torch.zeros_like(directions)
        total = directions.new_zeros(())
        for start in range(0, len(labels), BLOCK):
            rows = slice(start, min(start + BLOCK, len(labels)))
            scores = scaled[rows] @ directions.T
            total += _pairs_in_block(scores, labels, rows, exclude)
            if wanted:  # a score holds a clip as anchor and one as partner; both are moved
                gradient[rows].addmm_(scores, scaled)
                gradient.addmm_(scores.T, scaled[rows])
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None, None]:
        """Hand out the gradient that is known already."""
        if torch.is_grad_enabled():  # what is handed out has forgotten how it depends on its input
            raise RuntimeError("nt_xent has no second derivative: leave out create_graph=True")
        (gradient,) = ctx.saved_tensors
        return gradient * outer, None, None, None


def _pairs_in_block(scores: Tensor, labels: Tensor, rows: slice, exclude: bool) -> Tensor:
    """Sum l(i, j) over the pairs of a block of anchors, and put its gradient in place of scores.

    A pair's cost depends on its own score s(i, j) and on r_i, the log of the sum over the *rest*,
    which is the anchor's negatives (``exclude``) or all clips but itself:

        exclude:  l = log(1 + exp(r_i − s(i, j)))     dl/dr = −dl/ds = sigmoid(r_i − s(i, j))
        include:  l = r_i − s(i, j)                   dl/dr = −dl/ds = 1

    and the derivative of r_i by a score of the rest is that score's share of the sum.

    Args:
        scores: ``(B, N)``, s(i, k) of each anchor and clip; overwritten by the gradient.
        labels: ``(N,)``.
        rows: where the block's anchors stand among the N clips.
        exclude: which form.
    """
    row, column = _same_label(labels, rows)
    itself = column == row + rows.start
    pairs = row[~itself], column[~itself]
    positive = scores[pairs]

    scores[(row, column) if exclude else (row[itself], column[itself])] = -torch.inf
    # Two bounds keep a row without any rest finite: its highest is the lowest number there is, and
    # its sum 0 becomes 1. In all other rows the sum holds exp 0 of the highest and is 1 at least.
    highest = scores.amax(dim=1, keepdim=True).clamp_min(torch.finfo(scores.dtype).min)
    powers = scores.sub_(highest).exp_()
    sums = powers.sum(dim=1, keepdim=True).clamp_min(1)
    gap = (highest + sums.log())[pairs[0], 0] - positive

    slope = gap.sigmoid() if exclude else torch.ones_like(gap)
    slope_of_rest = torch.zeros_like(sums).index_add_(0, pairs[0], slope[:, None])
    powers.mul_(slope_of_rest / sums)
    powers[pairs] -= slope
    return (-F.logsigmoid(-gap) if exclude else gap).sum()


def _same_label(labels: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
    """Row and column of each score whose two clips share a label, an anchor's own included.

    The same as ``(labels[rows, None] == labels).nonzero(as_tuple=True)``, but without a mask as
    large as the scores: once sorted, the clips of a label stand together.
    """
    ordered, clip = labels.sort()
    first = torch.searchsorted(ordered, labels[rows])
    count = torch.searchsorted(ordered, labels[rows], right=True) - first
    row = torch.arange(len(count), device=labels.device).repeat_interleave(count)
    nth = torch.arange(len(row), device=labels.device) - (count.cumsum(0) - count)[row]
    return row, clip[first[row] + nth]


def _count_pairs(labels: Tensor) -> int:
    """Ordered positive pairs; raises ValueError where an anchor has none."""
    _, place, counts = labels.unique(return_inverse=True, return_counts=True)
    wrong = (counts[place] == 1) | (labels == NO_LABEL)
    if wrong.any():
        indices = wrong.nonzero()[:, 0].tolist()
        shown = ", ".join(f"{index} (label {int(labels[index])})" for index in indices[:5])
        more = f" and {len(indices) - 5} more" if len(indices) > 5 else ""
        raise ValueError(
            f"labels: {len(indices)} of {len(labels)} anchors have no positive: {shown}{more}. "
            f"Each label needs at least two clips in the batch, and {NO_LABEL} means that there "
            "is none; draw batches with SpeakerBatchSampler, or leave such clips out"
        )
    return int((counts * (counts - 1)).sum())


def _check_arguments(
    embeddings: Tensor, labels: Tensor, temperature: float, other_positives: str
) -> None:
    """Raise ValueError for a wrong argument, before anything is computed."""
    check_points("embeddings", embeddings)
    if labels.shape != embeddings.shape[:1]:
        expected = tuple(embeddings.shape[:1])
        raise ValueError(f"labels must have shape {expected}, not {tuple(labels.shape)}")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"labels must be whole numbers, not {labels.dtype}")
    require("(0, inf)", temperature=temperature)
    require(get_args(OtherPositives), other_positives=other_positives)
