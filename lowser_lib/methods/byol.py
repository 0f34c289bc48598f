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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from lowser_lib.audio import SAMPLE_RATE
from lowser_lib.augment import Compose
from lowser_lib.augment import byol as preset
from lowser_lib.encoders import WhisperEncoder
from lowser_lib.encoders.heads import mlp
from lowser_lib.encoders.protocol import Encoder
from lowser_lib.errors import TrainingError
from lowser_lib.losses.byol import symmetric_byol_loss
from lowser_lib.methods.baseline import (
    Baseline,
    BaselineConfig,
    EmotionClassifier,
    Metric,
    balanced_weights,
    train_baseline,
)
from lowser_lib.sampling import Batch, Clips, LengthBucketSampler, derive_seed
from lowser_lib.sampling.augmented import MINIMUM_SECONDS, WaveformDataset
from lowser_lib.sampling.pairs import PairLoader, Pairs
from lowser_lib.training import (
    History,
    Recipe,
    Step,
    TrainingConfig,
    fit,
    make_fabric,
    one_thread,
    predict,
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
        """Refuse values out of range.

        Raises:
            ValueError: a value is out of range; the message names it.
        """
        for name in ("lam", "lam_end", "tau"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], not {getattr(self, name)!r}")
        for name, choices in (
            ("lam_schedule", get_args(LamSchedule)),
            ("lam_weighs", get_args(LamWeighs)),
            ("tau_schedule", get_args(TauSchedule)),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {choices}, not {getattr(self, name)!r}")
        for name in ("projection", "hidden", "target_batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value!r}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate!r}")
        if self.seconds is not None and not self.seconds >= MINIMUM_SECONDS:
            raise ValueError(f"seconds must be at least {MINIMUM_SECONDS}, not {self.seconds!r}")
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
    Under several processes batch normalisation looks at each process's own clips.

    Attributes:
        supervised: the baseline's recipe on the classifier, which is trained in place.
        projector: embeddings to what is compared; of the online network.
        predictor: the projection of one view to the target's of the other; or nothing.
        target_encoder: moving average of the classifier's encoder.
        target_projector: moving average of the projector.
        config: BYOL's settings.
    """

    target_encoder: Encoder

    def __init__(
        self,
        model: EmotionClassifier,
        config: ByolConfig | None = None,
        baseline: BaselineConfig | None = None,
        class_weights: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        """Put projector, predictor and target network beside a classifier.

        Args:
            model: the classifier; it is used, its encoder is also copied.
            config: BYOL's settings; None takes the defaults.
            baseline: settings of the cross-entropy and of the encoder's rate; None takes the
                defaults.
            class_weights: see :class:`~lowser_lib.methods.baseline.Baseline`.
            generator: draws the weights of projector and predictor; None takes torch's own.

        Raises:
            ValueError: nothing of the encoder would be trained, or ``class_weights`` has the wrong
                shape.
        """
        super().__init__()
        self.supervised = Baseline(model, baseline, class_weights)
        self.config = config = config or ByolConfig()
        if not any(parameter.requires_grad for parameter in model.encoder.parameters()):
            raise ValueError(
                "the encoder has no trainable parameter: BYOL would train what is dropped later"
            )
        width = model.encoder.dimension
        self.projector = mlp(width, config.hidden, config.projection, generator)
        self.predictor: nn.Module = nn.Identity()
        if config.predictor:
            self.predictor = mlp(config.projection, config.hidden, config.projection, generator)
        self.target_encoder = copy.deepcopy(model.encoder)
        self.target_projector = copy.deepcopy(self.projector)
        self.target_encoder.requires_grad_(False)
        self.target_projector.requires_grad_(False)

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
        lam = self.config.lam_at(step.progress)
        share = lam if self.config.lam_weighs == "byol" else 1 - lam
        return {
            "loss": (1 - share) * classification + share * byol,
            "classification": classification,
            "byol": byol,
            "lam": torch.full_like(byol, lam, requires_grad=False),
            "tau": torch.full_like(byol, self.config.tau_at(step.progress), requires_grad=False),
        }

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The emotion head and the encoder as in the baseline, then projector and predictor."""
        own = [*self.projector.parameters(), *self.predictor.parameters()]
        return [
            *self.supervised.parameter_groups(),
            {"params": own, "lr": self.config.learning_rate},
        ]

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
        share = 1 - self.config.tau_at(step.progress)
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
        metric: judges the validation clips; see :data:`lowser_lib.methods.baseline.Metric`.
        byol: settings of BYOL; None takes the defaults.
        baseline: settings of head and encoder; None takes the defaults.
        config: the loop's settings; None takes the defaults. ``batch_size`` counts labelled clips.
        n_classes: number of emotions.
        monitor: measures two views of some clips after each epoch; see
            :func:`lowser_lib.training.monitoring.watch`.
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
