"""Speaker-contrastive learning under ``lowser sweep``: two stages, the second the baseline's."""

from __future__ import annotations

import copy
from typing import Any

import pandas as pd

from lowser_lib.encoders import WhisperEncoder
from lowser_lib.errors import EvaluationError
from lowser_lib.evaluation import collapse_figures
from lowser_lib.evaluation.probing import Identifiability, speaker_identifiability
from lowser_lib.experiments.profiles import Profile
from lowser_lib.experiments.sweep_baseline import baseline_settings
from lowser_lib.experiments.sweep_speech import (
    Method,
    Run,
    Speech,
    Trained,
    collapse_of,
    genders,
    macro_f1,
)
from lowser_lib.methods.speaker_contrastive import (
    SpeakerContrastiveConfig,
    train_speaker_contrastive,
)
from lowser_lib.training import Execution, embed, make_fabric

FIRST_STAGE = 0.4
"""The encoder's rate in the first stage, as a share of that in the second; our choice, see
:class:`~lowser_lib.methods.speaker_contrastive.SpeakerContrastiveConfig`."""


def contrastive_settings(profile: Profile) -> dict[str, Any]:
    """Settings of the two stages in a profile."""
    stage1 = SpeakerContrastiveConfig(
        learning_rate=profile.learning_rate,
        encoder_learning_rate=FIRST_STAGE * profile.encoder_learning_rate,
    )
    return {"contrastive": stage1, **baseline_settings(profile)}


def train_contrastive(speech: Speech, run: Run) -> Trained:
    """Speaker-contrastive adaptation to the target language, then the baseline."""
    heard, unheard = speech.voices(run.language, run.seed)
    train, validation, _ = speech.split(run.seed)
    stages = train_speaker_contrastive(
        speech.encoder,
        speech.clips(train),
        speech.waveforms(heard),
        speech.clips(validation),
        seed=run.seed,
        metric=macro_f1,
        monitor=collapse_figures,
        folder=run.folder,
        settings=run.settings["contrastive"],
        baseline=run.settings["baseline"],
        training=run.settings["training"],
        genders=genders(heard),
        groups=genders(train),
        execution=Execution(make_fabric(precision=speech.profile.precision), resume=True),
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
    return Trained(stages.model, stages.history, facts)


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


METHOD = Method(
    "speaker_contrastive",
    "04",
    train_contrastive,
    contrastive_settings,
    per_language=True,
    unlabelled=True,
)
