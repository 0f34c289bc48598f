"""VICReg under ``lowser sweep``: two stages, the second the baseline's."""

from __future__ import annotations

from typing import Any

from lowser_lib.evaluation import collapse_figures
from lowser_lib.experiments.profiles import Profile
from lowser_lib.experiments.sweep_baseline import baseline_settings
from lowser_lib.experiments.sweep_speech import Method, Run, Speech, Trained, macro_f1
from lowser_lib.methods.vicreg import VicRegConfig, train_vicreg
from lowser_lib.training import Execution, make_fabric


def settings(profile: Profile) -> dict[str, Any]:
    """Settings of the two stages in a profile."""
    rates = profile.learning_rate, 0.4 * profile.encoder_learning_rate  # as speaker-contrastive's
    first = VicRegConfig(learning_rate=rates[0], encoder_learning_rate=rates[1])
    return {"vicreg": first, **baseline_settings(profile)}


def train(speech: Speech, run: Run) -> Trained:
    """Adaptation to the target language by VICReg, then the baseline."""
    heard, _ = speech.voices(run.language, run.seed)
    source, validation, _ = speech.split(run.seed)
    stages = train_vicreg(
        speech.encoder,
        speech.clips(source),
        speech.waveforms(heard),
        speech.clips(validation),
        seed=run.seed,
        metric=macro_f1,
        folder=run.folder,
        settings=run.settings["vicreg"],
        baseline=run.settings["baseline"],
        training=run.settings["training"],
        monitor=collapse_figures,
        execution=Execution(make_fabric(precision=speech.profile.precision), resume=True),
    )
    return Trained(
        stages.model, stages.history, {"stage1": {"loss": stages.adapted.history["loss"]}}
    )


METHOD = Method("vicreg", "04", train, settings, per_language=True, unlabelled=True)
