"""What a shared speaker is worth: models on folds of two kinds, over corpora and seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lowser_lib.evaluation import classification_metrics
from lowser_lib.manifest import EMOTIONS

Model = Callable[[pd.DataFrame, pd.DataFrame], Any]
"""Answers for the clips of the second table, after learning from the first."""

Folds = Callable[[pd.DataFrame, int, int], Iterable[tuple[pd.DataFrame, pd.DataFrame]]]
"""Pairs (train, test) of a table, by the number of folds and a seed."""


def compare(
    tables: Mapping[str, pd.DataFrame],
    arms: Mapping[str, tuple[Model, Folds]],
    n_folds: int,
    seeds: Sequence[int],
) -> pd.DataFrame:
    """Score models on folds: macro-F1 over the test parts of all folds together.

    Args:
        tables: Name to a manifest of labelled clips.
        arms: Name to a model and how its folds are made.
        n_folds: How many folds.
        seeds: Of the folds.

    Returns:
        One row per table and arm: ``corpus``, ``method``, ``estimate`` (the mean over seeds),
        ``low`` and ``high`` (the least and the greatest).
    """
    rows: list[dict[str, Any]] = []
    for corpus, table in tables.items():
        for method, (model, folds) in arms.items():
            scores = [_macro_f1(model, folds(table, n_folds, seed)) for seed in seeds]
            row = {"estimate": float(np.mean(scores)), "low": min(scores), "high": max(scores)}
            rows.append({"corpus": corpus, "method": method, **row})
    return pd.DataFrame(rows)


def gains(scores: pd.DataFrame) -> pd.DataFrame:
    """What shuffled clips are worth beside speakers apart.

    Args:
        scores: As of :func:`compare`, with the arms ``look-up, speakers apart``, ``look-up, clips
            shuffled`` and ``name only, clips shuffled``.

    Returns:
        One row a corpus: ``points`` that the look-up gains when clips are shuffled, its score then
        (``look_up``) and that of the name alone (``name``).
    """
    wide = scores.pivot(index="corpus", columns="method", values="estimate")
    shuffled = wide["look-up, clips shuffled"]
    return pd.DataFrame(
        {
            "points": 100 * (shuffled - wide["look-up, speakers apart"]),
            "look_up": shuffled,
            "name": wide["name only, clips shuffled"],
        }
    )


def _macro_f1(model: Model, folds: Iterable[tuple[pd.DataFrame, pd.DataFrame]]) -> float:
    answers = [(test["emotion"], np.asarray(model(train, test))) for train, test in folds]
    truth, guess = (np.concatenate(parts) for parts in zip(*answers, strict=True))
    return classification_metrics(truth, guess, EMOTIONS)["macro_f1"]
