"""Pairwise contrastive learning over views, after Khaertdinov et al. 2024 (arXiv 2406.07900).

Before it sees a label, each view's encoder learns to tell which clip it looks at by agreeing with
the encoders of the other views: a projection head each, and NT-Xent for every pair of views
(:func:`lowser_lib.losses.pairwise_nt_xent`). The heads are dropped, and the encoders of one view,
or of all, are fine-tuned with a new layer on few labels.

The views, the loss and this order are the paper's; what else stands here is our choice.
Their sizes, rates and augmentations are not established here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.utils import skip_init
from torch.utils.data import DataLoader

from lowser_lib.augment import FrequencyMasking, TimeMasking
from lowser_lib.encoders.heads import draw_linear
from lowser_lib.encoders.view_encoders import EncodersConfig, ViewEncoder, ViewEncoders, kind_of
from lowser_lib.errors import TrainingError, require
from lowser_lib.losses import pairwise_nt_xent
from lowser_lib.losses.nt_xent import unit_length
from lowser_lib.sampling import LengthBucketSampler
from lowser_lib.sampling.clips import MultiViewBatch, MultiViewDataset
from lowser_lib.training import (
    Execution,
    History,
    Recipe,
    Step,
    TrainingConfig,
    embed_views,
    fit,
    one_thread,
)
from lowser_lib.training.monitoring import WATCHED, Monitor


@dataclass(frozen=True)
class ViewAugmentation:
    """What is done to the views of a training batch; all at 0 leaves them as they are.

    Attributes:
        masking: strength of time and frequency masks on spectrograms, in [0, 1].
        jitter: deviation of the noise added to features, in their own deviations.
        hidden: share of features set to their mean, in [0, 1).
    """

    # One mask of time and one of bands a clip, a third as wide as SpecAugment's mild policy has it:
    # wider ones left a spectrogram with too little that the other views know of.
    masking: float = 0.3
    # On RAVDESS stronger than we thought: 0.1 and 0.2 were one point worse at 4 and 8 labels.
    jitter: float = 0.5
    # Two of five features: an embedding must not hang on a single one.
    hidden: float = 0.4

    def __post_init__(self) -> None:
        require("[0, 1]", masking=self.masking)
        require("[0, inf)", jitter=self.jitter)
        require("[0, 1)", hidden=self.hidden)

    def __call__(
        self,
        batch: MultiViewBatch,
        encoders: Mapping[str, ViewEncoder],
        generator: torch.Generator,
    ) -> MultiViewBatch:
        """Change the views of a batch, each clip and each view by numbers of their own.

        Args:
            batch: clips in all views.
            encoders: tell what a feature's mean and deviation are.
            generator: draws everything.
        """
        views = {}
        for name, view in batch.views.items():
            if kind_of(name, view.ndim - 1) == "spectrogram":
                views[name] = self._masked(view, batch.lengths[name], generator)
            else:
                views[name] = self._jittered(view, encoders[name], generator)
        return batch._replace(views=views)

    def _masked(self, view: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
        for masks in (TimeMasking, FrequencyMasking):
            view = masks(strength=self.masking)(view, lengths, generator).clips
        return view

    def _jittered(self, view: Tensor, encoder: ViewEncoder, generator: torch.Generator) -> Tensor:
        noise = torch.randn(view.shape, generator=generator, dtype=torch.float64).to(view)
        shown = torch.rand(view.shape, generator=generator, dtype=torch.float64) >= self.hidden
        deviation = torch.where(encoder.scale > 0, 1 / encoder.scale, 0.0)
        changed = view + self.jitter * noise * deviation
        return torch.where(shown.to(view.device), changed, encoder.mean.expand_as(view))


#: Nothing is changed.
NO_AUGMENTATION = ViewAugmentation(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class PairwiseConfig:
    """Settings of pre-training.

    Attributes:
        temperature: of NT-Xent, above 0.
        within_view_negatives: see :func:`lowser_lib.losses.pairwise_nt_xent`.
        projection: widths of the projection heads' two layers, to be dropped afterwards.
        copies: how often each view of a clip enters the loss, augmented anew each time. 1 contrasts
            views with each other alone; from 2 on, a view also with itself, as SimCLR does.
        learning_rate: peak rate of all weights.
        steps: optimizer steps, rounded up to whole epochs.
        batch_size: clips a batch.
        augmentation: what is done to the views.
    """

    # Chosen on RAVDESS, voices taken out: 0.1 brought no gain, 0.5 three points, 1.0 the same.
    temperature: float = 0.5
    within_view_negatives: bool = True
    projection: tuple[int, int] = (256, 128)
    copies: int = 1
    # Everything starts from random weights and may move fast.
    learning_rate: float = 1e-3
    # Steps and not epochs, so that corpora of all sizes get the same training. Spectrograms gained
    # nothing from 400.
    steps: int = 800
    # An anchor has 126 negatives; the smallest corpora have a little more than 200 clips.
    batch_size: int = 64
    augmentation: ViewAugmentation = ViewAugmentation()

    def __post_init__(self) -> None:
        """Refuse values out of range by a ValueError that names them."""
        require("1..", copies=self.copies, steps=self.steps)
        require("2..", batch_size=self.batch_size)
        require("(0, inf)", temperature=self.temperature, learning_rate=self.learning_rate)
        if len(self.projection) != 2 or min(self.projection) < 1:
            raise ValueError(f"projection must be two widths from 1, not {self.projection!r}")


class Pairwise(Recipe):
    """Pre-training: the views of a clip come together, without any label.

    Attributes:
        encoders: trained in place.
        projections: a head a view, to be dropped after training.
        settings: the method's.
    """

    def __init__(
        self,
        encoders: ViewEncoders,
        settings: PairwiseConfig | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        """Put new projection heads on encoders, which are used, not copied.

        Args:
            encoders: one a view.
            settings: the method's; None takes the defaults.
            generator: draws the heads' weights; None takes torch's own.

        Raises:
            ValueError: there is one view only, and one copy of it.
        """
        super().__init__()
        self.settings = settings or PairwiseConfig()
        if len(encoders) * self.settings.copies < 2:
            raise ValueError(
                "one view has nothing to agree with: give two encoders, or set copies to 2"
            )
        self.encoders = encoders
        self.projections = nn.ModuleDict()
        for name, encoder in encoders.by_name().items():
            hidden, projected = self.settings.projection
            head = nn.Sequential(
                skip_init(nn.Linear, encoder.dimension, hidden),
                nn.ReLU(),
                skip_init(nn.Linear, hidden, projected),
            )
            draw_linear(head, generator)
            self.projections[name] = head
        self.rates = ((self, self.settings.learning_rate),)

    def forward(self, batch: MultiViewBatch, step: Step) -> dict[str, Tensor]:
        """Loss of a batch; labels are not read.

        Args:
            batch: clips, with all views that there are encoders for.
            step: its generator draws the augmentations.

        Returns:
            ``loss``, and ``matched``: how often the nearest clip of the batch, seen
            through another view (or copy), is the same clip; a mean over ordered pairs of views.
        """
        projected: list[Tensor] = []
        for _ in range(self.settings.copies):
            seen = self.settings.augmentation(batch, self.encoders.by_name(), step.generator)
            embedded = self.encoders(seen)
            projected += [self.projections[name](embedded[name]) for name in self.encoders]
        loss = pairwise_nt_xent(
            projected, self.settings.temperature, self.settings.within_view_negatives
        )
        return {"loss": loss, "matched": _matched([view.detach() for view in projected])}


def _matched(projected: list[Tensor]) -> Tensor:
    """How often a clip's nearest in another view is itself, a scalar."""
    directions = [unit_length(view.float()) for view in projected]
    right = [
        ((view @ other.T).argmax(dim=1) == torch.arange(len(view), device=view.device))
        .float()
        .mean()
        for i, view in enumerate(directions)
        for j, other in enumerate(directions)
        if i != j
    ]
    return torch.stack(right).mean()


