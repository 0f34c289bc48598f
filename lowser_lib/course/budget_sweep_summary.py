"""Label-budget curves from the records of ``lowser sweep pairwise``, with marks."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from lowser_lib.course.records import RunRecord
from lowser_lib.errors import RunError
from lowser_lib.evaluation.significance import marked, paired_permutation_test

KEYS = ["corpus", "view", "budget"]


def table(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """All results, one row each: corpus, fold, seed, view, budget (0: all), arm, uar.

    Results that a fold was too small for are missing.
    """
    rows = [
        {"corpus": run.config["corpus"], "fold": run.config["fold"], "seed": run.seed, **result}
        for run in runs
        for result in run.metrics["results"]
        if result["uar"] is not None
    ]
    columns = ["corpus", "fold", "seed", "view", "budget", "arm", "uar", "predicted"]
    return pd.DataFrame(rows, columns=columns)


def curves(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """Mean UAR of both arms over folds and seeds, their difference, and its mark.

    Pairs are folds × seeds; p-values are those of all comparisons of one corpus, Holm-corrected.

    Returns:
        Indexed by corpus, view and budget: ``scratch``, ``pairwise``, ``difference``, ``p``,
        ``p_holm``, ``mark`` and ``n_pairs``.

    Raises:
        RunError: there is no result.
    """
    results = table(runs)
    if results.empty:
        raise RunError("there is no result yet; run: lowser sweep pairwise")
    wide = results.pivot_table(index=[*KEYS, "seed", "fold"], columns="arm", values="uar").dropna()
    parts = []
    for _, one in wide.groupby("corpus", sort=False):
        groups = {name: group for name, group in one.groupby(KEYS, sort=False) if len(group) > 1}
        tests = {
            name: paired_permutation_test(group["pairwise"].to_numpy(), group["scratch"].to_numpy())
            for name, group in groups.items()
        }
        parts.append(marked(tests))
    found = pd.concat(parts)
    means = wide.groupby(KEYS, sort=False)[["scratch", "pairwise"]].mean()
    if found.empty:
        return means.assign(difference=means["pairwise"] - means["scratch"])
    found.index = found.index.set_names(KEYS)
    return means.join(found, how="left")


def text(runs: Sequence[RunRecord]) -> str:
    """The curves as they are printed."""
    found = curves(runs).reset_index()
    order = {0: float("inf")}  # "all" comes last
    found = found.sort_values(
        KEYS, key=lambda column: column.replace(order) if column.name == "budget" else column
    )
    found["budget"] = found["budget"].map(lambda budget: str(budget) if budget else "all")
    shown = found.to_string(index=False, float_format=lambda value: f"{value:.3f}")
    return f"UAR, means over folds and seeds; p corrected within a corpus (Holm)\n{shown}"
