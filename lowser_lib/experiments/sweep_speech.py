"""What the methods of ``lowser sweep`` share: the speech of a profile, and what a run is.

All methods see the same speech: per seed the English speakers are split into those to learn from,
those to choose the epoch by, and those held out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lowser_lib import audio, splits
from lowser_lib.encoders import WhisperEncoder
from lowser_lib.evaluation import classification_metrics, judge_history
from lowser_lib.experiments import data, paths
from lowser_lib.experiments.profiles import Profile
from lowser_lib.manifest import EMOTIONS, emotion_codes
from lowser_lib.methods.baseline import EmotionClassifier
from lowser_lib.sampling import ClipDataset
from lowser_lib.sampling.augmented import WaveformDataset
from lowser_lib.training import History
from lowser_lib.views.cache import extract_all
from lowser_lib.views.mel import MelView

FOLDS = 5
"""One fold of the English speakers is held out, as in the comparison of ``nano``; our choice."""


VALIDATION = 0.2
"""Share of the other English speakers by whom the epoch is chosen; our choice."""


UNHEARD = 0.2
"""Share of the unlabelled sentences that no stage hears, to measure on; our choice."""


score = partial(classification_metrics, labels=list(range(len(EMOTIONS))))


def macro_f1(truth: np.ndarray, found: np.ndarray) -> float:
    """Macro-F1 of class numbers: what epochs are chosen by."""
    return score(truth, found)["macro_f1"]


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

    @property
    def settings(self) -> dict[str, Any]:
        """What was done to the speech, for the record; here nothing."""
        return {}

    def labelled_corpora(self) -> tuple[str, ...]:
        """Names of the corpora whose labels are learned from."""
        return self.profile.sources

    def tested_corpus(self, language: str) -> str:
        """Name of the corpus of a target language that is tested on."""
        return self.profile.targets[language]

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
        return ClipDataset(mels, emotion_codes(table))

    def waveforms(self, table: pd.DataFrame, labels: str = "speaker") -> WaveformDataset:
        """Sounds; labels are speakers, numbered in the order of their names, or the emotions.

        Args:
            table: The clips.
            labels: ``"speaker"`` or ``"emotion"``.
        """
        if labels not in ("speaker", "emotion"):
            raise ValueError(f"labels must be 'speaker' or 'emotion', not {labels!r}")
        roots = self.loaded.roots
        sounds = [audio.load_audio(audio.locate(path, roots)) for path in table["path"]]
        if labels == "emotion":
            return WaveformDataset(sounds, emotion_codes(table))
        return WaveformDataset(sounds, pd.factorize(table["speaker"], sort=True)[0])


def genders(table: pd.DataFrame) -> np.ndarray:
    """Gender of each clip's speaker, ``unknown`` where it is not known."""
    return table["gender"].to_numpy(dtype=str)


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


def collapse_of(history: History) -> dict[str, Any]:
    """What a monitor noted down of embeddings and projections in each epoch, and the verdict."""
    names = [name for name in history.rows[0] if name.startswith(("embedding_", "projection_"))]
    return {
        "verdict": judge_history(history.rows)._asdict(),
        **{name: history[name] for name in names},
    }


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
