"""BYOL: settings, schedules, the two networks, and the losses of a step."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lowser_lib.encoders import EncoderDimensions, WhisperEncoder
from lowser_lib.encoders.heads import mlp
from lowser_lib.losses import symmetric_byol_loss
from lowser_lib.methods.baseline import BaselineConfig, EmotionClassifier
from lowser_lib.methods.byol import Byol, ByolConfig, half_life
from lowser_lib.sampling import Batch
from lowser_lib.sampling.pairs import Pairs
from lowser_lib.training import Step

SMALL: dict[str, Any] = {"hidden": 12, "projection": 6}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(seed: int = 0, baseline: BaselineConfig | None = None, **settings: Any) -> Byol:
    encoder = WhisperEncoder.random(EncoderDimensions(80, 1500, 16, 2, 1), seed)
    model = EmotionClassifier(encoder, hidden=8, dropout=0.0, generator=generator(seed))
    config = ByolConfig(**{**SMALL, **settings})
    return Byol(model, config, baseline, generator=generator(seed))


def batch(clips: int, seed: int, labels: list[int] | None = None) -> Batch:
    mel = torch.randn(clips, 80, 12, generator=generator(seed))
    known = torch.tensor(labels) if labels else torch.full((clips,), -1)
    return Batch(mel, torch.full((clips,), 12), known)


PAIRS = Pairs(batch(4, 1, [0, 1, 2, 3]), batch(8, 2), batch(8, 3))


def step(number: int, total: int = 11) -> Step:
    return Step(number, total, generator())


def weights(module: Any) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def moved(recipe: Byol, seed: int = 5) -> Byol:
    """As after an optimizer step: the online network's weights are others."""
    random = generator(seed)
    with torch.no_grad():
        for part in (recipe.model.encoder, recipe.projector):
            for parameter in part.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.1 * torch.randn(parameter.shape, generator=random))
    return recipe


# --- settings and schedules --------------------------------------------------------------------


def test_lambda_goes_the_papers_way() -> None:
    config = ByolConfig()
    assert config.lam_at(0.0) == 0.8
    assert config.lam_at(1.0) == pytest.approx(0.2)
    assert config.lam_weighs == "byol"


@pytest.mark.parametrize("progress", np.linspace(0, 1, 7))
def test_schedules_in_closed_form(progress: float) -> None:
    linear, fixed = ByolConfig(), ByolConfig(lam_schedule="fixed", lam=0.5)
    cosine = ByolConfig(lam_schedule="cosine")
    assert linear.lam_at(progress) == pytest.approx(0.8 - 0.6 * progress)
    half = (1 + math.cos(math.pi * progress)) / 2
    assert cosine.lam_at(progress) == pytest.approx(0.2 + 0.6 * half)
    assert fixed.lam_at(progress) == 0.5
    # Grill et al. 2020: 1 − (1 − τ) · (cos(πk / K) + 1) / 2.
    assert linear.tau_at(progress) == pytest.approx(1 - 0.004 * half, abs=1e-15)
    assert ByolConfig(tau=0.9, tau_schedule="constant").tau_at(progress) == 0.9


def test_tau_rises_as_lightlys() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what lightly's own imports warn of
        scheduler = pytest.importorskip("lightly.utils.scheduler")
    config = ByolConfig(tau=0.99)
    for number in range(11):
        theirs = scheduler.cosine_schedule(number, 11, 0.99, 1.0)
        assert config.tau_at(step(number).progress) == pytest.approx(theirs, abs=1e-15)


