"""Two stages in one call: an encoder adapts to a language without labels, then learns emotions.

The first stage is that of :mod:`lowser_lib.methods.speaker_contrastive`, the second the baseline
(:func:`lowser_lib.recipes.train_baseline`), which begins with the adapted encoder and with nothing
else of the first. Between the two lies a file.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from lightning_fabric import Fabric

from lowser_lib.audio import SAMPLE_RATE
from lowser_lib.encoders import WhisperEncoder
from lowser_lib.encoders.saving import fingerprint, load_encoder, save_encoder
from lowser_lib.methods.baseline import BaselineConfig, EmotionClassifier
from lowser_lib.methods.speaker_contrastive import (
    BatchShape,
    SpeakerContrastive,
    SpeakerContrastiveConfig,
    speaker_sampler,
)
from lowser_lib.monitoring import Monitor, groups_of, spectrograms, watch
from lowser_lib.recipes import Metric, train_baseline
from lowser_lib.run_state import History
from lowser_lib.sampling import Clips, derive_seed
from lowser_lib.sampling.augmented import AugmentedLoader, WaveformDataset
from lowser_lib.training import TrainingConfig, fit, make_fabric, one_thread


class Adapted(NamedTuple):
    """What the first stage leaves.

    Attributes:
        encoder: on the CPU, float32, in evaluation mode; without the projection.
        history: ``loss`` and ``identified`` of each epoch, see
            :meth:`~lowser_lib.methods.speaker_contrastive.SpeakerContrastive.forward`; and what a
            monitor measured.
        batch: what a batch held.
    """

    encoder: WhisperEncoder
    history: History
    batch: BatchShape


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


def adapt_to_speakers(
    encoder: WhisperEncoder,
    clips: Clips,
    *,
    generator: torch.Generator,
    contrastive: SpeakerContrastiveConfig | None = None,
    genders: Sequence[str] | np.ndarray | None = None,
    monitor: Monitor | None = None,
    fabric: Fabric | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: bool = False,
) -> Adapted:
    """Train a copy of an encoder to keep speakers apart: the first stage.

    What is frozen stays so, as in the second stage. There is no validation: the weights after the
    last step are kept. On a CPU it computes with one thread, so that the weights are the same
    wherever it runs.

    Args:
        encoder: the encoder to start from; it stays as it is.
        clips: a :class:`~lowser_lib.sampling.augmented.WaveformDataset` whose labels are speakers.
        generator: draws the projection's weights, the batches, augmentations and the run's seed.
        contrastive: the settings; None takes the defaults. Where the corpus cannot fill the batches
            that they ask for, smaller ones are taken, and warned of.
        genders: ``(N,)``, such as the manifest's column ``gender`` of the clips; needed where
            ``contrastive.balance_genders`` is set, and else not looked at.
        monitor: measures some of the clips after each epoch; see
            :func:`lowser_lib.monitoring.watch`.
        fabric: as in :func:`lowser_lib.training.fit`.
        checkpoint: as there.
        resume: as there.
        progress: as there.

    Returns:
        The encoder, and how it went.

    Raises:
        TrainingError: there are too few clips or speakers, or training diverges.
        CheckpointError: see :func:`lowser_lib.training.fit`.
    """
    contrastive, fabric = contrastive or SpeakerContrastiveConfig(), fabric or make_fabric()
    sampler, batch = speaker_sampler(
        clips.labels,
        generator,
        contrastive,
        genders=genders,
        num_replicas=fabric.world_size,
        rank=fabric.global_rank,
    )
    seconds = contrastive.seconds
    recipe = SpeakerContrastive(copy.deepcopy(encoder), contrastive, generator=generator)
    loader = AugmentedLoader(
        clips,
        sampler,
        contrastive.augmentation(),
        generator,
        n_mels=encoder.n_mels,
        longest=None if seconds is None else round(seconds * SAMPLE_RATE),
        device=fabric.device,
    )
    config = TrainingConfig(
        epochs=-(-contrastive.steps // len(loader)),
        batch_size=batch.speakers * batch.clips,
        patience=None,
    )
    look = None
    if monitor is not None:
        watched = spectrograms(groups_of(cast(WaveformDataset, clips)), encoder.n_mels)
        look = watch(monitor, recipe.encoder, recipe.projection, watched, fabric)
    with one_thread(fabric):
        history = fit(
            recipe,
            loader,
            config,
            generator=generator,
            monitor=look,
            fabric=fabric,
            checkpoint=checkpoint,
            resume=resume,
            progress=progress,
        )
    adapted = cast(WhisperEncoder, recipe.encoder).to("cpu", torch.float32).eval()
    adapted.description = f"{encoder.description}; then adapted by contrasting speakers"
    adapted.pretrained = True
    return Adapted(adapted, history, batch)


def train_speaker_contrastive(
    encoder: WhisperEncoder,
    unlabelled: Clips,
    train: Clips,
    validation: Clips | None = None,
    *,
    seed: int,
    metric: Metric,
    folder: Path,
    contrastive: SpeakerContrastiveConfig | None = None,
    baseline: BaselineConfig | None = None,
    config: TrainingConfig | None = None,
    n_classes: int = 4,
    genders: Sequence[str] | np.ndarray | None = None,
    groups: Sequence[str] | np.ndarray | None = None,
    monitor: Monitor | None = None,
    fabric: Fabric | None = None,
    resume: bool = False,
    progress: bool = False,
) -> TwoStages:
    """Adapt an encoder to the speakers of a language, then train the baseline from there.

    The second stage draws what :func:`~lowser_lib.recipes.train_baseline` draws from a generator of
    the same seed: the head's weights and the batches differ from the baseline's in nothing, so that
    a difference between the two is the first stage's.

    Args:
        encoder: the encoder to start from; it stays as it is.
        unlabelled: speech of the target language, see :func:`adapt_to_speakers`.
        train: labelled clips, see :func:`~lowser_lib.recipes.train_baseline`.
        validation: as there.
        seed: of everything that is drawn, at least 0.
        metric: as there.
        folder: keeps the states of both stages and, between them, the adapted encoder. The files'
            names hold what they follow from, so that several settings may share a folder; and the
            first stage is not run twice where only settings of the second change.
        contrastive: settings of the first stage; None takes the defaults.
        baseline: settings of the second; None takes the defaults.
        config: its loop's settings; None takes the defaults.
        n_classes: number of emotions.
        genders: of the speakers in ``unlabelled``, see :func:`adapt_to_speakers`.
        groups: of the clips in ``train``, see :func:`~lowser_lib.recipes.train_baseline`.
        monitor: see :func:`adapt_to_speakers`.
        fabric: device and precision of both stages.
        resume: take what lies in the folder; otherwise it is written anew.
        progress: show bars on stderr.

    Returns:
        The classifier, and how both stages went.

    Raises:
        TrainingError: there are too few clips or speakers, or training diverges.
        CheckpointError: a file in the folder is damaged, or cannot be written.
        ValueError: ``seed`` is negative.
    """
    if seed < 0:
        raise ValueError(f"seed must be at least 0, not {seed}")
    contrastive, fabric = contrastive or SpeakerContrastiveConfig(), fabric or make_fabric()
    baseline, config = baseline or BaselineConfig(), config or TrainingConfig()
    # What a switch looks at belongs to the names, too; where it is off, they are as ever.
    own = [None if genders is None else list(genders)] if contrastive.balance_genders else []
    cells = [] if groups is None or baseline.balance_groups == "none" else [list(groups)]
    first = _key(fingerprint(encoder), _named(contrastive), seed, _outline(unlabelled), *own)
    second = _key(first, _named(baseline), asdict(config), n_classes, _outline(train), *cells)

    handed_on = folder / f"encoder-{first}.pt"
    if not (resume and handed_on.is_file()):
        adapted = adapt_to_speakers(
            encoder,
            unlabelled,
            # Another stream than that of the second stage.
            generator=torch.Generator().manual_seed(derive_seed(seed, 1)),
            contrastive=contrastive,
            genders=genders,
            monitor=monitor,
            fabric=fabric,
            checkpoint=folder / f"stage1-{first}.pt",
            resume=resume,
            progress=progress,
        )
        if fabric.is_global_zero:
            notes = {"history": asdict(adapted.history), "batch": list(adapted.batch)}
            save_encoder(adapted.encoder, handed_on, notes)
        fabric.barrier()
    begun, found = load_encoder(handed_on, encoder)
    adapted = Adapted(begun.eval(), History(**found["history"]), BatchShape(*found["batch"]))
    model, history = train_baseline(
        adapted.encoder,
        train,
        validation,
        metric=metric,
        generator=torch.Generator().manual_seed(seed),
        baseline=baseline,
        config=config,
        n_classes=n_classes,
        groups=groups,
        fabric=fabric,
        checkpoint=folder / f"stage2-{second}.pt",
        resume=resume,
        progress=progress,
    )
    return TwoStages(model, history, adapted)


def _outline(clips: Clips) -> str:
    """What tells one data set from another at a glance: lengths and labels of its clips."""
    outline = torch.stack([clips.lengths, clips.labels]).numpy()
    return hashlib.sha256(outline.tobytes()).hexdigest()


def _named(config: Any) -> dict[str, Any]:
    """Settings, without the switches that are off."""
    off = {one.name for one in fields(config) if one.metadata.get("switch")}
    settings = asdict(config)
    defaults = {one.name: one.default for one in fields(config)}
    return {k: v for k, v in settings.items() if k not in off or v != defaults[k]}


def _key(*parts: Any) -> str:
    """A short name for everything that a file follows from."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
