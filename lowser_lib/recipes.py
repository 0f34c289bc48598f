"""A method from encoder to classifier in one call, for many seeds, folds and corpora.

What a chapter spells out step by step, with the parts that it teaches, stands here as a function.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import joblib
import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm import tqdm

from lowser_lib.errors import TrainingError
from lowser_lib.methods.balancing import cell_weights, cells_of
from lowser_lib.methods.baseline import (
    Baseline,
    BaselineConfig,
    EmotionClassifier,
    Encoder,
    Precomputed,
    balanced_weights,
)
from lowser_lib.prediction import classify, embed, match_embeddings, predict
from lowser_lib.run_state import History
from lowser_lib.sampling import (
    ClipLoader,
    Clips,
    EmbeddingDataset,
    LengthBucketSampler,
    Resumable,
)
from lowser_lib.sampling.augmented import AugmentedLoader
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
    sounds: Clips | None = None,
    groups: Sequence[str] | np.ndarray | None = None,
    fabric: Fabric | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: bool = False,
) -> tuple[EmotionClassifier, History]:
    """Train the baseline on a copy of an encoder: fine-tuned, or as a probe.

    A probe (``encoder_learning_rate=0``) embeds every clip once and trains the head on the
    embeddings; the result is what training on the spectrograms would give, much sooner. So does the
    first part of a fine-tuning with ``head_epochs``.

    Args:
        encoder: the encoder to start from; it stays as it is.
        train: labelled clips to learn from.
        validation: labelled clips of *other speakers*, to choose the epoch by; None: the last.
        metric: judges the validation clips; see :data:`Metric`.
        generator: draws the head's weights, the batches and the run's seed.
        baseline: the method's settings; None takes the defaults.
        config: the loop's settings; None takes the defaults. ``head_epochs`` go without early
            stopping: they are cheap, and the best of them is kept.
        n_classes: number of emotions.
        sounds: ``train`` as waveforms, a :class:`~lowser_lib.sampling.augmented.WaveformDataset`
            of the same clips in the same order, to be augmented; needed where
            ``baseline.augmentations`` begin with the waveform.
        groups: ``(N,)``, such as the manifest's column ``gender`` of the clips in ``train``; needed
            where ``baseline.balance_groups`` is not ``"none"``, and else not looked at.
        fabric: as in :func:`fit`.
        checkpoint: as in :func:`fit`; the head's part is not in it and is done again.
        resume: as in :func:`fit`.
        progress: as in :func:`fit`.

    Returns:
        The classifier, in evaluation mode, and the history (of the fine-tuning, if there is one).

    Raises:
        TrainingError: there is no clip, or training diverges.
        CheckpointError: see :func:`fit`.
        ValueError: ``sounds`` or ``groups`` are missing, or are of other clips.
    """
    baseline, config = baseline or BaselineConfig(), config or TrainingConfig()
    fabric = fabric or make_fabric()
    if len(train) == 0:
        raise TrainingError("there is nothing to train on: the data set has no clip")
    heard = _heard(train, sounds, baseline)
    encoder = copy.deepcopy(encoder)
    model = EmotionClassifier(
        encoder, n_classes, baseline.hidden, baseline.dropout, generator=generator
    )
    weights = balanced_weights(train.labels, n_classes) if baseline.balance_classes else None
    cells = of_cells = None
    if baseline.balance_groups != "none":
        if groups is None:
            raise ValueError(
                f"balance_groups {baseline.balance_groups!r} needs groups of the clips"
            )
        cells = cells_of(train.labels, groups, n_classes)
        if baseline.balance_groups == "loss":
            of_cells = cell_weights(cells, n_classes)

    def run(clips: Clips, judges: Clips | None, config: TrainingConfig, **saving: Any) -> History:
        learned = heard if clips is train else clips
        if cells is not None and of_cells is not None:
            learned = _relabelled(learned, cells.numbers)
        sampler = LengthBucketSampler(
            clips.lengths,
            config.batch_size,
            generator,
            cells=None if cells is None or of_cells is not None else cells.balanced,
            num_replicas=fabric.world_size,
            rank=fabric.global_rank,
        )
        augmentation = baseline.augmentation()
        loader: Resumable = ClipLoader(learned, sampler)
        if clips is train and augmentation is not None:
            n_mels, device = train[0][0].shape[0], fabric.device
            loader = AugmentedLoader(
                learned, sampler, augmentation, generator, n_mels=n_mels, device=device
            )
        return fit(
            Baseline(model, baseline, weights, of_cells),
            loader,
            config,
            generator=generator,
            score=None if judges is None else partial(_score, metric, model, judges, fabric),
            fabric=fabric,
            progress=progress,
            **saving,
        )

    saving = {"checkpoint": checkpoint, "resume": resume}
    if baseline.probe or baseline.head_epochs:
        # Place and convert the encoder as the loop would, and then ask it only once.
        fabric.strategy.precision.convert_module(fabric.to_device(cast(nn.Module, encoder)))
        embedded = _embedded(encoder, train, fabric)
        judges = None if validation is None else _embedded(encoder, validation, fabric)
        model.encoder = Precomputed(encoder.dimension)
        if baseline.probe:
            history = run(embedded, judges, config, **saving)
        else:
            run(embedded, judges, replace(config, epochs=baseline.head_epochs, patience=None))
        model.encoder = encoder
    if not baseline.probe:
        history = run(train, validation, config, **saving)
    return model.eval(), history


class Trained(NamedTuple):
    """One training of several, and what its model answers.

    Attributes:
        seed: what was drawn from: head, batches, dropout, and the weights of a random encoder.
        history: what happened in it.
        probabilities: name of a test set -> float64 ``(N, n_classes)``, as of :func:`predict`.
        matched: the same, after each test set's embeddings were given the mean and deviation of the
            training clips', see :func:`lowser_lib.prediction.match_embeddings`.
    """

    seed: int
    history: History
    probabilities: dict[str, np.ndarray]
    matched: dict[str, np.ndarray]


def repeat_baseline(
    start: Callable[[int], Encoder],
    seeds: Sequence[int],
    train: Clips,
    validation: Clips | None,
    tests: Mapping[str, Clips],
    *,
    precision: str = "auto",
    jobs: int = 1,
    progress: bool = False,
    **settings: Any,
) -> list[Trained]:
    """Train the baseline once a seed, and let each model answer for the test sets.

    With several jobs each training has a process with one thread. Networks as small as ``nano``
    gain more from that than from several threads, which wait for each other hundreds of times a
    step; and results do not depend on the number of threads. A GPU is not shared: there trainings
    take turns, whatever ``jobs`` says. Inside ``joblib.parallel_config`` another backend, such as a
    Dask cluster, takes the work.

    Args:
        start: gives the encoder to start from, for a seed.
        seeds: at least one, each at least 0.
        train: as in :func:`train_baseline`.
        validation: as in :func:`train_baseline`.
        tests: name -> clips, which no training sees.
        precision: as in :func:`make_fabric`.
        jobs: trainings at a time.
        progress: show a bar on stderr: of trainings, or with one job of each training's steps.
        **settings: ``metric``, ``baseline``, ``config``, ``n_classes``: see :func:`train_baseline`.

    Returns:
        One training a seed, in their order.

    Raises:
        TrainingError: there is no clip, or a training diverges.
        ValueError: there is no seed, or ``jobs`` is below 1.
    """
    if not seeds:
        raise ValueError("seeds is empty: name at least one")
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, not {jobs}")
    jobs = 1 if torch.cuda.is_available() else min(jobs, len(seeds))
    work = (
        joblib.delayed(_train_once)(
            start(seed), seed, train, validation, dict(tests), precision,
            threads=None if jobs == 1 else 1, progress=progress and jobs == 1, settings=settings,
        )
        for seed in seeds
    )  # fmt: skip
    with warnings.catch_warnings():
        # A process that has grown in a training is replaced by a new one: nothing is lost.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        done = joblib.Parallel(n_jobs=jobs, return_as="generator")(work)
        hidden = not progress or jobs == 1
        return list(tqdm(done, total=len(seeds), unit="training", leave=False, disable=hidden))


def _train_once(
    encoder: Encoder,
    seed: int,
    train: Clips,
    validation: Clips | None,
    tests: dict[str, Clips],
    precision: str,
    *,
    threads: int | None,
    progress: bool,
    settings: dict[str, Any],
) -> Trained:
    """Train with one seed and answer for the test sets, perhaps in a process of its own."""
    if threads is not None:
        torch.set_num_threads(threads)
    fabric = make_fabric(precision=precision)
    model, history = train_baseline(
        encoder,
        train,
        validation,
        generator=torch.Generator().manual_seed(seed),
        fabric=fabric,
        progress=progress,
        **settings,
    )
    reference = embed(model.encoder, train, fabric=fabric)
    answers, matched = {}, {}
    for name, clips in tests.items():
        embeddings = embed(model.encoder, clips, fabric=fabric)
        answers[name] = classify(model, embeddings, fabric)
        matched[name] = classify(model, match_embeddings(embeddings, reference), fabric)
    return Trained(seed, history, answers, matched)


def _heard(train: Clips, sounds: Clips | None, baseline: BaselineConfig) -> Clips:
    """What the augmentations begin with: sounds, or spectrograms where these will do."""
    augmentation = baseline.augmentation()
    if augmentation is None or augmentation.transforms[0].domain == "mel":
        return train
    if sounds is None:
        raise ValueError(
            f"augmentations {baseline.augmentations!r} change waveforms: hand the training clips "
            "over as sounds, too"
        )
    if not torch.equal(sounds.labels, train.labels):
        raise ValueError("sounds must be the training clips in the same order: labels differ")
    return sounds


def _relabelled(clips: Clips, labels: Tensor) -> Clips:
    """The same clips, which are not copied, with other labels."""
    other: Any = copy.copy(clips)
    other.labels = labels
    return cast(Clips, other)


def _embedded(encoder: Encoder, clips: Clips, fabric: Fabric) -> EmbeddingDataset:
    """The same clips and labels, as embeddings."""
    return EmbeddingDataset(embed(encoder, clips, fabric=fabric), clips.labels)


def _score(metric: Metric, model: EmotionClassifier, clips: Clips, fabric: Fabric) -> float:
    """How good the model's most probable emotions are."""
    predicted = predict(model, clips, fabric=fabric).argmax(axis=1)
    return metric(clips.labels.numpy(), predicted)
