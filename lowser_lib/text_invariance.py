"""Text-invariant fine-tuning in one call: the baseline, with a contrast across sentences.

What :mod:`lowser_lib.methods.text_invariant` computes from a batch is put between encoder and
classifier here, beside :func:`lowser_lib.recipes.train_baseline` and its like.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from lightning_fabric import Fabric

from lowser_lib.errors import TrainingError
from lowser_lib.methods.balancing import cells_of
from lowser_lib.methods.baseline import BaselineConfig, EmotionClassifier, Encoder
from lowser_lib.methods.text_invariant import ContrastConfig, TextInvariant
from lowser_lib.recipes import Metric, train_baseline
from lowser_lib.run_state import History
from lowser_lib.sampling import ClipDataset, ClipLoader, SpeakerBatchSampler
from lowser_lib.training import TrainingConfig, fit, make_fabric, one_thread


def train_text_invariant(
    encoder: Encoder,
    train: ClipDataset,
    texts: Sequence[str] | np.ndarray,
    *,
    metric: Metric,
    generator: torch.Generator,
    contrast: ContrastConfig | None = None,
    baseline: BaselineConfig | None = None,
    config: TrainingConfig | None = None,
    n_classes: int = 4,
    fabric: Fabric | None = None,
    progress: bool = False,
) -> tuple[EmotionClassifier, History]:
    """Train a copy of an encoder on emotions whose words may lean.

    Every batch holds as many clips of each emotion, so that positives exist. Whatever ``contrast``
    says, runs of one seed share the head's start and the batches. The weights after the last step
    are kept: a validation set would lean as the training set does, and choose accordingly. On a CPU
    it computes with one thread, so that the weights are the same wherever it runs.

    Args:
        encoder: the encoder to start from; it stays as it is.
        train: labelled clips to learn from, all with an emotion.
        texts: ``(N,)``, the sentence of each clip, as the manifest's ``text_id``.
        metric: judges the head's start; see :data:`lowser_lib.recipes.Metric`.
        generator: draws the head's weights, the batches and the run's seed.
        contrast: the contrast's settings; None takes the defaults.
        baseline: the baseline's settings: head, learning rates, ``head_epochs``.
        config: the loop's settings; ``batch_size`` and ``patience`` are not looked at, but for the
            head's start.
        n_classes: number of emotions.
        fabric: as in :func:`lowser_lib.training.fit`.
        progress: as there.

    Returns:
        The classifier, in evaluation mode, and the history, with both parts of the loss.

    Raises:
        TrainingError: there is no clip, or training diverges.
        ValueError: a clip has no sentence, or an emotion has fewer clips than a batch takes.
    """
    contrast, baseline = contrast or ContrastConfig(), baseline or BaselineConfig()
    config, fabric = config or TrainingConfig(), fabric or make_fabric()
    if len(train) == 0:
        raise TrainingError("there is nothing to train on: the data set has no clip")
    cells = cells_of(train.labels, np.asarray(texts, dtype=object), n_classes)
    with one_thread(fabric):
        if baseline.head_epochs:
            model, _ = train_baseline(
                encoder,
                train,
                metric=metric,
                generator=generator,
                baseline=replace(baseline, encoder_learning_rate=0.0),
                config=replace(config, epochs=baseline.head_epochs, patience=None),
                n_classes=n_classes,
                fabric=fabric,
            )
        else:
            own, parts = copy.deepcopy(encoder), (baseline.hidden, baseline.dropout)
            model = EmotionClassifier(own, n_classes, *parts, generator=generator)
        # Speakers × clips, with emotions in the place of speakers.
        sampler = SpeakerBatchSampler(
            train.labels.numpy(),
            generator,
            speakers_per_batch=n_classes,
            clips_per_speaker=contrast.clips_per_emotion,
            num_replicas=fabric.world_size,
            rank=fabric.global_rank,
        )
        history = fit(
            TextInvariant(model, contrast, baseline),
            ClipLoader(ClipDataset(train.mels, cells.numbers), sampler),
            replace(config, patience=None),
            generator=generator,
            fabric=fabric,
            progress=progress,
        )
    return model.eval(), history
