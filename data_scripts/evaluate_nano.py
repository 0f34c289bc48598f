"""What pre-training brought: ``nano`` beside the same encoder with random weights, over seeds.

    python data_scripts/evaluate_nano.py --profile fast
    LOWSER_CORPORA=~/corpora python data_scripts/evaluate_nano.py --profile open

Per seed the source corpus is split by speaker into training, validation and test clips. Each
encoder is trained as a frozen probe and fine-tuned, on the training clips alone; the epoch is
chosen on the validation speakers. The classifier is then tested on the held-out speakers and on
every target corpus: as recorded, and with the bands of the target's spectrograms matched to the
source's (:mod:`lowser_lib.views.normalisation`; no label is used). Yardsticks on the same clips:
majority, and an SVM on eGeMAPS. One record, ``results/PROFILE/03-nano.json``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lowser_lib import splits
from lowser_lib.corpora.base import EMOTIONS
from lowser_lib.course import data, paths, profiles, provenance, records
from lowser_lib.encoders import WhisperEncoder
from lowser_lib.evaluation import classification_metrics
from lowser_lib.methods.baseline import BaselineConfig
from lowser_lib.methods.yardsticks import EgemapsSVM, majority
from lowser_lib.recipes import train_baseline
from lowser_lib.sampling import ClipDataset
from lowser_lib.training import TrainingConfig, make_fabric, predict
from lowser_lib.views.cache import extract_all
from lowser_lib.views.egemaps import EgemapsView
from lowser_lib.views.mel import MelView
from lowser_lib.views.normalisation import BandStatistics, match_bands

HELD_OUT = "held-out speakers"
FOLDS = 5
VALIDATION = 0.2

score = partial(classification_metrics, labels=list(range(len(EMOTIONS))))


def numbers(clips: pd.DataFrame) -> np.ndarray:
    """Class numbers of the clips."""
    return clips["emotion"].map(EMOTIONS.index).to_numpy()


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
        rest, test = next(splits.speaker_folds(self.source, FOLDS, seed))
        train, validation = splits.speaker_split(rest, VALIDATION, seed)
        splits.assert_speaker_disjoint(train, validation, test)
        return train, validation, test

    def dataset(self, clips: pd.DataFrame) -> ClipDataset:
        """Clips of the source, ready for training."""
        return ClipDataset([self.source_mels[index] for index in clips.index], numbers(clips))


def neural(
    speech: Speech, seed: int, pretrained: bool, fine_tune: bool, epochs: int
) -> Iterator[dict[str, object]]:
    """Train one classifier and test it everywhere."""
    profile = speech.profile
    encoder = (
        WhisperEncoder.load(profile.encoder, download_root=paths.checkpoints())
        if pretrained
        else WhisperEncoder.random(profile.encoder, seed)
    )
    train, validation, test = speech.split(seed)
    rate = profile.encoder_learning_rate if fine_tune else 0.0
    fabric = make_fabric(precision=profile.precision)
    begun = time.monotonic()
    model, history = train_baseline(
        encoder,
        speech.dataset(train),
        speech.dataset(validation),
        metric=lambda truth, found: score(truth, found)["macro_f1"],
        generator=torch.Generator().manual_seed(seed),
        baseline=BaselineConfig(learning_rate=profile.learning_rate, encoder_learning_rate=rate),
        # A probe embeds every clip once, so that more passes cost next to nothing.
        config=TrainingConfig(
            epochs=epochs if fine_tune else 10 * epochs,
            batch_size=profile.batch_size,
            patience=None if fine_tune else 20,
        ),
        fabric=fabric,
    )
    row = {
        "method": f"{'nano' if pretrained else 'random weights'}, "
        f"{'fine-tuned' if fine_tune else 'frozen'}",
        "seed": seed,
        "training_seconds": time.monotonic() - begun,
        "epoch": history.best_epoch,
    }
    answers = predict(model, speech.dataset(test), fabric=fabric).argmax(axis=1)
    yield {**row, "test": HELD_OUT, "matched": False, **score(numbers(test), answers)}
    for (name, matched), mels in speech.mels.items():
        truth = numbers(speech.targets[name])
        answers = predict(model, ClipDataset(mels, truth), fabric=fabric).argmax(axis=1)
        yield {**row, "test": name, "matched": matched, **score(truth, answers)}


def yardsticks(speech: Speech, seed: int) -> Iterator[dict[str, object]]:
    """Majority and eGeMAPS + SVM, on the same split; validation clips are not needed."""
    train, _, test = speech.split(seed)
    svms = {
        matched: EgemapsSVM("corpus" if matched else "train").fit(
            speech.source_features[train.index], numbers(train), train["corpus"]
        )
        for matched in (False, True)
    }
    tests = {HELD_OUT: (test, speech.source_features[test.index])}
    tests |= {name: (clips, speech.features[name]) for name, clips in speech.targets.items()}
    for name, (clips, features) in tests.items():
        truth = numbers(clips)
        row = {"seed": seed, "test": name}
        answers = majority(numbers(train), len(truth))
        yield {**row, "method": "majority", "matched": False, **score(truth, answers)}
        for matched, svm in svms.items():
            answers = svm.predict(features, clips["corpus"])
            yield {**row, "method": "eGeMAPS + SVM", "matched": matched, **score(truth, answers)}


def main() -> None:
    """Run all seeds, write the record, and show the means."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile", choices=tuple(profiles.PROFILES), default="fast")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="of fine-tuning; default: the profile's")
    parser.add_argument("--results", type=Path, default=paths.results_root())
    arguments = parser.parse_args()
    profile = profiles.get(arguments.profile)
    epochs = arguments.epochs or profile.epochs
    commit = provenance.git_commit(Path(__file__).parent)
    begun = time.monotonic()
    speech = Speech(profile)
    rows: list[dict[str, object]] = []
    for seed in range(arguments.seeds):
        rows += yardsticks(speech, seed)
        for pretrained in (True, False):
            for fine_tune in (False, True):
                rows += neural(speech, seed, pretrained, fine_tune, epochs)
                print(rows[-1], file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    record = records.RunRecord(
        schema=records.SCHEMA,
        chapter="03",
        name="nano",
        profile=profile.name,
        seed=0,
        metrics=records.plain({"runs": table}),
        config=records.plain({**profile.to_dict(), "epochs": epochs, "folds": FOLDS}),
        corpora=dict(speech.loaded.hashes),
        device=records.device(),
        versions=provenance.versions(),
        commit=commit,
        seconds=round(time.monotonic() - begun, 1),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    print(f"wrote {record.save(arguments.results)}: {len(asdict(record)['metrics']['runs'])}")
    means = table.pivot_table("macro_f1", ["method", "matched"], "test", sort=False)
    print(means.round(3).to_string())


if __name__ == "__main__":
    main()