def test_half_of_the_target_is_replaced_after_173_steps() -> None:
    assert round(half_life(0.996)) == 173
    assert 0.996 ** half_life(0.996) == pytest.approx(0.5)
    for tau in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="tau must lie between 0 and 1"):
            half_life(tau)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"lam": 1.5}, r"lam must lie in \[0, 1\], not 1.5"),
        ({"lam_end": -0.1}, r"lam_end must lie in \[0, 1\]"),
        ({"tau": float("nan")}, r"tau must lie in \[0, 1\], not nan"),
        ({"lam_schedule": "step"}, "lam_schedule must be one of .*, not 'step'"),
        ({"lam_weighs": "both"}, "lam_weighs must be one of .*, not 'both'"),
        ({"tau_schedule": "linear"}, "tau_schedule must be one of .*, not 'linear'"),
        ({"projection": 0}, "projection must be at least 1, not 0"),
        ({"hidden": 0}, "hidden must be at least 1"),
        ({"target_batch": 0}, "target_batch must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"seconds": 0.1}, "seconds must be at least 0.5, not 0.1"),
        ({"strength": 2.0}, r"strength must lie in \[0, 1\]"),
        ({"probability": -1.0}, r"probability must lie in \[0, 1\]"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ByolConfig(**setting)


def test_three_augmentations_at_a_strength() -> None:
    preset = ByolConfig(strength=0.5, probability=0.25).augmentation()
    assert len(preset) == 3 and preset.keeps_label and preset.keeps_length
    assert {(one.strength, one.probability) for one in preset.transforms} == {(0.5, 0.25)}


# --- the two networks --------------------------------------------------------------------------


def test_the_target_begins_as_a_copy_and_is_not_trained() -> None:
    recipe = make()
    pairs = ((recipe.target_encoder, recipe.model.encoder),)
    for target, online in (*pairs, (recipe.target_projector, recipe.projector)):
        for name, value in weights(target).items():
            assert torch.equal(value, weights(online)[name])
        assert not any(parameter.requires_grad for parameter in target.parameters())
    trained = {id(p) for group in recipe.parameter_groups() for p in group["params"]}
    assert trained == {id(p) for p in recipe.parameters() if p.requires_grad}


def test_the_target_is_a_moving_average() -> None:
    recipe = moved(make(tau=0.75, tau_schedule="constant"))
    before, online = weights(recipe.target_projector), weights(recipe.projector)
    recipe.after_step(step(3))
    for name, value in recipe.target_projector.named_parameters():
        torch.testing.assert_close(value, 0.75 * before[name] + 0.25 * online[name])


def test_the_target_moves_as_lightlys() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what lightly's own imports warn of
        utils = pytest.importorskip("lightly.models.utils")
    ours, theirs = moved(make().double()), moved(make().double())
    for number in range(3):
        tau = ours.settings.tau_at(step(number).progress)
        moved(ours, number).after_step(step(number))
        moved(theirs, number)
        utils.update_momentum(theirs.model.encoder, theirs.target_encoder, tau)
        utils.update_momentum(theirs.projector, theirs.target_projector, tau)
    for part in ("target_encoder", "target_projector"):
        torch.testing.assert_close(
            weights(getattr(ours, part)), weights(getattr(theirs, part)), atol=1e-15, rtol=1e-12
        )


@pytest.mark.parametrize(("tau", "other"), [(1.0, False), (0.0, True)])
def test_tau_1_stands_still_and_tau_0_follows_at_once(tau: float, other: bool) -> None:
    recipe = moved(make(tau=tau, tau_schedule="constant"))
    before = weights(recipe.target_projector)
    recipe.after_step(step(0))
    expected = weights(recipe.projector) if other else before
    for name, value in recipe.target_projector.named_parameters():
        assert torch.equal(value, expected[name])


def test_batch_statistics_are_each_networks_own() -> None:
    recipe = moved(make(tau=0.0, tau_schedule="constant"))
    recipe.train()
    recipe(PAIRS, step(0))
    own, before = weights(recipe.projector[1]), weights(recipe.target_projector[1])
    assert own["num_batches_tracked"] == before["num_batches_tracked"] == 2
    recipe.after_step(step(0))
    after = weights(recipe.target_projector[1])
    assert torch.equal(after["weight"], own["weight"])
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(after[name], before[name])
    assert not torch.equal(after["running_mean"], own["running_mean"])


def test_same_generator_same_weights_and_torchs_own_is_left_alone() -> None:
    torch.manual_seed(1)
    first = torch.rand(())
    torch.manual_seed(1)
    one, other = mlp(5, 7, 3, generator(2)), mlp(5, 7, 3, generator(2))
    assert torch.equal(torch.rand(()), first)
    assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))
    another = weights(mlp(5, 7, 3, generator(3)))
    assert not torch.equal(weights(one)["0.weight"], another["0.weight"])


