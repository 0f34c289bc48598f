"""What records of sweeps say by gender: how groups fare, and what a remedy brings and costs.

Everything here reads or compares; nothing is trained. Answers carry their speakers' genders as
groups, so that ``gaps(answers, BETWEEN)`` is all that a chapter writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from lowser_lib.evaluation import Answers, Interval
from lowser_lib.evaluation.gaps import CONDITIONAL, gap_change, gaps
from lowser_lib.evaluation.groups import BETWEEN, by_group
from lowser_lib.evaluation.intervals import paired
from lowser_lib.experiments.ledger_figures import answers_of
from lowser_lib.experiments.records import load_records

DEALS = 99
"""Deals of a permutation test whose p nobody looks at: the fewest that there may be."""


def answers_by_gender(
    results: Path,
    profile: str,
    sweep: str,
    language: str = "ur",
    genders: Mapping[str, str] | None = None,
) -> Answers | None:
    """What a sweep's networks answered, clip by clip, with the gender of who speaks.

    Args:
        results: Folder for records.
        profile: The profile.
        sweep: The sweep's name.
        language: The target language.
        genders: Gender of each speaker, for records that do not tell it.

    Returns:
        The answers, grouped by gender; None where there is no record, or where nothing tells a
        speaker's gender.

    Raises:
        RunError: A record is damaged.
    """
    runs = [
        run for run in load_records(results, profile, sweep) if run.config["language"] == language
    ]
    if not runs:
        return None
    known = runs[0].metrics.get("genders") or genders or {}
    if not set(runs[0].metrics["clips"]) <= set(known):
        return None
    return answers_of(runs, genders=known)


def conditional_gap(answers: Answers) -> dict[str, Any]:
    """The mean gap within emotions, women less men; a row of :func:`.gaps.gaps` without its p."""
    return _conditional(gaps(answers, BETWEEN, n_permutations=DEALS).drop(columns="p"))


def conditional_change(after: Answers, before: Answers) -> dict[str, Any]:
    """How that gap differs between two sweeps on the same clips; a row of :func:`.gap_change`."""
    return _conditional(gap_change(after, before, BETWEEN))


def _conditional(table: pd.DataFrame) -> dict[str, Any]:
    (row,) = table[table["gap"] == CONDITIONAL].to_dict("records")
    return {str(name): value for name, value in row.items()}


def share_curves(
    answers: Mapping[float, Answers], label: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """How both genders fare while the share of men grows, as rows of ``plots.group_curves``.

    Args:
        answers: By share of men.
        label: Who answered.

    Returns:
        UAR of each gender (a panel named ``label``), and the gap within emotions (a line named so).
    """
    scores: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    for share, given in answers.items():
        for row in by_group(given, metrics=["uar"]).itertuples():
            bounds = {"estimate": row.estimate, "low": row.low, "high": row.high}
            scores.append({"test": label, "group": row.group, "share": share, **bounds})
        gap = conditional_gap(given)
        bounds = {key: gap[key] for key in ("estimate", "low", "high")}
        where = {"test": "within emotions, women less men", "group": label, "share": share}
        differences.append({**where, **bounds})
    return scores, differences


@dataclass(frozen=True)
class Outcome:
    """What a remedy does, against the same method without it.

    Attributes:
        before: The gap within emotions without it.
        after: The same with it.
        change: After less before.
        price: Macro-F1 with it less without it.
        aim: Macro-F1 that may be paid.
        moved: UAR of each gender without it and with it: who pays.
    """

    before: Interval
    after: Interval
    change: Interval
    price: Interval
    aim: float
    moved: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """In words: whether there was a gap, whether it was halved, and whether that was cheap.

        The estimates decide; what their intervals leave open is named behind them.
        """
        if not self.before.excludes(0):
            return "no clear gap to halve"
        halved = abs(self.after.estimate) <= abs(self.before.estimate) / 2
        cheap = self.price.estimate >= -self.aim
        if halved and cheap:
            doubts = [] if self.change.excludes(0) else ["that the gap changes"]
            doubts += [] if self.price.low >= -self.aim else ["the price"]
            return f"aim reached; in doubt: {', '.join(doubts)}" if doubts else "aim reached"
        if halved:
            return "halved, but too dear"
        return "cheap, but not halved" if cheap else "neither halved nor cheap"


def outcome(after: Answers, before: Answers, aim: float = 0.02) -> Outcome:
    """Weigh the gap that a remedy closes against its price.

    Args:
        after: Answers with the remedy.
        before: Answers of the same method without it, on the same clips.
        aim: Macro-F1 that may be paid.
    """
    price = paired(after, before)
    size = {"n_speakers": price.n_speakers, "n_seeds": price.n_seeds}

    def interval(row: Mapping[str, Any], estimate: str = "estimate") -> Interval:
        return Interval(float(row[estimate]), float(row["low"]), float(row["high"]), **size)

    then, now = _uar(before), _uar(after)
    return Outcome(
        before=interval(conditional_gap(before)),
        after=interval(conditional_gap(after)),
        change=interval(conditional_change(after, before), "change"),
        price=price,
        aim=aim,
        moved={group: (then[group], now[group]) for group in BETWEEN},
    )


def _uar(answers: Answers) -> dict[str, float]:
    """UAR of each gender."""
    table = by_group(answers, metrics=["uar"], n_resamples=1)
    return {str(row["group"]): float(row["estimate"]) for row in table.to_dict("records")}
