"""Models on folds: scores over seeds, and what shuffled clips are worth."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from lowser_lib.evaluation import classification_metrics
from lowser_lib.experiments import leakage
from lowser_lib.manifest import EMOTIONS


def halves(
    table: pd.DataFrame, n_folds: int, seed: int
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    part = (np.arange(len(table)) + seed) % n_folds
    for fold in range(n_folds):
        yield table[part != fold], table[part == fold]


def knows(train: pd.DataFrame, test: pd.DataFrame) -> pd.Series:
    return test["emotion"]


def first_of_training(train: pd.DataFrame, test: pd.DataFrame) -> list[str]:
    return [train["emotion"].iloc[0]] * len(test)


TABLE = pd.DataFrame({"emotion": [*EMOTIONS] * 3 + ["angry"]})


def test_a_model_that_knows_scores_one_on_every_seed() -> None:
    scores = leakage.compare({"toy": TABLE}, {"knows": (knows, halves)}, 2, range(3))
    assert scores.to_dict("records") == [
        {"corpus": "toy", "method": "knows", "estimate": 1.0, "low": 1.0, "high": 1.0}
    ]


def test_scores_are_of_all_folds_together() -> None:
    scores = leakage.compare({"toy": TABLE}, {"first": (first_of_training, halves)}, 2, [0, 1])
    by_seed = []
    for seed in (0, 1):
        truth, answers = [], []
        for train, test in halves(TABLE, 2, seed):
            truth += test["emotion"].tolist()
            answers += first_of_training(train, test)
        by_seed.append(classification_metrics(truth, answers, EMOTIONS)["macro_f1"])
    assert scores["estimate"][0] == pytest.approx(np.mean(by_seed))
    assert (scores["low"][0], scores["high"][0]) == (min(by_seed), max(by_seed))


def test_gains_are_points_above_speakers_apart() -> None:
    arms = {
        "look-up, speakers apart": 0.4,
        "look-up, clips shuffled": 0.7,
        "name only, clips shuffled": 0.1,
    }
    rows = [{"corpus": "toy", "method": name, "estimate": score} for name, score in arms.items()]
    row = leakage.gains(pd.DataFrame(rows)).loc["toy"]
    assert row["points"] == pytest.approx(30)
    assert (row["look_up"], row["name"]) == (0.7, 0.1)
