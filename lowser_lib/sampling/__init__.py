"""Which clips share a batch: data sets held in memory, and samplers over them.

All randomness of an epoch is a pure function of ``(seed, epoch)``. So a run that was stopped goes
on with exactly the batches that it would have had, and only these two numbers have to be stored.

:mod:`~lowser_lib.sampling.clips` holds clips and loads them;
:mod:`~lowser_lib.sampling.length_buckets` puts clips of similar length together, for training on
emotions; :mod:`~lowser_lib.sampling.speaker_batches` puts several clips of several speakers
together, for contrasting speakers. :mod:`~lowser_lib.sampling.epochs` is what they share.
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
from lowser_lib.sampling.epochs import Loader, Sampler, derive_seed, draw_seed
from lowser_lib.sampling.length_buckets import LengthBucketSampler
from lowser_lib.sampling.speaker_batches import SpeakerBatchSampler

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