def test_an_encoder_without_anything_to_train_is_refused() -> None:
    encoder = WhisperEncoder.random(EncoderDimensions(80, 1500, 16, 2, 1), 0)
    encoder.requires_grad_(False)
    with pytest.raises(ValueError, match="no trainable parameter"):
        Byol(EmotionClassifier(encoder, hidden=8))


# --- a step ------------------------------------------------------------------------------------


def test_losses_are_cross_entropy_and_byol() -> None:
    recipe = moved(make())
    losses = recipe(PAIRS, step(0))
    logits = recipe.model(PAIRS.labelled.inputs, PAIRS.labelled.lengths)
    torch.testing.assert_close(
        losses["classification"], F.cross_entropy(logits, PAIRS.labelled.labels)
    )
    predictions, targets = [], []
    for view in (PAIRS.first, PAIRS.second):
        online = recipe.projector(recipe.model.encoder.embed(view.inputs, view.lengths))
        predictions.append(recipe.predictor(online))
        slow = recipe.target_encoder.embed(view.inputs, view.lengths)
        targets.append(recipe.target_projector(slow))
    expected = symmetric_byol_loss((predictions[0], predictions[1]), (targets[0], targets[1]))
    torch.testing.assert_close(losses["byol"], expected)


@pytest.mark.parametrize("number", [0, 4, 10])
def test_lambda_shares_the_loss_out_in_either_reading(number: int) -> None:
    lam = 0.8 - 0.6 * number / 10
    for weighs, share in (("byol", lam), ("classification", 1 - lam)):
        losses = make(lam_weighs=weighs)(PAIRS, step(number))
        mixed = (1 - share) * losses["classification"] + share * losses["byol"]
        torch.testing.assert_close(losses["loss"], mixed)
        assert float(losses["lam"]) == pytest.approx(lam)
        assert float(losses["tau"]) == pytest.approx(ByolConfig().tau_at(number / 10))


def test_each_loss_trains_what_it_should() -> None:
    for lam, head, projector in ((0.0, True, False), (1.0, False, True)):
        recipe = make(lam=lam, lam_schedule="fixed")
        recipe(PAIRS, step(0))["loss"].backward()
        assert _learns(recipe.model.head) is head
        assert _learns(recipe.projector) is _learns(recipe.predictor) is projector
        assert _learns(recipe.model.encoder)
        assert all(p.grad is None for p in recipe.target_projector.parameters())


def _learns(module: Any) -> bool:
    return any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in module.parameters())


def test_without_a_predictor_the_projection_is_compared() -> None:
    recipe = make(predictor=False)
    assert not list(recipe.predictor.parameters())
    same = PAIRS._replace(second=PAIRS.first)
    # Both networks are still the same, and so are the views: nothing is left to be predicted.
    assert recipe(same, step(0))["byol"].item() == pytest.approx(0, abs=1e-5)
    assert make()(same, step(0))["byol"].item() > 0.1


def test_rates_are_the_baselines_and_its_own() -> None:
    rates = BaselineConfig(learning_rate=0.1, encoder_learning_rate=0.01)
    groups = make(baseline=rates, learning_rate=0.2).parameter_groups()
    assert [group["lr"] for group in groups] == [0.1, 0.01, 0.2]


def test_the_target_network_is_part_of_the_state() -> None:
    recipe = moved(make(tau=0.5, tau_schedule="constant"))
    recipe(PAIRS, step(0))
    recipe.after_step(step(0))
    other = make(seed=3)
    other.load_state_dict(recipe.state_dict())
    recipe.eval()
    other.eval()
    for mine, theirs in zip(
        recipe(PAIRS, step(1)).values(), other(PAIRS, step(1)).values(), strict=True
    ):
        assert torch.isfinite(mine) and torch.isfinite(theirs)
    assert torch.equal(recipe(PAIRS, step(1))["byol"], other(PAIRS, step(1))["byol"])
