"""Pairwise contrastive learning over views, after Khaertdinov et al. 2024 (arXiv 2406.07900).

Before it sees a label, each view's encoder learns to tell which clip it looks at by agreeing with
the encoders of the other views: a projection head each, and NT-Xent for every pair of views
(:func:`lowser_lib.losses.pairwise_nt_xent`). The heads are dropped, and the encoders of one view,
or of all, are fine-tuned with a new layer on few labels.

The views, the loss and this order are the paper's; what else stands here is our choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

from lowser_lib.errors import TrainingError
from lowser_lib.losses import pairwise_nt_xent
from lowser_lib.losses.nt_xent import unit_length
from lowser_lib.methods import Recipe, Step
from lowser_lib.methods.baseline import draw_linear
from lowser_lib.methods.pairwise_settings import (
    NO_AUGMENTATION,
    EncodersConfig,
    FineTuneConfig,
    PairwiseConfig,
    ViewAugmentation,
)
from lowser_lib.methods.view_encoders import ViewEncoder, view_encoder
from lowser_lib.sampling import UNLABELLED
from lowser_lib.sampling.multiview import MultiViewBatch, MultiViewDataset

__all__ = [
    "NO_AUGMENTATION",
    "EncodersConfig",
    "FineTune",
    "FineTuneConfig",
    "MultiViewClassifier",
    "Pairwise",
    "PairwiseConfig",
    "ViewAugmentation",
    "ViewEncoders",
]


class ViewEncoders(nn.ModuleDict):
    """An encoder a view, by the view's name."""

    @classmethod
    def for_clips(
        cls,
        dataset: MultiViewDataset,
        config: EncodersConfig | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> ViewEncoders:
        """New encoders for the views of a data set, their statistics fitted to its clips.

        Args:
            dataset: one clip at least; its labels are not read.
            config: sizes; None takes the defaults.
            generator: draws the weights; None takes torch's own.

        Raises:
            TrainingError: there is no clip.
            ValueError: there is no encoder for a view's arrays.
        """
        config = config or EncodersConfig()
        if not len(dataset):
            raise TrainingError("there is no clip to build encoders for")
        encoders = cls()
        for name, arrays in dataset.views.items():
            encoders[name] = view_encoder(
                name,
                arrays[0],
                config.dimension,
                channels=config.channels,
                dropout=config.dropout,
                generator=generator,
            )
            encoders.of(name).fit_statistics(arrays)
        return encoders

    def of(self, name: str) -> ViewEncoder:
        """The encoder of one view.

        Raises:
            ValueError: there is none.
        """
        if name not in self:
            raise ValueError(f"no encoder for view {name!r}; there are {', '.join(self)}")
        return cast(ViewEncoder, self[name])

    def by_name(self) -> dict[str, ViewEncoder]:
        """All of them."""
        return {name: self.of(name) for name in self}

    def forward(self, batch: MultiViewBatch) -> dict[str, Tensor]:
        """Embeddings ``(B, dimension)`` of a batch, by view."""
        return {name: self.of(name)(batch.views[name], batch.lengths[name]) for name in self}


class Pairwise(Recipe):
    """Pre-training: the views of a clip come together, without any label.

    Attributes:
        encoders: trained in place.
        projections: a head a view, to be dropped after training.
        config: the settings.
    """

    def __init__(
        self,
        encoders: ViewEncoders,
        config: PairwiseConfig | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        """Put new projection heads on encoders, which are used, not copied.

        Args:
            encoders: one a view.
            config: the settings; None takes the defaults.
            generator: draws the heads' weights; None takes torch's own.

        Raises:
            ValueError: there is one view only, and one copy of it.
        """
        super().__init__()
        self.config = config or PairwiseConfig()
        if len(encoders) * self.config.copies < 2:
            raise ValueError(
                "one view has nothing to agree with: give two encoders, or set copies to 2"
            )
        self.encoders = encoders
        self.projections = nn.ModuleDict()
        for name, encoder in encoders.by_name().items():
            hidden, projected = self.config.projection
            head = nn.Sequential(
                skip_init(nn.Linear, encoder.dimension, hidden),
                nn.ReLU(),
                skip_init(nn.Linear, hidden, projected),
            )
            draw_linear(head, generator)
            self.projections[name] = head

    def forward(self, batch: MultiViewBatch, step: Step) -> dict[str, Tensor]:
        """Loss of a batch; labels are not read.

        Args:
            batch: clips, with all views that there are encoders for.
            step: its generator draws the augmentations.

        Returns:
            ``loss``, and ``matched``: how often the nearest clip of this process's batch, seen
            through another view (or copy), is the same clip; a mean over ordered pairs of views.
        """
        projected: list[Tensor] = []
        for _ in range(self.config.copies):
            seen = self.config.augmentation(batch, self.encoders.by_name(), step.generator)
            embedded = self.encoders(seen)
            projected += [self.projections[name](embedded[name]) for name in self.encoders]
        loss = pairwise_nt_xent(
            projected, self.config.temperature, self.config.within_view_negatives
        )
        return {"loss": loss, "matched": _matched([one.detach() for one in projected])}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """All weights, in one group."""
        return [{"params": list(self.parameters()), "lr": self.config.learning_rate}]


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


def _matched(projected: list[Tensor]) -> Tensor:
    """How often a clip's nearest in another view is itself, a scalar."""
    directions = [unit_length(one.float()) for one in projected]
    right = [
        ((one @ other.T).argmax(dim=1) == torch.arange(len(one), device=one.device)).float().mean()
        for i, one in enumerate(directions)
        for j, other in enumerate(directions)
        if i != j
    ]
    return torch.stack(right).mean()
