"""Which clips share a batch: data sets held in memory, and samplers over them.

All randomness of an epoch is a pure function of ``(seed, epoch)``. So a run that was stopped goes
on with exactly the batches that it would have had, and only these two numbers have to be stored.

:mod:`~lowser_lib.sampling.clips` holds clips and loads them; the samplers of
:mod:`~lowser_lib.sampling.samplers` put clips of similar length together, for training on emotions,
or several clips of several speakers, for contrasting speakers.
:mod:`~lowser_lib.sampling.epochs` is what they share.
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
from lowser_lib.sampling.samplers import LengthBucketSampler, SpeakerBatchSampler
