"""What a sweep over leaning words amounts to: means over seeds, leaks, and their differences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lowser_lib import skews
from lowser_lib.errors import RunError
from lowser_lib.evaluation import Interval, mean_interval
from lowser_lib.experiments import records
from lowser_lib.experiments.lexical_sweep import ARMS
from lowser_lib.experiments.records import RunRecord
from lowser_lib.experiments.sweep_records import FOLDER

LEAKS = {"to nobody's": skews.ROLES[1], "to another's": skews.ROLES[2]}
"""Leaks by name: what a score loses from an emotion's own sentences to these."""


def read_all(results: Path, profile: str, name: str = "lexical") -> list[RunRecord]:
    """Read whatever records a sweep has left; an empty list where there are none.

    Raises:
        RunError: A record is damaged.
    """
    stems = sorted(path.stem for path in (results / profile / FOLDER / name).glob("*-*-*.json"))
    return [records.load_record(results, profile, f"{FOLDER}/{name}/{stem}") for stem in stems]


def table(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """All results, one row each: arm, lean, seed, test (whose sentence, or ``all``) and uar."""
    rows = [
        {**{key: run.config[key] for key in ("arm", "lean")}, "seed": run.seed, "test": test,
         "uar": uar}
        for run in runs
        for test, uar in run.metrics["uar"].items()
    ]  # fmt: skip
    found = pd.DataFrame(rows, columns=["arm", "lean", "seed", "test", "uar"])
    found["arm"] = pd.Categorical(found["arm"], list(ARMS))
    return found.sort_values(["arm", "lean", "seed"], kind="stable").reset_index(drop=True)


def text(runs: Sequence[RunRecord]) -> str:
    """Means over seeds, as they are printed."""
    wide = table(runs).pivot_table(
        index=["arm", "lean"], columns="test", values="uar", observed=True
    )
    wide = wide[[*skews.ROLES, "all"]]
    shown = wide.to_string(float_format=lambda value: f"{value:.3f}")
    return f"UAR on speakers held out, means over seeds; by whose sentence a clip says\n{shown}"


def leaks(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """What a score loses where the words no longer help, or mislead, seed by seed.

    Returns:
        A row a run: arm, lean, seed, and a column a leak, see :data:`LEAKS`; positive where the
        words had helped.
    """
    wide = _wide(runs)
    columns = {name: wide[skews.ROLES[0]] - wide[role] for name, role in LEAKS.items()}
    return pd.DataFrame(columns).reset_index()


def remedy(
    runs: Sequence[RunRecord], arm: str = "invariant", against: str = "plain"
) -> pd.DataFrame:
    """What an arm changes, with Student's intervals over seeds of the paired differences.

    Args:
        runs: Records of one sweep.
        arm: Name of one arm.
        against: Name of the arm that it is compared with.

    Returns:
        A row a lean and quantity: ``lean``, ``of`` (a test or a leak), ``interval``.

    Raises:
        RunError: An arm has no record.
    """
    both = _wide(runs).join(leaks(runs).set_index(["arm", "lean", "seed"]))
    missing = [name for name in (arm, against) if name not in both.index.get_level_values("arm")]
    if missing:
        raise RunError(f"there is no result of an arm {missing[0]!r}; run: lowser sweep lexical")
    change = (both.xs(arm, level="arm") - both.xs(against, level="arm")).dropna()
    rows: list[dict[str, str | float | Interval]] = [
        {"lean": float(str(lean)), "of": name, "interval": mean_interval(group[[name]].to_numpy())}
        for lean, group in change.groupby("lean")
        for name in both.columns
    ]
    return pd.DataFrame(rows)


def _wide(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """A row a run, by arm, lean and seed; a column a test."""
    found = table(runs).astype({"arm": str})
    wide = found.pivot_table(index=["arm", "lean", "seed"], columns="test", values="uar")
    return wide[[*skews.ROLES, "all"]]
