"""``lowser sweep pairwise``: what pre-training without labels brings where labels are few.

    lowser sweep pairwise --profile open --corpora emodb urdu ravdess --seeds 3

A run is a corpus, a seed and a fold of its speakers. Encoders of all views are drawn once, and once
pre-trained on speech without labels: the fold's training speakers, other corpora, or both. Then
each view by itself, and all together, learn from 1, 2, 4, ... labels a class in five ways
(:data:`ARMS`): ``scratch`` trains the encoders as drawn, ``pairwise`` the pre-trained ones,
everything else being equal; ``untrained`` and ``probe`` train a new layer on either, which stay as
they are; ``svm`` has no encoder. A record's file is ``CORPUS-FOLD-SEED.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from sklearn.svm import SVC

from lowser_lib import splits
from lowser_lib.encoders.view_encoders import FURTHEST, EncodersConfig, ViewEncoders, kind_of
from lowser_lib.errors import SplitError
from lowser_lib.evaluation import collapse_figures, judge_collapse
from lowser_lib.experiments import data, engine, records
from lowser_lib.experiments.engine import Run, Sweep, change
from lowser_lib.experiments.features import SpeechConfig, extract_views, known_views, normalised
from lowser_lib.experiments.preparation import folder_name
from lowser_lib.experiments.records import RunRecord
from lowser_lib.experiments.speech import score
from lowser_lib.manifest import EMOTIONS
from lowser_lib.methods.fine_tuning import FineTuneConfig, fine_tune, predict_views, probe_views
from lowser_lib.methods.pairwise import PairwiseConfig, pretrain
from lowser_lib.sampling import derive_seed
from lowser_lib.sampling.clips import MultiViewDataset
from lowser_lib.training import Execution, make_fabric

BUDGETS = (1, 2, 4, 8, 16, 32, 0)
"""Labels a class; 0 stands for all of them. The paper's own budgets are not at hand."""


ARMS = ("svm", "untrained", "scratch", "probe", "pairwise")
"""What is compared: a support vector machine on the features themselves; a *probe* (a new layer
alone) on encoders as drawn, and on pre-trained ones; and both with all weights trained."""


TOGETHER = "together"
"""What all views side by side are called."""


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


