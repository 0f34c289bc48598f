"""Training objectives, one a file: what a batch of embeddings costs.

A loss is a function of tensors. It knows nothing of networks, corpora or the training loop.
"""

from __future__ import annotations

from lowser_lib.losses.nt_xent import OtherPositives, nt_xent

__all__ = ["OtherPositives", "nt_xent"]
