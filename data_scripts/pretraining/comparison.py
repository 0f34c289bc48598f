"""One training of the comparison of ``nano`` with random weights, and its yardsticks.

``data_scripts/evaluate_nano.py`` repeats them over seeds. They stand in a module of their own, so
that worker processes can import them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lowser_lib.encoders import WhisperEncoder
from lowser_lib.errors import AudioError
from lowser_lib.experiments import data, paths, profiles
from lowser_lib.experiments.speech import macro_f1, score, split
from lowser_lib.manifest import emotion_codes
from lowser_lib.methods.baseline import BaselineConfig, train_baseline
from lowser_lib.methods.yardsticks import EgemapsSVM, majority
from lowser_lib.sampling import ClipDataset
from lowser_lib.training import (
    Execution,
    TrainingConfig,
    classify,
    embed,
    make_fabric,
    match_embeddings,
    predict,
)
from lowser_lib.views import MelView
from lowser_lib.views.cache import extract_all
from lowser_lib.views.egemaps import EgemapsView
from lowser_lib.views.standardisation import FLOOR

HELD_OUT = "held-out speakers"


@dataclass(frozen=True)
class BandStatistics:
    """Mean and standard deviation of each mel band over the frames of many clips.

    Attributes:
        mean: ``(n_mels,)`` float64.
        deviation: ``(n_mels,)`` float64, at least :data:`FLOOR`.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def of(cls, mels: Sequence[np.ndarray]) -> BandStatistics:
        """Measure a corpus; every frame counts alike.

        Args:
            mels: log-mel spectrograms ``(n_mels, T)``, T may differ.

        Raises:
            AudioError: there is no spectrogram.
        """
        if not len(mels):
            raise AudioError("no spectrograms to take statistics of: the corpus has no clip")
        frames = sum(mel.shape[1] for mel in mels)
        mean = sum(mel.sum(axis=1, dtype=np.float64) for mel in mels) / frames
        squares = sum(np.square(mel - mean[:, None], dtype=np.float64).sum(axis=1) for mel in mels)
        return cls(np.asarray(mean), np.maximum(np.sqrt(squares / frames), FLOOR))


def match_bands(
    mels: Sequence[np.ndarray], reference: BandStatistics, own: BandStatistics | None = None
) -> list[np.ndarray]:
    """Give the bands of a corpus the mean and deviation of another.

    Args:
        mels: log-mel spectrograms ``(n_mels, T)`` of one corpus.
        reference: statistics to be had afterwards, usually those of the training clips.
        own: statistics of the corpus; None measures these clips. All clips of a corpus should be
            given at once, or its statistics.

    Returns:
        float32 arrays of the same shapes.

    Raises:
        AudioError: there is no spectrogram.
    """
    own = own or BandStatistics.of(mels)
    scale = (reference.deviation / own.deviation)[:, None]
    shift = reference.mean[:, None] - own.mean[:, None] * scale
    return [(mel * scale + shift).astype(np.float32) for mel in mels]


