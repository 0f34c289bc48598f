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
from pathlib import Path
from typing import Any, NamedTuple, cast

import joblib
import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.utils import skip_init
from tqdm import tqdm

from lowser_lib.augment import Compose, named
from lowser_lib.encoders.heads import draw_linear
from lowser_lib.encoders.protocol import Encoder
from lowser_lib.errors import TrainingError
from lowser_lib.methods.balancing import BALANCES, cell_weights, cells_of
from lowser_lib.methods.balancing import balanced_weights as balanced_weights
from lowser_lib.sampling import (
    UNLABELLED,
    Batch,
    ClipLoader,
    Clips,
    EmbeddingDataset,
    LengthBucketSampler,
    Resumable,
)
from lowser_lib.sampling.augmented import AugmentedLoader
from lowser_lib.training import (
    History,
    Recipe,
    Step,
    TrainingConfig,
    classify,
    embed,
    fit,
    make_fabric,
    match_embeddings,
    predict,
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
        """Refuse values out of range.

        Raises:
            ValueError: a value is out of range; the message names it.
        """
        if self.hidden < 1:
            raise ValueError(f"hidden must be at least 1, not {self.hidden!r}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), not {self.dropout!r}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate!r}")
        if self.head_epochs < 0:
            raise ValueError(f"head_epochs must be at least 0, not {self.head_epochs!r}")
        if not self.encoder_learning_rate >= 0:
            rate = self.encoder_learning_rate
            raise ValueError(f"encoder_learning_rate must be at least 0, not {rate!r}")
        if self.balance_groups not in BALANCES:
            known = ", ".join(BALANCES)
            raise ValueError(f"balance_groups must be one of {known}, not {self.balance_groups!r}")
        if self.balance_groups != "none" and self.balance_classes:
            raise ValueError("balance_groups balances classes, too: set balance_classes to false")
        augmentation = self.augmentation()
        if augmentation is not None and not augmentation.keeps_label:
            raise ValueError(
                f"augmentations must keep the label of a clip, and {self.augmentations!r} mixes "
                "clips; choose another"
            )
        if augmentation is not None and self.probe:
            raise ValueError(
                f"augmentations {self.augmentations!r} need an encoder that learns: a probe hears "
                "each clip once; set encoder_learning_rate above 0"
            )

    def augmentation(self) -> Compose | None:
        """What is done to the clips of each batch; None: nothing."""
        if self.augmentations == "none":
            return None
        return named(self.augmentations, self.strength, self.probability)

    @property
    def probe(self) -> bool:
        """Whether the encoder stays as it is and the head alone learns."""
        return self.encoder_learning_rate == 0


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

        Args:
            encoder: see :class:`Encoder`; a :class:`torch.nn.Module`.
            n_classes: number of emotions.
            hidden: width of the head's first layer.
            dropout: share of that layer's outputs that is dropped in training, in [0, 1).
            generator: draws the head's weights; None takes torch's own.
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
        """Score every emotion for every clip.

        Args:
            mel: ``(B, n_mels, T)`` log-mel spectrograms, padded at the end.
            lengths: ``(B,)`` frames of each clip.

        Returns:
            ``(B, n_classes)`` logits.
        """
        logits: Tensor = self.head(self.encoder.embed(mel, lengths))
        return logits


class Precomputed(nn.Module):
    """The encoder of a probe whose embeddings are computed already: it hands them on.

    With it the classifier, the recipe and the loop work on an
    :class:`lowser_lib.sampling.EmbeddingDataset` as they do on spectrograms.

    Attributes:
        dimension: width D of the embeddings.
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
        config: the settings.
    """

    class_weights: Tensor | None
    cell_weights: Tensor | None

    def __init__(
        self,
        model: EmotionClassifier,
        config: BaselineConfig | None = None,
        class_weights: Tensor | None = None,
        cell_weights: Tensor | None = None,
    ) -> None:
        """Prepare a classifier for training; a probe's encoder is frozen here.

        Args:
            model: the classifier.
            config: the settings; None takes the defaults.
            class_weights: ``(n_classes,)`` weight of each class in the loss, as
                :func:`balanced_weights` gives them; None: all 1.
            cell_weights: weight of each cell of a group and a class, as
                :func:`lowser_lib.methods.balancing.cell_weights` gives them. The labels of the
                batches are then the *cells'* numbers, of which the remainder is the class.

        Raises:
            ValueError: weights have another shape, or are missing where ``config`` asks for them.
        """
        super().__init__()
        if class_weights is not None and class_weights.shape != (model.n_classes,):
            shape = tuple(class_weights.shape)
            raise ValueError(f"class_weights must have shape ({model.n_classes},), not {shape}")
        self.model = model
        self.config = config or BaselineConfig()
        if (self.config.balance_groups == "loss") != (cell_weights is not None):
            raise ValueError(
                "cell_weights must be given where balance_groups is 'loss', and there alone: it is "
                f"{self.config.balance_groups!r}"
            )
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.register_buffer("cell_weights", cell_weights, persistent=False)
        if self.config.probe:
            model.encoder.requires_grad_(False)

    def forward(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """Cross-entropy of a batch; clips without a label do not count."""
        del step  # the loss is the same from first to last
        logits = self.model(batch.inputs, batch.lengths)
        if self.cell_weights is not None:
            return {"loss": self._by_cell(logits, batch.labels, self.cell_weights)}
        loss = F.cross_entropy(
            logits, batch.labels, weight=self.class_weights, ignore_index=UNLABELLED
        )
        return {"loss": loss}

    def _by_cell(self, logits: Tensor, cells: Tensor, weights: Tensor) -> Tensor:
        """Cross-entropy of clips whose labels are cells: a weighted mean, as torch's."""
        labelled = cells != UNLABELLED
        classes = cells[labelled] % self.model.n_classes
        each = F.cross_entropy(logits[labelled], classes, reduction="none")
        weight = weights.to(each.dtype)[cells[labelled]]
        return (weight * each).sum() / weight.sum()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The head, then what of the encoder is not frozen."""
        groups = [{"params": list(self.model.head.parameters()), "lr": self.config.learning_rate}]
        trainable = [p for p in self.model.encoder.parameters() if p.requires_grad]
        if trainable:
            groups.append({"params": trainable, "lr": self.config.encoder_learning_rate})
        return groups


#: Judges predictions: ``metric(true, predicted)`` on class numbers ``(N,)``, larger is better.
Metric = Callable[[np.ndarray, np.ndarray], float]


def train_baseline(
    encoder: Encoder,
    train: Clips,
    validation: Clips | None = None,
    *,
    metric: Metric,
    generator: torch.Generator,
    baseline: BaselineConfig | None = None,
    config: TrainingConfig | None = None,
    n_classes: int = 4,
    sounds: Clips | None = None,
    groups: Sequence[str] | np.ndarray | None = None,
    fabric: Fabric | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: bool = False,
) -> tuple[EmotionClassifier, History]:
    """Train the baseline on a copy of an encoder: fine-tuned, or as a probe.

    A probe (``encoder_learning_rate=0``) embeds every clip once and trains the head on the
    embeddings; the result is what training on the spectrograms would give, much sooner. So does the
    first part of a fine-tuning with ``head_epochs``.

    Args:
        encoder: the encoder to start from; it stays as it is.
        train: labelled clips to learn from.
        validation: labelled clips of *other speakers*, to choose the epoch by; None: the last.
        metric: judges the validation clips; see :data:`Metric`.
        generator: draws the head's weights, the batches and the run's seed.
        baseline: the method's settings; None takes the defaults.
        config: the loop's settings; None takes the defaults. ``head_epochs`` go without early
            stopping: they are cheap, and the best of them is kept.
        n_classes: number of emotions.
        sounds: ``train`` as waveforms, a :class:`~lowser_lib.sampling.augmented.WaveformDataset`
            of the same clips in the same order, to be augmented; needed where
            ``baseline.augmentations`` begin with the waveform.
        groups: ``(N,)``, such as the manifest's column ``gender`` of the clips in ``train``; needed
            where ``baseline.balance_groups`` is not ``"none"``, and else not looked at.
        fabric: as in :func:`fit`.
        checkpoint: as in :func:`fit`; the head's part is not in it and is done again.
        resume: as in :func:`fit`.
        progress: as in :func:`fit`.

    Returns:
        The classifier, in evaluation mode, and the history (of the fine-tuning, if there is one).

    Raises:
        TrainingError: there is no clip, or training diverges.
        CheckpointError: see :func:`fit`.
        ValueError: ``sounds`` or ``groups`` are missing, or are of other clips.
    """
    baseline, config = baseline or BaselineConfig(), config or TrainingConfig()
    fabric = fabric or make_fabric()
    if len(train) == 0:
        raise TrainingError("there is nothing to train on: the data set has no clip")
    heard = _heard(train, sounds, baseline)
    encoder = copy.deepcopy(encoder)
    model = EmotionClassifier(
        encoder, n_classes, baseline.hidden, baseline.dropout, generator=generator
    )
    weights = balanced_weights(train.labels, n_classes) if baseline.balance_classes else None
    cells = of_cells = None
    if baseline.balance_groups != "none":
        if groups is None:
            raise ValueError(
                f"balance_groups {baseline.balance_groups!r} needs groups of the clips"
            )
        cells = cells_of(train.labels, groups, n_classes)
        if baseline.balance_groups == "loss":
            of_cells = cell_weights(cells, n_classes)

    def run(clips: Clips, judges: Clips | None, config: TrainingConfig, **saving: Any) -> History:
        learned = heard if clips is train else clips
        if cells is not None and of_cells is not None:
            learned = _relabelled(learned, cells.numbers)
        sampler = LengthBucketSampler(
            clips.lengths,
            config.batch_size,
            generator,
            cells=None if cells is None or of_cells is not None else cells.balanced,
            num_replicas=fabric.world_size,
            rank=fabric.global_rank,
        )
        augmentation = baseline.augmentation()
        loader: Resumable = ClipLoader(learned, sampler)
        if clips is train and augmentation is not None:
            n_mels, device = train[0][0].shape[0], fabric.device
            loader = AugmentedLoader(
                learned, sampler, augmentation, generator, n_mels=n_mels, device=device
            )
        return fit(
            Baseline(model, baseline, weights, of_cells),
            loader,
            config,
            generator=generator,
            score=None if judges is None else partial(_score, metric, model, judges, fabric),
            fabric=fabric,
            progress=progress,
            **saving,
        )

    saving = {"checkpoint": checkpoint, "resume": resume}
    if baseline.probe or baseline.head_epochs:
        # Place and convert the encoder as the loop would, and then ask it only once.
        fabric.strategy.precision.convert_module(fabric.to_device(cast(nn.Module, encoder)))
        embedded = _embedded(encoder, train, fabric)
        judges = None if validation is None else _embedded(encoder, validation, fabric)
        model.encoder = Precomputed(encoder.dimension)
        if baseline.probe:
            history = run(embedded, judges, config, **saving)
        else:
            run(embedded, judges, replace(config, epochs=baseline.head_epochs, patience=None))
        model.encoder = encoder
    if not baseline.probe:
        history = run(train, validation, config, **saving)
    return model.eval(), history


class Trained(NamedTuple):
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
    train: Clips,
    validation: Clips | None,
    tests: Mapping[str, Clips],
    *,
    precision: str = "auto",
    jobs: int = 1,
    progress: bool = False,
    **settings: Any,
) -> list[Trained]:
    """Train the baseline once a seed, and let each model answer for the test sets.

    With several jobs each training has a process with one thread. Networks as small as ``nano``
    gain more from that than from several threads, which wait for each other hundreds of times a
    step; and results do not depend on the number of threads. A GPU is not shared: there trainings
    take turns, whatever ``jobs`` says. Inside ``joblib.parallel_config`` another backend, such as a
    Dask cluster, takes the work.

    Args:
        start: gives the encoder to start from, for a seed.
        seeds: at least one, each at least 0.
        train: as in :func:`train_baseline`.
        validation: as in :func:`train_baseline`.
        tests: name -> clips, which no training sees.
        precision: as in :func:`make_fabric`.
        jobs: trainings at a time.
        progress: show a bar on stderr: of trainings, or with one job of each training's steps.
        **settings: ``metric``, ``baseline``, ``config``, ``n_classes``: see :func:`train_baseline`.

    Returns:
        One training a seed, in their order.

    Raises:
        TrainingError: there is no clip, or a training diverges.
        ValueError: there is no seed, or ``jobs`` is below 1.
    """
    if not seeds:
        raise ValueError("seeds is empty: name at least one")
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, not {jobs}")
    jobs = 1 if torch.cuda.is_available() else min(jobs, len(seeds))
    work = (
        joblib.delayed(_train_once)(
            start(seed), seed, train, validation, dict(tests), precision,
            threads=None if jobs == 1 else 1, progress=progress and jobs == 1, settings=settings,
        )
        for seed in seeds
    )  # fmt: skip
    with warnings.catch_warnings():
        # A process that has grown in a training is replaced by a new one: nothing is lost.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        done = joblib.Parallel(n_jobs=jobs, return_as="generator")(work)
        hidden = not progress or jobs == 1
        return list(tqdm(done, total=len(seeds), unit="training", leave=False, disable=hidden))


def _train_once(
    encoder: Encoder,
    seed: int,
    train: Clips,
    validation: Clips | None,
    tests: dict[str, Clips],
    precision: str,
    *,
    threads: int | None,
    progress: bool,
    settings: dict[str, Any],
) -> Trained:
    """Train with one seed and answer for the test sets, perhaps in a process of its own."""
    if threads is not None:
        torch.set_num_threads(threads)
    fabric = make_fabric(precision=precision)
    model, history = train_baseline(
        encoder,
        train,
        validation,
        generator=torch.Generator().manual_seed(seed),
        fabric=fabric,
        progress=progress,
        **settings,
    )
    reference = embed(model.encoder, train, fabric=fabric)
    answers, matched = {}, {}
    for name, clips in tests.items():
        embeddings = embed(model.encoder, clips, fabric=fabric)
        answers[name] = classify(model, embeddings, fabric)
        matched[name] = classify(model, match_embeddings(embeddings, reference), fabric)
    return Trained(seed, history, answers, matched)


def _heard(train: Clips, sounds: Clips | None, baseline: BaselineConfig) -> Clips:
    """What the augmentations begin with: sounds, or spectrograms where these will do."""
    augmentation = baseline.augmentation()
    if augmentation is None or augmentation.transforms[0].domain == "mel":
        return train
    if sounds is None:
        raise ValueError(
            f"augmentations {baseline.augmentations!r} change waveforms: hand the training clips "
            "over as sounds, too"
        )
    if not torch.equal(sounds.labels, train.labels):
        raise ValueError("sounds must be the training clips in the same order: labels differ")
    return sounds


def _relabelled(clips: Clips, labels: Tensor) -> Clips:
    """The same clips, which are not copied, with other labels."""
    other: Any = copy.copy(clips)
    other.labels = labels
    return cast(Clips, other)


def _embedded(encoder: Encoder, clips: Clips, fabric: Fabric) -> EmbeddingDataset:
    """The same clips and labels, as embeddings."""
    return EmbeddingDataset(embed(encoder, clips, fabric=fabric), clips.labels)


def _score(metric: Metric, model: EmotionClassifier, clips: Clips, fabric: Fabric) -> float:
    """How good the model's most probable emotions are."""
    predicted = predict(model, clips, fabric=fabric).argmax(axis=1)
    return metric(clips.labels.numpy(), predicted)
