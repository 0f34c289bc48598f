"""Cross-entropy with a contrast beside it that asks for emotions across sentences.

Cross-entropy takes whatever tells the emotions apart, words too where they lean. The contrast added
here (:mod:`lowser_lib.losses.text_invariant`) pulls clips of one emotion together that say
*different* things. Classifier, head start and learning rates are the baseline's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch.nn.functional as F
from torch import Tensor

from lowser_lib.losses.text_invariant import Negatives, text_invariant_nt_xent
from lowser_lib.methods import Recipe, Step
from lowser_lib.methods.baseline import BaselineConfig, EmotionClassifier
from lowser_lib.sampling import Batch

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
