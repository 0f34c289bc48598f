"""BYOL: settings, schedules, the two networks, and the losses of a step."""

from __future__ import annotations

import math
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowser_lib.encoders import EncoderDimensions, WhisperEncoder
from lowser_lib.encoders.heads import mlp
from lowser_lib.encoders.whisper import fingerprint
from lowser_lib.errors import CheckpointError, TrainingError
from lowser_lib.evaluation import collapse_figures
from lowser_lib.losses import symmetric_byol_loss
from lowser_lib.methods.baseline import BaselineConfig, EmotionClassifier, train_baseline
from lowser_lib.methods.byol import Byol, ByolConfig, half_life, pulls, train_byol
from lowser_lib.methods.speaker_contrastive import SpeakerContrastiveConfig, adapt_to_speakers
from lowser_lib.sampling import Batch, ClipDataset
from lowser_lib.sampling.augmented import PairLoader, Pairs, WaveformDataset
from lowser_lib.training import Execution, History, Step, TrainingConfig, make_fabric
from lowser_lib.training.monitoring import EACH, WATCHED, groups_of, spectrograms, two_views, watch

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
    assert {(transform.strength, transform.probability) for transform in preset.transforms} == {
        (0.5, 0.25)
    }


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
    kept, before = weights(recipe.projector[1]), weights(recipe.target_projector[1])
    assert kept["num_batches_tracked"] == before["num_batches_tracked"] == 2
    recipe.after_step(step(0))
    after = weights(recipe.target_projector[1])
    assert torch.equal(after["weight"], kept["weight"])
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(after[name], before[name])
    assert not torch.equal(after["running_mean"], kept["running_mean"])


def test_same_generator_same_weights_and_torchs_own_is_left_alone() -> None:
    torch.manual_seed(1)
    first = torch.rand(())
    torch.manual_seed(1)
    left, other = mlp(5, 7, 3, generator(2)), mlp(5, 7, 3, generator(2))
    assert torch.equal(torch.rand(()), first)
    assert all(map(torch.equal, left.state_dict().values(), other.state_dict().values()))
    another = weights(mlp(5, 7, 3, generator(3)))
    assert not torch.equal(weights(left)["0.weight"], another["0.weight"])


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


# BYOL in one call: what it shares with the baseline, that it resumes, and what is watched


#: Tiny products are slower on many threads than on one.
pytestmark = pytest.mark.usefixtures("one_thread")

BASELINE = BaselineConfig(hidden=8, encoder_learning_rate=2e-3, head_epochs=3)
CONFIG = TrainingConfig(epochs=4, batch_size=6, patience=None)
BYOL = {"hidden": 12, "projection": 6, "learning_rate": 5e-3}


@cache
def start() -> WhisperEncoder:
    return WhisperEncoder.random(EncoderDimensions(80, 1500, 16, 2, 1), 0)


def speech(clips: int, seed: int, labels: int = 4) -> WaveformDataset:
    """Noise whose level tells its class."""
    random = np.random.default_rng(seed)
    classes = np.arange(clips) % labels
    sounds = [
        (0.02 * 4.0 ** (label % 4) * random.standard_normal(random.integers(1600, 3200))).astype(
            np.float32
        )
        for label in classes
    ]
    return WaveformDataset(sounds, classes)


@cache
def source() -> WaveformDataset:
    return speech(16, 0)


@cache
def target() -> WaveformDataset:
    return speech(11, 1)


@cache
def validation() -> ClipDataset:
    return spectrograms(speech(12, 2))


def accuracy(true: np.ndarray, found: np.ndarray) -> float:
    return float((true == found).mean())


def train(
    seed: int = 3, precision: str = "32-true", byol: dict[str, Any] | None = None, **options: Any
) -> tuple[EmotionClassifier, History]:
    given: dict[str, Any] = {"baseline": BASELINE, "training": CONFIG, **options}
    saving = {name: given.pop(name) for name in ("checkpoint", "resume") if name in given}
    return train_byol(
        start(), source(), target(), given.pop("validation", validation()), seed=seed,
        metric=accuracy, settings=ByolConfig(**{**BYOL, **(byol or {})}),
        execution=Execution(make_fabric("cpu", precision), **saving), **given,
    )  # fmt: skip


def assert_same(first: nn.Module, second: nn.Module) -> None:
    sample, other = weights(first), weights(second)
    assert sample.keys() == other.keys()
    for name in sample:
        assert torch.equal(sample[name], other[name]), name


# --- beside the baseline -----------------------------------------------------------------------


