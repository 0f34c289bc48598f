"""A trained model's answers for a whole data set, in its order."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor, nn

from lowser_lib.encoders.heads import Classifier, Encoder
from lowser_lib.encoders.view_encoders import ViewEncoders
from lowser_lib.errors import TrainingError
from lowser_lib.sampling import Clips
from lowser_lib.sampling.clips import MultiViewDataset
from lowser_lib.views.standardisation import Statistics

#: Judges predictions: ``metric(true, predicted)`` on class numbers ``(N,)``, larger is better.
Metric = Callable[[np.ndarray, np.ndarray], float]


def predict(
    model: Classifier, dataset: Clips, batch_size: int = 64, fabric: Fabric | None = None
) -> np.ndarray:
    """Probabilities of the emotions for every clip, in the order of the data set.

    Args:
        model: the classifier, on any device; its mode and weights stay as they are.
        dataset: the clips; labels are not read.
        batch_size: clips a batch.
        fabric: applies its precision (bf16 on a GPU); None takes the precision of the weights.

    Returns:
        float64 ``(N, n_classes)``; each row sums to 1.

    Raises:
        TrainingError: the data set is empty.
    """
    logits = _map_clips(model, cast(nn.Module, model), dataset, batch_size, fabric)
    return logits.double().softmax(dim=-1).numpy()


def validation_score(metric: Metric, model: Classifier, clips: Clips, fabric: Fabric) -> float:
    """How good the likeliest class is, of labelled clips; what training asks after each epoch."""
    return metric(clips.labels.numpy(), predict(model, clips, fabric=fabric).argmax(axis=1))


def embed(
    encoder: Encoder, dataset: Clips, batch_size: int = 64, fabric: Fabric | None = None
) -> Tensor:
    """Embeddings of all clips, in the order of the data set, without gradients.

    Args:
        encoder: anything with ``embed(mel, lengths)``; a :class:`torch.nn.Module`.
        dataset: the clips; labels are not read.
        batch_size: clips a batch.
        fabric: applies its precision; None takes that of the weights.

    Returns:
        ``(N, D)`` on the CPU, in the encoder's precision.

    Raises:
        TrainingError: the data set is empty.
    """
    return _map_clips(encoder.embed, cast(nn.Module, encoder), dataset, batch_size, fabric)


def classify(model: Classifier, embeddings: Tensor, fabric: Fabric | None = None) -> np.ndarray:
    """Probabilities of the emotions from embeddings: what :func:`predict` does after the encoder.

    Args:
        model: the classifier, on any device; its mode and weights stay as they are.
        embeddings: ``(N, D)``, as :func:`embed` gives them; perhaps matched to another corpus's.
        fabric: applies its precision; None takes that of the weights.

    Returns:
        float64 ``(N, n_classes)``; each row sums to 1.
    """
    weight = next(model.head.parameters())
    was_training = model.training
    model.eval()
    with torch.no_grad(), fabric.autocast() if fabric is not None else nullcontext():
        logits = model.head(embeddings.to(weight.device, weight.dtype)).cpu()
    model.train(was_training)
    return np.asarray(logits.double().softmax(dim=-1).numpy())


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
        fabric: applies its precision; None takes that of the weights.

    Returns:
        By view, ``(N, dimension)`` on the CPU, in the order of the data set.

    Raises:
        TrainingError: the data set is empty.
    """
    parts = answers_by_batch(encoders, clips.of_views(encoders), batch_size, fabric)
    return {name: torch.cat([part[name] for part in parts]) for name in encoders}


def match_embeddings(embeddings: Tensor, reference: Tensor) -> Tensor:
    """Give the embeddings of a corpus the mean and deviation of another's, without any label.

    Speech that was recorded elsewhere lies elsewhere among the embeddings, and a head that was
    trained on one corpus finds all of another on one side of its border. Here each of the D
    features is standardised within its corpus, as adaptive batch normalisation does for the layers
    of a network (Li et al. 2016, arXiv 1603.04779), and as the eGeMAPS yardstick does for its
    measures. It assumes that both corpora hold about the same mixture of emotions.

    Args:
        embeddings: ``(N, D)`` of all clips of one corpus.
        reference: ``(M, D)`` of the clips the classifier was trained on, by the same encoder.

    Returns:
        ``(N, D)``. A feature that does not vary in the corpus takes the reference's mean.

    Raises:
        ValueError: the shapes do not go together, or there are no clips.
    """
    both = (embeddings, reference)
    if (
        any(points.ndim != 2 or not len(points) for points in both)
        or embeddings.shape[1] != reference.shape[1]
    ):
        shapes = " and ".join(str(tuple(points.shape)) for points in both)
        raise ValueError(f"embeddings and reference must be (N, D) and (M, D), not {shapes}")
    rows, known = (points.detach().cpu().double().numpy() for points in both)
    measured, wanted = Statistics.of(rows), Statistics.of(known)
    matched = wanted.mean + measured.scaled(rows - measured.mean) * wanted.deviation
    return torch.as_tensor(matched).to(embeddings.device, embeddings.dtype)


def _map_clips(
    compute: Callable[[Tensor, Tensor], Tensor],
    module: nn.Module,
    dataset: Clips,
    batch_size: int,
    fabric: Fabric | None,
) -> Tensor:
    """Apply a function to all clips, similar lengths together, and restore their order."""
    if len(dataset) == 0:
        raise TrainingError("there is nothing to compute: the data set is empty")
    weight = next(module.parameters())
    was_training = module.training
    module.eval()
    order = torch.argsort(dataset.lengths, stable=True)
    outputs = []
    with torch.no_grad(), fabric.autocast() if fabric is not None else nullcontext():
        for indices in order.split(batch_size):
            batch = dataset.collate([dataset[index] for index in indices.tolist()])
            inputs = batch.inputs.to(weight.device, weight.dtype)
            outputs.append(compute(inputs, batch.lengths.to(weight.device)).cpu())
    module.train(was_training)
    return torch.cat(outputs)[torch.argsort(order)]


def answers_by_batch(
    module: nn.Module, clips: MultiViewDataset, batch_size: int, fabric: Fabric | None
) -> list[Any]:
    """What a module answers to each batch of views, on the CPU, in order, without gradients.

    Args:
        module: takes a :class:`~lowser_lib.sampling.clips.MultiViewBatch`; mode and weights
            stay as they are.
        clips: at least one.
        batch_size: clips asked at a time.
        fabric: its precision is used; None: as the module is.

    Raises:
        TrainingError: the data set is empty.
    """
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
