"""A trained model's answers for a whole data set, in its order."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from lowser_lib.encoders.protocol import Classifier, Encoder
from lowser_lib.errors import TrainingError
from lowser_lib.sampling import Batch, Clips


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
    module = cast(nn.Module, model)
    logits = _map_clips(lambda b: model(b.inputs, b.lengths), module, dataset, batch_size, fabric)
    return logits.double().softmax(dim=-1).numpy()


def embed(
    encoder: Encoder, dataset: Clips, batch_size: int = 64, fabric: Fabric | None = None
) -> Tensor:
    """Embeddings of all clips, in the order of the data set, without gradients.

    Args:
        encoder: anything with ``embed(mel, lengths)``; a :class:`torch.nn.Module`.
        dataset: the clips; labels are not read.
        batch_size: clips a batch.
        fabric: as in :func:`predict`.

    Returns:
        ``(N, D)`` on the CPU, in the encoder's precision.

    Raises:
        TrainingError: the data set is empty.
    """
    module = cast(nn.Module, encoder)
    return _map_clips(
        lambda b: encoder.embed(b.inputs, b.lengths), module, dataset, batch_size, fabric
    )


def classify(model: Classifier, embeddings: Tensor, fabric: Fabric | None = None) -> np.ndarray:
    """Probabilities of the emotions from embeddings: what :func:`predict` does after the encoder.

    Args:
        model: the classifier, on any device; its mode and weights stay as they are.
        embeddings: ``(N, D)``, as :func:`embed` gives them; perhaps matched to another corpus's.
        fabric: as in :func:`predict`.

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
        any(one.ndim != 2 or not len(one) for one in both)
        or embeddings.shape[1] != reference.shape[1]
    ):
        shapes = " and ".join(str(tuple(one.shape)) for one in both)
        raise ValueError(f"embeddings and reference must be (N, D) and (M, D), not {shapes}")
    means = [one.mean(dim=0) for one in both]
    own, wanted = (one.std(dim=0, correction=0) for one in both)
    scale = torch.where(own > 0, wanted / own.clamp(min=torch.finfo(own.dtype).tiny), 0.0)
    return means[1] + (embeddings - means[0]) * scale


def _map_clips(
    compute: Callable[[Batch], Tensor],
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
            lengths = batch.lengths.to(weight.device)
            outputs.append(compute(Batch(inputs, lengths, batch.labels)).cpu())
    module.train(was_training)
    return torch.cat(outputs)[torch.argsort(order)]
