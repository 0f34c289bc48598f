"""Speaker-contrastive learning, the first stage of Gong et al. 2025 (arXiv 2506.02059).

Before an encoder learns English emotions, it adapts to the target language on speech without
labels: clips of one speaker are pulled together, those of different speakers pushed apart, by
NT-Xent (:func:`lowser_lib.losses.nt_xent`). A batch holds 16 speakers with 4 clips each, every clip
augmented in its own way, so that an anchor has 3 positives and 60 negatives. A projection head
takes the loss's pull towards speakers and is dropped afterwards; what goes on to the second stage,
the baseline's, is the encoder. Between the two stages lies a
file.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from lowser_lib.audio import SAMPLE_RATE
from lowser_lib.augment import Compose, named
from lowser_lib.encoders import WhisperEncoder
from lowser_lib.encoders.heads import projection_head
from lowser_lib.encoders.protocol import Encoder
from lowser_lib.encoders.saving import fingerprint, load_encoder, save_encoder
from lowser_lib.errors import TrainingError
from lowser_lib.losses import nt_xent
from lowser_lib.losses.nt_xent import OtherPositives, unit_length
from lowser_lib.methods.baseline import BaselineConfig, EmotionClassifier, Metric, train_baseline
from lowser_lib.sampling import UNLABELLED, Batch, Clips, SpeakerBatchSampler, derive_seed
from lowser_lib.sampling.augmented import MINIMUM_SECONDS, AugmentedLoader, WaveformDataset
from lowser_lib.sampling.speaker_batches import UNKNOWN
from lowser_lib.training import History, Recipe, Step, TrainingConfig, fit, make_fabric, one_thread
from lowser_lib.training.monitoring import Monitor, groups_of, spectrograms, watch

#: Fewest speakers (there has to be a negative) and clips of each (there has to be a positive).
FEWEST = 2


@dataclass(frozen=True)
class SpeakerContrastiveConfig:
    """Settings of the first stage; the two sizes of a batch are the paper's, the rest our choice.

    Attributes:
        speakers_per_batch: different speakers in a batch.
        clips_per_speaker: clips of each of them.
        temperature: of NT-Xent, above 0.
        other_positives: what the denominator does with an anchor's other positives; see
            :func:`lowser_lib.losses.nt_xent`.
        projection: width of what the loss compares.
        learning_rate: peak rate of the projection head.
        encoder_learning_rate: peak rate of the encoder's trainable layers.
        steps: optimizer steps, rounded up to whole epochs.
        seconds: what is heard of a clip at a time, above 0; None: all of it.
        augmentations: a name that :func:`lowser_lib.augment.named` knows.
        strength: strength of the augmentations, from 0 to 1.
        probability: chance of each clip to meet each augmentation, from 0 to 1.
        mixup: whether mixup is one of them.
        balance_genders: whether each batch holds as many women as men; speakers of unknown gender
            are then left out.
    """

    # Gong et al. 2025.
    speakers_per_batch: int = 16
    clips_per_speaker: int = 4
    # Chosen together with the encoder's rate, the steps and the strength, for what the second stage
    # made of validation speakers of synthetic Urdu, three seeds each: among the settings that left
    # emotions as well told as without a first stage, the one that told voices apart best.
    temperature: float = 0.3
    # The form of the library that most would use: a positive does not push others away.
    other_positives: OtherPositives = "exclude"
    # SimCLR and SupCon project to 128, and found that the width hardly matters.
    projection: int = 128
    # The head starts from random weights and may move fast, the encoder has something to lose:
    # the baseline's rate for the one, and for the other less, since no label holds it back.
    learning_rate: float = 1e-3
    encoder_learning_rate: float = 4e-5
    # Steps and not epochs, so that languages with more speech are not trained for longer. With
    # `nano` speakers of sentences not heard are told apart far better after 60; more steps, or
    # larger ones, cost the second stage.
    steps: int = 60
    # Our choice, as in speaker verification: two seconds tell a voice, each time other two. A batch
    # is then half as wide as its longest clip would make it, and a step takes half the time.
    seconds: float | None = 2.0
    # The paper's seven at even odds, three or four of seven, in a third of the preset's ranges: in
    # the whole of them voices are hard to tell, and the encoder learns about the changes instead.
    augmentations: str = "contrastive"
    strength: float = 0.3
    probability: float = 0.5
    # The paper names it. A mixed clip counts as its louder voice's, which has at least 0.6 of it.
    mixup: bool = True
    # Off, as the paper's; our choice to try, where one gender says little. No record speaks of it.
    balance_genders: bool = field(default=False, metadata={"switch": True})

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            ValueError: a value is out of range; the message names it.
        """
        for name, least in (
            ("speakers_per_batch", FEWEST),
            ("clips_per_speaker", FEWEST),
            ("projection", 1),
            ("steps", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)!r}")
        for name in ("temperature", "learning_rate", "encoder_learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)!r}")
        if self.seconds is not None and not self.seconds >= MINIMUM_SECONDS:
            raise ValueError(f"seconds must be at least {MINIMUM_SECONDS}, not {self.seconds!r}")
        if self.other_positives not in ("exclude", "include"):
            raise ValueError(
                f"other_positives must be 'exclude' or 'include', not {self.other_positives!r}"
            )
        self.augmentation()  # raises where it is unknown, or a number is out of range

    def augmentation(self) -> Compose:
        """What is done to each batch: with the defaults the paper's seven; without mixup, six."""
        preset = named(self.augmentations, self.strength, self.probability)
        if self.mixup:
            return preset
        return Compose([transform for transform in preset.transforms if transform.keeps_label])


