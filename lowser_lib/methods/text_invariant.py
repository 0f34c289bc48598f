"""Cross-entropy with a contrast beside it that asks for emotions across sentences.

Cross-entropy takes whatever tells the emotions apart, words too where they lean. The contrast added
here (:mod:`lowser_lib.losses.text_invariant`) pulls clips of one emotion together that say
*different* things. Classifier, head start and learning rates are the baseline's.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor

from lowser_lib.encoders.protocol import Encoder
from lowser_lib.errors import TrainingError
from lowser_lib.losses.text_invariant import Negatives, text_invariant_nt_xent
from lowser_lib.methods.balancing import cells_of
from lowser_lib.methods.baseline import BaselineConfig, EmotionClassifier, Metric, train_baseline
from lowser_lib.sampling import Batch, ClipDataset, ClipLoader, SpeakerBatchSampler
from lowser_lib.training import History, Recipe, Step, TrainingConfig, fit, make_fabric, one_thread

#: What the contrast pulls together: nothing, an emotion's clips, or those in different sentences.
Positives = Literal["none", "emotion", "other-text"]


@dataclass(frozen=True)
class ContrastConfig:
    """Settings of the contrast; all values are our choice.

    Attributes:
        positives: see :data:`Positives`; ``"none"`` is cross-entropy alone.
        negatives: which clips of other emotions are pushed away: ``"all"``, or those in the
            ``"same-text"``.
        weight: of the contrast beside the cross-entropy.
        temperature: of the contrast.
        clips_per_emotion: clips of each emotion in a batch.
    """

    positives: Positives = "other-text"
    # What tells such a pair apart cannot be the words: of a positive they differ, and of a negative
    # they are the same. With all clips of other emotions, words tell most of them apart.
    negatives: Negatives = "same-text"
    # Words that lean are learned within a few steps, so what works against them has to be heard.
    # Of 1 and 5 the better, on draws of the sentences that no sweep takes.
    weight: float = 5.0
    # What SupCon (Khosla et al. 2020) found best.
    temperature: float = 0.1
    # With four emotions a batch of 16, the fast profile's: enough for another sentence among them.
    clips_per_emotion: int = 4

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            ValueError: a value is out of range; the message names it.
        """
        for name, choices in (("positives", Positives), ("negatives", Negatives)):
            value = getattr(self, name)
            if value not in get_args(choices):
                known = ", ".join(get_args(choices))
                raise ValueError(f"{name} must be one of {known}, not {value!r}")
        for name in ("weight", "temperature"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} must be above 0 and finite, not {value!r}")
        if self.clips_per_emotion < 2:
            raise ValueError(f"clips_per_emotion must be at least 2, not {self.clips_per_emotion}")


