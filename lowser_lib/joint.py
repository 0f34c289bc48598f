"""BYOL in one call: one model learns emotions from English, and speech from two languages.

What :mod:`lowser_lib.methods.byol` computes from a step's clips is put between encoder and
classifier here, beside :func:`lowser_lib.recipes.train_baseline` and
:func:`lowser_lib.stages.train_speaker_contrastive`.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import torch
from lightning_fabric import Fabric

from lowser_lib.audio import SAMPLE_RATE
from lowser_lib.encoders import WhisperEncoder
from lowser_lib.errors import TrainingError
from lowser_lib.methods.baseline import BaselineConfig, EmotionClassifier, balanced_weights
from lowser_lib.methods.byol import Byol, ByolConfig
from lowser_lib.monitoring import Monitor, spectrograms, two_views, watch
from lowser_lib.prediction import predict
from lowser_lib.recipes import Metric, train_baseline
from lowser_lib.run_state import History
from lowser_lib.sampling import Clips, LengthBucketSampler, derive_seed
from lowser_lib.sampling.augmented import WaveformDataset
from lowser_lib.sampling.pairs import PairLoader
from lowser_lib.training import TrainingConfig, fit, make_fabric, one_thread


def train_byol(
    encoder: WhisperEncoder,
    source: WaveformDataset,
    unlabelled: WaveformDataset,
    validation: Clips | None = None,
    *,
    seed: int,
    metric: Metric,
    byol: ByolConfig | None = None,
    baseline: BaselineConfig | None = None,
    config: TrainingConfig | None = None,
    n_classes: int = 4,
    monitor: Monitor | None = None,
    fabric: Fabric | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: bool = False,
) -> tuple[EmotionClassifier, History]:
    """Train a copy of an encoder on emotions and, at the same time, by BYOL.

    It begins as the baseline of the same seed does: the head's weights, its start on the frozen
    encoder (``head_epochs``), the labelled batches and dropout are the baseline's, so that a
    difference between the two is BYOL's. With a λ of 0 on BYOL it *is* the baseline, to the last
    digits. On a CPU it computes with one thread, so that the weights are the same wherever it runs.

    Args:
        encoder: the encoder to start from; it stays as it is.
        source: labelled clips to learn from, as sound. For the cross-entropy they are not
            augmented: our choice, as in the baseline.
        unlabelled: speech of the target language, as sound; its labels are not looked at.
        validation: labelled spectrograms of *other speakers*, to choose the epoch by; None: the
            last.
        seed: of everything that is drawn, at least 0.
        metric: judges the validation clips; see :data:`lowser_lib.recipes.Metric`.
        byol: settings of BYOL; None takes the defaults.
        baseline: settings of head and encoder; None takes the defaults.
        config: the loop's settings; None takes the defaults. ``batch_size`` counts labelled clips.
        n_classes: number of emotions.
        monitor: measures two views of some clips after each epoch; see
            :func:`lowser_lib.monitoring.watch`.
        fabric: as in :func:`lowser_lib.training.fit`.
        checkpoint: as there; the head's start is not in it and is done again.
        resume: as there.
        progress: as there.

    Returns:
        The classifier, in evaluation mode, and the history, which holds both losses, λ and τ of
        each epoch besides.

    Raises:
        TrainingError: there are no clips on one side, or training diverges.
        CheckpointError: see :func:`lowser_lib.training.fit`.
        ValueError: ``seed`` is negative, nothing of the encoder would be trained, or the baseline's
            settings ask for augmented clips or balanced groups.
    """
    if seed < 0:
        raise ValueError(f"seed must be at least 0, not {seed}")
    for name, clips in (("source", source), ("unlabelled", unlabelled)):
        if len(clips) == 0:
            raise TrainingError(f"there is nothing to train on: {name} has no clip")
    byol, baseline = byol or ByolConfig(), baseline or BaselineConfig()
    config, fabric = config or TrainingConfig(), fabric or make_fabric()
    if baseline.probe:
        raise ValueError("encoder_learning_rate must be above 0: BYOL trains the encoder")
    if baseline.augmentation() is not None:
        raise ValueError(
            f"augmentations must be 'none', not {baseline.augmentations!r}: BYOL's labelled clips "
            "stay as they are; its views have settings of their own"
        )
    if baseline.balance_groups != "none":
        raise ValueError(
            f"balance_groups must be 'none', not {baseline.balance_groups!r}: BYOL's batches are "
            "not balanced by group"
        )
    # The baseline's stream, and another one for what is BYOL's own.
    shared = torch.Generator().manual_seed(seed)
    own = torch.Generator().manual_seed(derive_seed(seed, 1))
    with one_thread(fabric):
        labelled = spectrograms(source, encoder.n_mels)
        if baseline.head_epochs:
            model, _ = train_baseline(
                encoder,
                labelled,
                validation,
                metric=metric,
                generator=shared,
                baseline=replace(baseline, encoder_learning_rate=0.0),
                config=replace(config, epochs=baseline.head_epochs, patience=None),
                n_classes=n_classes,
                fabric=fabric,
            )
        else:
            parts = baseline.hidden, baseline.dropout
            model = EmotionClassifier(copy.deepcopy(encoder), n_classes, *parts, generator=shared)
        weights = balanced_weights(source.labels, n_classes) if baseline.balance_classes else None
        recipe = Byol(model, byol, baseline, weights, generator=own)
        heard = (labelled.lengths, config.batch_size, shared)
        unheard = (unlabelled.lengths, byol.target_batch or config.batch_size, own)
        source_batches, target_batches = (
            LengthBucketSampler(*one, num_replicas=fabric.world_size, rank=fabric.global_rank)
            for one in (heard, unheard)
        )
        loader = PairLoader(
            labelled,
            source,
            unlabelled,
            (source_batches, target_batches),
            byol.augmentation(),
            own,
            longest=None if byol.seconds is None else round(byol.seconds * SAMPLE_RATE),
            device=fabric.device,
        )
        look = None
        if monitor is not None:
            views = two_views(loader.clips, byol.augmentation(), own, encoder.n_mels)
            look = watch(monitor, model.encoder, recipe.projector, views, fabric)

        def score() -> float:
            assert validation is not None
            found = predict(model, validation, fabric=fabric).argmax(axis=1)
            return metric(validation.labels.numpy(), found)

        history = fit(
            recipe,
            loader,
            config,
            generator=shared,
            score=None if validation is None else score,
            monitor=look,
            fabric=fabric,
            checkpoint=checkpoint,
            resume=resume,
            progress=progress,
        )
    return model.eval(), history