class BatchShape(NamedTuple):
    """What a batch holds.

    Attributes:
        speakers: different speakers.
        clips: clips of each of them.
        missing: what the corpus could not give, one sentence; empty where it gave all.
    """

    speakers: int
    clips: int
    missing: str = ""


def batch_shape(
    speakers: Tensor | np.ndarray | Sequence[int],
    config: SpeakerContrastiveConfig | None = None,
    processes: int = 1,
    genders: Sequence[str] | np.ndarray | None = None,
) -> BatchShape:
    """The largest batch that a corpus can fill, up to the one that is wanted.

    Who has fewer clips than a batch takes of a speaker is in no batch. So a corpus of many speakers
    with 3 clips each is better served by 16 × 3 than by the few who have 4.

    Args:
        speakers: ``(N,)``, the speaker of each clip as a number.
        config: says what is wanted; None takes the defaults.
        processes: processes that train together, each with whole speakers.
        genders: ``(N,)``, of the speaker of each clip; needed where they are balanced, and else not
            looked at.

    Returns:
        The shape. Of equally large batches that with more clips a speaker is taken.

    Raises:
        TrainingError: there is no clip, a clip has no speaker, or not even two speakers have two
            clips each (of each gender, where these are balanced).
        ValueError: genders are needed and missing.
    """
    config = config or SpeakerContrastiveConfig()
    numbers = np.asarray(speakers)
    if not len(numbers):
        raise TrainingError("there is nothing to adapt to: the data set has no clip")
    if (numbers == UNLABELLED).any():
        raise TrainingError(
            f"{int((numbers == UNLABELLED).sum())} of {len(numbers)} clips have no speaker; leave "
            "them out, or name who speaks in them"
        )
    _, first, counts = np.unique(numbers, return_index=True, return_counts=True)
    parts, of = [counts], ""
    if config.balance_genders:
        if genders is None:
            raise ValueError("balance_genders needs the gender of each clip's speaker: genders")
        own = np.asarray(genders)[first]
        parts = [counts[own == gender] for gender in sorted(set(own.tolist()) - {UNKNOWN})]
        of = " of each gender"
        if len(parts) < 2:
            raise TrainingError(
                "balance_genders needs speakers of two known genders; set it to false"
            )
    step = math.lcm(processes, len(parts))
    shapes = [
        BatchShape(places - places % step, clips)
        for clips in range(config.clips_per_speaker, FEWEST - 1, -1)
        for fewest in (min(int((part >= clips).sum()) for part in parts),)
        for places in (min(config.speakers_per_batch, len(parts) * fewest),)
        if places - places % step >= FEWEST
    ]
    if not shapes:
        raise TrainingError(
            f"contrasting speakers needs at least {max(FEWEST, step)} speakers with {FEWEST} "
            f"clips each{of and ', equally many' + of}, but of {len(counts)} speakers "
            f"{int((counts >= FEWEST).sum())} have as many; take a corpus with more speakers"
        )
    best = max(shapes, key=lambda shape: shape.speakers * shape.clips)  # the first of equals
    wanted = (config.speakers_per_batch, config.clips_per_speaker)
    if best[:2] == wanted:
        return best
    enough = " and ".join(str(int((part >= config.clips_per_speaker).sum())) for part in parts)
    return best._replace(
        missing=f"a batch holds {best.speakers} speakers × {best.clips} clips instead of "
        f"{wanted[0]} × {wanted[1]}: of {len(counts)} speakers {enough}{of} have {wanted[1]} "
        "clips or more"
    )


