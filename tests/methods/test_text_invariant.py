"""Text-invariant fine-tuning: its losses, what its arms share, and bad input."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lowser_lib.encoders import EncoderDimensions, WhisperEncoder
from lowser_lib.errors import TrainingError
from lowser_lib.losses.text_invariant import text_invariant_nt_xent
from lowser_lib.methods.balancing import cells_of
from lowser_lib.methods.baseline import BaselineConfig, EmotionClassifier
from lowser_lib.methods.text_invariant import ContrastConfig, TextInvariant, train_text_invariant
from lowser_lib.sampling import ClipDataset
from lowser_lib.training import History, Step, TrainingConfig, predict

#: Tiny products are slower on many threads than on one.
pytestmark = pytest.mark.usefixtures("one_thread")

BASELINE = BaselineConfig(hidden=8, encoder_learning_rate=2e-3, head_epochs=2)
CONFIG = TrainingConfig(epochs=2, batch_size=8, patience=None)
TEXTS = np.array([f"s{number // 4 % 3}" for number in range(24)], dtype=object)


@cache
def start() -> WhisperEncoder:
    return WhisperEncoder.random(EncoderDimensions(80, 1500, 16, 2, 1), 0)


def clips(number: int = 24) -> ClipDataset:
    random = torch.Generator().manual_seed(0)
    mels = [torch.randn(80, 20 + n % 5, generator=random) for n in range(number)]
    return ClipDataset(mels, np.arange(number) % 4)


def accuracy(truth: np.ndarray, found: np.ndarray) -> float:
    return float((truth == found).mean())


def train(contrast: ContrastConfig) -> tuple[EmotionClassifier, History]:
    return train_text_invariant(
        start(), clips(), TEXTS, metric=accuracy, generator=torch.Generator().manual_seed(0),
        settings=contrast, baseline=BASELINE, training=CONFIG,
    )  # fmt: skip


@pytest.mark.parametrize("positives", ["none", "emotion", "other-text"])
def test_the_loss_is_cross_entropy_and_contrast(positives: str) -> None:
    model = EmotionClassifier(start(), hidden=8, generator=torch.Generator().manual_seed(1)).eval()
    config = ContrastConfig(positives, "all", weight=0.5)  # type: ignore[arg-type]
    labelled = clips(12)
    cells = cells_of(labelled.labels, TEXTS[:12], 4).numbers
    speech = ClipDataset(labelled.samples, cells)
    batch = speech.collate([speech[number] for number in range(12)])
    with torch.no_grad():
        losses = TextInvariant(model, config, BASELINE)(batch, Step(0, 1, torch.Generator()))
        embeddings = model.encoder.embed(batch.inputs, batch.lengths)
        expected = F.cross_entropy(model.head(embeddings), labelled.labels)
        texts = torch.tensor([int(text[1:]) for text in TEXTS[:12]])
        if positives != "none":
            given = texts if positives == "other-text" else None
            contrast = text_invariant_nt_xent(
                embeddings, labelled.labels, given, config.temperature, config.negatives
            )
            expected = expected + 0.5 * contrast
            torch.testing.assert_close(losses["contrast"], contrast)
    torch.testing.assert_close(losses["loss"], expected)


def test_it_trains_a_copy_and_tells_both_parts() -> None:
    before = {name: value.clone() for name, value in start().state_dict().items()}
    model, history = train(ContrastConfig())
    assert all(torch.equal(value, before[name]) for name, value in start().state_dict().items())
    assert any(
        not torch.equal(value, before[name])
        for name, value in model.encoder.state_dict().items()  # type: ignore[attr-defined]
    )
    assert len(history.rows) == CONFIG.epochs
    assert {"loss", "cross_entropy", "contrast"} <= set(history.rows[0])
    assert not model.training


def test_a_run_follows_from_its_seed_and_arms_differ() -> None:
    first, again, other = (
        predict(train(ContrastConfig(positives=item))[0], clips())
        for item in ("other-text", "other-text", "none")
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    "setting",
    [{"balance_classes": True}, {"balance_groups": "sampling"}, {"augmentations": "byol"}],
)
def test_settings_that_are_not_followed_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(setting))} must be"):
        train_text_invariant(
            start(), clips(), TEXTS, metric=accuracy, generator=torch.Generator().manual_seed(0),
            baseline=replace(BASELINE, **setting), training=CONFIG,
        )  # fmt: skip


def test_nothing_to_train_on_is_told() -> None:
    with pytest.raises(TrainingError, match="nothing to train on"):
        train_text_invariant(
            start(), ClipDataset([]), [], metric=accuracy, generator=torch.Generator()
        )


def test_a_clip_without_a_sentence_is_refused() -> None:
    texts = TEXTS.copy()
    texts[3] = None
    with pytest.raises(ValueError, match="1 missing"):
        train_text_invariant(
            start(), clips(), texts, metric=accuracy, generator=torch.Generator().manual_seed(0)
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"positives": "words"},
        {"negatives": "none"},
        {"weight": 0.0},
        {"temperature": float("inf")},
        {"clips_per_emotion": 1},
    ],
)
def test_wrong_settings_are_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ContrastConfig(**wrong)  # type: ignore[arg-type]
