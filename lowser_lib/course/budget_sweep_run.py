"""One run of the sweep over label budgets: one corpus, one seed, one fold of its speakers."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric

from lowser_lib import splits
from lowser_lib.course import data, paths
from lowser_lib.errors import ProfileError, SplitError
from lowser_lib.evaluation import classification_metrics, collapse_figures, judge_history
from lowser_lib.manifest import EMOTIONS
from lowser_lib.methods.pairwise import (
    EncodersConfig,
    FineTuneConfig,
    PairwiseConfig,
    ViewEncoders,
)
from lowser_lib.methods.view_encoders import kind_of
from lowser_lib.multiview import fine_tune, predict_views, pretrain
from lowser_lib.sampling import UNLABELLED, derive_seed
from lowser_lib.sampling.multiview import MultiViewDataset
from lowser_lib.training import make_fabric, one_thread
from lowser_lib.views.base import View
from lowser_lib.views.cache import extract_all
from lowser_lib.views.normalisation import PRIOR_CLIPS, standardise_speakers

#: Whose means and deviations features are brought to 0 and 1 by.
Normalise = Literal["corpus", "speaker"]
#: What is pre-trained on: the target corpus's training speakers, other corpora, or both.
PretrainedOn = Literal["target", "other", "both"]

#: How a classifier's encoders begin.
ARMS = ("scratch", "pairwise")
#: What all views side by side are called.
TOGETHER = "together"


@dataclass(frozen=True)
class SpeechConfig:
    """What is heard, and how it is made ready.

    Attributes:
        normalise: ``"speaker"`` takes each voice out
            (:func:`~lowser_lib.views.normalisation.standardise_speakers`), ``"corpus"`` the corpus
            alone.
        pretrained_on: ``"target"``, ``"other"`` or ``"both"``.
    """

    normalise: Normalise = "corpus"
    pretrained_on: PretrainedOn = "target"

    def __post_init__(self) -> None:
        """Refuse names that do not exist."""
        for name, choices in (
            ("normalise", get_args(Normalise)),
            ("pretrained_on", get_args(PretrainedOn)),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {choices}, not {getattr(self, name)!r}")


@dataclass(frozen=True)
class Run:
    """What to train.

    Attributes:
        corpus: Name of a corpus.
        others: Names of other corpora, whose speech may be pre-trained on.
        seed: Of folds, weights, draws of labels and batches.
        fold: Which of the folds is the test, from 0.
        folds: How many there are.
        views: Names of the views.
        budgets: Labels a class, 0 for all.
        speech: What is heard, and how it is made ready.
        encoders: Sizes.
        pairwise: Settings of pre-training.
        tuning: Settings of fine-tuning, the same for both arms.
    """

    corpus: str
    others: tuple[str, ...]
    seed: int
    fold: int
    folds: int
    views: tuple[str, ...]
    budgets: tuple[int, ...]
    speech: SpeechConfig
    encoders: EncodersConfig
    pairwise: PairwiseConfig
    tuning: FineTuneConfig


def known_views() -> tuple[str, ...]:
    """Names of the views that can be had on this machine without fetching anything."""
    from lowser_lib.views.wav2vec2_sources import nano_card

    shipped = nano_card()["sha256"] is not None
    return ("mel", "egemaps", "wav2vec2") if shipped else ("mel", "egemaps")


def make_view(name: str) -> View:
    """A view by its name.

    Raises:
        ProfileError: There is no such view.
        CheckpointError: Its weights are missing.
    """
    if name == "mel":
        from lowser_lib.views.mel import MelView

        return MelView()
    if name == "egemaps":
        from lowser_lib.views.egemaps import EgemapsView

        return EgemapsView()
    if name == "wav2vec2":
        from lowser_lib.views.wav2vec2 import Wav2Vec2View

        return Wav2Vec2View("nano", layer="mix", pooled=True)
    raise ProfileError(f"unknown view {name!r}; choose from mel, egemaps, wav2vec2")


def extract_views(
    corpus: str, views: Sequence[str], *, cache: Path | None = None, jobs: int = 1
) -> tuple[pd.DataFrame, MultiViewDataset]:
    """All clips of a corpus through all views, from the cache where they are there.

    Args:
        corpus: Name of the corpus.
        views: Names of views.
        cache: Folder of the cache; None takes the course's.
        jobs: Worker processes.

    Returns:
        The manifest, numbered from 0, and the clips in its order with emotions as labels.
    """
    loaded = data.load([corpus], jobs=jobs, progress=False)
    table = loaded.corpus(corpus)
    arrays = {
        name: extract_all(
            make_view(name), table, loaded.roots, cache or paths.features(), jobs=jobs
        )
        for name in views
    }
    codes = table["emotion"].map({emotion: code for code, emotion in enumerate(EMOTIONS)})
    labels = codes.fillna(UNLABELLED).astype(int).to_numpy()
    return table, MultiViewDataset(arrays, labels)


def measure(run: Run, cache: Path | None = None) -> tuple[dict[str, Any], float]:
    """Pre-train, fine-tune at every budget, and test; with one thread.

    Args:
        run: What to train.
        cache: Folder of the cached views; None takes the course's.

    Returns:
        The metrics of the run's record, and seconds: ``pretraining`` (loss and matched of the last
        epoch, number of clips), ``speakers`` and ``truth`` of the test clips (as positions in the
        manifest's emotions), and ``results``, one row for each view, budget and arm: ``uar`` (None
        where a class has too few clips for the budget) and ``predicted``, a digit a clip.
    """
    begun = time.monotonic()
    fabric = make_fabric("cpu", "32-true")
    with one_thread(fabric):
        target = extract_views(run.corpus, run.views, cache=cache)
        others = [extract_views(corpus, run.views, cache=cache) for corpus in run.others]
        metrics = _measure(run, *target, others, fabric)
    return metrics, time.monotonic() - begun


def normalised(
    table: pd.DataFrame,
    clips: MultiViewDataset,
    normalise: Normalise,
    tested: Collection[str] = (),
) -> MultiViewDataset:
    """Features of a corpus, made ready for encoders.

    Args:
        table: its manifest, in the order of the clips.
        clips: as they come from :func:`extract_views`.
        normalise: see :class:`SpeechConfig`.
        tested: test speakers, who do not tell what all speakers are like.
    """
    reference = ~table["speaker"].isin(list(tested)).to_numpy()
    prior = PRIOR_CLIPS if normalise == "speaker" else math.inf
    views = {
        name: standardise_speakers(
            [array.numpy() for array in arrays],
            table["speaker"].tolist(),
            reference,
            frames=kind_of(name, arrays[0].ndim) == "spectrogram",
            prior=prior,
        )
        for name, arrays in clips.views.items()
    }
    return MultiViewDataset(views, clips.labels)


def _heard(
    run: Run, heard: MultiViewDataset, others: Sequence[tuple[pd.DataFrame, MultiViewDataset]]
) -> MultiViewDataset:
    """The speech to pre-train on."""
    parts = [normalised(*other, run.speech.normalise).unlabelled() for other in others]
    if run.speech.pretrained_on != "other":
        parts = [heard.unlabelled(), *parts]
    return MultiViewDataset.joined(parts)


def _measure(
    run: Run,
    table: pd.DataFrame,
    clips: MultiViewDataset,
    others: Sequence[tuple[pd.DataFrame, MultiViewDataset]],
    fabric: Fabric,
) -> dict[str, Any]:
    labelled = table[table["emotion"].notna()]
    train, test = list(splits.speaker_folds(labelled, run.folds, run.seed))[run.fold]
    splits.assert_speaker_disjoint(train, test)
    clips = normalised(table, clips, run.speech.normalise, set(test["speaker"]))
    # What the training speakers say with other emotions, or without a label, is unlabelled speech.
    heard = clips.of_clips(table.index[~table["speaker"].isin(set(test["speaker"]))].to_numpy())
    tested = clips.of_clips(test.index.to_numpy())

    def generator(*parts: int) -> torch.Generator:
        # The last part is above 0, as derive_seed takes no notice of zeros at the end.
        return torch.Generator().manual_seed(derive_seed(run.seed, run.fold, *parts, 1))

    drawn = ViewEncoders.for_clips(heard, run.encoders, generator=generator(0))
    unlabelled = _heard(run, heard, others)
    pretrained = pretrain(
        unlabelled,
        generator=generator(1),
        encoders=drawn,
        config=run.pairwise,
        monitor=collapse_figures,
        fabric=fabric,
    )
    starts = {"scratch": drawn, "pairwise": pretrained.encoders}
    subsets: dict[str, tuple[str, ...]] = {name: (name,) for name in run.views}
    if len(run.views) > 1:
        subsets[TOGETHER] = run.views
    rows = []
    for budget in run.budgets:
        try:
            few = (
                splits.label_budget(train, budget, derive_seed(run.seed, run.fold, 1))
                if budget
                else train
            )
        except SplitError:
            few = None
        for view, names in subsets.items():
            for arm in ARMS:
                row = {"view": view, "budget": budget, "arm": arm, "uar": None, "predicted": None}
                if few is not None:
                    model = fine_tune(
                        starts[arm],
                        clips.of_clips(few.index.to_numpy()),
                        generator=generator(2, budget),  # the same for both arms
                        views=names,
                        config=run.tuning,
                        n_classes=len(EMOTIONS),
                        fabric=fabric,
                    ).model
                    answers = predict_views(model, tested).argmax(axis=1)
                    row["uar"] = round(uar(tested.labels.numpy(), answers), 6)
                    row["predicted"] = "".join(map(str, answers))
                rows.append(row)
    last = pretrained.history.rows[-1]
    return {
        "pretraining": {
            "clips": len(unlabelled),
            "loss": last["loss"],
            "matched": last["matched"],
            "collapsed": [
                view
                for view in run.views
                if judge_history(pretrained.history.rows, f"{view}_projection").collapsed
            ],
        },
        "speakers": test["speaker"].tolist(),
        "truth": "".join(map(str, tested.labels.tolist())),
        "results": rows,
    }


def uar(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Unweighted average recall over the emotions that occur in the truth."""
    present = sorted(set(truth.tolist()))
    return float(classification_metrics(truth, predicted, present)["uar"])
