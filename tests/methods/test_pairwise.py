"""Pairwise learning: settings, augmentation, both recipes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lowser_lib.errors import TrainingError
from lowser_lib.losses import pairwise_nt_xent
from lowser_lib.methods.fine_tuning import FineTune, FineTuneConfig, MultiViewClassifier
from lowser_lib.methods.pairwise import (
    NO_AUGMENTATION,
    EncodersConfig,
    Pairwise,
    PairwiseConfig,
    ViewAugmentation,
    ViewEncoders,
)
from lowser_lib.sampling import UNLABELLED
from lowser_lib.sampling.clips import MultiViewBatch, MultiViewDataset
from lowser_lib.training import Step

SMALL = EncodersConfig(dimension=16, channels=8, dropout=0.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dataset(clips: int = 12) -> MultiViewDataset:
    random = generator(1)
    sizes = torch.randint(20, 60, (clips,), generator=random).tolist()
    return MultiViewDataset(
        {
            "mel": [torch.randn(6, size, generator=random) for size in sizes],
            "egemaps": [4 + 2 * torch.randn(9, generator=random) for _ in range(clips)],
        },
        [number % 4 for number in range(clips)],
    )


def whole(clips: MultiViewDataset) -> MultiViewBatch:
    return clips.collate([clips[index] for index in range(len(clips))])


def encoders(config: EncodersConfig = SMALL, seed: int = 0) -> ViewEncoders:
    return ViewEncoders.for_clips(dataset(), config, generator=generator(seed))


def step(number: int = 0, total: int = 10, seed: int = 3) -> Step:
    return Step(number, total, generator(seed))


# --- settings ----------------------------------------------------------------------------------


def test_projection_is_the_one_that_was_chosen() -> None:
    recipe = Pairwise(encoders())
    assert recipe.settings.temperature == 0.5
    widths = [tuple(p.shape) for p in recipe.projections["mel"].parameters() if p.ndim == 2]
    assert widths == [(256, 16), (128, 256)]


@pytest.mark.parametrize(
    ("kind", "setting", "message"),
    [
        (EncodersConfig, {"dimension": 0}, "dimension must be at least 1, not 0"),
        (EncodersConfig, {"channels": 0}, "channels must be at least 1"),
        (EncodersConfig, {"dropout": 1.0}, r"dropout must lie in \[0, 1\), not 1.0"),
        (ViewAugmentation, {"masking": 1.5}, r"masking must lie in \[0, 1\], not 1.5"),
        (ViewAugmentation, {"jitter": -0.1}, r"jitter must be at least 0"),
        (ViewAugmentation, {"hidden": 1.0}, r"hidden must lie in \[0, 1\)"),
        (PairwiseConfig, {"temperature": 0.0}, "temperature must be above 0"),
        (PairwiseConfig, {"learning_rate": float("nan")}, "learning_rate must be above 0"),
        (PairwiseConfig, {"copies": 0}, "copies must be at least 1"),
        (PairwiseConfig, {"batch_size": 1}, "batch_size must be at least 2"),
        (PairwiseConfig, {"projection": (256,)}, "projection must be two widths"),
        (FineTuneConfig, {"steps": 0}, "steps must be at least 1"),
        (FineTuneConfig, {"probe_share": 1.1}, r"probe_share must lie in \[0, 1\]"),
        (
            FineTuneConfig,
            {"encoder_learning_rate": -1.0},
            "learning_rate must be at least 0",
        ),
        (FineTuneConfig, {"learning_rate": 0.0}, "learning_rate must be above 0"),
    ],
)
def test_refuses_settings(kind: type, setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**setting)


# --- augmentation ------------------------------------------------------------------------------


def test_no_augmentation_changes_nothing() -> None:
    batch = whole(dataset())
    same = NO_AUGMENTATION(batch, encoders().by_name(), generator())
    for name, view in batch.views.items():
        torch.testing.assert_close(same.views[name], view)


def test_features_are_hidden_behind_their_mean_and_moved_in_their_own_unit() -> None:
    batch, made = whole(dataset()), encoders().by_name()
    egemaps = made["egemaps"]
    hidden = ViewAugmentation(0.0, 0.0, 0.5)(batch, made, generator()).views["egemaps"]
    changed = hidden != batch.views["egemaps"]
    assert 0.3 < changed.float().mean() < 0.7
    torch.testing.assert_close(hidden[changed], egemaps.mean.expand_as(hidden)[changed])
    moved = ViewAugmentation(0.0, 0.5, 0.0)(batch, made, generator()).views["egemaps"]
    shift = (moved - batch.views["egemaps"]) * egemaps.scale
    assert shift.std().item() == pytest.approx(0.5, rel=0.2)


def test_spectrograms_are_masked_inside_the_clip_alone() -> None:
    batch, made = whole(dataset()), encoders().by_name()
    masked = ViewAugmentation(1.0, 0.0, 0.0)(batch, made, generator())
    assert not torch.equal(masked.views["mel"], batch.views["mel"])
    torch.testing.assert_close(masked.views["egemaps"], batch.views["egemaps"])
    behind = torch.arange(masked.views["mel"].shape[2]) >= batch.lengths["mel"][:, None]
    assert masked.views["mel"].transpose(1, 2)[behind].eq(0).all()


# --- pre-training ------------------------------------------------------------------------------


def test_the_loss_is_the_pairwise_one_of_the_projections() -> None:
    config = PairwiseConfig(augmentation=NO_AUGMENTATION, temperature=0.3)
    recipe, batch = Pairwise(encoders(), config, generator=generator()).eval(), whole(dataset())
    embedded = recipe.encoders(batch)
    projected = [recipe.projections[name](embedded[name]) for name in ("mel", "egemaps")]
    result = recipe(batch, step())
    torch.testing.assert_close(result["loss"], pairwise_nt_xent(projected, 0.3))
    unlabelled = batch._replace(labels=torch.full_like(batch.labels, UNLABELLED))
    torch.testing.assert_close(recipe(unlabelled, step())["loss"], result["loss"])
    assert 0 <= result["matched"].item() <= 1


def test_copies_of_one_view_agree_with_each_other() -> None:
    alone = ViewEncoders({"egemaps": encoders().of("egemaps")})
    with pytest.raises(ValueError, match="one view has nothing to agree with"):
        Pairwise(alone)
    batch = whole(dataset())
    same = PairwiseConfig(copies=2, augmentation=NO_AUGMENTATION)
    assert Pairwise(alone, same, generator=generator()).eval()(batch, step())["matched"] == 1
    changed = Pairwise(alone, PairwiseConfig(copies=2), generator=generator()).eval()
    assert (
        changed(batch, step())["loss"]
        > Pairwise(alone, same, generator=generator()).eval()(batch, step())["loss"]
    )


def descend(recipe: Pairwise | FineTune, batch: MultiViewBatch, steps: int) -> list[float]:
    optimizer = torch.optim.AdamW(recipe.parameter_groups())
    losses = []
    for number in range(steps):
        loss = recipe(batch, step(number, steps, seed=number))["loss"]
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses


def test_a_few_steps_teach_which_clip_is_which() -> None:
    config = PairwiseConfig(temperature=0.1)
    recipe, batch = Pairwise(encoders(), config, generator=generator()), whole(dataset())
    before = recipe(batch, step())["matched"]
    losses = descend(recipe, batch, 60)
    after = recipe.eval()(batch, step())["matched"]
    assert losses[-1] < losses[0] / 2
    assert after > max(before, torch.tensor(0.5))


# --- fine-tuning -------------------------------------------------------------------------------


def test_a_classifier_takes_one_view_or_several() -> None:
    made, batch = encoders(), whole(dataset())
    for names in (["mel"], ["egemaps"], ["egemaps", "mel"]):
        chosen = ViewEncoders({name: made.of(name) for name in names})
        model = MultiViewClassifier(chosen, generator=generator()).eval()
        assert model.embed(batch).shape == (12, 16 * len(names))
        assert model(batch).shape == (12, 4)
    with pytest.raises(ValueError, match="no encoder for view 'words'; there are mel, egemaps"):
        made.of("words")


def weights(model: MultiViewClassifier) -> list[Tensor]:
    return [p.detach().clone() for p in model.encoders.parameters()]


def head_weight(model: MultiViewClassifier) -> Tensor:
    layer = model.head[1]
    assert isinstance(layer, torch.nn.Linear)
    return layer.weight.detach().clone()


@pytest.mark.parametrize(
    ("setting", "moves"),
    [
        ({"encoder_learning_rate": 0.0}, False),
        ({"probe_share": 1.0}, False),
        ({"probe_share": 0.5}, True),
        ({}, True),
    ],
)
def test_the_new_layer_may_learn_alone(setting: dict[str, Any], moves: bool) -> None:
    model = MultiViewClassifier(encoders(), dropout=0.0, generator=generator())
    recipe, batch = FineTune(model, FineTuneConfig(**setting)), whole(dataset())
    before, head = weights(model), head_weight(model)
    losses = descend(recipe, batch, 20)
    assert losses[-1] < losses[0]
    assert not torch.equal(head_weight(model), head)
    same = all(map(torch.equal, before, weights(model)))
    assert same is not moves


def test_probe_share_is_a_share_of_the_steps() -> None:
    model = MultiViewClassifier(encoders(), generator=generator())
    recipe, batch = FineTune(model, FineTuneConfig(probe_share=0.5)), whole(dataset())
    for number, learns in ((0, False), (4, False), (5, True), (9, True)):
        model.zero_grad()
        recipe(batch, step(number))["loss"].backward()
        gradients = [p.grad for p in model.encoders.parameters()]
        assert all((gradient is not None) is learns for gradient in gradients)
        assert model.head[1].weight.grad is not None


def test_clips_without_a_label_do_not_count() -> None:
    model = MultiViewClassifier(encoders(), generator=generator()).eval()
    batch = whole(dataset())
    some = batch._replace(labels=torch.where(torch.arange(12) < 8, batch.labels, UNLABELLED))
    eight = whole(dataset().of_clips(range(8)))
    recipe = FineTune(model)
    torch.testing.assert_close(recipe(some, step())["loss"], recipe(eight, step())["loss"])


def test_refuses_to_build_encoders_for_nothing() -> None:
    with pytest.raises(TrainingError, match="no clip to build encoders for"):
        ViewEncoders.for_clips(dataset().of_clips([]))
