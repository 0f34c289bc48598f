"""What a self-supervised method watches while it trains: embeddings of a few clips, each epoch.

A loss without labels may fall because the embeddings become poorer. So some clips, always the same,
go through the networks after each epoch, and a *monitor* measures what comes out. Which figures are
taken is the caller's affair (:func:`lowser_lib.evaluation.collapse_figures`); here is which clips.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from lowser_lib.augment import Compose
from lowser_lib.encoders.heads import Encoder
from lowser_lib.sampling import ClipDataset, Clips
from lowser_lib.sampling.augmented import batch_log_mel
from lowser_lib.training.prediction import embed
from lowser_lib.views import log_mel

#: Measures embeddings: ``monitor(embeddings, labels)`` with ``(N, D)`` float32 on the CPU and
#: ``(N,)``; embeddings with one label are positives of each other, and should be near.
Monitor = Callable[[Tensor, Tensor], Mapping[str, float]]


#: Clips that are watched, our choice: enough for the figures to be steady, a few percent of what an
#: epoch of training costs.
WATCHED = 64


#: Clips of each speaker among them, as in a batch of speaker-contrastive learning.
EACH = 4


def watch(
    monitor: Monitor, encoder: Encoder, projection: nn.Module, clips: Clips, fabric: Fabric
) -> Callable[[], dict[str, float]]:
    """What :func:`lowser_lib.training.fit` calls after each epoch.

    Two spaces are measured: that of the embeddings, which are what is handed on, and that of their
    projections, which are what the loss compares and where a collapse begins.

    Args:
        monitor: measures embeddings.
        encoder: gives them.
        projection: what stands between them and the loss; it stays as it is.
        clips: spectrograms, always the same; positives of each other share a label.
        fabric: applies its precision.

    Returns:
        A function of nothing; it gives what the monitor says, by names that begin with
        ``embedding_`` and ``projection_``.
    """

    def look() -> dict[str, float]:
        embeddings = embed(encoder, clips, fabric=fabric)
        device = next(cast(nn.Module, encoder).parameters()).device
        # As in training, where batch normalisation goes by the clips at hand; its running averages
        # lag behind a network that moves, and belong to a copy here.
        with torch.no_grad(), fabric.autocast():
            projections = copy.deepcopy(projection).train()(embeddings.to(device)).cpu()
        spaces = {"embedding": embeddings.float(), "projection": projections.float()}
        return {
            f"{space}_{name}": value
            for space, points in spaces.items()
            for name, value in monitor(points, clips.labels).items()
        }

    return look


def spectrograms(
    clips: Clips, n_mels: int = 80, chosen: Sequence[int] | None = None
) -> ClipDataset:
    """The same clips and labels, or some of them, as spectrograms.

    Args:
        clips: waveforms; or spectrograms, which stay as they are.
        n_mels: mel bands of the spectrograms made from waveforms.
        chosen: indices of clips; None: all.
    """
    indices = list(range(len(clips)) if chosen is None else chosen)
    samples = [clips[index][0] for index in indices]
    mels = [sample if sample.ndim == 2 else log_mel(sample, n_mels) for sample in samples]
    return ClipDataset(mels, clips.labels[indices])


def two_views(
    clips: Clips, augment: Compose, generator: torch.Generator, n_mels: int = 80
) -> ClipDataset:
    """Two augmented views of some clips, taken evenly from first to last: positives of each other.

    Args:
        clips: at least one.
        augment: makes the views; it has to keep the label.
        generator: draws them, once and for all.
        n_mels: mel bands of the spectrograms.

    Returns:
        Spectrograms of at most :data:`WATCHED` clips, twice; the label is the clip's number.
    """
    chosen = torch.linspace(0, len(clips) - 1, min(WATCHED, len(clips))).round().long().tolist()
    batch = clips.collate([clips[index] for index in chosen])
    mels = []
    for _ in range(2):
        view = augment(
            batch.inputs, batch.lengths, generator, lambda x, n: batch_log_mel(x, n, n_mels)
        )
        mels += [mel[:, :length] for mel, length in zip(view.clips, view.lengths, strict=True)]
    return ClipDataset(mels, chosen * 2)


def groups_of(speakers: Tensor) -> list[int]:
    """A few clips of each of a few speakers, taken evenly from the first speaker to the last.

    Args:
        speakers: ``(N,)`` whole numbers.

    Returns:
        Indices of at most :data:`WATCHED` clips, at most :data:`EACH` of a speaker.
    """
    names = speakers.unique()
    wanted = min(WATCHED // EACH, len(names))
    chosen = names[torch.linspace(0, len(names) - 1, wanted).round().long()]
    groups = [(speakers == name).nonzero()[:EACH, 0] for name in chosen]
    return torch.cat(groups).tolist()
