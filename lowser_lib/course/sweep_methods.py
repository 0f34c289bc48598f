"""What ``lowser sweep`` repeats: one training of a method for a seed and a target language.

A method is a function that trains a classifier, and what a sweep has to know of it; it is put into
:data:`METHODS` by :func:`register`. All methods see the same speech: per seed the English speakers
are split into those to learn from, those to choose the epoch by, and those held out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from lowser_lib import audio, splits
from lowser_lib.corpora.base import EMOTIONS
from lowser_lib.course import data, paths
from lowser_lib.course.profiles import Profile
from lowser_lib.encoders import WhisperEncoder
from lowser_lib.errors import EvaluationError, ProfileError
from lowser_lib.evaluation import classification_metrics
from lowser_lib.evaluation.identifiability import Identifiability, speaker_identifiability
from lowser_lib.methods.baseline import BaselineConfig, EmotionClassifier
from lowser_lib.methods.speaker_contrastive import SpeakerContrastiveConfig
from lowser_lib.prediction import embed
from lowser_lib.recipes import train_baseline
from lowser_lib.run_state import History
from lowser_lib.sampling import ClipDataset
from lowser_lib.sampling.augmented import WaveformDataset
from lowser_lib.stages import train_speaker_contrastive
from lowser_lib.training import TrainingConfig, make_fabric
from lowser_lib.views.cache import extract_all
from lowser_lib.views.mel import MelView

FOLDS = 5
"""One fold of the English speakers is held out, as in the comparison of ``nano``; our choice."""
VALIDATION = 0.2
"""Share of the other English speakers by whom the epoch is chosen; our choice."""
UNHEARD = 0.2
"""Share of the unlabelled sentences that no stage hears, to measure on; our choice."""

score = partial(classification_metrics, labels=list(range(len(EMOTIONS))))


def split(source: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Clips to learn from, to choose the epoch by, and held out; no speaker shared."""
    rest, held_out = next(splits.speaker_folds(source, FOLDS, seed))
    train, validation = splits.speaker_split(rest, VALIDATION, seed)
    splits.assert_speaker_disjoint(train, validation, held_out)
    return train, validation, held_out


class Speech:
    """The speech of a profile, read once in each process.

    Attributes:
        profile: The profile.
        loaded: Its corpora.
        source: Labelled English clips.
        encoder: The encoder that every training starts from.
    """

    def __init__(self, profile: Profile, *, unlabelled: bool) -> None:
        """Load manifests; sounds and spectrograms are read when they are asked for."""
        self.profile = profile
        self.loaded = data.load(profile, unlabelled=unlabelled)
        self.source = self.loaded.source()
        self.encoder = WhisperEncoder.load(profile.encoder, download_root=paths.checkpoints())

    def split(self, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """English clips to learn from, to choose the epoch by, and held out; no speaker shared."""
        return split(self.source, seed)

    def target(self, language: str) -> pd.DataFrame:
        """Labelled clips of a target language, to be tested on."""
        return self.loaded.target(language)

    def voices(self, language: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Unlabelled clips of a language: to adapt to, and sentences that are not heard.

        Clips whose sentence is not known count as a sentence each.
        """
        table = self.loaded.unlabelled(language)
        sentences = table["text_id"].fillna(table["utterance_id"])
        names = np.sort(sentences.unique())
        unheard = np.random.default_rng(seed).permutation(names)[: round(UNHEARD * len(names))]
        held_out = sentences.isin(unheard)
        return table[~held_out].reset_index(drop=True), table[held_out].reset_index(drop=True)

    def clips(self, table: pd.DataFrame) -> ClipDataset:
        """Spectrograms; labels are emotions, none where the table has none."""
        view = MelView(self.encoder.n_mels)
        jobs = self.profile.jobs
        mels = extract_all(view, table, self.loaded.roots, paths.features(), jobs)
        known = {emotion: number for number, emotion in enumerate(EMOTIONS)}
        return ClipDataset(mels, table["emotion"].map(known).fillna(-1).to_numpy(dtype=int))

    def waveforms(self, table: pd.DataFrame) -> WaveformDataset:
        """Sounds; labels are speakers, numbered in the order of their names."""
        roots = self.loaded.roots
        sounds = [audio.load_audio(audio.locate(path, roots)) for path in table["path"]]
        return WaveformDataset(sounds, pd.factorize(table["speaker"], sort=True)[0])


@cache
def speech_of(profile: Profile, unlabelled: bool) -> Speech:
    """The speech of a profile, read once in each process."""
    return Speech(profile, unlabelled=unlabelled)


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        seed: Of everything that is drawn, at least 0.
        language: ISO 639-1 code of the target.
        settings: The method's settings by name, data classes.
        folder: Keeps what a training that was stopped goes on from; it belongs to these settings.
    """

    seed: int
    language: str
    settings: Mapping[str, Any]
    folder: Path


class Trained(NamedTuple):
    """What a training leaves.

    Attributes:
        model: The classifier.
        history: Of the part that was validated.
        facts: What else was measured, for the record.
    """

    model: EmotionClassifier
    history: History
    facts: dict[str, Any]


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
    per_language: bool
    unlabelled: bool


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
    model, history = train_baseline(
        speech.encoder,
        speech.clips(train),
        speech.clips(validation),
        metric=macro_f1,
        generator=torch.Generator().manual_seed(run.seed),
        baseline=run.settings["baseline"],
        config=run.settings["training"],
        fabric=make_fabric(precision=speech.profile.precision),
        checkpoint=run.folder / "baseline.pt",
        resume=True,
    )
    return Trained(model, history, {})


def contrastive_settings(profile: Profile) -> dict[str, Any]:
    """Settings of the two stages in a profile; the encoder learns at one rate in both."""
    stage1 = SpeakerContrastiveConfig(
        learning_rate=profile.learning_rate, encoder_learning_rate=profile.encoder_learning_rate
    )
    return {"contrastive": stage1, **baseline_settings(profile)}


def train_contrastive(speech: Speech, run: Run) -> Trained:
    """Speaker-contrastive adaptation to the target language, then the baseline."""
    heard, unheard = speech.voices(run.language, run.seed)
    train, validation, _ = speech.split(run.seed)
    stages = train_speaker_contrastive(
        speech.encoder,
        speech.waveforms(heard),
        speech.clips(train),
        speech.clips(validation),
        seed=run.seed,
        metric=macro_f1,
        folder=run.folder,
        contrastive=run.settings["contrastive"],
        baseline=run.settings["baseline"],
        config=run.settings["training"],
        fabric=make_fabric(precision=speech.profile.precision),
        resume=True,
    )
    adapted = stages.adapted
    tables = {"unheard sentences": unheard, "target corpus": speech.target(run.language)}
    facts = {
        "stage1": {
            "loss": adapted.history["loss"],
            "identified": adapted.history["identified"],
            "batch": adapted.batch._asdict(),
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


def macro_f1(truth: np.ndarray, found: np.ndarray) -> float:
    """Macro-F1 of class numbers: what epochs are chosen by."""
    return score(truth, found)["macro_f1"]


register(
    Method("baseline", "03", train_plain, baseline_settings, per_language=False, unlabelled=False)
)
register(
    Method(
        "speaker_contrastive",
        "04",
        train_contrastive,
        contrastive_settings,
        per_language=True,
        unlabelled=True,
    )
)
