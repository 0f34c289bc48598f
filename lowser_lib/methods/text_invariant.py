"""Cross-entropy with a contrast beside it that asks for emotions across sentences.

Cross-entropy takes whatever tells the emotions apart, words too where they lean. The contrast added
here (:mod:`lowser_lib.losses.text_invariant`) pulls clips of one emotion together that say
*different* things. Classifier, head start and learning rates are the baseline's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lowser_lib.encoders.heads import Encoder
from lowser_lib.errors import TrainingError, require
from lowser_lib.losses import text_invariant_nt_xent
from lowser_lib.losses.cross_entropy import cross_entropy
from lowser_lib.losses.text_invariant import Negatives
from lowser_lib.methods.balancing import cells_of
from lowser_lib.methods.baseline import BaselineConfig, EmotionClassifier, new_classifier
from lowser_lib.sampling import Batch, ClipDataset, SpeakerBatchSampler
from lowser_lib.training import (
    Execution,
    History,
    Metric,
    Recipe,
    Step,
    TrainingConfig,
    fit,
    one_thread,
)

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
        """Refuse values out of range by a ValueError that names them."""
        require(get_args(Positives), positives=self.positives)
        require(get_args(Negatives), negatives=self.negatives)
        require("(0, inf)", weight=self.weight, temperature=self.temperature)
        require("2..", clips_per_emotion=self.clips_per_emotion)


class TextInvariant(Recipe):
    """Cross-entropy and contrast of batches whose labels tell emotion and sentence.

    Attributes:
        model: the classifier; trained in place.
        settings: the contrast's.
    """

    def __init__(
        self,
        model: EmotionClassifier,
        settings: ContrastConfig | None = None,
        baseline: BaselineConfig | None = None,
    ) -> None:
        """Wrap a classifier, which is used, not copied."""
        super().__init__()
        self.model = model
        self.settings = settings or ContrastConfig()
        baseline = baseline or BaselineConfig()
        self.rates = (
            (model.head, baseline.learning_rate),
            (model.encoder, baseline.encoder_learning_rate),
        )

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
        classification = cross_entropy(self.model.head(embeddings), emotions)
        if self.settings.positives == "none":
            return {"loss": classification, "cross_entropy": classification}
        contrast = text_invariant_nt_xent(
            embeddings,
            emotions,
            texts if self.settings.positives == "other-text" else None,
            self.settings.temperature,
            self.settings.negatives,
        )
        loss = classification + self.settings.weight * contrast
        return {"loss": loss, "cross_entropy": classification, "contrast": contrast}


def train_text_invariant(
    encoder: Encoder,
    source: ClipDataset,
    texts: Sequence[str] | np.ndarray,
    *,
    metric: Metric,
    generator: torch.Generator,
    settings: ContrastConfig | None = None,
    baseline: BaselineConfig | None = None,
    training: TrainingConfig | None = None,
    n_classes: int = 4,
    execution: Execution | None = None,
) -> tuple[EmotionClassifier, History]:
    """Train a copy of an encoder on emotions whose words may lean.

    Every batch holds as many clips of each emotion, so that positives exist. Whatever ``settings``
    say, runs of one seed share the head's start and the batches. The weights after the last step
    are kept: a validation set would lean as the training set does, and choose accordingly. On a CPU
    it computes with one thread, so that the weights are the same wherever it runs.

    Args:
        encoder: the encoder to start from; it stays as it is.
        source: labelled clips to learn from, all with an emotion.
        texts: ``(N,)``, the sentence of each clip, as the manifest's ``text_id``.
        metric: judges the head's start; see :data:`lowser_lib.training.Metric`.
        generator: draws the head's weights, the batches and the run's seed.
        settings: the contrast's; None takes the defaults.
        baseline: the baseline's settings: head, learning rates, ``head_epochs``.
        training: the loop's settings; ``batch_size`` and ``patience`` are not looked at, but for
            the head's start.
        n_classes: number of emotions.
        execution: where it runs and what is kept; None takes the defaults.

    Returns:
        The classifier, in evaluation mode, and the history, with both parts of the loss.

    Raises:
        TrainingError: there is no clip, or training diverges.
        ValueError: a clip has no sentence, an emotion has fewer clips than a batch takes, or the
            baseline's settings ask for what this method does not do.
    """
    settings, baseline = settings or ContrastConfig(), baseline or BaselineConfig()
    training, execution = training or TrainingConfig(), execution or Execution()
    baseline.refuse(
        balance_classes="every batch holds as many clips of each emotion as it is",
        balance_groups="batches are drawn by emotion and sentence",
        augmentations="clips are heard as they are",
    )
    if len(source) == 0:
        raise TrainingError("there is nothing to train on: the data set has no clip")
    cells = cells_of(source.labels, np.asarray(texts, dtype=object), n_classes)
    clips = ClipDataset(source.samples, cells.numbers)
    with one_thread(execution.fabric):
        model = new_classifier(
            encoder,
            source,
            metric=metric,
            generator=generator,
            settings=baseline,
            training=training,
            n_classes=n_classes,
            execution=execution,
        )
        # Speakers × clips, with emotions in the place of speakers.
        sampler = SpeakerBatchSampler(
            source.labels.numpy(),
            generator,
            speakers_per_batch=n_classes,
            clips_per_speaker=settings.clips_per_emotion,
        )
        history = fit(
            TextInvariant(model, settings, baseline),
            DataLoader(clips, batch_sampler=sampler, collate_fn=clips.collate),
            replace(training, patience=None),
            generator=generator,
            execution=execution,
        )
    return model.eval(), history
