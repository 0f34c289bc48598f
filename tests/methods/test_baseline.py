"""The baseline: classifier, recipe, class weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn

from lowser_lib.encoders import WhisperEncoder
from lowser_lib.encoders.checkpoints import EncoderDimensions
from lowser_lib.methods.balancing import balanced_weights
from lowser_lib.methods.baseline import (
    Baseline,
    BaselineConfig,
    EmotionClassifier,
    Precomputed,
)
from lowser_lib.sampling import UNLABELLED, Batch
from lowser_lib.training import Step


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def first_step() -> Step:
    return Step(0, 10, generator())


class FakeEncoder(nn.Module):
    """A linear map of each frame, averaged over the clip's own frames."""

    dimension = 6

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 5, generator=generator(1)))

    def embed(self, mel: Tensor, lengths: Tensor) -> Tensor:
        return (self.weight @ mel).sum(dim=2) / lengths[:, None]


def batch(labels: list[int]) -> Batch:
    mel = torch.randn(len(labels), 5, 4, generator=generator(2))
    return Batch(mel, torch.full((len(labels),), 4), torch.tensor(labels))


def test_the_head_is_two_linear_layers_with_dropout() -> None:
    model = EmotionClassifier(FakeEncoder(), n_classes=3, hidden=7, dropout=0.4)
    assert [type(layer) for layer in model.head] == [nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
    assert model.head.get_parameter("0.weight").shape == (7, 6)
    assert model.head.get_parameter("3.weight").shape == (3, 7)
    assert model.head[2].p == 0.4


def test_forward_is_head_after_embedding() -> None:
    model = EmotionClassifier(FakeEncoder(), generator=generator()).eval()
    inputs, lengths, _ = batch([0, 1, 2])
    embedding = model.encoder.embed(inputs, lengths)
    weight, bias, last_weight, last_bias = model.head.parameters()
    hidden = (embedding @ weight.T + bias).clamp(min=0)
    torch.testing.assert_close(model(inputs, lengths), hidden @ last_weight.T + last_bias)


def test_the_generator_alone_draws_the_head() -> None:
    before = torch.get_rng_state()
    first = EmotionClassifier(FakeEncoder(), generator=generator(3))
    again = EmotionClassifier(FakeEncoder(), generator=generator(3))
    other = EmotionClassifier(FakeEncoder(), generator=generator(4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.head.get_parameter("0.weight"), again.head.get_parameter("0.weight"))
    assert not torch.equal(
        first.head.get_parameter("0.weight"), other.head.get_parameter("0.weight")
    )


def test_loss_is_cross_entropy() -> None:
    model = EmotionClassifier(FakeEncoder(), dropout=0.0, generator=generator())
    clips = batch([0, 1, 2, 3, 1])
    loss = Baseline(model)(clips, first_step())["loss"]
    logits = model(clips.inputs, clips.lengths)
    expected = -logits.log_softmax(1)[torch.arange(5), clips.labels].mean()
    torch.testing.assert_close(loss, expected)


def test_class_weights_enter_the_loss() -> None:
    model = EmotionClassifier(FakeEncoder(), dropout=0.0, generator=generator())
    clips = batch([0, 1, 1, 1])
    weights = torch.tensor([3.0, 1.0, 0.0, 0.0])
    loss = Baseline(model, weights=weights)(clips, first_step())["loss"]
    each = F.cross_entropy(model(clips.inputs, clips.lengths), clips.labels, reduction="none")
    torch.testing.assert_close(loss, (3 * each[0] + each[1:].sum()) / 6)


def test_clips_without_a_label_do_not_count() -> None:
    model = EmotionClassifier(FakeEncoder(), dropout=0.0, generator=generator())
    recipe = Baseline(model)
    clips = batch([2, UNLABELLED, 0, UNLABELLED])
    labelled = Batch(clips.inputs[::2], clips.lengths[::2], clips.labels[::2])
    torch.testing.assert_close(
        recipe(clips, first_step())["loss"], recipe(labelled, first_step())["loss"]
    )


def test_head_and_encoder_have_their_own_rates() -> None:
    model = EmotionClassifier(FakeEncoder())
    config = BaselineConfig(learning_rate=0.1, encoder_learning_rate=0.02)
    head, encoder = Baseline(model, config).parameter_groups()
    assert (head["lr"], encoder["lr"]) == (0.1, 0.02)
    assert [id(p) for p in head["params"]] == [id(p) for p in model.head.parameters()]
    assert [id(p) for p in encoder["params"]] == [id(p) for p in model.encoder.parameters()]


def test_a_probe_freezes_the_encoder() -> None:
    model = EmotionClassifier(FakeEncoder())
    config = BaselineConfig(encoder_learning_rate=0)
    recipe = Baseline(model, config)
    assert len(recipe.parameter_groups()) == 1
    recipe(batch([0, 1]), first_step())["loss"].backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert all(p.grad is not None for p in model.head.parameters())


def test_precomputed_embeddings_pass_through() -> None:
    encoder = FakeEncoder()
    model = EmotionClassifier(encoder, generator=generator()).eval()
    inputs, lengths, _ = batch([0, 1, 2])
    expected = model(inputs, lengths)
    embeddings = encoder.embed(inputs, lengths)
    model.encoder = Precomputed(encoder.dimension)
    torch.testing.assert_close(model(embeddings, torch.ones(3)), expected)
    with pytest.raises(ValueError, match=r"expected embeddings of shape \(clips, 6\)"):
        model(inputs, lengths)


def test_with_the_real_encoder_a_clip_is_judged_by_itself() -> None:
    encoder = WhisperEncoder.random(EncoderDimensions(80, 20, 16, 2, 1), seed=0)
    model = EmotionClassifier(encoder, generator=generator()).eval()
    mel = torch.randn(2, 80, 30, generator=generator(5))
    together = model(mel, torch.tensor([30, 17]))
    assert together.shape == (2, 4)
    alone = model(mel[1:, :, :17], torch.tensor([17]))
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=0)

    groups = Baseline(model).parameter_groups()
    trained = {id(p) for group in groups for p in group["params"]}
    frozen = [name for name, p in encoder.named_parameters() if id(p) not in trained]
    assert frozen
    assert all(name.startswith("encoder.conv") for name in frozen)


def test_balanced_weights_are_scikit_learns() -> None:
    labels = torch.tensor([0] * 7 + [1] * 2 + [2] * 1 + [3] * 5 + [UNLABELLED] * 4)
    known = labels[labels != UNLABELLED].numpy()
    expected = compute_class_weight("balanced", classes=np.arange(4), y=known)
    torch.testing.assert_close(balanced_weights(labels, 4), torch.tensor(expected).float())


def test_balanced_weights_leave_out_an_absent_class() -> None:
    weights = balanced_weights(torch.tensor([0, 0, 0, 2]), 4)
    torch.testing.assert_close(weights, torch.tensor([2 / 3, 0.0, 2.0, 0.0]))


def test_balanced_weights_need_a_label() -> None:
    with pytest.raises(ValueError, match="labels holds no label"):
        balanced_weights(torch.tensor([UNLABELLED]), 4)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"hidden": 0}, "hidden must be at least 1, not 0"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), not 1.0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0, not nan"),
        ({"encoder_learning_rate": -1.0}, "encoder_learning_rate must be at least 0"),
        ({"augmentations": "echo"}, "unknown augmentation 'echo'"),
        ({"augmentations": "noise", "strength": 2.0}, r"strength must lie in \[0, 1\], not 2.0"),
        ({"augmentations": "mixup"}, "must keep the label of a clip, and 'mixup' mixes"),
        (
            {"augmentations": "contrastive"},
            "and 'contrastive' mixes clips",
        ),
        ({"augmentations": "byol", "encoder_learning_rate": 0.0}, "need an encoder that learns"),
        ({"head_epochs": -1}, "head_epochs must be at least 0, not -1"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BaselineConfig(**setting)


def test_class_weights_of_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"weights must have shape \(4,\) or more, not \(3,\)"):
        Baseline(EmotionClassifier(FakeEncoder()), weights=torch.ones(3))


def test_progress_runs_from_0_to_1() -> None:
    assert [Step(n, 5, generator()).progress for n in range(5)] == [0, 0.25, 0.5, 0.75, 1]
    assert Step(0, 1, generator()).progress == 0
