"""VICReg as a first stage: its recipe, what it makes of an encoder, and the two stages."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lowser_lib.encoders import EncoderDimensions, WhisperEncoder
from lowser_lib.encoders.whisper import fingerprint
from lowser_lib.errors import TrainingError
from lowser_lib.evaluation import collapse_figures
from lowser_lib.losses.vicreg import vicreg_loss
from lowser_lib.methods.baseline import BaselineConfig
from lowser_lib.methods.two_stages import Adapted
from lowser_lib.methods.vicreg import VicReg, VicRegConfig, adapt_by_vicreg, train_vicreg
from lowser_lib.sampling import ClipDataset
from lowser_lib.sampling.augmented import TwoViews, WaveformDataset
from lowser_lib.training import Execution, Step, TrainingConfig, make_fabric
from lowser_lib.training.monitoring import spectrograms

#: Tiny products are slower on many threads than on one.
pytestmark = pytest.mark.usefixtures("one_thread")

SMALL: dict[str, Any] = {"batch_size": 8, "projection": 6, "hidden": 12, "steps": 6}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def start() -> WhisperEncoder:
    return WhisperEncoder.random(EncoderDimensions(80, 1500, 16, 2, 1), 0)


@cache
def speech(clips: int = 16) -> WaveformDataset:
    """Noise at several levels."""
    random = np.random.default_rng(0)
    sounds = [
        (0.02 * 4.0 ** (clip % 4) * random.standard_normal(random.integers(1600, 3200))).astype(
            np.float32
        )
        for clip in range(clips)
    ]
    return WaveformDataset(sounds, np.arange(clips) % 4)


def adapt(seed: int = 0, clips: Any = None, monitor: Any = None, **settings: Any) -> Adapted:
    return adapt_by_vicreg(
        start(), clips or speech(), generator=generator(seed), monitor=monitor,
        settings=VicRegConfig(**{**SMALL, **settings}),
        execution=Execution(make_fabric("cpu", "32-true")),
    )  # fmt: skip


def test_the_loss_is_that_of_projected_views_with_the_settings_weights() -> None:
    settings = VicRegConfig(**SMALL, invariance=2.0, variance=3.0, covariance=0.5)
    recipe = VicReg(start(), settings, generator=generator()).eval()
    clips = spectrograms(speech())
    views = TwoViews(*(clips.collate([clips[n] for n in part]) for part in ([0, 1, 2], [3, 4, 5])))
    losses = recipe(views, Step(0, 1, generator()))
    first, second = (
        recipe.projection(recipe.encoder.embed(view.inputs, view.lengths)) for view in views
    )
    torch.testing.assert_close(losses, vicreg_loss(first, second, (2.0, 3.0, 0.5)))
    rates = [group["lr"] for group in recipe.parameter_groups()]
    assert rates == [settings.learning_rate, settings.encoder_learning_rate]


def test_the_loss_falls_the_encoder_moves_and_a_run_repeats() -> None:
    before = fingerprint(start())
    moved: dict[str, Any] = {"steps": 60, "learning_rate": 5e-3, "encoder_learning_rate": 2e-3}
    adapted = adapt(**moved)
    losses = adapted.history["loss"]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert {"invariance", "variance", "covariance"} <= set(adapted.history.rows[0])
    assert fingerprint(adapted.encoder) != before == fingerprint(start())
    assert "adapted by VICReg" in adapted.encoder.description
    assert fingerprint(adapt(**moved).encoder) == fingerprint(adapted.encoder)


def test_labels_are_not_looked_at_and_watching_changes_nothing() -> None:
    plain = adapt()
    unnamed = WaveformDataset(speech().samples)
    watched = adapt(clips=unnamed, monitor=collapse_figures)
    assert fingerprint(plain.encoder) == fingerprint(watched.encoder)
    assert np.isfinite(watched.history["projection_spread"]).all()


def test_spectrograms_will_do_where_the_augmentations_are_theirs() -> None:
    clips: ClipDataset = spectrograms(speech())
    settings: dict[str, Any] = {"augmentations": "frequency-mask", "seconds": None}
    adapted = adapt(clips=clips, monitor=collapse_figures, **settings)
    assert len(adapted.history) == 3


def test_two_stages_in_one_call(tmp_path: Path) -> None:
    clips = spectrograms(speech())

    def both(resume: bool = False) -> Any:
        return train_vicreg(
            start(), clips, speech(), clips, seed=1, folder=tmp_path,
            metric=lambda true, guess: float((true == guess).mean()),
            settings=VicRegConfig(**SMALL), baseline=BaselineConfig(hidden=8),
            training=TrainingConfig(epochs=2, batch_size=8),
            execution=Execution(make_fabric("cpu", "32-true"), resume=resume),
        )  # fmt: skip

    stages, again = both(), both(resume=True)
    assert stages.adapted.batch == {"clips": 8}
    assert again.history == stages.history and len(list(tmp_path.glob("encoder-*.pt"))) == 1


def test_the_second_stage_balances_groups(tmp_path: Path) -> None:
    clips = spectrograms(speech())

    def trained(groups: list[str]) -> list[float]:
        stages = train_vicreg(
            start(), clips, speech(), clips, seed=1, folder=tmp_path,
            metric=lambda true, guess: float((true == guess).mean()),
            settings=VicRegConfig(**SMALL),
            baseline=BaselineConfig(hidden=8, balance_classes=False, balance_groups="loss"),
            training=TrainingConfig(epochs=1, batch_size=8), groups=groups,
            execution=Execution(make_fabric("cpu", "32-true")),
        )  # fmt: skip
        return list(stages.history["loss"])

    assert trained(["female", "male"] * 8) != trained(["female"] * 3 + ["male"] * 13)


def test_bad_input_is_refused() -> None:
    for wrong in ({"batch_size": 1}, {"steps": 0}, {"variance": -1.0}, {"seconds": 0.1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            VicRegConfig(**wrong)
    with pytest.raises(ValueError, match="'contrastive' mix clips"):
        VicRegConfig(augmentations="contrastive")
    with pytest.raises(TrainingError, match="1 clips: their spread needs two"):
        adapt(clips=WaveformDataset(speech().samples[:1]))
