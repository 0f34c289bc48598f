"""Training objectives, one a file: what a batch of embeddings costs.

A loss is a function of tensors. It knows nothing of networks, corpora or the training loop.
"""

from __future__ import annotations

from lowser_lib.losses.byol import byol_loss, symmetric_byol_loss
from lowser_lib.losses.nt_xent import OtherPositives, nt_xent
from lowser_lib.losses.pairwise import pairwise_nt_xent
from lowser_lib.losses.text_invariant import text_invariant_nt_xent

__all__ = [
    "OtherPositives",
    "byol_loss",
    "nt_xent",
    "pairwise_nt_xent",
    "symmetric_byol_loss",
    "text_invariant_nt_xent",
]
