"""Which clips share a batch: data sets held in memory, and samplers over them.

All randomness of an epoch is a pure function of ``(seed, epoch)``. So a run that was stopped goes
on with exactly the batches that it would have had, and only these two numbers have to be stored.

:mod:`~lowser_lib.sampling.clips` holds clips, through one view or several, and loads them;
:mod:`~lowser_lib.sampling.samplers` puts clips of similar length together, for training on
emotions, or several clips of several speakers, for contrasting speakers;
:mod:`~lowser_lib.sampling.augmented` changes the clips of a batch, once or twice each.
"""

from __future__ import annotations

from lowser_lib.sampling.clips import (
    UNLABELLED,
    Batch,
    ClipDataset,
    Clips,
    EmbeddingDataset,
    Labels,
)
from lowser_lib.sampling.samplers import (
    LengthBucketSampler,
    Loader,
    Sampler,
    SpeakerBatchSampler,
    derive_seed,
    draw_seed,
)

__all__ = [
    "UNLABELLED",
    "Batch",
    "ClipDataset",
    "Clips",
    "EmbeddingDataset",
    "Labels",
    "LengthBucketSampler",
    "Loader",
    "Sampler",
    "SpeakerBatchSampler",
    "derive_seed",
    "draw_seed",
]
