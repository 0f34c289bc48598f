"""BYOL with supervision mixed in, after Gong et al. 2025 (arXiv 2506.02059).

One model, one stage: an emotion head learns from English labels, and at the same time the encoder
learns from English and from the target language without labels, by BYOL (Grill et al. 2020,
arXiv 2006.07733). Two differently augmented views of a clip go through two networks. The *online*
network (encoder, projector, predictor) is trained to say of one view what the *target* network
(encoder, projector) says of the other; the target is not trained: it is the moving average of the
online network's own weights. A weight λ shares the loss out between the two tasks and moves during
training. The paper gives the method, its three augmentations and λ from 0.8 to 0.2; what is marked
*our choice* is ours.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from functools import partial
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from lowser_lib.audio import SAMPLE_RATE
from lowser_lib.augment import Compose, byol as preset
from lowser_lib.encoders import WhisperEncoder
from lowser_lib.encoders.heads import Encoder, mlp
from lowser_lib.errors import TrainingError, require
from lowser_lib.losses import symmetric_byol_loss
from lowser_lib.methods.balancing import balanced_weights
from lowser_lib.methods.baseline import Baseline, BaselineConfig, EmotionClassifier, new_classifier
from lowser_lib.sampling import Batch, Clips, LengthBucketSampler, derive_seed
from lowser_lib.sampling.augmented import MINIMUM_SECONDS, PairLoader, Pairs, WaveformDataset
from lowser_lib.training import (
    Execution,
    History,
    Metric,
    Recipe,
    Step,
    TrainingConfig,
    fit,
    one_thread,
    validation_score,
)
from lowser_lib.training.monitoring import Monitor, spectrograms, two_views, watch

#: How λ moves during training.
LamSchedule = Literal["linear", "cosine", "fixed"]


#: What λ multiplies; 1 − λ is for the other. The paper's text can be read either way.
LamWeighs = Literal["byol", "classification"]


#: How τ moves during training.
TauSchedule = Literal["cosine", "constant"]


@dataclass(frozen=True)
class ByolConfig:
    """BYOL's settings; λ's two ends are the paper's, the rest our choice.

    Those of the emotion head and of the encoder's learning rate are the baseline's, see
    :class:`~lowser_lib.methods.baseline.BaselineConfig`.

    Attributes:
        lam: λ at the first step, in [0, 1]; at all steps where the schedule is ``"fixed"``.
        lam_end: λ at the last step, in [0, 1].
        lam_schedule: ``"linear"``, ``"cosine"`` (half a cosine, slow at both ends) or ``"fixed"``.
        lam_weighs: ``"byol"``: the loss is (1 − λ) · cross-entropy + λ · BYOL;
            ``"classification"``: λ · cross-entropy + (1 − λ) · BYOL.
        tau: share of its own weights that the target keeps at a step, in [0, 1]; 0: it is a copy.
        tau_schedule: ``"cosine"``: from ``tau`` at the first step to 1 at the last; or
            ``"constant"``.
        predictor: whether the online network has one; without, it has to say the same itself.
        projection: width of what the loss compares.
        hidden: width of the hidden layer of projector and predictor.
        target_batch: unlabelled clips a step; None: as many as labelled ones.
        learning_rate: peak rate of projector and predictor.
        strength: strength of the augmentations, from 0 to 1; 0: both views are the clip itself.
        probability: chance of each view to meet each augmentation, from 0 to 1.
        seconds: what a view holds of a clip, above 0, at a place drawn for it; None: all of it.
    """

    # Gong et al. 2025 give the two ends; a straight line between them is the plainest reading, ...
    lam: float = 0.8
    lam_end: float = 0.2
    lam_schedule: LamSchedule = "linear"
    # ... and λ on BYOL the likelier: first the encoder gets to know the speech, then the task.
    lam_weighs: LamWeighs = "byol"
    # Grill et al. 2020 raise τ from 0.996 to 1: a target that moves while there is much to learn
    # and comes to rest at the end. Half of it is replaced after 173 steps at 0.996.
    tau: float = 0.996
    tau_schedule: TauSchedule = "cosine"
    # Without it nothing is between the networks, and one answer for all clips is soon found.
    predictor: bool = True
    # As in speaker-contrastive learning.
    projection: int = 128
    # Grill et al. have twice the embedding's width (4096 for 2048); that is between 2 × 144 (nano)
    # and 2 × 768 (small.en).
    hidden: int = 512
    # Neither language is heard more than the other.
    target_batch: int | None = None
    # They start from random weights, as the emotion head does, and may move as fast.
    learning_rate: float = 1e-3
    # The ranges of the preset `byol` as they stand, which are weak already, at even odds.
    strength: float = 1.0
    probability: float = 0.5
    # As in speaker-contrastive learning: half the time, and one more thing that may differ.
    seconds: float | None = 2.0

    def __post_init__(self) -> None:
        """Refuse values out of range by a ValueError that names them."""
        require("[0, 1]", lam=self.lam, lam_end=self.lam_end, tau=self.tau)
        require(get_args(LamSchedule), lam_schedule=self.lam_schedule)
        require(get_args(LamWeighs), lam_weighs=self.lam_weighs)
        require(get_args(TauSchedule), tau_schedule=self.tau_schedule)
        require("1..", projection=self.projection, hidden=self.hidden)
        require("1.. or None", target_batch=self.target_batch)
        require("(0, inf)", learning_rate=self.learning_rate)
        require(f"[{MINIMUM_SECONDS}, inf) or None", seconds=self.seconds)
        self.augmentation()  # raises where strength or probability are out of range

    def augmentation(self) -> Compose:
        """The three augmentations of the preset ``byol``."""
        return preset(self.strength, self.probability)

    def lam_at(self, progress: float) -> float:
        """λ when a share ``progress`` of the run is done, from 0 at the first step to 1."""
        if self.lam_schedule == "fixed":
            return self.lam
        moved = progress if self.lam_schedule == "linear" else _half_cosine(progress)
        return self.lam + (self.lam_end - self.lam) * moved

    def tau_at(self, progress: float) -> float:
        """τ when a share ``progress`` of the run is done (Grill et al. 2020, section 3.3)."""
        if self.tau_schedule == "constant":
            return self.tau
        return self.tau + (1 - self.tau) * _half_cosine(progress)


class Byol(Recipe):
    """Cross-entropy on labelled clips, and BYOL on two views of these and of unlabelled ones.

    The target network is part of the recipe, and so of its state: a resumed run goes on with it.

    Attributes:
        supervised: the baseline's recipe on the classifier, which is trained in place.
        projector: embeddings to what is compared; of the online network.
        predictor: the projection of one view to the target's of the other; or nothing.
        target_encoder: moving average of the classifier's encoder.
        target_projector: moving average of the projector.
        settings: BYOL's.
    """

    target_encoder: Encoder

    def __init__(
        self,
        model: EmotionClassifier,
        settings: ByolConfig | None = None,
        baseline: BaselineConfig | None = None,
        weights: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        """Put projector, predictor and target network beside a classifier.

        Args:
            model: the classifier; it is used, its encoder is also copied.
            settings: BYOL's; None takes the defaults.
            baseline: settings of the cross-entropy and of the encoder's rate; None takes the
                defaults.
            weights: see :class:`~lowser_lib.methods.baseline.Baseline`.
            generator: draws the weights of projector and predictor; None takes torch's own.

        Raises:
            ValueError: nothing of the encoder would be trained, or ``weights`` are too few.
        """
        super().__init__()
        self.supervised = Baseline(model, baseline, weights)
        self.settings = settings = settings or ByolConfig()
        if not any(parameter.requires_grad for parameter in model.encoder.parameters()):
            raise ValueError(
                "the encoder has no trainable parameter: BYOL would train what is dropped later"
            )
        width = model.encoder.dimension
        self.projector = mlp(width, settings.hidden, settings.projection, generator)
        self.predictor: nn.Module = nn.Identity()
        if settings.predictor:
            projection = settings.projection
            self.predictor = mlp(projection, settings.hidden, projection, generator)
        self.target_encoder = copy.deepcopy(model.encoder)
        self.target_projector = copy.deepcopy(self.projector)
        self.target_encoder.requires_grad_(False)
        self.target_projector.requires_grad_(False)
        heads = nn.ModuleList([self.projector, self.predictor])
        self.rates = (*self.supervised.rates, (heads, settings.learning_rate))

    @property
    def model(self) -> EmotionClassifier:
        """The classifier."""
        return self.supervised.model

    def forward(self, batch: Pairs, step: Step) -> dict[str, Tensor]:
        """Both losses of a step's clips, and their sum by λ.

        Returns:
            ``loss``; its parts ``classification`` and ``byol`` (in [0, 4], where 2 is what chance
            gives); and ``lam`` and ``tau`` at this step, for the record.
        """
        classification = self.supervised(batch.labelled, step)["loss"]
        byol = symmetric_byol_loss(
            (self._predict(batch.first), self._predict(batch.second)),
            (self._target(batch.first), self._target(batch.second)),
        )
        lam = self.settings.lam_at(step.progress)
        share = lam if self.settings.lam_weighs == "byol" else 1 - lam
        return {
            "loss": (1 - share) * classification + share * byol,
            "classification": classification,
            "byol": byol,
            "lam": torch.full_like(byol, lam, requires_grad=False),
            "tau": torch.full_like(byol, self.settings.tau_at(step.progress), requires_grad=False),
        }

    @torch.no_grad()
    def after_step(self, step: Step) -> None:
        """Move the target towards the online network: θ' ← τ θ' + (1 − τ) θ.

        Parameters alone are averaged, as lightly does. The only buffers that change are those of
        batch normalisation, and the target's stay its own. In training it normalises by the batch
        at hand, as the online network does (and as in Grill et al. 2020), so running averages take
        no part in it; they are kept for evaluation, and the target's follow what *its* layers have
        seen. Those of the online network belong to other weights, and a moving average of the count
        of batches would not mean anything.
        """
        share = 1 - self.settings.tau_at(step.progress)
        pairs = (
            (cast(nn.Module, self.target_encoder), cast(nn.Module, self.model.encoder)),
            (self.target_projector, self.projector),
        )
        for target, online in pairs:
            for slow, fast in zip(target.parameters(), online.parameters(), strict=True):
                slow.lerp_(fast, share)

    def _predict(self, view: Batch) -> Tensor:
        """What the online network expects the target to say of the other view: ``(B, D)``."""
        embeddings = self.model.encoder.embed(view.inputs, view.lengths)
        prediction: Tensor = self.predictor(self.projector(embeddings))
        return prediction

    @torch.no_grad()
    def _target(self, view: Batch) -> Tensor:
        """What the target network says of a view: ``(B, D)``."""
        embeddings = self.target_encoder.embed(view.inputs, view.lengths)
        projection: Tensor = self.target_projector(embeddings)
        return projection


def pulls(
    encoder: WhisperEncoder,
    source: WaveformDataset,
    unlabelled: WaveformDataset,
    settings: ByolConfig | None = None,
    *,
    seed: int,
) -> dict[str, float]:
    """How hard both tasks pull at an encoder, in the first step of a training with a new head.

    Args:
        encoder: is copied.
        source: labelled waveforms; all of them are one batch.
        unlabelled: waveforms of the target language, as many.
        settings: BYOL's; None takes the defaults.
        seed: of the head, the projector and the two copies of each clip.

    Returns:
        ``emotion`` and ``BYOL``: lengths of the gradients of cross-entropy (without dropout) and of
        BYOL's loss over the encoder's weights, without λ; ``cosine``: of the angle between the two.
    """
    settings, random = settings or ByolConfig(), torch.Generator().manual_seed(seed)
    labelled = spectrograms(source, encoder.n_mels)
    first, second = (
        LengthBucketSampler(its.lengths, len(its), random) for its in (labelled, unlabelled)
    )
    augmentation = settings.augmentation()
    pairs = PairLoader(labelled, source, unlabelled, (first, second), augmentation, random)
    model = EmotionClassifier(copy.deepcopy(encoder), generator=random)
    recipe = Byol(model, settings, generator=random)
    model.head.eval()  # dropout would draw from torch's own generator
    losses = recipe(next(iter(pairs)), Step(0, 1, random))
    weights = [weight for weight in model.encoder.parameters() if weight.requires_grad]
    both = []
    for name in ("classification", "byol"):
        parts = torch.autograd.grad(losses[name], weights, retain_graph=True)
        both.append(torch.cat([part.flatten() for part in parts]))
    emotion, byol = both
    cosine = torch.nn.functional.cosine_similarity(emotion, byol, dim=0)
    figures = {"emotion": emotion.norm(), "BYOL": byol.norm(), "cosine": cosine}
    return {name: float(value) for name, value in figures.items()}


def half_life(tau: float) -> float:
    """Steps after which half of the target's weights stem from later than now: ln ½ / ln τ.

    Raises:
        ValueError: τ is not between 0 and 1.
    """
    if not 0 < tau < 1:
        raise ValueError(f"tau must lie between 0 and 1, not {tau!r}")
    return math.log(0.5) / math.log(tau)


def _half_cosine(progress: float) -> float:
    """From 0 to 1, slow at both ends."""
    return (1 - math.cos(math.pi * progress)) / 2


def train_byol(
    encoder: WhisperEncoder,
    source: WaveformDataset,
    unlabelled: WaveformDataset,
    validation: Clips | None = None,
    *,
    seed: int,
    metric: Metric,
    settings: ByolConfig | None = None,
    baseline: BaselineConfig | None = None,
    training: TrainingConfig | None = None,
    n_classes: int = 4,
    monitor: Monitor | None = None,
    execution: Execution | None = None,
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
        metric: judges the validation clips; see :data:`lowser_lib.training.Metric`.
        settings: BYOL's; None takes the defaults.
        baseline: settings of head and encoder; None takes the defaults.
        training: the loop's settings; None takes the defaults. ``batch_size`` counts labelled
            clips.
        n_classes: number of emotions.
        monitor: measures two views of some clips after each epoch; see
            :func:`lowser_lib.training.monitoring.watch`.
        execution: where it runs and what is kept; None takes the defaults. The head's start is in
            no checkpoint and is done again.

    Returns:
        The classifier, in evaluation mode, and the history, which holds both losses, λ and τ of
        each epoch besides.

    Raises:
        TrainingError: there are no clips on one side, or training diverges.
        CheckpointError: see :func:`lowser_lib.training.fit`.
        ValueError: ``seed`` is negative, nothing of the encoder would be trained, or the baseline's
            settings ask for augmented clips or balanced groups.
    """
    require("0..", seed=seed)
    for name, clips in (("source", source), ("unlabelled", unlabelled)):
        if len(clips) == 0:
            raise TrainingError(f"there is nothing to train on: {name} has no clip")
    settings, baseline = settings or ByolConfig(), baseline or BaselineConfig()
    training, execution = training or TrainingConfig(), execution or Execution()
    fabric = execution.fabric
    if not baseline.encoder_learning_rate:
        raise ValueError("encoder_learning_rate must be above 0: BYOL trains the encoder")
    baseline.refuse(
        augmentations="BYOL's labelled clips stay as they are, its views have their own settings",
        balance_groups="BYOL's batches are not balanced by group",
    )
    # The baseline's stream, and another one for what is BYOL's own.
    shared = torch.Generator().manual_seed(seed)
    private = torch.Generator().manual_seed(derive_seed(seed, 1))
    with one_thread(fabric):
        labelled = spectrograms(source, encoder.n_mels)
        model = new_classifier(
            encoder,
            labelled,
            validation,
            metric=metric,
            generator=shared,
            settings=baseline,
            training=training,
            n_classes=n_classes,
            execution=execution,
        )
        weights = balanced_weights(source.labels, n_classes) if baseline.balance_classes else None
        recipe = Byol(model, settings, baseline, weights, generator=private)
        batch_size = training.batch_size
        loader = PairLoader(
            labelled,
            source,
            unlabelled,
            (
                LengthBucketSampler(labelled.lengths, batch_size, shared),
                LengthBucketSampler(
                    unlabelled.lengths, settings.target_batch or batch_size, private
                ),
            ),
            settings.augmentation(),
            private,
            longest=None if settings.seconds is None else round(settings.seconds * SAMPLE_RATE),
            device=fabric.device,
        )
        look = None
        if monitor is not None:
            views = two_views(loader.clips, settings.augmentation(), private, encoder.n_mels)
            look = watch(monitor, model.encoder, recipe.projector, views, fabric)
        history = fit(
            recipe,
            loader,
            training,
            generator=shared,
            score=None
            if validation is None
            else partial(validation_score, metric, model, validation, fabric),
            monitor=look,
            execution=execution,
        )
    return model.eval(), history
