"""Fine-tuning on few labels: encoders of one view or several, and a new layer.

What chapter 07 spells out step by step stands here as functions, for many folds, seeds and budgets.
Both training from scratch and fine-tuning what is pre-trained (:mod:`lowser_lib.methods.pairwise`)
begin with encoders that know the means and deviations of the same unlabelled speech; a difference
between the two is what pre-training brought.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.nn.utils import skip_init
from torch.utils.data import DataLoader

from lowser_lib.encoders.heads import draw_linear
from lowser_lib.encoders.view_encoders import ViewEncoders
from lowser_lib.errors import TrainingError, require
from lowser_lib.losses.cross_entropy import cross_entropy
from lowser_lib.methods.balancing import balanced_weights
from lowser_lib.methods.pairwise import NO_AUGMENTATION, ViewAugmentation
from lowser_lib.sampling import LengthBucketSampler
from lowser_lib.sampling.clips import MultiViewBatch, MultiViewDataset
from lowser_lib.training import (
    Execution,
    History,
    Metric,
    Recipe,
    Step,
    TrainingConfig,
    answers_by_batch,
    embed_views,
    fit,
    one_thread,
)

#: Steps of the solver at most.
MOST_ITERATIONS = 1000
#: Logit of a class without a clip.
NEVER = -1e4


@dataclass(frozen=True)
class FineTuneConfig:
    """Settings of fine-tuning, and of training from scratch, on labelled clips.

    Attributes:
        learning_rate: peak rate of the new layer.
        encoder_learning_rate: peak rate of the encoders; 0 freezes them (a *probe*).
        probe_share: share of the steps in which the new layer learns alone, in [0, 1]; 0: both
            learn from the start.
        dropout: share of embedded values dropped before the new layer, in [0, 1).
        steps: optimizer steps, rounded up to whole epochs.
        batch_size: most clips a batch.
        balance_classes: weigh each class by the inverse of its share.
        augmentation: what is done to the views.
    """

    learning_rate: float = 1e-3
    encoder_learning_rate: float = 1e-3
    probe_share: float = 0.0
    dropout: float = 0.3
    # Steps again: four clips are seen as often as four hundred are seen in part.
    steps: int = 100
    batch_size: int = 32
    # What is reported is the mean of the classes' recalls.
    balance_classes: bool = True
    augmentation: ViewAugmentation = NO_AUGMENTATION

    def __post_init__(self) -> None:
        """Refuse values out of range by a ValueError that names them."""
        require("1..", steps=self.steps, batch_size=self.batch_size)
        require("[0, 1]", probe_share=self.probe_share)
        require("[0, 1)", dropout=self.dropout)
        require("[0, inf)", encoder_learning_rate=self.encoder_learning_rate)
        require("(0, inf)", learning_rate=self.learning_rate)


class MultiViewClassifier(nn.Module):
    """Emotions from one view or from several: encoders, and one linear layer.

    A single layer is our choice: with four labelled clips a deeper head would have the more to
    guess. Each embedding is brought to mean 0 and deviation 1 before, so that no view counts for
    more by its size.

    Attributes:
        encoders: one a view.
        head: dropout and a linear layer on the embeddings side by side.
        n_classes: number of emotions.
    """

    def __init__(
        self,
        encoders: ViewEncoders,
        n_classes: int = 4,
        dropout: float = FineTuneConfig.dropout,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        """Put a new layer on encoders, which are used, not copied."""
        super().__init__()
        self.encoders, self.n_classes = encoders, n_classes
        width = sum(encoder.dimension for encoder in encoders.by_name().values())
        self.head = nn.Sequential(nn.Dropout(dropout), skip_init(nn.Linear, width, n_classes))
        draw_linear(self.head, generator)

    def embed(self, batch: MultiViewBatch) -> Tensor:
        """Embeddings of all views side by side, ``(B, views × dimension)``."""
        return self.join(self.encoders(batch))

    def join(self, embedded: Mapping[str, Tensor]) -> Tensor:
        """Embeddings ``(B, dimension)`` by view, made comparable and put side by side."""
        parts = [F.layer_norm(embedded[name], embedded[name].shape[1:]) for name in self.encoders]
        return torch.cat(parts, dim=1)

    def forward(self, batch: MultiViewBatch) -> Tensor:
        """Logits ``(B, n_classes)``."""
        logits: Tensor = self.head(self.embed(batch))
        return logits


class FineTune(Recipe):
    """Cross-entropy on few labelled clips; the new layer may go first.

    Attributes:
        model: the classifier, trained in place.
        settings: the method's.
    """

    weights: Tensor | None

    def __init__(
        self,
        model: MultiViewClassifier,
        settings: FineTuneConfig | None = None,
        weights: Tensor | None = None,
    ) -> None:
        """Prepare a classifier for training; a probe's encoders are frozen here.

        Args:
            model: the classifier.
            settings: the method's; None takes the defaults.
            weights: ``(n_classes,)``, see
                :func:`lowser_lib.methods.balancing.balanced_weights`; None: all 1.
        """
        super().__init__()
        self.model, self.settings = model, settings or FineTuneConfig()
        self.register_buffer("weights", weights, persistent=False)
        self.rates = (
            (model.head, self.settings.learning_rate),
            (model.encoders, self.settings.encoder_learning_rate),
        )
        if self.settings.encoder_learning_rate == 0:
            model.encoders.requires_grad_(False)

    def forward(self, batch: MultiViewBatch, step: Step) -> dict[str, Tensor]:
        """Cross-entropy of a batch; clips without a label do not count."""
        if self.settings.augmentation != NO_AUGMENTATION:
            encoders = self.model.encoders.by_name()
            batch = self.settings.augmentation(batch, encoders, step.generator)
        # Without gradients the optimizer leaves the encoders alone.
        alone = step.number < self.settings.probe_share * step.total
        with torch.set_grad_enabled(not alone):
            embedded = self.model.embed(batch)
        return {"loss": cross_entropy(self.model.head(embedded), batch.labels, self.weights)}


class FineTuned(NamedTuple):
    """What fine-tuning leaves.

    Attributes:
        model: the classifier, in evaluation mode.
        history: of its training.
    """

    model: MultiViewClassifier
    history: History


def fine_tune(
    encoders: ViewEncoders,
    source: MultiViewDataset,
    validation: MultiViewDataset | None = None,
    *,
    generator: torch.Generator,
    views: Iterable[str] | None = None,
    metric: Metric | None = None,
    settings: FineTuneConfig | None = None,
    n_classes: int = 4,
    execution: Execution | None = None,
) -> FineTuned:
    """Train copies of encoders, pre-trained or new, with a new layer on labelled clips.

    Args:
        encoders: to start from; they stay as they are. For training from scratch, new ones:
            :meth:`~lowser_lib.encoders.view_encoders.ViewEncoders.for_clips`.
        source: labelled clips to learn from.
        validation: labelled clips of *other speakers*, to choose the epoch by; None: the last.
            With few labels there is seldom anything to spare for it.
        generator: draws the new layer's weights, the batches and the run's seed.
        views: names of the views to use, one or several; None takes all that there are encoders
            for.
        metric: judges the validation clips.
        settings: the method's; None takes the defaults.
        n_classes: number of emotions.
        execution: where it runs and what is kept; None takes the defaults.

    Raises:
        TrainingError: no clip has a label, or training diverges.
        CheckpointError: see :func:`lowser_lib.training.fit`.
        ValueError: there is no such view, or validation is given without a metric.
    """
    settings, execution = settings or FineTuneConfig(), execution or Execution()
    if (validation is None) != (metric is None):
        raise ValueError("validation and metric go together: give both, or neither")
    if not bool((source.labels >= 0).any()):
        raise TrainingError(f"none of {len(source)} clips has a label: there is nothing to learn")
    names = list(encoders) if views is None else list(views)
    chosen = ViewEncoders({name: copy.deepcopy(encoders.of(name)) for name in names})
    model = MultiViewClassifier(chosen, n_classes, settings.dropout, generator=generator)
    weights = balanced_weights(source.labels, n_classes) if settings.balance_classes else None
    clips = source.of_views(names)
    sampler = LengthBucketSampler(clips.lengths, settings.batch_size, generator)

    def score() -> float:
        assert validation is not None and metric is not None
        predicted = predict_views(model, validation, fabric=execution.fabric).argmax(axis=1)
        return metric(validation.labels.numpy(), predicted)

    with one_thread(execution.fabric):
        history = fit(
            FineTune(model, settings, weights),
            DataLoader(clips, batch_sampler=sampler, collate_fn=clips.collate),
            TrainingConfig.for_steps(settings.steps, len(sampler), settings.batch_size),
            generator=generator,
            score=None if validation is None else score,
            execution=execution,
        )
    return FineTuned(model, history)


def probe_views(
    encoders: ViewEncoders,
    clips: MultiViewDataset,
    *,
    views: Iterable[str] | None = None,
    penalty: float = 1.0,
    n_classes: int = 4,
    fabric: Fabric | None = None,
) -> MultiViewClassifier:
    """Put a new layer on encoders that stay as they are: logistic regression on embeddings.

    What gradient descent goes towards in :func:`fine_tune` with an ``encoder_learning_rate`` of 0
    is computed outright, with nothing to draw and no number of steps to choose.

    Args:
        encoders: to build on; copies of them are frozen.
        clips: labelled clips to learn from; each class counts alike.
        views: names of the views to use; None takes all that there are encoders for.
        penalty: of the squared weights, above 0; the inverse of scikit-learn's ``C``.
        n_classes: number of emotions; those without a clip are never answered.
        fabric: applies its precision; None takes that of the weights.

    Returns:
        The classifier, in evaluation mode.

    Raises:
        TrainingError: fewer than two classes have a clip.
        ValueError: there is no such view, or ``penalty`` is not above 0.
    """
    require("(0, inf)", penalty=penalty)
    names = list(encoders) if views is None else list(views)
    chosen = ViewEncoders({name: copy.deepcopy(encoders.of(name)) for name in names})
    model = MultiViewClassifier(chosen.requires_grad_(False), n_classes)
    clips = clips.of_clips((clips.labels >= 0).nonzero()[:, 0])
    classes = clips.labels.unique().tolist()
    if len(classes) < 2:
        raise TrainingError(f"labels of {len(classes)} class(es): a probe needs two to tell apart")
    probe = LogisticRegression(C=1 / penalty, class_weight="balanced", max_iter=MOST_ITERATIONS)
    points = model.join(embed_views(chosen, clips, fabric=fabric)).double().numpy()
    with threadpool_limits(1):  # sums of several threads are rounded otherwise
        probe.fit(points, clips.labels.numpy())
    weights, biases = probe.coef_, probe.intercept_
    if len(classes) == 2:  # scikit-learn gives the second class's weights, with zeros for the first
        weights, biases = np.vstack([0 * weights, weights]), np.concatenate([[0.0], biases])
    layer = cast(nn.Linear, model.head[-1])
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.fill_(NEVER)
        layer.weight[classes] = torch.as_tensor(weights, dtype=layer.weight.dtype)
        layer.bias[classes] = torch.as_tensor(biases, dtype=layer.bias.dtype)
    return model.eval()


def predict_views(
    model: MultiViewClassifier,
    clips: MultiViewDataset,
    batch_size: int = 64,
    fabric: Fabric | None = None,
) -> np.ndarray:
    """Probabilities of the emotions for every clip, in the order of the data set.

    Args:
        model: the classifier, on any device; its mode and weights stay as they are.
        clips: with its views at least; labels are not read.
        batch_size: clips a batch.
        fabric: applies its precision; None takes that of the weights.

    Returns:
        float64 ``(N, n_classes)``; each row sums to 1.

    Raises:
        TrainingError: the data set is empty.
    """
    parts = answers_by_batch(model, clips.of_views(model.encoders), batch_size, fabric)
    return torch.cat(parts).double().softmax(dim=-1).numpy()
