"""Label-budget curves from the records of ``lowser sweep pairwise``, with marks."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from lowser_lib.errors import RunError
from lowser_lib.evaluation.significance import marked, paired_permutation_test
from lowser_lib.experiments.budget_sweep_run import ARMS
from lowser_lib.experiments.records import RunRecord

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


def curves(
    runs: Sequence[RunRecord], arm: str = "pairwise", against: str = "scratch"
) -> pd.DataFrame:
    """Mean UAR of all arms over folds and seeds, the difference of two of them, and its mark.

    Pairs are folds × seeds; p-values are those of all comparisons of one corpus, Holm-corrected.

    Args:
        runs: records of one sweep.
        arm: name of one arm, see :data:`lowser_lib.experiments.budget_sweep_run.ARMS`.
        against: name of the arm that it is compared with.

    Returns:
        Indexed by corpus, view and budget: a column an arm, ``difference``, ``p``, ``p_holm``,
        ``mark`` and ``n_pairs``.

    Raises:
        RunError: there is no result, or none of an arm.
    """
    results = table(runs)
    if results.empty:
        raise RunError("there is no result yet; run: lowser sweep pairwise")
    missing = [name for name in (arm, against) if name not in set(results["arm"])]
    if missing:
        known = ", ".join(dict.fromkeys(results["arm"]))
        raise RunError(f"there is no result of an arm {missing[0]!r}; there are {known}")
    wide = results.pivot_table(index=[*KEYS, "seed", "fold"], columns="arm", values="uar").dropna()
    parts = []
    for _, one in wide.groupby("corpus", sort=False):
        groups = {name: group for name, group in one.groupby(KEYS, sort=False) if len(group) > 1}
        tests = {
            name: paired_permutation_test(group[arm].to_numpy(), group[against].to_numpy())
            for name, group in groups.items()
        }
        parts.append(marked(tests))
    found = pd.concat(parts)
    arms = [name for name in ARMS if name in wide]
    means = wide.groupby(KEYS, sort=False)[arms].mean()
    if found.empty:
        return means.assign(difference=means[arm] - means[against])
    found.index = found.index.set_names(KEYS)
    return means.join(found, how="left")


def text(runs: Sequence[RunRecord], arm: str = "pairwise", against: str = "scratch") -> str:
    """The curves as they are printed; arguments as of :func:`curves`."""
    found = curves(runs, arm, against).reset_index()
    order = {0: float("inf")}  # "all" comes last
    found = found.sort_values(
        KEYS, key=lambda column: column.replace(order) if column.name == "budget" else column
    )
    found["budget"] = found["budget"].map(lambda budget: str(budget) if budget else "all")
    shown = found.to_string(index=False, float_format=lambda value: f"{value:.3f}")
    return (
        f"UAR, means over folds and seeds; difference: {arm} - {against}; p corrected within a "
        f"corpus (Holm)\n{shown}"
    )