class Speech:
    """Everything that does not depend on the seed: clips, spectrograms, features."""

    def __init__(self, profile: profiles.Profile) -> None:
        self.profile = profile
        self.loaded = data.load(profile)
        self.source = self.loaded.source()
        self.targets = {
            f"{name} ({language})": self.loaded.target(language)
            for language, name in profile.targets.items()
        }
        self.source_mels = self._view(MelView(), self.source)
        reference = BandStatistics.of(self.source_mels)
        self.mels = {
            (name, matching): match_bands(mels, reference) if matching else mels
            for name, clips in self.targets.items()
            for mels in (self._view(MelView(), clips),)
            for matching in (False, True)
        }
        self.source_features = np.stack(self._view(EgemapsView(), self.source))
        self.features = {
            name: np.stack(self._view(EgemapsView(), clips)) for name, clips in self.targets.items()
        }

    def _view(self, view: MelView | EgemapsView, clips: pd.DataFrame) -> list[np.ndarray]:
        return extract_all(view, clips, self.loaded.roots, paths.features(), self.profile.jobs)

    def split(self, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Training, validation and test clips of the source, no speaker shared."""
        return split(self.source, seed)

    def dataset(self, clips: pd.DataFrame) -> ClipDataset:
        """Clips of the source, ready for training."""
        return ClipDataset([self.source_mels[index] for index in clips.index], emotion_codes(clips))


class Variant(NamedTuple):
    """One way to train a classifier.

    Attributes:
        pretrained: nano's weights, or random ones.
        fine_tune: whether the encoder learns.
        head_first: whether the head learns alone before that.
    """

    pretrained: bool
    fine_tune: bool
    head_first: bool = True

    @property
    def name(self) -> str:
        """The method's name in tables."""
        weights = "nano" if self.pretrained else "random weights"
        if not self.fine_tune:
            return f"{weights}, frozen"
        return f"{weights}, fine-tuned{'' if self.head_first else ' at once'}"


VARIANTS = (
    Variant(pretrained=True, fine_tune=False),
    Variant(pretrained=True, fine_tune=True),
    Variant(pretrained=True, fine_tune=True, head_first=False),
    Variant(pretrained=False, fine_tune=False),
    Variant(pretrained=False, fine_tune=True),
)


@cache
def speech_of(name: str) -> Speech:
    """The speech of a profile, read once in each process."""
    return Speech(profiles.get(name))


def neural(name: str, seed: int, variant: Variant) -> list[dict[str, object]]:
    """Train one classifier with one thread, and test it everywhere."""
    torch.set_num_threads(1)
    speech, profile = speech_of(name), profiles.get(name)
    encoder = (
        WhisperEncoder.load(profile.encoder, download_root=paths.checkpoints())
        if variant.pretrained
        else WhisperEncoder.random(profile.encoder, seed)
    )
    train, validation, test = speech.split(seed)
    fabric = make_fabric(precision=profile.precision)
    begun = time.monotonic()
    model, history = train_baseline(
        encoder,
        speech.dataset(train),
        speech.dataset(validation),
        metric=macro_f1,
        generator=torch.Generator().manual_seed(seed),
        settings=BaselineConfig(
            learning_rate=profile.learning_rate,
            encoder_learning_rate=profile.encoder_learning_rate if variant.fine_tune else 0.0,
            head_epochs=profile.head_epochs if variant.head_first else 0,
        ),
        training=TrainingConfig(
            epochs=profile.epochs if variant.fine_tune else profile.head_epochs,
            batch_size=profile.batch_size,
            patience=None,
        ),
        execution=Execution(fabric),
    )
    row: dict[str, object] = {
        "method": variant.name,
        "seed": seed,
        "training_seconds": time.monotonic() - begun,
        "epoch": history.best_epoch,
        "validation": max(history["score"]),
    }

    reference = embed(model.encoder, speech.dataset(train), fabric=fabric)
    truth = emotion_codes(test)
    answers = predict(model, speech.dataset(test), fabric=fabric).argmax(axis=1)
    rows = [{**row, "test": HELD_OUT, "matching": "none", **score(truth, answers)}]
    for (where, bands), mels in speech.mels.items():
        truth = emotion_codes(speech.targets[where])
        plain = embed(model.encoder, ClipDataset(mels, truth), fabric=fabric)
        for matching, embeddings in (
            ("bands" if bands else "none", plain),
            ("both" if bands else "embeddings", match_embeddings(plain, reference)),
        ):
            answers = classify(model, embeddings, fabric).argmax(axis=1)
            rows.append({**row, "test": where, "matching": matching, **score(truth, answers)})
    return rows


def yardsticks(name: str, seed: int) -> Iterator[dict[str, object]]:
    """Majority and eGeMAPS + SVM, on the same split; validation clips are not needed."""
    speech = speech_of(name)
    train, _, test = speech.split(seed)
    known = speech.source_features[train.index], emotion_codes(train), train["corpus"]
    svms = {
        "none": EgemapsSVM("train").fit(*known),
        "measures": EgemapsSVM("corpus").fit(*known),
    }
    tests = {HELD_OUT: (test, speech.source_features[test.index])}
    tests |= {name: (clips, speech.features[name]) for name, clips in speech.targets.items()}
    for where, (clips, features) in tests.items():
        truth = emotion_codes(clips)
        row = {"seed": seed, "test": where}
        answers = majority(emotion_codes(train), len(truth))
        yield {**row, "method": "majority", "matching": "none", **score(truth, answers)}
        for matching, svm in svms.items():
            answers = svm.predict(features, clips["corpus"])
            yield {**row, "method": "eGeMAPS + SVM", "matching": matching, **score(truth, answers)}
