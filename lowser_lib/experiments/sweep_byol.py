"""BYOL under ``lowser sweep``: emotions from English, and speech from two languages, at once."""

from __future__ import annotations

from typing import Any

from lowser_lib.evaluation import collapse_figures
from lowser_lib.experiments.profiles import Profile
from lowser_lib.experiments.sweep_baseline import baseline_settings
from lowser_lib.experiments.sweep_speech import Method, Run, Speech, Trained, collapse_of, macro_f1
from lowser_lib.methods.byol import ByolConfig, train_byol
from lowser_lib.training import Execution, make_fabric


def byol_settings(profile: Profile) -> dict[str, Any]:
    """BYOL's settings in a profile, and those of the baseline that it is built on."""
    return {"byol": ByolConfig(learning_rate=profile.learning_rate), **baseline_settings(profile)}


def train_joint(speech: Speech, run: Run) -> Trained:
    """Cross-entropy on English, and BYOL on English and on unlabelled speech of the target."""
    heard, _ = speech.voices(run.language, run.seed)
    train, validation, _ = speech.split(run.seed)
    model, history = train_byol(
        speech.encoder,
        speech.waveforms(train, labels="emotion"),
        speech.waveforms(heard),
        speech.clips(validation),
        seed=run.seed,
        metric=macro_f1,
        settings=run.settings["byol"],
        baseline=run.settings["baseline"],
        training=run.settings["training"],
        monitor=collapse_figures,
        execution=Execution(
            make_fabric(precision=speech.profile.precision), run.folder / "byol.pt", resume=True
        ),
    )
    facts = {
        "byol": {
            **{name: history[name] for name in ("classification", "byol", "lam", "tau")},
            "collapse": collapse_of(history),
            "clips": len(heard),
            "speakers": heard["speaker"].nunique(),
        }
    }
    return Trained(model, history, facts)


METHOD = Method("byol", "05", train_joint, byol_settings, per_language=True, unlabelled=True)
