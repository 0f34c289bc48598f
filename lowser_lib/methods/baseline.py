"""The baseline of Gong et al. 2025 (arXiv 2506.02059): an encoder, an average, two linear layers.

The encoder's states are averaged over time to one embedding a clip, and a head of two fully
connected layers with dropout tells the emotions apart; cross-entropy trains both on English. The
paper does not give widths and rates: what is marked *our choice* is ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

from lowser_lib.augment import Compose, named
from lowser_lib.methods import Recipe, Step
from lowser_lib.methods.balancing import BALANCES
from lowser_lib.methods.balancing import balanced_weights as balanced_weights
from lowser_lib.sampling import UNLABELLED, Batch


class Encoder(Protocol):
    """What the baseline asks of an encoder; :class:`lowser_lib.encoders.WhisperEncoder` has it."""

    @property
    def dimension(self) -> int:
        """Width D of an embedding."""

    def embed(self, mel: Tensor, lengths: Tensor) -> Tensor:
        """Embeddings ``(B, D)`` of spectrograms ``(B, n_mels, T)``."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """All parameters, trainable or not."""

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Freeze or thaw all parameters."""


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


def draw_linear(head: nn.Sequential, generator: torch.Generator | None = None) -> None:
    """Draw the weights of a head's linear layers, in place; biases are zero.

    Uniform, as of Glorot and Bengio 2010: signals keep their size in both directions.

    Args:
        head: layers, linear and others.
        generator: the source of randomness; None takes torch's own.
    """
    for layer in head:
        if isinstance(layer, nn.Linear):
            # Drawn in float64 and rounded: float32 draws differ with a processor's vector
            # width, in the last digit, and training makes a large difference of a small one.
            weight = torch.empty(layer.weight.shape, dtype=torch.float64)
            nn.init.xavier_uniform_(weight, generator=generator)
            layer.weight.data.copy_(weight)
            nn.init.zeros_(layer.bias)


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