@pytest.mark.parametrize("head_epochs", [0, 3])
@pytest.mark.parametrize("weighs", ["byol", "classification"])
def test_without_byol_it_is_the_baseline(head_epochs: int, weighs: str) -> None:
    settings = BaselineConfig(hidden=8, encoder_learning_rate=2e-3, head_epochs=head_epochs)
    lam = 0.0 if weighs == "byol" else 1.0
    model, history = train(
        byol={"lam": lam, "lam_schedule": "fixed", "lam_weighs": weighs}, baseline=settings
    )
    plain, before = train_baseline(
        start(), spectrograms(source()), validation(), metric=accuracy, generator=generator(3),
        settings=settings, training=CONFIG, execution=Execution(make_fabric("cpu", "32-true")),
    )  # fmt: skip
    assert history["score"] == before["score"]
    np.testing.assert_allclose(history["loss"], before["loss"], rtol=1e-5)
    # To rounding: a gradient's length is summed over more parameters, all of whose parts are 0.
    for name, value in weights(plain).items():
        torch.testing.assert_close(weights(model)[name], value, atol=1e-6, rtol=1e-4)


def test_byol_moves_the_encoder_elsewhere_and_its_loss_falls() -> None:
    steps = {"lam": 1.0, "lam_schedule": "fixed", "tau": 0.9, "learning_rate": 1e-2}
    long = TrainingConfig(epochs=12, batch_size=6, patience=None)
    model, history = train(byol=steps, training=long, validation=None)
    assert np.mean(history["byol"][-3:]) < 0.8 * history["byol"][0]
    assert fingerprint(model.encoder) != fingerprint(start())  # type: ignore[arg-type]


def test_history_tells_both_losses_and_both_schedules() -> None:
    model, history = train()
    assert not model.training and history.best_epoch is not None
    assert {"loss", "classification", "byol", "lam", "tau", "score"} <= set(history.rows[0])
    steps = CONFIG.epochs * 3
    for epoch in range(CONFIG.epochs):  # the mean over an epoch's 3 steps is that of the middle
        assert history["lam"][epoch] == pytest.approx(0.8 - 0.6 * (3 * epoch + 1) / (steps - 1))
    assert history["tau"] == sorted(history["tau"])


def test_unlabelled_clips_have_a_batch_size_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    iterate, sizes = PairLoader.__iter__, []

    def counting(self: PairLoader) -> Any:
        for pairs in iterate(self):
            sizes.append((len(pairs.labelled.labels), len(pairs.first.labels)))
            yield pairs

    monkeypatch.setattr(PairLoader, "__iter__", counting)
    quick = TrainingConfig(epochs=1, batch_size=8)
    train(training=quick, validation=None, byol={"target_batch": 11})
    train(training=quick, validation=None)
    # 16 labelled clips; all 11 unlabelled ones at a time, or two batches of 5 and 6.
    assert sizes[:2] == [(8, 19), (8, 19)]
    assert sorted(sizes[2:]) == [(8, 13), (8, 14)]


def test_same_seed_same_weights_and_the_encoder_given_stays() -> None:
    before = fingerprint(start())
    first, _ = train()
    torch.manual_seed(99)
    torch.set_num_threads(2)
    assert_same(train()[0], first)
    assert torch.get_num_threads() == 2
    assert fingerprint(start()) == before
    other, _ = train(seed=4)
    assert not torch.equal(weights(other)["head.0.weight"], weights(first)["head.0.weight"])


def test_half_precision_on_a_cpu() -> None:
    model, history = train(precision="bf16-mixed", monitor=collapse_figures)
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    full = train()[1]
    np.testing.assert_allclose(history["byol"], full["byol"], rtol=0.1)
    assert history["loss"] != full["loss"]


# --- resuming ----------------------------------------------------------------------------------


class InterruptedRunError(Exception):
    """Stands for a killed process."""


