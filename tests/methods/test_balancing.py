"""Cells of group and class: numbers, weights, and that both remedies reach the training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn

from lowser_lib.methods.balancing import cell_weights, cells_of
from lowser_lib.methods.baseline import Baseline, BaselineConfig, EmotionClassifier, train_baseline
from lowser_lib.sampling import Batch, ClipDataset
from lowser_lib.training import Step, TrainingConfig, predict

LABELS = torch.tensor([0, 0, 0, 1, 1, -1, 0, 1])
GROUPS = ["m", "m", "m", "m", "f", "f", "unknown", "unknown"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_cells_are_groups_times_classes() -> None:
    cells = cells_of(LABELS, GROUPS, 2)
    assert cells.known == 4  # f first, then m; the unknown come behind
    assert cells.numbers.tolist() == [2, 2, 2, 3, 1, -1, 4, 5]
    assert cells.balanced.tolist() == [2, 2, 2, 3, 1, -1, -1, -1]


def test_weights_are_scikit_learns_of_the_cells() -> None:
    cells = cells_of(LABELS, GROUPS, 2)
    inside = cells.balanced[cells.balanced >= 0].numpy()
    expected = compute_class_weight("balanced", classes=np.unique(inside), y=inside)
    weights = cell_weights(cells, 2)
    assert weights[[1, 2, 3]].tolist() == pytest.approx(expected.tolist())
    assert weights[0] == 0  # nobody is there
    assert weights[4:].tolist() == [1, 1]
    assert weights[inside].mean() == pytest.approx(1)
    totals = torch.bincount(torch.tensor(inside), weights[inside].double(), minlength=4)
    assert totals[1:].tolist() == pytest.approx([5 / 3] * 3)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (GROUPS[:3], "one for each of 8 clips"),
        ([*GROUPS[:7], None], "1 missing"),
        (["m"] * 7 + ["unknown"], "at least two"),
    ],
)
def test_groups_that_balance_nothing_are_refused(groups: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cells_of(LABELS, groups, 2)


def test_without_a_label_nothing_can_be_weighed() -> None:
    with pytest.raises(ValueError, match="nothing to balance"):
        cell_weights(cells_of(torch.full((2,), -1), ["f", "m"], 2), 2)


class FakeEncoder(nn.Module):
    """The average of each band."""

    dimension = 3

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def embed(self, mel: Tensor, lengths: Tensor) -> Tensor:
        return self.scale * mel.sum(dim=2) / lengths[:, None]


def test_the_loss_is_the_weighted_mean_over_clips() -> None:
    cells = cells_of(LABELS, GROUPS, 2)
    weights = cell_weights(cells, 2)
    model = EmotionClassifier(FakeEncoder(), n_classes=2, dropout=0, generator=generator())
    mel = torch.randn(8, 3, 4, generator=generator(1))
    lengths = torch.full((8,), 4)
    recipe = Baseline(model, BaselineConfig(balance_groups="loss"), weights=weights)
    loss = recipe(Batch(mel, lengths, cells.numbers), Step(0, 1, generator()))["loss"]
    each = F.cross_entropy(model(mel, lengths), LABELS.clamp(min=0), reduction="none")
    weight = torch.tensor([float(weights[n]) if n >= 0 else 0.0 for n in cells.numbers])
    expected = (weight * each).sum() / weight.sum()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()))
    with pytest.raises(ValueError, match="weights must be given"):
        Baseline(model, BaselineConfig(balance_groups="loss"))


def toy() -> tuple[ClipDataset, list[str]]:
    """Class 0 or 1 by the sign of band 0 for men, of band 1 for women, who are 1 in 12.

    Band 2 tells who speaks. Women's band 0 leads the other way.
    """
    random = np.random.default_rng(0)
    mels, labels, groups = [], [], []
    for number in range(192):
        label, woman = number % 2, number % 12 < 1 or number % 24 == 13
        sign = 2.0 * label - 1
        mel = 0.7 * random.standard_normal((3, 6), dtype=np.float32)
        mel[0] += -sign if woman else sign
        mel[2] += 0.5 if woman else -0.5
        mels.append(mel)
        labels.append(label)
        groups.append("female" if woman else "male")
    return ClipDataset(mels, labels), groups


@pytest.mark.parametrize("head_epochs", [0, 2])
def test_both_remedies_reach_the_training(head_epochs: int) -> None:
    data, groups = toy()
    women = np.array(groups) == "female"
    recall = {}
    for balance in ("none", "loss", "sampling"):
        model, _ = train_baseline(
            FakeEncoder(), data, metric=lambda true, guess: float((true == guess).mean()),
            generator=generator(), n_classes=2, groups=groups,
            training=TrainingConfig(epochs=6, batch_size=16, patience=None),
            settings=BaselineConfig(hidden=16, dropout=0.0, learning_rate=2e-2,
                                    encoder_learning_rate=1e-3, head_epochs=head_epochs,
                                    balance_groups=balance),
        )  # fmt: skip
        right = predict(model, data).argmax(axis=1) == data.labels.numpy()
        recall[balance] = right[women].mean()
    assert recall["loss"] > recall["none"] + 0.1
    assert recall["sampling"] > recall["none"] + 0.1
    assert data.labels.max() == 1  # labels are as they were


def test_augmented_clips_are_balanced_as_well() -> None:
    data, groups = toy()
    model, _ = train_baseline(
        FakeEncoder(), data, metric=lambda true, guess: float((true == guess).mean()),
        generator=generator(), n_classes=2, groups=groups,
        training=TrainingConfig(epochs=1, batch_size=16, patience=None),
        settings=BaselineConfig(hidden=8, augmentations="time-mask", balance_groups="loss"),
    )  # fmt: skip
    assert predict(model, data).shape == (192, 2)


def test_settings_that_do_not_go_together_are_refused() -> None:
    data, groups = toy()
    with pytest.raises(ValueError, match="balance_groups must be one of 'none', 'loss', 'sa"):
        BaselineConfig(balance_groups="both")
    with pytest.raises(ValueError, match="balance_groups balances classes, too"):
        BaselineConfig(balance_groups="loss", balance_classes=True)
    with pytest.raises(ValueError, match="needs groups"):
        train_baseline(
            FakeEncoder(), data, metric=lambda true, guess: 0.0, generator=generator(),
            n_classes=2, settings=BaselineConfig(balance_groups="sampling"),
        )  # fmt: skip
    del groups
