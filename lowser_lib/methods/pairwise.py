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
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor, nn
from torch.nn.utils import skip_init

from lowser_lib.augment import FrequencyMasking, TimeMasking
from lowser_lib.encoders.heads import draw_linear
from lowser_lib.encoders.view_encoders import ViewEncoder, kind_of, view_encoder
from lowser_lib.errors import TrainingError
from lowser_lib.losses import pairwise_nt_xent
from lowser_lib.losses.nt_xent import unit_length
from lowser_lib.sampling import ClipLoader, LengthBucketSampler
from lowser_lib.sampling.multiview import MultiViewBatch, MultiViewDataset
from lowser_lib.training import History, Recipe, Step, TrainingConfig, fit, make_fabric, one_thread
from lowser_lib.training.monitoring import WATCHED, Monitor


def _at_least(config: object, least: int, *names: str) -> None:
    for name in names:
        if not getattr(config, name) >= least:
            raise ValueError(f"{name} must be at least {least}, not {getattr(config, name)!r}")


def _within(config: object, low: float, high: float, name: str, closed: bool = True) -> None:
    value = getattr(config, name)
    if not (low <= value <= high if closed else low <= value < high):
        bracket = "]" if closed else ")"
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}{bracket}, not {value!r}")


@dataclass(frozen=True)
class EncodersConfig:
    """Sizes of the views' encoders.

    Attributes:
        dimension: width of each embedding.
        channels: width of the convolutions over a spectrogram.
        dropout: share of hidden values dropped in training, in [0, 1).
    """

    # One width for all views, so that none has more room than another; wide enough for 88 features.
    dimension: int = 256
    # 0.3 million weights in all three views: what a few hundred clips can teach.
    channels: int = 64
    # Mild. In pre-training it is an augmentation too: the views see different halves of a network.
    dropout: float = 0.1

    def __post_init__(self) -> None:
        _at_least(self, 1, "dimension", "channels")
        _within(self, 0, 1, "dropout", closed=False)


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
        _within(self, 0, 1, "masking")
        _within(self, 0, float("inf"), "jitter", closed=False)
        _within(self, 0, 1, "hidden", closed=False)

    def __call__(
        self,
        batch: MultiViewBatch,
        encoders: Mapping[str, ViewEncoder],
        generator: torch.Generator,
    ) -> MultiViewBatch:
        """Change the views of a batch, each clip and each view by numbers of their own.

        Args:
            batch: the clips.
            encoders: tell what a feature's mean and deviation are.
            generator: on the CPU.
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
        """Refuse values out of range.

        Raises:
            ValueError: a value is out of range; the message names it.
        """
        _at_least(self, 1, "copies", "steps")
        _at_least(self, 2, "batch_size")
        for name in ("temperature", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)!r}")
        if len(self.projection) != 2 or min(self.projection) < 1:
            raise ValueError(f"projection must be two widths from 1, not {self.projection!r}")


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
