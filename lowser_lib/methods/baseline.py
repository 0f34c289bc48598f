"""The baseline of Gong et al. 2025 (arXiv 2506.02059): an encoder, an average, two linear layers.

The encoder's states are averaged over time to one embedding a clip, and a head of two fully
connected layers with dropout tells the emotions apart; cross-entropy trains both on English. The
paper does not give widths and rates: what is marked *our choice* is ours.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, cast

import joblib
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init
from torch.utils.data import DataLoader
from tqdm import tqdm

from lowser_lib.augment import Compose, named
from lowser_lib.encoders.heads import Encoder, draw_linear
from lowser_lib.errors import TrainingError, require
from lowser_lib.losses.cross_entropy import cross_entropy
from lowser_lib.methods.balancing import BALANCES, Balance, balance_of
from lowser_lib.sampling import Batch, Clips, EmbeddingDataset, LengthBucketSampler, Loader
from lowser_lib.sampling.augmented import AugmentedLoader
from lowser_lib.training import (
    Execution,
    History,
    Metric,
    Recipe,
    Step,
    TrainingConfig,
    classify,
    embed,
    fit,
    make_fabric,
    match_embeddings,
    one_thread,
    validation_score,
)


@dataclass(frozen=True)
class BaselineConfig:
    """The baseline's settings; all values are our choice, the shape of the head is the paper's.

    Attributes:
        hidden: width of the head's first layer.
        dropout: share of that layer's outputs that is dropped in training, in [0, 1).
        learning_rate: peak rate of the head.
        encoder_learning_rate: peak rate of the encoder; 0 freezes it (a *probe*).
        head_epochs: passes over the clips in which the head learns alone, before the encoder
            joins in; 0: both learn from the start. A probe has no second part and ignores it.
        balance_classes: weigh each class by the inverse of its share.
        augmentations: what is done to the clips while the encoder learns, a name that
            :func:`lowser_lib.augment.named` knows, of one that keeps labels; ``"none"``: nothing.
        strength: of the augmentations, from 0 to 1.
        probability: chance of each clip to meet each augmentation, from 0 to 1.
        balance_groups: how cells of a group (a gender) and a class are given the same say:
            ``"none"``, ``"loss"`` (weights) or ``"sampling"`` (how often they are drawn).
    """

    # Wide enough not to be the bottleneck between 768 (small.en) and 4, small beside the encoder.
    hidden: int = 256
    # Between the 0.1 usual inside transformers and the 0.5 of classic perceptrons.
    dropout: float = 0.3
    # The head starts from random weights and may move fast ...
    learning_rate: float = 1e-3
    # ... the encoder has something to lose: a tenth keeps it near what pre-training taught it.
    encoder_learning_rate: float = 1e-4
    # Both at once, as the paper's plain fine-tuning. With few clips the head had better go first:
    # one of random weights sends the encoder errors of its own making, and what pre-training taught
    # is bent before it can be used (Kumar et al. 2022, arXiv 2202.10054).
    head_epochs: int = 0
    # Off, as the paper's plain cross-entropy; the source corpora are close to balanced.
    balance_classes: bool = False
    # The paper augments its two methods, and says nothing of the baseline.
    augmentations: str = "none"
    # As in the presets.
    strength: float = 1.0
    probability: float = 0.5
    # The paper names re-weighting as something to be tried. Off: no record speaks of it.
    balance_groups: str = field(default="none", metadata={"switch": True})

    def __post_init__(self) -> None:
        """Refuse values out of range by a ValueError that names them."""
        require("1..", hidden=self.hidden)
        require("[0, 1)", dropout=self.dropout)
        require("(0, inf)", learning_rate=self.learning_rate)
        require("[0, inf)", encoder_learning_rate=self.encoder_learning_rate)
        require("0..", head_epochs=self.head_epochs)
        require(BALANCES, balance_groups=self.balance_groups)
        if self.balance_groups != "none" and self.balance_classes:
            raise ValueError("balance_groups balances classes, too: set balance_classes to false")
        augmentation = self.augmentation()
        if augmentation is not None and not augmentation.keeps_label:
            raise ValueError(
                f"augmentations must keep the label of a clip, and {self.augmentations!r} mixes "
                "clips; choose another"
            )
        if augmentation is not None and not self.encoder_learning_rate:
            raise ValueError(
                f"augmentations {self.augmentations!r} need an encoder that learns: a probe hears "
                "each clip once; set encoder_learning_rate above 0"
            )

    def augmentation(self) -> Compose | None:
        """What is done to the clips of each batch; None: nothing."""
        if self.augmentations == "none":
            return None
        return named(self.augmentations, self.strength, self.probability)

    def refuse(self, **reasons: str) -> None:
        """Refuse settings that another method, built on the baseline, does not follow.

        Args:
            **reasons: why, by the setting's name; it must be as by default.

        Raises:
            ValueError: a setting differs from the default.
        """
        default = BaselineConfig()
        for name, why in reasons.items():
            value, wanted = getattr(self, name), getattr(default, name)
            if value != wanted:
                raise ValueError(f"{name} must be {wanted!r}, not {value!r}: {why}")


class EmotionClassifier(nn.Module):
    """Spectrogram to emotion: an encoder, its time average, and a head.

    Attributes:
        encoder: anything with ``embed(mel, lengths) -> (B, D)`` and ``dimension``.
        head: two fully connected layers with dropout between them.
    """

    encoder: Encoder

    def __init__(
        self,
        encoder: Encoder,
        n_classes: int = 4,
        hidden: int = BaselineConfig.hidden,
        dropout: float = BaselineConfig.dropout,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        """Put a new head on an encoder, which is used, not copied.

        ``hidden`` and ``dropout`` are as in :class:`BaselineConfig`; ``generator`` draws the head's
        weights, None takes torch's own.
        """
        super().__init__()
        self.encoder = encoder
        self.n_classes = n_classes
        # skip_init: the weights drawn here would be replaced, and would move torch's own generator.
        self.head = nn.Sequential(
            skip_init(nn.Linear, encoder.dimension, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            skip_init(nn.Linear, hidden, n_classes),
        )
        draw_linear(self.head, generator)

    def forward(self, mel: Tensor, lengths: Tensor) -> Tensor:
        """Logits ``(B, n_classes)`` of spectrograms ``(B, n_mels, T)`` of ``lengths`` frames."""
        logits: Tensor = self.head(self.encoder.embed(mel, lengths))
        return logits


class Precomputed(nn.Module):
    """The encoder of a probe whose embeddings are computed already: it hands them on.

    With it the classifier, the recipe and the loop work on an
    :class:`lowser_lib.sampling.EmbeddingDataset` as they do on spectrograms.
    """

    def __init__(self, dimension: int) -> None:
        """Expect embeddings of this width."""
        super().__init__()
        self.dimension = dimension

    def embed(self, mel: Tensor, lengths: Tensor) -> Tensor:
        """Return ``mel``, which holds embeddings ``(B, D)``; ``lengths`` are not needed."""
        del lengths
        if mel.ndim != 2 or mel.shape[1] != self.dimension:
            raise ValueError(
                f"expected embeddings of shape (clips, {self.dimension}), not {tuple(mel.shape)}"
            )
        return mel


class Baseline(Recipe):
    """Cross-entropy on labelled clips, with separate learning rates for encoder and head.

    Attributes:
        model: the classifier, trained in place.
        settings: the baseline's.
    """

    weights: Tensor | None

    def __init__(
        self,
        model: EmotionClassifier,
        settings: BaselineConfig | None = None,
        weights: Tensor | None = None,
    ) -> None:
        """Prepare a classifier for training; a probe's encoder is frozen here.

        Args:
            model: the classifier.
            settings: the baseline's; None takes the defaults.
            weights: of classes or cells in the loss, see
                :func:`lowser_lib.losses.cross_entropy.cross_entropy`; None: all 1.

        Raises:
            ValueError: there are fewer weights than classes, or none where settings ask for them.
        """
        super().__init__()
        if weights is not None and (weights.ndim != 1 or len(weights) < model.n_classes):
            shape = tuple(weights.shape)
            raise ValueError(f"weights must have shape ({model.n_classes},) or more, not {shape}")
        self.model = model
        self.settings = settings or BaselineConfig()
        if self.settings.balance_groups == "loss" and weights is None:
            raise ValueError("weights must be given where balance_groups is 'loss'")
        self.register_buffer("weights", weights, persistent=False)
        self.rates = (
            (model.head, self.settings.learning_rate),
            (model.encoder, self.settings.encoder_learning_rate),
        )
        if not self.settings.encoder_learning_rate:
            model.encoder.requires_grad_(False)

    def forward(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """Cross-entropy of a batch; clips without a label do not count."""
        del step  # the loss is the same from first to last
        logits = self.model(batch.inputs, batch.lengths)
        return {"loss": cross_entropy(logits, batch.labels, self.weights)}


def new_classifier(
    encoder: Encoder,
    source: Clips,
    validation: Clips | None = None,
    *,
    generator: torch.Generator,
    settings: BaselineConfig,
    training: TrainingConfig,
    n_classes: int,
    execution: Execution,
    **others: Any,
) -> EmotionClassifier:
    """A new head on a copy of an encoder, with its start: what all methods begin with.

    With ``head_epochs`` the head has learned for so long on the encoder as it is, without early
    stopping: these epochs are cheap, and the best of them is kept. Arguments as of
    :func:`train_baseline`; the start is in no checkpoint and is done again.
    """
    if not settings.head_epochs:
        parts = settings.hidden, settings.dropout
        return EmotionClassifier(copy.deepcopy(encoder), n_classes, *parts, generator=generator)
    model, _ = train_baseline(
        encoder,
        source,
        validation,
        generator=generator,
        settings=replace(settings, encoder_learning_rate=0.0, augmentations="none"),
        training=replace(training, epochs=settings.head_epochs, patience=None),
        n_classes=n_classes,
        execution=replace(execution, checkpoint=None),
        **others,
    )
    return model


def train_baseline(
    encoder: Encoder,
    source: Clips,
    validation: Clips | None = None,
    *,
    metric: Metric,
    generator: torch.Generator,
    settings: BaselineConfig | None = None,
    training: TrainingConfig | None = None,
    n_classes: int = 4,
    sounds: Clips | None = None,
    groups: Sequence[str] | np.ndarray | None = None,
    execution: Execution | None = None,
) -> tuple[EmotionClassifier, History]:
    """Train the baseline on a copy of an encoder: fine-tuned, or as a probe.

    A probe (``encoder_learning_rate=0``) embeds every clip once and trains the head on the
    embeddings; the result is what training on the spectrograms would give, much sooner. On a CPU it
    computes with one thread, so that the weights are the same wherever it runs.

    Args:
        encoder: the encoder to start from; it stays as it is.
        source: labelled clips to learn from.
        validation: labelled clips of *other speakers*, to choose the epoch by; None: the last.
        metric: judges the validation clips; see :data:`lowser_lib.training.Metric`.
        generator: draws the head's weights, the batches and the run's seed.
        settings: the method's; None takes the defaults.
        training: the loop's settings; None takes the defaults.
        n_classes: number of emotions.
        sounds: ``source`` as waveforms, a :class:`~lowser_lib.sampling.augmented.WaveformDataset`
            of the same clips in the same order, to be augmented; needed where
            ``settings.augmentations`` begin with the waveform.
        groups: ``(N,)``, such as the manifest's column ``gender`` of the clips in ``source``;
            needed where ``settings.balance_groups`` is not ``"none"``, and else not looked at.
        execution: where it runs and what is kept; None takes the defaults.

    Returns:
        The classifier, in evaluation mode, and the history (of the fine-tuning, if there is one).

    Raises:
        TrainingError: there is no clip, or training diverges.
        CheckpointError: see :func:`lowser_lib.training.fit`.
        ValueError: ``sounds`` or ``groups`` are missing, or are of other clips.
    """
    settings, training = settings or BaselineConfig(), training or TrainingConfig()
    execution = execution or Execution()
    fabric, probe = execution.fabric, not settings.encoder_learning_rate
    if len(source) == 0:
        raise TrainingError("there is nothing to train on: the data set has no clip")
    augmentation = None if settings.augmentations == "none" else settings.augmentation()
    learned, lengths = source, source.lengths  # batches go by these, whatever is heard of the clips
    if augmentation is not None and augmentation.transforms[0].domain == "waveform":
        learned = _sounds_of(source, sounds, settings)
    balance = Balance(source.labels)
    if settings.balance_classes or settings.balance_groups != "none":
        balance = balance_of(source.labels, groups, n_classes, settings.balance_groups)
    with one_thread(fabric):
        model = new_classifier(
            encoder,
            source,
            validation,
            metric=metric,
            generator=generator,
            settings=replace(settings, head_epochs=0) if probe else settings,
            training=training,
            n_classes=n_classes,
            groups=groups,
            execution=execution,
        )
        trained = model.encoder
        if probe:
            # Place and convert the encoder as the loop would, and then ask it only once.
            fabric.strategy.precision.convert_module(fabric.to_device(cast(nn.Module, trained)))
            learned = EmbeddingDataset(embed(trained, source, fabric=fabric), source.labels)
            lengths = learned.lengths
            if validation is not None:
                points = embed(trained, validation, fabric=fabric)
                validation = EmbeddingDataset(points, validation.labels)
            model.encoder = Precomputed(trained.dimension)
        if balance.labels is not source.labels:
            learned = copy.copy(learned)
            learned.labels = balance.labels
        sampler = LengthBucketSampler(lengths, training.batch_size, generator, cells=balance.drawn)
        loader: Loader = DataLoader(learned, batch_sampler=sampler, collate_fn=learned.collate)
        if augmentation is not None:
            loader = AugmentedLoader(
                learned,
                sampler,
                augmentation,
                generator,
                n_mels=source[0][0].shape[0],
                device=fabric.device,
            )
        history = fit(
            Baseline(model, settings, balance.weights),
            loader,
            training,
            generator=generator,
            score=None
            if validation is None
            else partial(validation_score, metric, model, validation, fabric),
            execution=execution,
        )
        model.encoder = trained
    return model.eval(), history


class Repeat(NamedTuple):
    """One training of several, and what its model answers.

    Attributes:
        seed: what was drawn from: head, batches, dropout, and the weights of a random encoder.
        history: what happened in it.
        probabilities: name of a test set -> float64 ``(N, n_classes)``, as of :func:`predict`.
        matched: the same, after each test set's embeddings were given the mean and deviation of the
            training clips', see :func:`lowser_lib.training.match_embeddings`.
    """

    seed: int
    history: History
    probabilities: dict[str, np.ndarray]
    matched: dict[str, np.ndarray]


def repeat_baseline(
    start: Callable[[int], Encoder],
    seeds: Sequence[int],
    source: Clips,
    validation: Clips | None,
    tests: Mapping[str, Clips],
    *,
    precision: str = "auto",
    jobs: int = 1,
    progress: bool = False,
    **others: Any,
) -> list[Repeat]:
    """Train the baseline once a seed, and let each model answer for the test sets.

    Args:
        start: gives the encoder to start from, for a seed.
        seeds: at least one, each at least 0.
        source: labelled clips to learn from.
        validation: labelled clips of other speakers, or None.
        tests: name -> clips, which no training sees.
        precision: see :func:`lowser_lib.training.make_fabric`.
        jobs: trainings at a time, each in a process; on a GPU they take turns, whatever ``jobs``.
        progress: show a bar on stderr: of trainings, or with one job of each training's steps.
        **others: ``metric``, ``settings``, ``training``, ``n_classes``: see
            :func:`train_baseline`.

    Returns:
        One training a seed, in their order.

    Raises:
        TrainingError: there is no clip, or a training diverges.
        ValueError: there is no seed, or ``jobs`` is below 1.
    """
    if not seeds:
        raise ValueError("seeds is empty: name at least one")
    require("1..", jobs=jobs)
    jobs = 1 if torch.cuda.is_available() else min(jobs, len(seeds))

    def train(seed: int, encoder: Encoder) -> Repeat:
        fabric = make_fabric(precision=precision)
        with one_thread(fabric):
            model, history = train_baseline(
                encoder,
                source,
                validation,
                generator=torch.Generator().manual_seed(seed),
                execution=Execution(fabric, progress=progress and jobs == 1),
                **others,
            )
            reference = embed(model.encoder, source, fabric=fabric)
            points = {
                name: embed(model.encoder, clips, fabric=fabric) for name, clips in tests.items()
            }
            answers = {name: classify(model, points[name], fabric) for name in points}
            matched = {n: match_embeddings(part, reference) for n, part in points.items()}
            matches = {name: classify(model, matched[name], fabric) for name in matched}
        return Repeat(seed, history, answers, matches)

    with warnings.catch_warnings():
        # A process that has grown in a training is replaced by a new one: nothing is lost.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        work = (joblib.delayed(train)(seed, start(seed)) for seed in seeds)
        done = joblib.Parallel(n_jobs=jobs, return_as="generator")(work)
        hidden = not progress or jobs == 1
        return list(tqdm(done, total=len(seeds), unit="training", leave=False, disable=hidden))


def _sounds_of(source: Clips, sounds: Clips | None, settings: BaselineConfig) -> Clips:
    """The training clips as sound, which augmentations of waveforms begin with."""
    if sounds is None:
        raise ValueError(
            f"augmentations {settings.augmentations!r} change waveforms: hand the training clips "
            "over as sounds, too"
        )
    if not torch.equal(sounds.labels, source.labels):
        raise ValueError("sounds must be the training clips in the same order: labels differ")
    return sounds