class TextInvariant(Recipe):
    """Cross-entropy and contrast of batches whose labels tell emotion and sentence.

    Attributes:
        model: the classifier; trained in place.
        config: the contrast's settings.
        baseline: learning rates.
    """

    def __init__(
        self,
        model: EmotionClassifier,
        config: ContrastConfig | None = None,
        baseline: BaselineConfig | None = None,
    ) -> None:
        """Wrap a classifier, which is used, not copied."""
        super().__init__()
        self.model = model
        self.config = config or ContrastConfig()
        self.baseline = baseline or BaselineConfig()

    def forward(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            batch: spectrograms; labels are sentence · classes + emotion, as of
                :func:`lowser_lib.methods.balancing.cells_of` with sentences as groups.
            step: not needed; the loss is the same from first to last.

        Returns:
            ``loss``, and its parts ``cross_entropy`` and, where there is one, ``contrast``.
        """
        del step
        texts, emotions = batch.labels // self.model.n_classes, batch.labels % self.model.n_classes
        embeddings = self.model.encoder.embed(batch.inputs, batch.lengths)
        cross_entropy = F.cross_entropy(self.model.head(embeddings), emotions)
        if self.config.positives == "none":
            return {"loss": cross_entropy, "cross_entropy": cross_entropy}
        contrast = text_invariant_nt_xent(
            embeddings,
            emotions,
            texts if self.config.positives == "other-text" else None,
            self.config.temperature,
            self.config.negatives,
        )
        loss = cross_entropy + self.config.weight * contrast
        return {"loss": loss, "cross_entropy": cross_entropy, "contrast": contrast}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The head, then what of the encoder is not frozen."""
        trainable = [p for p in self.model.encoder.parameters() if p.requires_grad]
        return [
            {"params": list(self.model.head.parameters()), "lr": self.baseline.learning_rate},
            {"params": trainable, "lr": self.baseline.encoder_learning_rate},
        ]


def train_text_invariant(
    encoder: Encoder,
    train: ClipDataset,
    texts: Sequence[str] | np.ndarray,
    *,
    metric: Metric,
    generator: torch.Generator,
    contrast: ContrastConfig | None = None,
    baseline: BaselineConfig | None = None,
    config: TrainingConfig | None = None,
    n_classes: int = 4,
    fabric: Fabric | None = None,
    progress: bool = False,
) -> tuple[EmotionClassifier, History]:
    """Train a copy of an encoder on emotions whose words may lean.

    Every batch holds as many clips of each emotion, so that positives exist. Whatever ``contrast``
    says, runs of one seed share the head's start and the batches. The weights after the last step
    are kept: a validation set would lean as the training set does, and choose accordingly. On a CPU
    it computes with one thread, so that the weights are the same wherever it runs.

    Args:
        encoder: the encoder to start from; it stays as it is.
        train: labelled clips to learn from, all with an emotion.
        texts: ``(N,)``, the sentence of each clip, as the manifest's ``text_id``.
        metric: judges the head's start; see :data:`lowser_lib.methods.baseline.Metric`.
        generator: draws the head's weights, the batches and the run's seed.
        contrast: the contrast's settings; None takes the defaults.
        baseline: the baseline's settings: head, learning rates, ``head_epochs``.
        config: the loop's settings; ``batch_size`` and ``patience`` are not looked at, but for the
            head's start.
        n_classes: number of emotions.
        fabric: as in :func:`lowser_lib.training.fit`.
        progress: as there.

    Returns:
        The classifier, in evaluation mode, and the history, with both parts of the loss.

    Raises:
        TrainingError: there is no clip, or training diverges.
        ValueError: a clip has no sentence, or an emotion has fewer clips than a batch takes.
    """
    contrast, baseline = contrast or ContrastConfig(), baseline or BaselineConfig()
    config, fabric = config or TrainingConfig(), fabric or make_fabric()
    if len(train) == 0:
        raise TrainingError("there is nothing to train on: the data set has no clip")
    cells = cells_of(train.labels, np.asarray(texts, dtype=object), n_classes)
    with one_thread(fabric):
        if baseline.head_epochs:
            model, _ = train_baseline(
                encoder,
                train,
                metric=metric,
                generator=generator,
                baseline=replace(baseline, encoder_learning_rate=0.0),
                config=replace(config, epochs=baseline.head_epochs, patience=None),
                n_classes=n_classes,
                fabric=fabric,
            )
        else:
            own, parts = copy.deepcopy(encoder), (baseline.hidden, baseline.dropout)
            model = EmotionClassifier(own, n_classes, *parts, generator=generator)
        # Speakers × clips, with emotions in the place of speakers.
        sampler = SpeakerBatchSampler(
            train.labels.numpy(),
            generator,
            speakers_per_batch=n_classes,
            clips_per_speaker=contrast.clips_per_emotion,
            num_replicas=fabric.world_size,
            rank=fabric.global_rank,
        )
        history = fit(
            TextInvariant(model, contrast, baseline),
            ClipLoader(ClipDataset(train.mels, cells.numbers), sampler),
            replace(config, patience=None),
            generator=generator,
            fabric=fabric,
            progress=progress,
        )
    return model.eval(), history
