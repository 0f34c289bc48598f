"""Two stages of training: adapt an encoder to a language without labels, then learn emotions.

The first stage may be any method that trains an encoder and drops the rest
(:class:`Adapting`); the second is the baseline's. Between the two lies a file, so that the first is
not run again where only settings of the second change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import nn

from lowser_lib.encoders import WhisperEncoder
from lowser_lib.encoders.heads import Encoder
from lowser_lib.encoders.whisper import fingerprint, load_encoder, save_encoder
from lowser_lib.errors import CheckpointError, require
from lowser_lib.methods.baseline import BaselineConfig, EmotionClassifier, train_baseline
from lowser_lib.sampling import Clips, Loader, derive_seed
from lowser_lib.training import (
    Execution,
    History,
    Metric,
    Recipe,
    TrainingConfig,
    fit,
    one_thread,
)


class Adapting(Recipe):
    """A first stage: a loss on projected embeddings of clips without emotions.

    Attributes:
        encoder: trained in place, but for what of it is frozen.
        projection: stands between the embeddings and the loss, and is dropped after training.
    """

    encoder: Encoder
    projection: nn.Module

    def __init__(self, encoder: Encoder, projection: nn.Module, rates: tuple[float, float]) -> None:
        """Put a projection on an encoder, which is used, not copied.

        Args:
            encoder: a :class:`torch.nn.Module`.
            projection: takes ``(B, encoder.dimension)``.
            rates: peak learning rates of the projection and of the encoder.

        Raises:
            ValueError: nothing of the encoder is trainable.
        """
        super().__init__()
        if not any(parameter.requires_grad for parameter in encoder.parameters()):
            raise ValueError(
                "encoder has no trainable parameter: the head alone would learn, and be dropped"
            )
        self.encoder, self.projection = encoder, projection
        self.rates = ((projection, rates[0]), (encoder, rates[1]))


class Adapted(NamedTuple):
    """What a first stage leaves.

    Attributes:
        encoder: on the CPU, float32, in evaluation mode; without the projection.
        history: the losses of each epoch, and what a monitor measured.
        batch: what a batch held, plain values by name.
    """

    encoder: WhisperEncoder
    history: History
    batch: dict[str, Any]


class TwoStages(NamedTuple):
    """What both stages leave.

    Attributes:
        model: the classifier, in evaluation mode.
        history: of the second stage.
        adapted: what the first stage left.
    """

    model: EmotionClassifier
    history: History
    adapted: Adapted


#: A call that adapts a copy of an encoder, such as
#: :func:`~lowser_lib.methods.speaker_contrastive.adapt_to_speakers`: it takes the encoder and clips
#: without emotions; and by name ``generator``, ``settings``, ``monitor`` and ``execution``.
FirstStage = Callable[..., Adapted]


def adapt(
    recipe: Adapting,
    loader: Loader,
    *,
    steps: int,
    batch: Mapping[str, Any],
    clips_a_batch: int,
    generator: torch.Generator,
    how: str,
    decay: str,
    monitor: Callable[[], Mapping[str, float]] | None,
    execution: Execution,
) -> Adapted:
    """Train any adapting recipe, and keep its encoder.

    There is no validation: the weights after the last step are kept. On a CPU it computes with one
    thread, so that the weights are the same wherever it runs.

    Args:
        recipe: on a :class:`~lowser_lib.encoders.WhisperEncoder` of its own.
        loader: its batches.
        steps: optimizer steps, rounded up to whole epochs.
        batch: what a batch holds, for the record.
        clips_a_batch: clips of a step.
        generator: draws the run's seed.
        how: the encoder was adapted, for its description.
        decay: what decays, see :class:`~lowser_lib.training.TrainingConfig`.
        monitor: see :func:`lowser_lib.training.fit`.
        execution: where it runs and what is kept.

    Raises:
        TrainingError: training diverges.
        CheckpointError: see :func:`lowser_lib.training.fit`.
    """
    training = TrainingConfig.for_steps(steps, len(loader), clips_a_batch, decay)
    with one_thread(execution.fabric):
        history = fit(
            recipe, loader, training, generator=generator, monitor=monitor, execution=execution
        )
    encoder = cast(WhisperEncoder, recipe.encoder).to("cpu", torch.float32).eval()
    encoder.description = f"{encoder.description}; then adapted by {how}"
    encoder.pretrained = True
    return Adapted(encoder, history, dict(batch))


def train_two_stages(
    first_stage: FirstStage,
    encoder: WhisperEncoder,
    source: Clips,
    unlabelled: Clips,
    validation: Clips | None = None,
    *,
    seed: int,
    metric: Metric,
    folder: Path,
    settings: Any,
    baseline: BaselineConfig | None = None,
    training: TrainingConfig | None = None,
    n_classes: int = 4,
    groups: Sequence[str] | np.ndarray | None = None,
    monitor: Any = None,
    execution: Execution | None = None,
    **facts: Any,
) -> TwoStages:
    """Adapt an encoder to a language, then train the baseline from there.

    The second stage draws what :func:`~lowser_lib.methods.baseline.train_baseline` draws from a
    generator of the same seed: the head's weights and the batches differ from the baseline's in
    nothing, so that a difference between the two is the first stage's.

    Args:
        first_stage: adapts the encoder.
        encoder: the encoder to start from; it stays as it is.
        source: labelled clips to learn emotions from.
        unlabelled: speech of the target language, for the first stage.
        validation: labelled clips of *other speakers*, to choose the epoch by; None: the last.
        seed: of everything that is drawn, at least 0.
        metric: judges the validation clips; see :data:`lowser_lib.training.Metric`.
        folder: keeps the states of both stages and, between them, the adapted encoder. The files'
            names hold what they follow from, the sound of the clips included, so that several
            settings may share a folder.
        settings: of the first stage, a data class.
        baseline: settings of the second; None takes the defaults.
        training: its loop's settings; None takes the defaults.
        n_classes: number of emotions.
        groups: of the clips in ``source``, see
            :func:`~lowser_lib.methods.baseline.train_baseline`.
        monitor: measures embeddings after each epoch of the first stage, see
            :data:`lowser_lib.training.monitoring.Monitor`.
        execution: of both stages; ``resume`` takes what lies in the folder, and ``checkpoint`` is
            not used.
        **facts: what else the first stage is told of ``unlabelled``, such as genders, by name.

    Returns:
        The classifier, and how both stages went.

    Raises:
        TrainingError: there are too few clips, or training diverges.
        CheckpointError: a file in the folder is damaged, or cannot be written.
        ValueError: ``seed`` is negative.
    """
    require("0..", seed=seed)
    baseline, training = baseline or BaselineConfig(), training or TrainingConfig()
    execution = execution or Execution()
    known = {name: list(fact) for name, fact in sorted(facts.items()) if fact is not None}
    kind, values = type(settings).__name__, asdict(settings)
    first = _key(fingerprint(encoder), kind, values, seed, _sound(unlabelled), known)
    cells = [] if groups is None or baseline.balance_groups == "none" else list(groups)
    heads = asdict(baseline), asdict(training)
    judged = None if validation is None else _sound(validation)
    second = _key(first, *heads, n_classes, _sound(source), judged, cells)

    handed_on = folder / f"encoder-{first}.pt"
    if not (execution.resume and handed_on.is_file()):
        adapted = first_stage(
            encoder,
            unlabelled,
            # Another stream than that of the second stage.
            generator=torch.Generator().manual_seed(derive_seed(seed, 1)),
            settings=settings,
            monitor=monitor,
            execution=replace(execution, checkpoint=folder / f"stage1-{first}.pt"),
            **facts,
        )
        written = {
            "history": asdict(adapted.history),
            "batch": adapted.batch,
            "fingerprint": fingerprint(adapted.encoder),
        }
        save_encoder(adapted.encoder, handed_on, written)
    begun, notes = load_encoder(handed_on, encoder)
    if fingerprint(begun) != notes.get("fingerprint"):
        raise CheckpointError(
            f"{handed_on} is damaged: its weights are not those that were written; delete it and "
            "train again"
        )
    adapted = Adapted(begun.eval(), History(**notes["history"]), notes["batch"])
    model, history = train_baseline(
        adapted.encoder,
        source,
        validation,
        metric=metric,
        generator=torch.Generator().manual_seed(seed),
        settings=baseline,
        training=training,
        n_classes=n_classes,
        groups=groups,
        execution=replace(execution, checkpoint=folder / f"stage2-{second}.pt"),
    )
    return TwoStages(model, history, adapted)


def _sound(clips: Clips) -> str:
    """A hash of what a data set's clips sound like, and of their labels."""
    digest = hashlib.sha256(clips.labels.numpy().tobytes())
    for index in range(len(clips)):
        sample = clips[index][0].contiguous()
        digest.update(f"{sample.dtype} {tuple(sample.shape)}".encode())
        digest.update(sample.numpy().tobytes())
    return digest.hexdigest()


def _key(*parts: Any) -> str:
    """A short name for everything that a file follows from."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
