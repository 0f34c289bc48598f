"""The methods of ``lowser sweep``: how each is set in a profile, and how it is called.

A new method is its file in :mod:`lowser_lib.methods` and an entry here: a function that makes its
settings, one that trains it on a :class:`~lowser_lib.experiments.speech.Speech`, and a call of
:func:`register`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import torch

from lowser_lib.encoders import WhisperEncoder
from lowser_lib.errors import EvaluationError, ProfileError
from lowser_lib.evaluation import collapse_figures, judge_history
from lowser_lib.evaluation.probing import Identifiability, speaker_identifiability
from lowser_lib.experiments.profiles import Profile
from lowser_lib.experiments.speech import Speech, genders, macro_f1
from lowser_lib.methods.baseline import BaselineConfig, EmotionClassifier, train_baseline
from lowser_lib.methods.byol import ByolConfig, train_byol
from lowser_lib.methods.speaker_contrastive import (
    SpeakerContrastiveConfig,
    train_speaker_contrastive,
)
from lowser_lib.methods.two_stages import TwoStages
from lowser_lib.methods.vicreg import VicRegConfig, train_vicreg
from lowser_lib.training import Execution, History, TrainingConfig, embed, make_fabric

if TYPE_CHECKING:
    from lowser_lib.experiments.engine import Run

FIRST_STAGE = 0.4
"""The encoder's rate in the first stage, as a share of that in the second; our choice, see
:class:`~lowser_lib.methods.speaker_contrastive.SpeakerContrastiveConfig`."""


class Trained(NamedTuple):
    """What a training leaves.

    Attributes:
        facts: What else was measured, for the record.
        encoders: Others that are asked what they hear: before the training, or between two stages.
    """

    model: EmotionClassifier
    history: History
    facts: dict[str, Any]
    encoders: Mapping[str, WhisperEncoder] = MappingProxyType({})


@dataclass(frozen=True)
class Method:
    """A way to train a classifier, and what a sweep has to know of it.

    Attributes:
        name: As in ``lowser sweep NAME``.
        chapter: The chapter that teaches it, two digits.
        train: Trains it.
        settings: Its settings in a profile: data classes by name.
        per_language: Whether a training depends on the target language; if not, one serves all.
        unlabelled: Whether it hears the profile's unlabelled speech.
    """

    name: str
    chapter: str
    train: Callable[[Speech, Run], Trained]
    settings: Callable[[Profile], dict[str, Any]]
    per_language: bool = True
    unlabelled: bool = True


METHODS: dict[str, Method] = {}
"""All methods by name."""


def register(method: Method) -> Method:
    """Make a method known to ``lowser sweep``.

    Raises:
        ValueError: The name is taken.
    """
    if method.name in METHODS:
        raise ValueError(f"there is a method {method.name!r} already; choose another name")
    METHODS[method.name] = method
    return method


def get(name: str) -> Method:
    """Look a method up.

    Raises:
        ProfileError: There is no such method.
    """
    if name not in METHODS:
        raise ProfileError(f"unknown method {name!r}; choose one of {', '.join(METHODS)}")
    return METHODS[name]


def shared(speech: Speech, run: Run, settings: str) -> dict[str, Any]:
    """What every ``train_…`` is given: settings, how an epoch is chosen, where it computes.

    Args:
        speech: What is learned from.
        run: The run.
        settings: Name of the method's own settings; the baseline's come along where they are other
            ones.
    """
    fabric = make_fabric(precision=speech.profile.precision)
    exactly = bool(run.config.get("deterministic"))
    baseline = {} if settings == "baseline" else {"baseline": run.settings["baseline"]}
    return {
        "metric": macro_f1,
        "settings": run.settings[settings],
        **baseline,
        "training": run.settings["training"],
        "execution": Execution(
            fabric, run.folder / f"{settings}.pt", resume=True, deterministic=exactly
        ),
    }


def collapse_of(history: History) -> dict[str, Any]:
    """What a monitor noted down of embeddings and projections in each epoch, and the verdict."""
    names = [name for name in history.rows[0] if name.startswith(("embedding_", "projection_"))]
    return {
        "verdict": judge_history(history.rows)._asdict(),
        **{name: history[name] for name in names},
    }


# --- the baseline: emotions of the sources, nothing of the target language -----------------------


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


def _baseline(speech: Speech, run: Run) -> Trained:
    train, validation, _ = speech.learned(run.seed, run.language)
    augmented = run.settings["baseline"].augmentation() is not None
    model, history = train_baseline(
        speech.encoder,
        speech.clips(train),
        speech.clips(validation),
        generator=torch.Generator().manual_seed(run.seed),
        sounds=speech.waveforms(train, labels="emotion") if augmented else None,
        groups=genders(train),
        **shared(speech, run, "baseline"),
    )
    return Trained(model, history, {}, {"pre-trained": speech.encoder})


register(
    Method("baseline", "03", _baseline, baseline_settings, per_language=False, unlabelled=False)
)


# --- speaker-contrastive learning: two stages, the second the baseline's -------------------------


def decay(profile: Profile) -> str:
    """What decays in self-supervised training: weights alone, as in SimCLR and BYOL.

    The records of synthetic speech are from before there was a choice, and stay of ``"all"``.
    """
    return "all" if profile.encoder == "nano" else "weights"


def first_stage_rates(profile: Profile) -> dict[str, Any]:
    """Learning rates of a first stage in a profile."""
    return {
        "learning_rate": profile.learning_rate,
        "encoder_learning_rate": FIRST_STAGE * profile.encoder_learning_rate,
    }


def two_stages(
    train_method: Callable[..., TwoStages], speech: Speech, run: Run, settings: str, **facts: Any
) -> TwoStages:
    """Adapt the encoder to the unlabelled speech, then train the baseline from there.

    Args:
        train_method: A ``train_…`` of two stages.
        speech: What is learned from.
        run: The run.
        settings: Name of the first stage's settings.
        **facts: What else the first stage is told of the unlabelled clips, by name.
    """
    heard, _ = speech.voices(run.language, run.seed)
    train, validation, _ = speech.learned(run.seed, run.language)
    return train_method(
        speech.encoder,
        speech.clips(train),
        speech.waveforms(heard),
        speech.clips(validation),
        seed=run.seed,
        monitor=collapse_figures,
        folder=run.folder,
        groups=genders(train),
        **facts,
        **shared(speech, run, settings),
    )


def _contrastive_settings(profile: Profile) -> dict[str, Any]:
    first = SpeakerContrastiveConfig(**first_stage_rates(profile), decay=decay(profile))
    return {"contrastive": first, **baseline_settings(profile)}


def _contrastive(speech: Speech, run: Run) -> Trained:
    heard, unheard = speech.voices(run.language, run.seed)
    stages = two_stages(
        train_speaker_contrastive, speech, run, "contrastive", genders=genders(heard)
    )
    adapted = stages.adapted
    tables = {"unheard sentences": unheard, "target corpus": speech.target(run.language)}
    facts = {
        "stage1": {
            "loss": adapted.history["loss"],
            "identified": adapted.history["identified"],
            "collapse": collapse_of(adapted.history),
            "batch": adapted.batch,
            "clips": len(heard),
            "speakers": heard["speaker"].nunique(),
        },
        "identifiability": {
            where: {
                "before": identifiability(speech, speech.encoder, table),
                "after": identifiability(speech, adapted.encoder, table),
            }
            for where, table in tables.items()
            if len(table)
        },
    }
    return Trained(stages.model, stages.history, facts, {"adapted": adapted.encoder})


def identifiability(
    speech: Speech, encoder: WhisperEncoder, table: pd.DataFrame
) -> Identifiability | None:
    """How well an encoder's embeddings tell the speakers of clips of other sentences apart.

    None, "not estimable", where no speaker says two sentences.
    """
    fabric = make_fabric(precision=speech.profile.precision)
    placed = copy.deepcopy(encoder).to(fabric.device)
    embeddings = embed(placed, speech.clips(table), fabric=fabric).float()
    try:
        return speaker_identifiability(embeddings, table["speaker"], table["text_id"])
    except EvaluationError:
        return None


register(Method("speaker_contrastive", "04", _contrastive, _contrastive_settings))


# --- BYOL: emotions from the sources, and speech from both sides, at once ------------------------


def _byol_settings(profile: Profile) -> dict[str, Any]:
    settings = baseline_settings(profile)
    settings["training"] = replace(settings["training"], decay=decay(profile))
    return {"byol": ByolConfig(learning_rate=profile.learning_rate), **settings}


def _byol(speech: Speech, run: Run) -> Trained:
    heard, _ = speech.voices(run.language, run.seed)
    train, validation, _ = speech.learned(run.seed, run.language)
    model, history = train_byol(
        speech.encoder,
        speech.waveforms(train, labels="emotion"),
        speech.waveforms(heard),
        speech.clips(validation),
        seed=run.seed,
        monitor=collapse_figures,
        **shared(speech, run, "byol"),
    )
    facts = {
        **{name: history[name] for name in ("classification", "byol", "lam", "tau")},
        "collapse": collapse_of(history),
        "clips": len(heard),
        "speakers": heard["speaker"].nunique(),
    }
    return Trained(model, history, {"byol": facts})


register(Method("byol", "05", _byol, _byol_settings))


# --- VICReg: two stages, the first without speakers and without negatives ------------------------


def _vicreg_settings(profile: Profile) -> dict[str, Any]:
    return {"vicreg": VicRegConfig(**first_stage_rates(profile)), **baseline_settings(profile)}


def _vicreg(speech: Speech, run: Run) -> Trained:
    stages = two_stages(train_vicreg, speech, run, "vicreg")
    facts = {"stage1": {"loss": stages.adapted.history["loss"]}}
    return Trained(stages.model, stages.history, facts, {"adapted": stages.adapted.encoder})


register(Method("vicreg", "04", _vicreg, _vicreg_settings))