def speaker_sampler(
    speakers: Tensor | np.ndarray | Sequence[int],
    generator: torch.Generator,
    config: SpeakerContrastiveConfig | None = None,
    *,
    genders: Sequence[str] | np.ndarray | None = None,
    num_replicas: int = 1,
    rank: int = 0,
) -> tuple[SpeakerBatchSampler, BatchShape]:
    """Batches of several clips of several speakers, as large as the corpus allows.

    Args:
        speakers: ``(N,)``, the speaker of each clip as a number.
        generator: one number is drawn from it.
        config: says what is wanted; None takes the defaults.
        genders: as in :func:`batch_shape`.
        num_replicas: as in :class:`~lowser_lib.sampling.SpeakerBatchSampler`.
        rank: as there.

    Returns:
        The sampler, and what its batches hold; a smaller batch than is wanted is warned of.

    Raises:
        TrainingError: see :func:`batch_shape`.
    """
    shape = batch_shape(speakers, config, num_replicas, genders)
    balanced = config is not None and config.balance_genders
    if shape.missing:
        warnings.warn(shape.missing, stacklevel=2)
    sampler = SpeakerBatchSampler(
        np.asarray(speakers),
        generator,
        speakers_per_batch=shape.speakers,
        clips_per_speaker=shape.clips,
        genders=np.asarray(genders) if balanced else None,
        num_replicas=num_replicas,
        rank=rank,
    )
    return sampler, shape


class SpeakerContrastive(Recipe):
    """NT-Xent on projected embeddings, with the speaker as the label.

    Attributes:
        encoder: trained in place, but for what of it is frozen.
        projection: two layers, to be dropped after training.
        config: the settings.
    """

    encoder: Encoder

    def __init__(
        self,
        encoder: Encoder,
        config: SpeakerContrastiveConfig | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        """Put a new projection head on an encoder, which is used, not copied.

        Args:
            encoder: see :class:`lowser_lib.encoders.protocol.Encoder`; a :class:`torch.nn.Module`.
            config: the settings; None takes the defaults.
            generator: draws the head's weights; None takes torch's own.

        Raises:
            ValueError: nothing of the encoder is trainable.
        """
        super().__init__()
        if not any(parameter.requires_grad for parameter in encoder.parameters()):
            raise ValueError(
                "encoder has no trainable parameter: the head alone would learn, and be dropped"
            )
        self.encoder = encoder
        self.config = config or SpeakerContrastiveConfig()
        self.projection = projection_head(encoder.dimension, self.config.projection, generator)

    def forward(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """Loss of a batch whose labels are speakers.

        Args:
            batch: spectrograms, and the speaker of each clip as a number.
            step: not needed; the loss is the same from first to last.

        Returns:
            ``loss``, and ``identified``: the share of clips whose nearest other clip of this
            process's batch is the same speaker's.
        """
        del step
        projected = self.projection(self.encoder.embed(batch.inputs, batch.lengths))
        loss = nt_xent(
            projected, batch.labels, self.config.temperature, self.config.other_positives
        )
        return {"loss": loss, "identified": _identified(projected.detach(), batch.labels)}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The projection head, then what of the encoder is not frozen."""
        trainable = [p for p in self.encoder.parameters() if p.requires_grad]
        return [
            {"params": list(self.projection.parameters()), "lr": self.config.learning_rate},
            {"params": trainable, "lr": self.config.encoder_learning_rate},
        ]


def _identified(projected: Tensor, speakers: Tensor) -> Tensor:
    """Share of clips whose nearest other clip is the same speaker's, a scalar."""
    directions = unit_length(projected.float())
    similarities = (directions @ directions.T).fill_diagonal_(-torch.inf)
    nearest = similarities.argmax(dim=1)
    return (speakers[nearest] == speakers).float().mean()


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
            :func:`lowser_lib.training.monitoring.watch`.
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

    The second stage draws what :func:`~lowser_lib.methods.baseline.train_baseline` draws from a
    generator of the same seed: the head's weights and the batches differ from the baseline's in
    nothing, so that a difference between the two is the first stage's.

    Args:
        encoder: the encoder to start from; it stays as it is.
        unlabelled: speech of the target language, see :func:`adapt_to_speakers`.
        train: labelled clips, see :func:`~lowser_lib.methods.baseline.train_baseline`.
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
        groups: of the clips in ``train``, see :func:`~lowser_lib.methods.baseline.train_baseline`.
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
