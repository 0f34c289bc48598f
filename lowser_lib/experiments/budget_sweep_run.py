"""One run of the sweep over label budgets: one corpus, one seed, one fold of its speakers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from sklearn.metrics import recall_score
from sklearn.svm import SVC

from lowser_lib import splits
from lowser_lib.encoders.view_encoders import FURTHEST, EncodersConfig, ViewEncoders, kind_of
from lowser_lib.errors import SplitError
from lowser_lib.evaluation import collapse_figures, judge_collapse
from lowser_lib.experiments.budget_sweep_speech import SpeechConfig, extract_views, normalised
from lowser_lib.manifest import EMOTIONS
from lowser_lib.methods.fine_tuning import FineTuneConfig, fine_tune, predict_views, probe_views
from lowser_lib.methods.pairwise import PairwiseConfig, pretrain
from lowser_lib.sampling import derive_seed
from lowser_lib.sampling.multiview import MultiViewDataset
from lowser_lib.training import Execution, make_fabric, one_thread

#: What is compared: a support vector machine on the features themselves; a *probe* (a new layer
#: alone) on encoders as drawn, and on pre-trained ones; and both with all weights trained.
ARMS = ("svm", "untrained", "scratch", "probe", "pairwise")


#: What all views side by side are called.
TOGETHER = "together"


@dataclass(frozen=True)
class ProbeConfig:
    """How a new layer is put on encoders that stay as they are.

    Attributes:
        penalty: see :func:`lowser_lib.methods.fine_tuning.probe_views`.
    """

    # Our choice, on RAVDESS: from 0.1 to 100 it makes a difference of one point at few labels.
    penalty: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what is no penalty."""
        if not self.penalty > 0:
            raise ValueError(f"penalty must be above 0, not {self.penalty!r}")


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
        tuning: Settings of fine-tuning, the same for both starts.
        probing: Settings of probes, the same for both starts.
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
    probing: ProbeConfig


def measure(run: Run, cache: Path | None = None) -> tuple[dict[str, Any], float]:
    """Pre-train, fine-tune at every budget, and test; with one thread.

    Args:
        run: What to train.
        cache: Folder of the cached views; None takes the course's.

    Returns:
        The metrics of the run's record, and seconds: ``pretraining`` (number of clips; loss and
        matched of the last epoch; views that collapsed), ``speakers`` and ``truth`` of the test
        clips (as positions in the manifest's emotions), and ``results``, one row for each view,
        budget and arm: ``uar`` (None where a class has too few clips for the budget) and
        ``predicted``, a digit a clip.
    """
    begun = time.monotonic()
    fabric = make_fabric("cpu", "32-true")
    with one_thread(fabric):
        target = extract_views(run.corpus, run.views, cache=cache)
        others = [extract_views(corpus, run.views, cache=cache) for corpus in run.others]
        metrics = _measure(run, *target, others, fabric)
    return metrics, time.monotonic() - begun


def _heard(
    run: Run, heard: MultiViewDataset, others: Sequence[tuple[pd.DataFrame, MultiViewDataset]]
) -> MultiViewDataset:
    """The speech to pre-train on."""
    parts = [normalised(*other, run.speech).unlabelled() for other in others]
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
    clips = normalised(table, clips, run.speech, set(test["speaker"]))
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
        settings=run.pairwise,
        monitor=collapse_figures,
        execution=Execution(fabric),
    )
    subsets: dict[str, tuple[str, ...]] = {name: (name,) for name in run.views}
    if len(run.views) > 1:
        subsets[TOGETHER] = run.views
    rows = []
    for budget in run.budgets:
        few = _few(train, budget, derive_seed(run.seed, run.fold, 1))
        for view, names in subsets.items():
            answers: dict[str, np.ndarray] = {}
            if few is not None:
                answers = _answers(
                    {"drawn": drawn, "pretrained": pretrained.encoders},
                    clips.of_views(names).of_clips(few.index.to_numpy()),
                    tested.of_views(names),
                    generator=partial(generator, 2, budget),  # the same for both
                    run=run,
                    fabric=fabric,
                )
            for arm in ARMS:
                row = {"view": view, "budget": budget, "arm": arm, "uar": None, "predicted": None}
                if arm in answers:
                    row["uar"] = round(uar(tested.labels.numpy(), answers[arm]), 6)
                    row["predicted"] = "".join(map(str, answers[arm]))
                rows.append(row)
    last = pretrained.history.rows[-1]
    return {
        "pretraining": {
            "clips": len(unlabelled),
            "loss": last["loss"],
            "matched": last["matched"],
            "collapsed": [view for view in run.views if _collapsed(last, view)],
        },
        "speakers": test["speaker"].tolist(),
        "truth": "".join(map(str, tested.labels.tolist())),
        "results": rows,
    }


def _collapsed(row: Mapping[str, float], view: str) -> bool:
    """Whether a view's projections point all one way after an epoch.

    They are not compared with the first epoch's, whose weights are nearly as drawn and spread clips
    out at random.
    """
    prefix = f"{view}_projection_"
    figures = {name.removeprefix(prefix): row[name] for name in row if name.startswith(prefix)}
    return judge_collapse(figures).collapsed


def _few(train: pd.DataFrame, budget: int, seed: int) -> pd.DataFrame | None:
    """Some of the training clips, or all (0); None where a class has too few."""
    try:
        return splits.label_budget(train, budget, seed) if budget else train
    except SplitError:
        return None


def _answers(
    starts: Mapping[str, ViewEncoders],
    few: MultiViewDataset,
    tested: MultiViewDataset,
    *,
    generator: Callable[[], torch.Generator],
    run: Run,
    fabric: Fabric,
) -> dict[str, np.ndarray]:
    """What each arm, trained on few clips, answers to the tested ones."""
    machine = SVC(class_weight="balanced").fit(_rows(few), few.labels.numpy())
    answers = {"svm": machine.predict(_rows(tested))}
    for start, (probed, tuned) in {
        "drawn": ("untrained", "scratch"),
        "pretrained": ("probe", "pairwise"),
    }.items():
        models = {
            probed: probe_views(
                starts[start], few, views=few.views, penalty=run.probing.penalty, fabric=fabric
            ),
            tuned: fine_tune(
                starts[start],
                few,
                generator=generator(),
                views=few.views,
                settings=run.tuning,
                n_classes=len(EMOTIONS),
                execution=Execution(fabric),
            ).model,
        }
        for arm, model in models.items():
            answers[arm] = predict_views(model, tested).argmax(axis=1)
    return answers


def _rows(clips: MultiViewDataset) -> np.ndarray:
    """A row of features a clip, for the machine: spectrograms as their bands' mean and deviation.

    A frozen model's layers are averaged. All are standardised already, and cut as the encoders do.
    """
    parts = []
    for name, tensors in clips.views.items():
        arrays = [tensor.numpy() for tensor in tensors]
        kind = kind_of(name, arrays[0].ndim)
        if kind == "spectrogram":
            arrays = [np.concatenate([one.mean(axis=1), one.std(axis=1)]) for one in arrays]
        elif kind == "layers":
            arrays = [one.mean(axis=0) for one in arrays]
        parts.append(np.stack(arrays).clip(-FURTHEST, FURTHEST))
    return np.concatenate(parts, axis=1)


def uar(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Unweighted average recall over the emotions that occur in the truth.

    A fold's test speakers need not say all of them, but any may be answered.
    """
    present = sorted(set(truth.tolist()))
    return float(recall_score(truth, predicted, labels=present, average="macro"))
