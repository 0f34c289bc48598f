"""Settings of pairwise contrastive learning, and the augmentation of views; all are our choice.

Khaertdinov et al. 2024 name the views and the loss; their sizes, rates and augmentations are not at
hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lowser_lib.augment import FrequencyMasking, TimeMasking
from lowser_lib.methods.view_encoders import ViewEncoder, kind_of
from lowser_lib.sampling.multiview import MultiViewBatch


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