class Pretrained(NamedTuple):
    """What pre-training leaves.

    Attributes:
        encoders: one a view, on the CPU, in evaluation mode; without the projection heads.
        history: ``loss`` and ``matched`` of each epoch, see
            :meth:`lowser_lib.methods.pairwise.Pairwise.forward`.
    """

    encoders: ViewEncoders
    history: History


def pretrain(
    unlabelled: MultiViewDataset,
    *,
    generator: torch.Generator,
    encoders: ViewEncoders | EncodersConfig | None = None,
    settings: PairwiseConfig | None = None,
    monitor: Monitor | None = None,
    execution: Execution | None = None,
) -> Pretrained:
    """Pre-train an encoder a view on clips without labels.

    There is no validation: the weights after the last step are kept. On a CPU it computes with one
    thread, so that the weights do not depend on their number.

    Args:
        unlabelled: clips with the views to be contrasted; labels, if any, are not read.
        generator: draws weights, batches, augmentations and the run's seed.
        encoders: encoders to start from, which stay as they are; or the sizes of new ones, None for
            the default sizes.
        settings: the method's; None takes the defaults.
        monitor: measures embeddings and projections of some clips after each epoch: those of each
            view by themselves, and the projections of all views together, where those of one clip
            are positives of each other. Its figures are in the history.
        execution: where it runs and what is kept; None takes the defaults.

    Raises:
        TrainingError: there are fewer than two clips, or training diverges.
        CheckpointError: see :func:`lowser_lib.training.fit`.
        ValueError: there is one view only, and one copy of it.
    """
    settings, execution = settings or PairwiseConfig(), execution or Execution()
    if len(unlabelled) < 2:
        raise TrainingError(f"{len(unlabelled)} clips: a clip needs another one to be told from")
    clips = unlabelled.unlabelled()
    if isinstance(encoders, ViewEncoders):
        encoders = copy.deepcopy(encoders)
    else:
        encoders = ViewEncoders.for_clips(clips, encoders, generator=generator)
    recipe = Pairwise(encoders, settings, generator=generator)
    clips = clips.of_views(encoders)
    sampler = LengthBucketSampler(clips.lengths, settings.batch_size, generator)
    look = None if monitor is None else partial(_watch, monitor, recipe, clips, execution.fabric)
    with one_thread(execution.fabric):
        history = fit(
            recipe,
            DataLoader(clips, batch_sampler=sampler, collate_fn=clips.collate),
            TrainingConfig.for_steps(settings.steps, len(sampler), settings.batch_size),
            generator=generator,
            monitor=look,
            execution=execution,
        )
    return Pretrained(encoders.to("cpu", torch.float32).eval(), history)


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
