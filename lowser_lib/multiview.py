"""Pairwise contrastive learning in two calls: pre-train without labels, fine-tune on few.

What chapter 07 spells out step by step stands here as functions, for many folds, seeds and budgets.
Both training from scratch and fine-tuning begin with encoders that know the means and deviations of
the same unlabelled speech; a difference between the two is what pre-training brought.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities import move_data_to_device
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor, nn

from lowser_lib.errors import TrainingError
from lowser_lib.methods import Recipe
from lowser_lib.methods.baseline import balanced_weights
from lowser_lib.methods.pairwise import (
    EncodersConfig,
    FineTune,
    FineTuneConfig,
    MultiViewClassifier,
    Pairwise,
    PairwiseConfig,
    ViewEncoders,
)
from lowser_lib.monitoring import WATCHED, Monitor
from lowser_lib.recipes import Metric
from lowser_lib.run_state import History
from lowser_lib.sampling import ClipLoader, LengthBucketSampler
from lowser_lib.sampling.multiview import MultiViewDataset
from lowser_lib.training import TrainingConfig, fit, make_fabric, one_thread

#: Steps of the solver at most.
MOST_ITERATIONS = 1000
#: Logit of a class without a clip.
NEVER = -1e4


class Pretrained(NamedTuple):
    """What pre-training leaves.

    Attributes:
        encoders: one a view, on the CPU, in evaluation mode; without the projection heads.
        history: ``loss`` and ``matched`` of each epoch, see
            :meth:`lowser_lib.methods.pairwise.Pairwise.forward`.
    """

    encoders: ViewEncoders
    history: History


class FineTuned(NamedTuple):
    """What fine-tuning leaves.

    Attributes:
        model: the classifier, in evaluation mode.
        history: of its training.
    """

    model: MultiViewClassifier
    history: History


def pretrain(
    clips: MultiViewDataset,
    *,
    generator: torch.Generator,
    encoders: ViewEncoders | EncodersConfig | None = None,
    config: PairwiseConfig | None = None,
    monitor: Monitor | None = None,
    fabric: Fabric | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: bool = False,
) -> Pretrained:
    """Pre-train an encoder a view on clips without labels.

    There is no validation: the weights after the last step are kept. On a CPU it computes with one
    thread, so that the weights do not depend on their number.

    Args:
        clips: with the views to be contrasted; labels, if any, are not read.
        generator: draws weights, batches, augmentations and the run's seed.
        encoders: encoders to start from, which stay as they are; or the sizes of new ones, None for
            the default sizes.
        config: the settings; None takes the defaults.
        monitor: measures embeddings and projections of some clips after each epoch: those of each
            view by themselves, and the projections of all views together, where those of one clip
            are positives of each other. Its figures are in the history.
        fabric: as in :func:`lowser_lib.training.fit`.
        checkpoint: as there.
        resume: as there.
        progress: as there.

    Raises:
        TrainingError: there are fewer than two clips, or training diverges.
        CheckpointError: see :func:`lowser_lib.training.fit`.
        ValueError: there is one view only, and one copy of it.
    """
    config, fabric = config or PairwiseConfig(), fabric or make_fabric()
    if len(clips) < 2:
        raise TrainingError(f"{len(clips)} clips: a clip needs another one to be told from")
    clips = clips.unlabelled()
    if isinstance(encoders, ViewEncoders):
        encoders = copy.deepcopy(encoders)
    else:
        encoders = ViewEncoders.for_clips(clips, encoders, generator=generator)
    recipe = Pairwise(encoders, config, generator=generator)
    clips = clips.of_views(encoders)
    history = _fit(
        recipe,
        clips,
        config.steps,
        config.batch_size,
        generator=generator,
        monitor=None if monitor is None else partial(_watch, monitor, recipe, clips, fabric),
        fabric=fabric,
        checkpoint=checkpoint,
        resume=resume,
        progress=progress,
    )
    return Pretrained(encoders.to("cpu", torch.float32).eval(), history)


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


def embed_views(
    encoders: ViewEncoders,
    clips: MultiViewDataset,
    batch_size: int = 64,
    fabric: Fabric | None = None,
) -> dict[str, Tensor]:
    """Embeddings of every clip through every encoder, for PWCCA or a picture.

    Args:
        encoders: on any device; mode and weights stay as they are.
        clips: with their views at least.
        batch_size: clips a batch.
        fabric: as in :func:`predict_views`.

    Returns:
        By view, ``(N, dimension)`` on the CPU, in the order of the data set.

    Raises:
        TrainingError: the data set is empty.
    """
    parts = _map(encoders, clips.of_views(encoders), batch_size, fabric)
    return {name: torch.cat([part[name] for part in parts]) for name in encoders}


def _fit(
    recipe: Recipe,
    clips: MultiViewDataset,
    steps: int,
    batch_size: int,
    *,
    generator: torch.Generator,
    fabric: Fabric,
    **others: Any,
) -> History:
    """Train a recipe for so many steps, rounded up to whole epochs."""
    sampler = LengthBucketSampler(
        clips.lengths,
        batch_size,
        generator,
        num_replicas=fabric.world_size,
        rank=fabric.global_rank,
    )
    config = TrainingConfig(epochs=-(-steps // len(sampler)), batch_size=batch_size, patience=None)
    loader = ClipLoader(cast(Any, clips), sampler)  # has the shape that is asked for, save one type
    with one_thread(fabric):
        return fit(recipe, loader, config, generator=generator, fabric=fabric, **others)


def _watch(
    monitor: Monitor, recipe: Pairwise, clips: MultiViewDataset, fabric: Fabric
) -> dict[str, float]:
    """What a monitor says of clips taken evenly from first to last, always the same."""
    count = min(WATCHED, len(clips))
    chosen = torch.linspace(0, len(clips) - 1, count).round().long()
    embedded = embed_views(recipe.encoders, clips.of_clips(chosen), fabric=fabric)
    device = next(recipe.parameters()).device
    projected = {}
    with torch.no_grad(), fabric.autocast():
        for name, points in embedded.items():
            projected[name] = recipe.projections[name](points.to(device)).float().cpu()
    numbers = torch.arange(count)
    spaces = {
        **{f"{name}_embedding": (points.float(), numbers) for name, points in embedded.items()},
        **{f"{name}_projection": (points, numbers) for name, points in projected.items()},
        "projection": (torch.cat(list(projected.values())), numbers.repeat(len(projected))),
    }
    return {
        f"{space}_{figure}": value
        for space, (points, labels) in spaces.items()
        for figure, value in monitor(points, labels).items()
    }


def _score(
    metric: Metric, model: MultiViewClassifier, clips: MultiViewDataset, fabric: Fabric
) -> float:
    """Judge a classifier on clips of validation speakers."""
    predicted = predict_views(model, clips, fabric=fabric).argmax(axis=1)
    return metric(clips.labels.numpy(), predicted)


def _map(
    module: nn.Module, clips: MultiViewDataset, batch_size: int, fabric: Fabric | None
) -> list[Any]:
    """What a module answers to each batch, on the CPU, in order and without gradients."""
    if not len(clips):
        raise TrainingError("the data set has no clip: there is nothing to ask about")
    weight = next(module.parameters())
    was_training = module.training
    module.eval()
    answers = []
    with torch.no_grad(), fabric.autocast() if fabric is not None else nullcontext():
        for start in range(0, len(clips), batch_size):
            stop = min(start + batch_size, len(clips))
            batch = clips.collate([clips[index] for index in range(start, stop)])
            views = {n: view.to(weight.device, weight.dtype) for n, view in batch.views.items()}
            answers.append(move_data_to_device(module(batch._replace(views=views)), "cpu"))
    module.train(was_training)
    return answers
