"""VICReg as a first stage: two views of a clip agree, without labels, speakers or a second network.

Bardes, Ponce and LeCun 2022 (arXiv 2105.04906; :mod:`lowser_lib.losses.vicreg`). Neither of the two
papers of the course uses it; it is here because it asks less of the speech than the others: no
speaker's name, no negatives, no moving average. It stands before the baseline in the place of
speaker-contrastive learning, so that the two can be compared
(:mod:`lowser_lib.methods.two_stages`).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lowser_lib.audio import SAMPLE_RATE
from lowser_lib.augment import Compose, named
from lowser_lib.encoders import WhisperEncoder
from lowser_lib.encoders.heads import Encoder, mlp
from lowser_lib.errors import TrainingError, require
from lowser_lib.losses.vicreg import vicreg_loss
from lowser_lib.methods.two_stages import Adapted, Adapting, TwoStages, adapt, train_two_stages
from lowser_lib.sampling import Clips, LengthBucketSampler
from lowser_lib.sampling.augmented import MINIMUM_SECONDS, TwoViewLoader, TwoViews
from lowser_lib.training import Execution, Step
from lowser_lib.training.monitoring import Monitor, two_views, watch


@dataclass(frozen=True)
class VicRegConfig:
    """Settings of the first stage; the three weights are the authors', the rest our choice.

    Attributes:
        invariance: weight of the views' agreement, at least 0.
        variance: weight of the spread of each feature, at least 0.
        covariance: weight of the features' independence, at least 0.
        batch_size: clips a batch, each seen twice; at least 2.
        projection: width of what the loss compares.
        hidden: width of the projection's hidden layer.
        learning_rate: peak rate of the projection.
        encoder_learning_rate: peak rate of the encoder's trainable layers.
        steps: optimizer steps, rounded up to whole epochs.
        seconds: what a view holds of a clip, above 0, at a place drawn for it; None: all of it.
        augmentations: a name that :func:`lowser_lib.augment.named` knows, of one that keeps labels.
        strength: of the augmentations, from 0 to 1.
        probability: chance of each view to meet each augmentation, from 0 to 1.
    """

    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0
    # As many clips as 16 speakers × 4 have.
    batch_size: int = 64
    # Of 64 clips no more than 63 features can be independent. The paper projects far wider than its
    # embeddings, from batches of 2,048.
    projection: int = 128
    hidden: int = 512
    # As in speaker-contrastive learning, so that the two differ in their loss.
    learning_rate: float = 1e-3
    encoder_learning_rate: float = 4e-5
    steps: int = 60
    seconds: float | None = 2.0
    # BYOL's three: two views of one clip, whose words and voice stay.
    augmentations: str = "byol"
    strength: float = 1.0
    probability: float = 0.5

    def __post_init__(self) -> None:
        """Refuse values out of range by a ValueError that names them."""
        require("[0, inf)", invariance=self.invariance, variance=self.variance)
        require("[0, inf)", covariance=self.covariance)
        require("2..", batch_size=self.batch_size)
        require("1..", projection=self.projection, hidden=self.hidden, steps=self.steps)
        require("(0, inf)", learning_rate=self.learning_rate)
        require("(0, inf)", encoder_learning_rate=self.encoder_learning_rate)
        require(f"[{MINIMUM_SECONDS}, inf) or None", seconds=self.seconds)
        if not self.augmentation().keeps_label:
            raise ValueError(
                f"augmentations {self.augmentations!r} mix clips, and a mixture is no view of "
                "either: choose another"
            )

    def augmentation(self) -> Compose:
        """What makes the views."""
        return named(self.augmentations, self.strength, self.probability)


class VicReg(Adapting):
    """The three terms on projected embeddings of two views.

    Attributes:
        settings: the method's.
    """

    def __init__(
        self,
        encoder: Encoder,
        settings: VicRegConfig | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        """Put a new projection on an encoder, which is used, not copied.

        Args:
            encoder: see :class:`lowser_lib.encoders.heads.Encoder`; a :class:`torch.nn.Module`.
            settings: the method's; None takes the defaults.
            generator: draws the projection's weights; None takes torch's own.

        Raises:
            ValueError: nothing of the encoder is trainable.
        """
        settings = settings or VicRegConfig()
        head = mlp(encoder.dimension, settings.hidden, settings.projection, generator)
        super().__init__(encoder, head, (settings.learning_rate, settings.encoder_learning_rate))
        self.settings = settings

    def forward(self, batch: TwoViews, step: Step) -> dict[str, Tensor]:
        """Losses of two views of a batch; labels are not read.

        Returns:
            ``loss`` and its three terms, see :func:`lowser_lib.losses.vicreg.vicreg_loss`.
        """
        del step  # the loss is the same from first to last
        first, second = (
            self.projection(self.encoder.embed(view.inputs, view.lengths)) for view in batch
        )
        settings = self.settings
        weights = settings.invariance, settings.variance, settings.covariance
        return vicreg_loss(first, second, weights)


def adapt_by_vicreg(
    encoder: WhisperEncoder,
    unlabelled: Clips,
    *,
    generator: torch.Generator,
    settings: VicRegConfig | None = None,
    monitor: Monitor | None = None,
    execution: Execution | None = None,
) -> Adapted:
    """Train a copy of an encoder on two views of each clip: the first stage.

    Args:
        encoder: the encoder to start from; it stays as it is.
        unlabelled: clips, as sound; or as spectrograms, where the augmentations are of
            spectrograms only. Labels are not looked at.
        generator: draws the projection's weights, the batches, augmentations and the run's seed.
        settings: the method's; None takes the defaults.
        monitor: measures two views of some clips after each epoch; see
            :func:`lowser_lib.training.monitoring.watch`.
        execution: where it runs and what is kept; None takes the defaults.

    Returns:
        The encoder, and how it went.

    Raises:
        TrainingError: there are fewer than two clips, or training diverges.
        CheckpointError: see :func:`lowser_lib.training.fit`.
    """
    settings, execution = settings or VicRegConfig(), execution or Execution()
    if len(unlabelled) < 2:
        raise TrainingError(f"{len(unlabelled)} clips: their spread needs two at least")
    sampler = LengthBucketSampler(unlabelled.lengths, settings.batch_size, generator)
    recipe = VicReg(copy.deepcopy(encoder), settings, generator=generator)
    loader = TwoViewLoader(
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
        # A stream of its own, so that looking changes nothing.
        eye = torch.Generator().manual_seed(generator.initial_seed())
        views = two_views(unlabelled, settings.augmentation(), eye, encoder.n_mels)
        look = watch(monitor, recipe.encoder, recipe.projection, views, execution.fabric)
    return adapt(
        recipe,
        loader,
        steps=settings.steps,
        batch={"clips": min(settings.batch_size, len(unlabelled))},
        clips_a_batch=settings.batch_size,
        generator=generator,
        how="VICReg",
        decay="weights",
        monitor=look,
        execution=execution,
    )


def train_vicreg(
    encoder: WhisperEncoder,
    source: Clips,
    unlabelled: Clips,
    validation: Clips | None = None,
    *,
    settings: VicRegConfig | None = None,
    **others: Any,
) -> TwoStages:
    """Adapt an encoder to a language by VICReg, then train the baseline from there.

    Arguments are those of :func:`lowser_lib.methods.two_stages.train_two_stages`, whose first stage
    is :func:`adapt_by_vicreg`.
    """
    settings = settings or VicRegConfig()
    clips = source, unlabelled, validation
    return train_two_stages(adapt_by_vicreg, encoder, *clips, settings=settings, **others)
