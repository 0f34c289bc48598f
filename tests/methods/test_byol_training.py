"""BYOL in one call: what it shares with the baseline, that it resumes, and what is watched."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lowser_lib.encoders import EncoderDimensions, WhisperEncoder
from lowser_lib.encoders.saving import fingerprint
from lowser_lib.errors import CheckpointError, TrainingError
from lowser_lib.evaluation import collapse_figures
from lowser_lib.methods.baseline import BaselineConfig, EmotionClassifier, train_baseline
from lowser_lib.methods.byol import ByolConfig, train_byol
from lowser_lib.methods.speaker_contrastive import SpeakerContrastiveConfig, adapt_to_speakers
from lowser_lib.sampling import ClipDataset
from lowser_lib.sampling.augmented import WaveformDataset
from lowser_lib.sampling.pairs import PairLoader
from lowser_lib.training import Execution, History, TrainingConfig, make_fabric
from lowser_lib.training.monitoring import EACH, WATCHED, groups_of, spectrograms, two_views, watch

#: Tiny products are slower on many threads than on one.
pytestmark = pytest.mark.usefixtures("one_thread")

BASELINE = BaselineConfig(hidden=8, encoder_learning_rate=2e-3, head_epochs=3)
CONFIG = TrainingConfig(epochs=4, batch_size=6, patience=None)
BYOL = {"hidden": 12, "projection": 6, "learning_rate": 5e-3}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_same(first: nn.Module, second: nn.Module) -> None:
    one, other = weights(first), weights(second)
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


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
