"""The baseline under ``lowser sweep``: English emotions, nothing of the target language."""

from __future__ import annotations

from typing import Any

import torch

from lowser_lib.experiments.profiles import Profile
from lowser_lib.experiments.sweep_speech import Method, Run, Speech, Trained, genders, macro_f1
from lowser_lib.methods.baseline import BaselineConfig, train_baseline
from lowser_lib.training import Execution, TrainingConfig, make_fabric


def baseline_settings(profile: Profile) -> dict[str, Any]:
    """The baseline's settings in a profile."""
    return {
        "baseline": BaselineConfig(
            learning_rate=profile.learning_rate,
            encoder_learning_rate=profile.encoder_learning_rate,
            head_epochs=profile.head_epochs,
        ),
        # No early stopping: epochs are few, and the best of them is kept.
        "training": TrainingConfig(
            epochs=profile.epochs, batch_size=profile.batch_size, patience=None
        ),
    }


def train_plain(speech: Speech, run: Run) -> Trained:
    """The baseline: English emotions, nothing of the target language."""
    train, validation, _ = speech.split(run.seed)
    settings: BaselineConfig = run.settings["baseline"]
    plain = settings.augmentation() is None
    model, history = train_baseline(
        speech.encoder,
        speech.clips(train),
        speech.clips(validation),
        metric=macro_f1,
        generator=torch.Generator().manual_seed(run.seed),
        settings=settings,
        training=run.settings["training"],
        execution=Execution(
            make_fabric(precision=speech.profile.precision), run.folder / "baseline.pt", resume=True
        ),
        sounds=None if plain else speech.waveforms(train, labels="emotion"),
        groups=genders(train),
    )
    return Trained(model, history, {})


METHOD = Method(
    "baseline", "03", train_plain, baseline_settings, per_language=False, unlabelled=False
)