@dataclass(frozen=True, kw_only=True)
class BudgetSweep(Sweep):
    """Label budgets over corpora, folds and seeds; each seed has other folds.

    Attributes:
        corpora: Names of corpora; None takes all labelled ones of the profile.
        views: Names of views; None takes all whose weights are on this machine.
        budgets: Labels a class, 0 for all.
    """

    seeds: int = 3
    corpora: Sequence[str] | None = None
    views: Sequence[str] | None = None
    budgets: Sequence[int] = BUDGETS

    chapter = "07"
    usual_name = "pairwise"
    device = "cpu"  # encoders are small, and a probe's solver is not for a GPU

    def __post_init__(self) -> None:
        """Refuse numbers that make no sweep."""
        super().__post_init__()
        if not self.budgets or min(self.budgets) < 0:
            raise ValueError(f"budgets must be whole numbers from 0 (all), not {self.budgets!r}")

    def plan(self) -> list[Run]:
        """One run per corpus, seed and fold."""
        profile = self.profile
        corpora = tuple(dict.fromkeys(self.corpora or profile.labelled))
        views = tuple(self.views or known_views(profile.encoder))
        settings = change(
            {
                "speech": SpeechConfig(),
                "encoders": EncodersConfig(),
                "pairwise": PairwiseConfig(),
                "augmentation": PairwiseConfig().augmentation,  # by itself, to be changed by parts
                "tuning": FineTuneConfig(),
                "probing": ProbeConfig(),
            },
            self.changes,
        )
        augmentation = settings.pop("augmentation")
        settings["pairwise"] = replace(settings["pairwise"], augmentation=augmentation)
        mixed = settings["speech"].pretrained_on != "target"
        every = tuple(dict.fromkeys((*corpora, *profile.corpora))) if mixed else corpora
        hashes = data.load(every, jobs=self.jobs or profile.jobs).hashes
        runs = []
        for corpus, seed, fold in product(corpora, range(self.seeds), range(profile.folds)):
            others = [name for name in every if name != corpus] if mixed else []
            config = {
                "corpus": corpus,
                "others": others,
                "fold": fold,
                "folds": profile.folds,
                "views": views,
                "budgets": tuple(self.budgets),
                **settings,
            }
            stem = f"{folder_name(corpus)}-{fold}-{seed}"
            heard = {name: hashes[name] for name in (corpus, *others)}
            runs.append(Run(stem, seed, settings, records.plain(config), heard))
        return runs

    def prepare(self, missing: Sequence[Run]) -> None:
        """Extract all views."""
        for corpus in dict.fromkeys(name for run in missing for name in run.corpora):
            extract_views(corpus, missing[0].config["views"], self.jobs or self.profile.jobs)

    def measure(self, runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
        """Pre-train, fine-tune at every budget, and test."""
        (run,) = runs
        return {run.stem: measure(run)}


def tried(**asked: Any) -> list[RunRecord]:
    """Run a small sweep here and now; nothing of it stays on disk.

    Args:
        **asked: What a :class:`BudgetSweep` takes, its folder aside.
    """
    with TemporaryDirectory() as folder:
        return engine.run(BudgetSweep(results=Path(folder), jobs=1, **asked), say=lambda line: None)


def measure(run: Run) -> dict[str, Any]:
    """Pre-train, fine-tune at every budget, and test.

    Args:
        run: Corpus, fold and settings.

    Returns:
        ``pretraining`` (number of clips; loss and matched of the last epoch; views that collapsed),
        ``speakers`` and ``truth`` of the test clips (as positions in the manifest's emotions), and
        ``results``, one row for each view, budget and arm: ``uar`` over the emotions that the test
        speakers show (None where a class has too few clips for the budget) and ``predicted``, a
        digit a clip.
    """
    fabric = make_fabric("cpu", "32-true")
    views, fold, how = tuple(run.config["views"]), run.config["fold"], run.settings["speech"]
    table, clips = extract_views(run.config["corpus"], views)
    labelled = table[table["emotion"].notna()]
    train, test = list(splits.speaker_folds(labelled, run.config["folds"], run.seed))[fold]
    splits.assert_speaker_disjoint(train, test)
    clips = normalised(table, clips, how, set(test["speaker"]))
    # What the training speakers say with other emotions, or without a label, is unlabelled speech.
    heard = clips.of_clips(table.index[~table["speaker"].isin(set(test["speaker"]))].to_numpy())
    tested = clips.of_clips(test.index.to_numpy())

    def generator(*parts: int) -> torch.Generator:
        # The last part is above 0, as derive_seed takes no notice of zeros at the end.
        return torch.Generator().manual_seed(derive_seed(run.seed, fold, *parts, 1))

    drawn = ViewEncoders.for_clips(heard, run.settings["encoders"], generator=generator(0))
    others = (extract_views(corpus, views) for corpus in run.config["others"])
    parts = [normalised(*other, how).unlabelled() for other in others]
    if how.pretrained_on != "other":
        parts = [heard.unlabelled(), *parts]
    unlabelled = MultiViewDataset.joined(parts)
    pretrained = pretrain(
        unlabelled,
        generator=generator(1),
        encoders=drawn,
        settings=run.settings["pairwise"],
        monitor=collapse_figures,
        execution=Execution(fabric),
    )
    subsets: dict[str, tuple[str, ...]] = {name: (name,) for name in views}
    if len(views) > 1:
        subsets[TOGETHER] = views
    rows = []
    for budget, (view, names) in product(run.config["budgets"], subsets.items()):
        few = _few(train, budget, derive_seed(run.seed, fold, 1))
        answers: dict[str, np.ndarray] = {}
        if few is not None:
            answers = _answers(
                {"drawn": drawn, "pretrained": pretrained.encoders},
                clips.of_views(names).of_clips(few.index.to_numpy()),
                tested.of_views(names),
                generator=partial(generator, 2, budget),  # the same for both
                settings=run.settings,
                fabric=fabric,
            )
        for arm in ARMS:
            row = {"view": view, "budget": budget, "arm": arm, "uar": None, "predicted": None}
            if arm in answers:
                row["uar"] = round(score(tested.labels.numpy(), answers[arm])["uar"], 6)
                row["predicted"] = "".join(map(str, answers[arm]))
            rows.append(row)
    last = pretrained.history.rows[-1]
    return {
        "pretraining": {
            "clips": len(unlabelled),
            "loss": last["loss"],
            "matched": last["matched"],
            "collapsed": [view for view in views if _collapsed(last, view)],
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
    settings: Mapping[str, Any],
    fabric: Fabric,
) -> dict[str, np.ndarray]:
    """What each arm, trained on few clips, answers to the tested ones."""
    svm = SVC(class_weight="balanced").fit(_rows(few), few.labels.numpy())
    answers = {"svm": svm.predict(_rows(tested))}
    penalty, tuning = settings["probing"].penalty, settings["tuning"]
    for start, (probed, tuned) in {
        "drawn": ("untrained", "scratch"),
        "pretrained": ("probe", "pairwise"),
    }.items():
        encoders = starts[start]
        models = {
            probed: probe_views(encoders, few, views=few.views, penalty=penalty, fabric=fabric),
            tuned: fine_tune(
                encoders,
                few,
                generator=generator(),
                views=few.views,
                settings=tuning,
                n_classes=len(EMOTIONS),
                execution=Execution(fabric),
            ).model,
        }
        for arm, model in models.items():
            answers[arm] = predict_views(model, tested).argmax(axis=1)
    return answers


def _rows(clips: MultiViewDataset) -> np.ndarray:
    """A row of features a clip, for the SVM: spectrograms as their bands' mean and deviation.

    A frozen model's layers are averaged. All are standardised already, and cut as the encoders do.
    """
    parts = []
    for name, tensors in clips.views.items():
        arrays = [tensor.numpy() for tensor in tensors]
        kind = kind_of(name, arrays[0].ndim)
        if kind == "spectrogram":
            arrays = [np.concatenate([mel.mean(axis=1), mel.std(axis=1)]) for mel in arrays]
        elif kind == "layers":
            arrays = [layers.mean(axis=0) for layers in arrays]
        parts.append(np.stack(arrays).clip(-FURTHEST, FURTHEST))
    return np.concatenate(parts, axis=1)