@pytest.mark.parametrize("killed_at", np.random.default_rng(5).integers(3, 12, size=2))
def test_a_run_killed_at_a_random_step_ends_with_the_same_weights(
    killed_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, history = train(monitor=collapse_figures)
    iterate = PairLoader.__iter__

    def stopping(self: PairLoader) -> Any:
        for number, pairs in enumerate(iterate(self), self.batch_sampler.epoch * len(self)):
            if number == killed_at:
                raise InterruptedRunError
            yield pairs

    saving: dict[str, Any] = {"checkpoint": tmp_path / "run.pt", "monitor": collapse_figures}
    with monkeypatch.context() as patch:
        patch.setattr(PairLoader, "__iter__", stopping)
        with pytest.raises(InterruptedRunError):
            train(**saving)
    resumed, again = train(resume=True, **saving)
    assert_same(resumed, whole)
    assert again.rows == history.rows
    # The whole state is the same: target network, optimizer, and batch statistics.
    train(checkpoint=tmp_path / "whole.pt", monitor=collapse_figures)
    paths = tmp_path / "run.pt", tmp_path / "whole.pt"
    states = [torch.load(path, weights_only=True)["parts"] for path in paths]
    for name, value in states[0]["recipe"].items():
        assert torch.equal(value, states[1]["recipe"][name]), name
    assert any(name.startswith("target_encoder") for name in states[0]["recipe"])
    torch.testing.assert_close(states[0]["optimizer"], states[1]["optimizer"], rtol=0, atol=0)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    quick = TrainingConfig(epochs=1, batch_size=6)
    train(checkpoint=tmp_path / "run.pt", training=quick)
    with pytest.raises(CheckpointError, match="does not fit the model"):
        train(
            checkpoint=tmp_path / "run.pt", training=quick, resume=True, byol={"predictor": False}
        )


# --- what is watched ---------------------------------------------------------------------------


def test_watching_changes_nothing_and_is_logged_each_epoch() -> None:
    model, history = train(monitor=collapse_figures)
    assert_same(model, train()[0])
    for row in history.rows:
        for space in ("embedding", "projection"):
            for name in ("spread", "effective_rank", "uniformity", "alignment"):
                assert np.isfinite(row[f"{space}_{name}"])


def test_speaker_contrastive_is_watched_too() -> None:
    config = SpeakerContrastiveConfig(4, 2, projection=6, steps=6)
    runs = [
        adapt_to_speakers(
            start(), source(), generator=generator(), settings=config, monitor=monitor,
            execution=Execution(make_fabric("cpu", "32-true")),
        )
        for monitor in (None, collapse_figures)
    ]  # fmt: skip
    assert_same(*(run.encoder for run in runs))
    assert set(runs[1].history.rows[0]) - set(runs[0].history.rows[0]) == {
        f"{space}_{name}"
        for space in ("embedding", "projection")
        for name in ("spread", "effective_rank", "uniformity", "alignment")
    }


def test_a_look_leaves_networks_as_they_are() -> None:
    projector = nn.Sequential(nn.Linear(16, 4), nn.BatchNorm1d(4)).eval()
    before = weights(projector)
    seen: list[Tensor] = []

    def monitor(points: Tensor, labels: Tensor) -> dict[str, float]:
        seen.extend((points, labels))
        return {"clips": float(len(points))}

    clips = spectrograms(target())
    look = watch(monitor, start(), projector, clips, make_fabric("cpu", "32-true"))
    assert look() == {"embedding_clips": 11.0, "projection_clips": 11.0}
    embeddings, labels, projections, _ = seen
    assert embeddings.shape == (11, 16) and projections.shape == (11, 4)
    assert torch.equal(labels, clips.labels)
    # Normalised by the clips at hand.
    torch.testing.assert_close(projections.mean(dim=0), torch.zeros(4), atol=1e-5, rtol=0)
    assert not projector.training
    for name, value in weights(projector).items():
        assert torch.equal(value, before[name])


def test_which_clips_are_watched() -> None:
    many = speech(200, 3, labels=5)
    views = two_views(many, ByolConfig(strength=0.0).augmentation(), generator())
    assert len(views) == 2 * WATCHED
    assert torch.equal(views.labels[:WATCHED], views.labels[WATCHED:])
    assert (int(views.labels[0]), int(views.labels[WATCHED - 1])) == (0, 199)
    for first, second in zip(views.samples[:WATCHED], views.samples[WATCHED:], strict=True):
        assert torch.equal(first, second)
    few = groups_of(many.labels)
    assert torch.equal(many.labels[few], torch.arange(5).repeat_interleave(EACH))
    assert few[0] == 0
    assert len(groups_of(torch.arange(200) % 100)) == 2 * WATCHED // EACH


def test_pulls_are_the_gradients_of_both_losses() -> None:
    english, unlabelled = speech(8, 0), speech(8, 1)
    before = weights(start())
    found = pulls(start(), english, unlabelled, seed=3)
    assert found == pulls(start(), english, unlabelled, seed=3)
    assert found != pulls(start(), english, unlabelled, seed=4)
    assert found["emotion"] > 0 < found["BYOL"] and -1 <= found["cosine"] <= 1
    # Without augmentation and predictor both copies are one, and the target the online network:
    # the loss is at its least, and pulls at nothing.
    still = ByolConfig(strength=0.0, predictor=False, seconds=None)
    alike = pulls(start(), english, unlabelled, still, seed=3)
    assert alike["BYOL"] == pytest.approx(0, abs=1e-4)
    assert alike["emotion"] == pytest.approx(found["emotion"], rel=0.5)
    after = weights(start())
    assert all(torch.equal(before[name], after[name]) for name in before)


# --- what is refused ---------------------------------------------------------------------------


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="seed must be at least 0, not -1"):
        train(seed=-1)
    with pytest.raises(ValueError, match="BYOL trains the encoder"):
        train(baseline=BaselineConfig(encoder_learning_rate=0))
    with pytest.raises(ValueError, match="augmentations must be 'none', not 'byol'"):
        train(baseline=BaselineConfig(augmentations="byol"))
    for how in ("loss", "sampling"):
        with pytest.raises(ValueError, match=f"balance_groups must be 'none', not '{how}'"):
            train(baseline=BaselineConfig(balance_groups=how, balance_classes=False))
    empty = WaveformDataset([])
    for sides, name in (((empty, target()), "source"), ((source(), empty), "unlabelled")):
        with pytest.raises(TrainingError, match=f"{name} has no clip"):
            train_byol(start(), *sides, seed=0, metric=accuracy)
