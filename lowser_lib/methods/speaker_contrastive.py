"""Speaker-contrastive learning, the first stage of Gong et al. 2025 (arXiv 2506.02059).

Before an encoder learns English emotions, it adapts to the target language on speech without
labels: clips of one speaker are pulled together, those of different speakers pushed apart, by
NT-Xent (:func:`lowser_lib.losses.nt_xent`). A batch holds 16 speakers with 4 clips each, every clip
augmented in its own way, so that an anchor has 3 positives and 60 negatives. A projection head
takes the loss's pull towards speakers and is dropped afterwards; what goes on to the second stage,
the baseline's, is the encoder (:mod:`lowser_lib.methods.two_stages`).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from lowser_lib.audio import SAMPLE_RATE
from lowser_lib.augment import Compose, named
from lowser_lib.encoders import WhisperEncoder
from lowser_lib.encoders.heads import Encoder, projection_head
from lowser_lib.errors import TrainingError, require
from lowser_lib.losses import OtherPositives, nt_xent
from lowser_lib.losses.nt_xent import unit_length
from lowser_lib.methods.two_stages import Adapted, Adapting, TwoStages, adapt, train_two_stages
from lowser_lib.sampling import UNLABELLED, Batch, Clips, SpeakerBatchSampler
from lowser_lib.sampling.augmented import MINIMUM_SECONDS, AugmentedLoader
from lowser_lib.sampling.samplers import UNKNOWN
from lowser_lib.training import Execution, Step
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
        decay: what decays, see :class:`~lowser_lib.training.TrainingConfig`; SimCLR spares biases
            and the gains of normalisations.
    """

    # Gong et al. 2025.
    speakers_per_batch: int = 16
    clips_per_speaker: int = 4
    # Chosen together with the encoder's rate, the steps and the strength, for what the second stage
    # made of validation speakers of synthetic Urdu, three seeds each: among the settings that left
    # emotions as well told as without a first stage, the one that told voices apart best. Those
    # speakers are tested on, too: the ledger does not count this method on synthetic Urdu.
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
    # Sweeps on people let weights alone decay; those on synthetic speech are from before.
    decay: str = field(default="all", metadata={"switch": True})

    def __post_init__(self) -> None:
        """Refuse values out of range by a ValueError that names them."""
        for name in ("speakers_per_batch", "clips_per_speaker"):
            require(f"{FEWEST}..", **{name: getattr(self, name)})
        require("1..", projection=self.projection, steps=self.steps)
        for name in ("temperature", "learning_rate", "encoder_learning_rate"):
            require("(0, inf)", **{name: getattr(self, name)})
        require(f"[{MINIMUM_SECONDS}, inf) or None", seconds=self.seconds)
        require(("all", "weights"), decay=self.decay)
        require(get_args(OtherPositives), other_positives=self.other_positives)
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
    settings: SpeakerContrastiveConfig | None = None,
    genders: Sequence[str] | np.ndarray | None = None,
) -> BatchShape:
    """The largest batch that a corpus can fill, up to the one that is wanted.

    Who has fewer clips than a batch takes of a speaker is in no batch. So a corpus of many speakers
    with 3 clips each is better served by 16 × 3 than by the few who have 4.

    Args:
        speakers: ``(N,)``, the speaker of each clip as a number.
        settings: say what is wanted; None takes the defaults.
        genders: ``(N,)``, of the speaker of each clip; needed where they are balanced, and else not
            looked at.

    Returns:
        The shape. Of equally large batches that with more clips a speaker is taken.

    Raises:
        TrainingError: there is no clip, a clip has no speaker, or not even two speakers have two
            clips each (of each gender, where these are balanced).
        ValueError: genders are needed and missing.
    """
    settings = settings or SpeakerContrastiveConfig()
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
    if settings.balance_genders:
        if genders is None:
            raise ValueError("balance_genders needs the gender of each clip's speaker: genders")
        gender = np.asarray(genders)[first]
        parts = [counts[gender == name] for name in sorted(set(gender.tolist()) - {UNKNOWN})]
        of = " of each gender"
        if len(parts) < 2:
            raise TrainingError(
                "balance_genders needs speakers of two known genders; set it to false"
            )
    wanted = (settings.speakers_per_batch, settings.clips_per_speaker)
    shapes = []
    for clips in range(wanted[1], FEWEST - 1, -1):
        enough = [int((part >= clips).sum()) for part in parts]
        places = min(wanted[0] // len(parts), *enough) * len(parts)
        if places >= FEWEST:
            shapes.append(BatchShape(places, clips))
    if not shapes:
        raise TrainingError(
            f"contrasting speakers needs at least {max(FEWEST, len(parts))} speakers with {FEWEST} "
            f"clips each{of and ', equally many' + of}, but of {len(counts)} speakers "
            f"{int((counts >= FEWEST).sum())} have as many; take a corpus with more speakers"
        )
    best = max(shapes, key=lambda shape: shape.speakers * shape.clips)  # the first of equals
    if best[:2] == wanted:
        return best
    having = " and ".join(str(int((part >= wanted[1]).sum())) for part in parts)
    return best._replace(
        missing=f"a batch holds {best.speakers} speakers × {best.clips} clips instead of "
        f"{wanted[0]} × {wanted[1]}: of {len(counts)} speakers {having}{of} have {wanted[1]} "
        "clips or more"
    )


def speaker_sampler(
    speakers: Tensor | np.ndarray | Sequence[int],
    generator: torch.Generator,
    settings: SpeakerContrastiveConfig | None = None,
    *,
    genders: Sequence[str] | np.ndarray | None = None,
) -> tuple[SpeakerBatchSampler, BatchShape]:
    """Batches of several clips of several speakers, as large as the corpus allows.

    Args:
        speakers: ``(N,)``, the speaker of each clip as a number.
        generator: one number is drawn from it.
        settings: say what is wanted; None takes the defaults.
        genders: see :func:`batch_shape`.

    Returns:
        The sampler, and what its batches hold; a smaller batch than is wanted is warned of.

    Raises:
        TrainingError: see :func:`batch_shape`.
    """
    shape = batch_shape(speakers, settings, genders)
    balanced = settings is not None and settings.balance_genders
    if shape.missing:
        warnings.warn(shape.missing, stacklevel=2)
    sampler = SpeakerBatchSampler(
        np.asarray(speakers),
        generator,
        speakers_per_batch=shape.speakers,
        clips_per_speaker=shape.clips,
        genders=np.asarray(genders) if balanced else None,
    )
    return sampler, shape


class SpeakerContrastive(Adapting):
    """NT-Xent on projected embeddings, with the speaker as the label.

    Attributes:
        settings: the method's.
    """

    def __init__(
        self,
        encoder: Encoder,
        settings: SpeakerContrastiveConfig | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        """Put a new projection head on an encoder, which is used, not copied.

        Args:
            encoder: see :class:`lowser_lib.encoders.heads.Encoder`; a :class:`torch.nn.Module`.
            settings: the method's; None takes the defaults.
            generator: draws the head's weights; None takes torch's own.

        Raises:
            ValueError: nothing of the encoder is trainable.
        """
        settings = settings or SpeakerContrastiveConfig()
        head = projection_head(encoder.dimension, settings.projection, generator)
        super().__init__(encoder, head, (settings.learning_rate, settings.encoder_learning_rate))
        self.settings = settings

    def forward(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """Loss of a batch whose labels are speakers.

        Args:
            batch: spectrograms, and the speaker of each clip as a number.
            step: not needed; the loss is the same from first to last.

        Returns:
            ``loss``, and ``identified``: the share of clips whose nearest other clip of the batch
            is the same speaker's.
        """
        del step
        projected = self.projection(self.encoder.embed(batch.inputs, batch.lengths))
        loss = nt_xent(
            projected, batch.labels, self.settings.temperature, self.settings.other_positives
        )
        return {"loss": loss, "identified": _identified(projected.detach(), batch.labels)}


def _identified(projected: Tensor, speakers: Tensor) -> Tensor:
    """Share of clips whose nearest other clip is the same speaker's, a scalar."""
    directions = unit_length(projected.float())
    similarities = (directions @ directions.T).fill_diagonal_(-torch.inf)
    nearest = similarities.argmax(dim=1)
    return (speakers[nearest] == speakers).float().mean()


def adapt_to_speakers(
    encoder: WhisperEncoder,
    unlabelled: Clips,
    *,
    generator: torch.Generator,
    settings: SpeakerContrastiveConfig | None = None,
    genders: Sequence[str] | np.ndarray | None = None,
    monitor: Monitor | None = None,
    execution: Execution | None = None,
) -> Adapted:
    """Train a copy of an encoder to keep speakers apart: the first stage.

    What is frozen stays so, as in the second stage. See
    :func:`lowser_lib.methods.two_stages.adapt`.

    Args:
        encoder: the encoder to start from; it stays as it is.
        unlabelled: clips whose labels are speakers: a
            :class:`~lowser_lib.sampling.augmented.WaveformDataset`, or spectrograms where the
            augmentations are of spectrograms only.
        generator: draws the projection's weights, the batches, augmentations and the run's seed.
        settings: the method's; None takes the defaults. Where the corpus cannot fill the batches
            that they ask for, smaller ones are taken, and warned of.
        genders: ``(N,)``, such as the manifest's column ``gender`` of the clips; needed where
            ``settings.balance_genders`` is set, and else not looked at.
        monitor: measures some of the clips after each epoch; see
            :func:`lowser_lib.training.monitoring.watch`.
        execution: where it runs and what is kept; None takes the defaults.

    Returns:
        The encoder, and how it went.

    Raises:
        TrainingError: there are too few clips or speakers, or training diverges.
        CheckpointError: see :func:`lowser_lib.training.fit`.
    """
    settings, execution = settings or SpeakerContrastiveConfig(), execution or Execution()
    sampler, shape = speaker_sampler(unlabelled.labels, generator, settings, genders=genders)
    recipe = SpeakerContrastive(copy.deepcopy(encoder), settings, generator=generator)
    loader = AugmentedLoader(
        unlabelled,
        sampler,
        settings.augmentation(),
        generator,
        n_mels=encoder.n_mels,
        longest=None if settings.seconds is None else round(settings.seconds * SAMPLE_RATE),
        device=execution.fabric.device,
    )
    look = None
    if monitor is not None:
        watched = spectrograms(unlabelled, encoder.n_mels, groups_of(unlabelled.labels))
        look = watch(monitor, recipe.encoder, recipe.projection, watched, execution.fabric)
    return adapt(
        recipe,
        loader,
        steps=settings.steps,
        batch=shape._asdict(),
        clips_a_batch=shape.speakers * shape.clips,
        generator=generator,
        how="contrasting speakers",
        decay=settings.decay,
        monitor=look,
        execution=execution,
    )


def train_speaker_contrastive(
    encoder: WhisperEncoder,
    source: Clips,
    unlabelled: Clips,
    validation: Clips | None = None,
    *,
    settings: SpeakerContrastiveConfig | None = None,
    genders: Sequence[str] | np.ndarray | None = None,
    **others: Any,
) -> TwoStages:
    """Adapt an encoder to the speakers of a language, then train the baseline from there.

    Arguments are those of :func:`lowser_lib.methods.two_stages.train_two_stages`, whose first stage
    is :func:`adapt_to_speakers`; ``genders`` are of the clips in ``unlabelled``.
    """
    settings = settings or SpeakerContrastiveConfig()
    others["genders"] = genders if settings.balance_genders else None
    clips = source, unlabelled, validation
    return train_two_stages(adapt_to_speakers, encoder, *clips, settings=settings, **others)
