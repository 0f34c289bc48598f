"""Pairwise contrastive learning in two calls: pre-train without labels, fine-tune on few.

What chapter 07 spells out step by step stands here as functions, for many folds, seeds and budgets.
Both training from scratch and fine-tuning begin with encoders that know the means and deviations of
the same unlabelled speech; a difference between the two is what pre-training brought.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.nn.utils import skip_init

from lowser_lib.encoders.heads import draw_linear
from lowser_lib.errors import TrainingError
from lowser_lib.methods.baseline import Metric, balanced_weights
from lowser_lib.methods.pairwise import (
    NO_AUGMENTATION,
    ViewAugmentation,
    ViewEncoders,
    _at_least,
    _fit,
    _map,
    _within,
    embed_views,
)
from lowser_lib.sampling import UNLABELLED
from lowser_lib.sampling.multiview import MultiViewBatch, MultiViewDataset
from lowser_lib.training import History, Recipe, Step, make_fabric

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
        """Refuse values out of range.

        Raises:
            ValueError: a value is out of range; the message names it.
        """
        _at_least(self, 1, "steps", "batch_size")
        _within(self, 0, 1, "probe_share")
        _within(self, 0, 1, "dropout", closed=False)
        _within(self, 0, float("inf"), "encoder_learning_rate", closed=False)
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate!r}")


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
        config: the settings.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        model: MultiViewClassifier,
        config: FineTuneConfig | None = None,
        class_weights: Tensor | None = None,
    ) -> None:
        """Prepare a classifier for training; a probe's encoders are frozen here.

        Args:
            model: the classifier.
            config: the settings; None takes the defaults.
            class_weights: ``(n_classes,)``, see
                :func:`lowser_lib.methods.baseline.balanced_weights`; None: all 1.
        """
        super().__init__()
        self.model, self.config = model, config or FineTuneConfig()
        self.register_buffer("class_weights", class_weights, persistent=False)
        if self.config.encoder_learning_rate == 0:
            model.encoders.requires_grad_(False)

    def forward(self, batch: MultiViewBatch, step: Step) -> dict[str, Tensor]:
        """Cross-entropy of a batch; clips without a label do not count."""
        if self.config.augmentation != NO_AUGMENTATION:
            encoders = self.model.encoders.by_name()
            batch = self.config.augmentation(batch, encoders, step.generator)
        # Without gradients the optimizer leaves the encoders alone.
        alone = step.number < self.config.probe_share * step.total
        with torch.set_grad_enabled(not alone):
            embedded = self.model.embed(batch)
        logits = self.model.head(embedded)
        loss = F.cross_entropy(
            logits, batch.labels, weight=self.class_weights, ignore_index=UNLABELLED
        )
        return {"loss": loss}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The new layer, then the encoders, if they are not frozen."""
        groups = [{"params": list(self.model.head.parameters()), "lr": self.config.learning_rate}]
        trainable = [p for p in self.model.encoders.parameters() if p.requires_grad]
        if trainable:
            groups.append({"params": trainable, "lr": self.config.encoder_learning_rate})
        return groups


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
    clips: MultiViewDataset,
    *,
    generator: torch.Generator,
    views: Iterable[str] | None = None,
    validation: MultiViewDataset | None = None,
    metric: Metric | None = None,
    config: FineTuneConfig | None = None,
    n_classes: int = 4,
    fabric: Fabric | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: bool = False,
) -> FineTuned:
    """Train copies of encoders, pre-trained or new, with a new layer on labelled clips.

    Args:
        encoders: to start from; they stay as they are. For training from scratch, new ones:
            :meth:`~lowser_lib.methods.pairwise.ViewEncoders.for_clips`.
        clips: labelled clips to learn from.
        generator: draws the new layer's weights, the batches and the run's seed.
        views: names of the views to use, one or several; None takes all that there are encoders
            for.
        validation: labelled clips of *other speakers*, to choose the epoch by; None: the last.
            With few labels there is seldom anything to spare for it.
        metric: judges the validation clips.
        config: the settings; None takes the defaults.
        n_classes: number of emotions.
        fabric: as in :func:`lowser_lib.training.fit`.
        checkpoint: as there.
        resume: as there.
        progress: as there.

    Raises:
        TrainingError: no clip has a label, or training diverges.
        CheckpointError: see :func:`lowser_lib.training.fit`.
        ValueError: there is no such view, or validation is given without a metric.
    """
    config, fabric = config or FineTuneConfig(), fabric or make_fabric()
    if (validation is None) != (metric is None):
        raise ValueError("validation and metric go together: give both, or neither")
    if not bool((clips.labels >= 0).any()):
        raise TrainingError(f"none of {len(clips)} clips has a label: there is nothing to learn")
    names = list(encoders) if views is None else list(views)
    chosen = ViewEncoders({name: copy.deepcopy(encoders.of(name)) for name in names})
    model = MultiViewClassifier(chosen, n_classes, config.dropout, generator=generator)
    weights = balanced_weights(clips.labels, n_classes) if config.balance_classes else None
    score = None
    if validation is not None and metric is not None:
        score = partial(_score, metric, model, validation.of_views(names), fabric)
    history = _fit(
        FineTune(model, config, weights),
        clips.of_views(names),
        config.steps,
        config.batch_size,
        score=score,
        generator=generator,
        fabric=fabric,
        checkpoint=checkpoint,
        resume=resume,
        progress=progress,
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
        fabric: as in :func:`predict_views`.

    Returns:
        The classifier, in evaluation mode.

    Raises:
        TrainingError: fewer than two classes have a clip.
        ValueError: there is no such view, or ``penalty`` is not above 0.
    """
    if not penalty > 0:
        raise ValueError(f"penalty must be above 0, not {penalty!r}")
    names = list(encoders) if views is None else list(views)
    chosen = ViewEncoders({name: copy.deepcopy(encoders.of(name)) for name in names})
    model = MultiViewClassifier(chosen.requires_grad_(False), n_classes)
    clips = clips.of_clips((clips.labels >= 0).nonzero()[:, 0])
    classes = clips.labels.unique().tolist()
    if len(classes) < 2:
        raise TrainingError(f"labels of {len(classes)} class(es): a probe needs two to tell apart")
    found = LogisticRegression(C=1 / penalty, class_weight="balanced", max_iter=MOST_ITERATIONS)
    points = model.join(embed_views(chosen, clips, fabric=fabric)).double().numpy()
    with threadpool_limits(1):  # sums of several threads are rounded otherwise
        found.fit(points, clips.labels.numpy())
    weights, biases = found.coef_, found.intercept_
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
    parts = _map(model, clips.of_views(model.encoders), batch_size, fabric)
    return torch.cat(parts).double().softmax(dim=-1).numpy()


def _score(
    metric: Metric, model: MultiViewClassifier, clips: MultiViewDataset, fabric: Fabric
) -> float:
    """Judge a classifier on clips of validation speakers."""
    predicted = predict_views(model, clips, fabric=fabric).argmax(axis=1)
    return metric(clips.labels.numpy(), predicted)
