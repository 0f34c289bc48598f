"""A method from encoder to classifier in one call, for many seeds, folds and corpora.

What a chapter spells out step by step, with the parts that it teaches, stands here as a function.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from lowser_lib.errors import TrainingError
from lowser_lib.methods.baseline import (
    Baseline,
    BaselineConfig,
    EmotionClassifier,
    Encoder,
    Precomputed,
    balanced_weights,
)
from lowser_lib.prediction import embed, predict
from lowser_lib.run_state import History
from lowser_lib.sampling import ClipLoader, Clips, EmbeddingDataset, LengthBucketSampler
from lowser_lib.training import TrainingConfig, fit, make_fabric

#: Judges predictions: ``metric(true, predicted)`` on class numbers ``(N,)``, larger is better.
Metric = Callable[[np.ndarray, np.ndarray], float]


def train_baseline(
    encoder: Encoder,
    train: Clips,
    validation: Clips | None = None,
    *,
    metric: Metric,
    generator: torch.Generator,
    baseline: BaselineConfig | None = None,
    config: TrainingConfig | None = None,
    n_classes: int = 4,
    fabric: Fabric | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: bool = False,
) -> tuple[EmotionClassifier, History]:
    """Train the baseline on a copy of an encoder: fine-tuned, or as a probe.

    A probe (``encoder_learning_rate=0``) embeds every clip once and trains the head on the
    embeddings; the result is what training on the spectrograms would give, much sooner.

    Args:
        encoder: the encoder to start from; it stays as it is.
        train: labelled clips to learn from.
        validation: labelled clips of *other speakers*, to choose the epoch by; None: the last.
        metric: judges the validation clips; see :data:`Metric`.
        generator: draws the head's weights, the batches and the run's seed.
        baseline: the method's settings; None takes the defaults.
        config: the loop's settings; None takes the defaults.
        n_classes: number of emotions.
        fabric: as in :func:`fit`.
        checkpoint: as in :func:`fit`.
        resume: as in :func:`fit`.
        progress: as in :func:`fit`.

    Returns:
        The classifier, in evaluation mode, and the history.

    Raises:
        TrainingError: there is no clip, or training diverges.
        CheckpointError: see :func:`fit`.
    """
    baseline, config = baseline or BaselineConfig(), config or TrainingConfig()
    fabric = fabric or make_fabric()
    if len(train) == 0:
        raise TrainingError("there is nothing to train on: the data set has no clip")
    encoder = copy.deepcopy(encoder)
    model = EmotionClassifier(
        encoder, n_classes, baseline.hidden, baseline.dropout, generator=generator
    )
    if baseline.probe:
        # Place and convert the encoder as the loop would, and then ask it only once.
        fabric.strategy.precision.convert_module(fabric.to_device(cast(nn.Module, encoder)))
        train = _embedded(encoder, train, fabric)
        validation = None if validation is None else _embedded(encoder, validation, fabric)
        model.encoder = Precomputed(encoder.dimension)

    sampler = LengthBucketSampler(
        train.lengths,
        config.batch_size,
        generator,
        num_replicas=fabric.world_size,
        rank=fabric.global_rank,
    )
    weights = balanced_weights(train.labels, n_classes) if baseline.balance_classes else None
    history = fit(
        Baseline(model, baseline, weights),
        ClipLoader(train, sampler),
        config,
        generator=generator,
        score=None if validation is None else partial(_score, metric, model, validation, fabric),
        fabric=fabric,
        checkpoint=checkpoint,
        resume=resume,
        progress=progress,
    )
    model.encoder = encoder
    return model.eval(), history


def _embedded(encoder: Encoder, clips: Clips, fabric: Fabric) -> EmbeddingDataset:
    """The same clips and labels, as embeddings."""
    return EmbeddingDataset(embed(encoder, clips, fabric=fabric), clips.labels)


def _score(metric: Metric, model: EmotionClassifier, clips: Clips, fabric: Fabric) -> float:
    """How good the model's most probable emotions are."""
    predicted = predict(model, clips, fabric=fabric).argmax(axis=1)
    return metric(clips.labels.numpy(), predicted)
