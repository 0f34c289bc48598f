"""What records say by gender: how groups fare, and what a remedy brings, costs, and to whom.

Everything here reads or compares; nothing is trained. Answers carry their speakers' genders as
groups, so that ``gaps(answers, BETWEEN)`` is all that a chapter writes.

**When is a gap closed?** One rule, here and wherever the course says so (:class:`Outcome`): the gap
within emotions is at most half of what it was, and the interval of the change excludes zero. That
alone is no success, as pulling the better-off down closes a gap, too (*levelling down*). So it is
said beside it who moved: a remedy *raises the worse-off* if their UAR rises, by an interval that
excludes zero, and the better-off pay at most :data:`PRICE`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lowser_lib.corpora import EMOTIONS
from lowser_lib.evaluation import Answers, Interval
from lowser_lib.evaluation.gaps import CONDITIONAL, MIX, UNDERSTANDING, gap_change, gaps
from lowser_lib.evaluation.groups import BETWEEN, by_group
from lowser_lib.evaluation.intervals import paired, resample
from lowser_lib.experiments import paths
from lowser_lib.experiments.frozen_tables import by_target, stacked
from lowser_lib.experiments.ledger_figures import answers_of
from lowser_lib.experiments.profiles import LANGUAGES
from lowser_lib.experiments.records import RunRecord, load_records

DEALS = 99
"""Deals of a permutation test whose p nobody looks at: the fewest that there may be."""

PARTS = ("accuracy", MIX, UNDERSTANDING, CONDITIONAL)
"""The raw gap, the two parts that add up to it, and the mean gap within emotions."""

PRICE = 0.02
"""UAR that the better-off may lose, so that a remedy still counts as raising the others."""

METHODS = {"baseline": "baseline", "speaker-contrastive": "speaker_contrastive", "BYOL": "byol"}
"""Sweeps of the three methods, by what a figure calls them."""


def all_answers(
    profile: str,
    sweeps: Mapping[str, str] = METHODS,
    language: str = "ur",
    genders: Mapping[str, str] | None = None,
) -> dict[str, Answers]:
    """What networks of several sweeps answered, clip by clip, with the gender of who speaks.

    Of each sweep those seeds are taken that all of them have, so that seed is compared with seed.

    Args:
        profile: Name of the profile whose records are read.
        sweeps: Label to the name of a sweep.
        language: Code of the target.
        genders: Gender of each speaker, for records that do not tell it.

    Returns:
        Answers grouped by gender; without sweeps that have no record, or whose speakers' genders
        nothing tells.

    Raises:
        RunError: A record is damaged.
    """
    root = paths.results_root()
    found = {label: _runs(root, profile, sweep, language) for label, sweep in sweeps.items()}
    found = {label: runs for label, runs in found.items() if runs}
    seeds = [{run.seed for run in runs} for runs in found.values()]
    shared = set.intersection(*seeds) if seeds else set()
    answers = {
        label: _grouped([run for run in runs if run.seed in shared], genders)
        for label, runs in found.items()
    }
    return {label: its for label, its in answers.items() if its is not None}


def _runs(results: Path, profile: str, sweep: str, language: str) -> list[RunRecord]:
    """A sweep's records of one language."""
    runs = load_records(results, profile, sweep)
    return [run for run in runs if run.config["language"] == language]


def _grouped(runs: Sequence[RunRecord], genders: Mapping[str, str] | None) -> Answers | None:
    """Answers by gender; None where there is no record, or nothing tells a speaker's gender."""
    if not runs:
        return None
    known = runs[0].metrics.get("genders") or genders or {}
    if not set(runs[0].metrics["clips"]) <= set(known):
        return None
    return answers_of(runs, genders=known)


def frozen_answers(runs: Sequence[RunRecord], kind: str) -> dict[str, Answers]:
    """One kind of answers of frozen encoders, by language, grouped by gender.

    Args:
        runs: Records of ``lowser sweep frozen``.
        kind: Such as ``corpus plain``.

    Returns:
        The languages whose corpora name women and men; seeds are counted up.
    """
    names, answers = np.array(EMOTIONS), {}
    for language, its in by_target(runs).items():
        genders = its[0].metrics["genders"]
        if set(genders.values()) != set(BETWEEN):
            continue
        clips = stacked([run.metrics["clips"] for run in its])
        groups = [genders[speaker] for speaker in clips["speaker"]]
        truth, predicted = names[clips["truth"]], names[clips[kind]]
        name = LANGUAGES[language]
        answers[name] = Answers.of(truth, predicted, clips["speaker"], EMOTIONS, groups)
    return answers


def accuracies(answers: Mapping[str, Answers]) -> list[dict[str, Any]]:
    """Accuracy of each gender, as rows of ``plots.interval_plot``: a panel a gender."""
    return [
        {
            "method": label,
            "corpus": f"{row['group']}, {row['clips']} clips",
            "group": row["group"],
            **_bounds(row),
        }
        for label, its in answers.items()
        for row in by_group(its, metrics=["accuracy"]).to_dict("records")
    ]


def gap_rows(answers: Mapping[str, Answers], parts: Sequence[str] = PARTS) -> list[dict[str, Any]]:
    """Gaps, women less men, as rows of ``plots.differences``: a panel a method or language."""
    rows: list[dict[str, Any]] = []
    for label, its in answers.items():
        table = gaps(its, BETWEEN, n_permutations=DEALS).set_index("gap")
        rows += [{"label": part, "test": label, **_bounds(table.loc[part])} for part in parts]
    return rows


def change_rows(answers: Mapping[str, Answers], against: str = "baseline") -> list[dict[str, Any]]:
    """How the gaps change against one of the methods, as rows of ``plots.differences``."""
    rows: list[dict[str, Any]] = []
    for label in [label for label in answers if label != against]:
        table = gap_change(answers[label], answers[against], BETWEEN).set_index("gap")
        table = table.rename(columns={"change": "estimate"})
        rows += [{"label": part, "test": label, **_bounds(table.loc[part])} for part in PARTS]
    return rows


def _bounds(row: Any) -> dict[str, float]:
    """Estimate and bounds of a row of a table."""
    return {key: float(row[key]) for key in ("estimate", "low", "high")}


def change_by_language(
    profile: str, languages: Sequence[str], against: str = "baseline"
) -> list[dict[str, Any]]:
    """How the gap within emotions changes against one of the methods: a panel a language.

    Args:
        profile: Name of the profile whose records are read.
        languages: Codes of target languages; one without records of both sides is left out.
        against: The method that the others are compared with.

    Returns:
        Rows of ``plots.differences``, a line a method, with the gap ``before`` and ``after``.
    """
    rows: list[dict[str, Any]] = []
    for language in languages:
        answers = all_answers(profile, language=language)
        for label in [label for label in answers if label != against and against in answers]:
            row = conditional_change(answers[label], answers[against])
            row |= {"estimate": row["change"], "label": label, "test": LANGUAGES[language]}
            rows.append(row)
    return rows


def in_words(answers: Answers, n_permutations: int = 999) -> pd.DataFrame:
    """What each gap is, in points, with its interval and p, or why there is none."""
    table = gaps(answers, BETWEEN, n_permutations=n_permutations)
    known = table["estimate"].notna()
    points = (100 * table[["estimate", "low", "high"]]).map("{:+.0f}".format)
    p = table["p"].map("{:.2f}".format).replace({"0.00": "below .01", "nan": ""})
    return pd.DataFrame(
        {
            "gap": table["gap"],
            "points": points["estimate"].where(known, "not estimable"),
            "95 %": (points["low"] + " to " + points["high"]).where(known, ""),
            "p": p,
            "note": table["reason"],
        }
    )


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


def skewed_answers(
    profile: str, shares: Sequence[float], sweeps: Mapping[str, str] = METHODS, route: str = "male"
) -> dict[str, dict[float, Answers]]:
    """Answers of methods trained on skewed speech, by share of men.

    Args:
        profile: Name of the profile whose records are read.
        shares: Shares of men, in [0, 1].
        sweeps: Label to the name of a sweep on speech as it is.
        route: ``male``: labels and voices are skewed; ``voices``: unlabelled voices alone.
    """
    found: dict[str, dict[float, Answers]] = {}
    for share in shares:
        names = {label: f"{sweep}-{route}-{100 * share:.0f}" for label, sweep in sweeps.items()}
        for label, its in all_answers(profile, names).items():
            found.setdefault(label, {})[share] = its
    return found


@dataclass(frozen=True)
class Outcome:
    """What a remedy does, against the same method without it; all are UAR or macro-F1 in [0, 1].

    Attributes:
        before: The gap within emotions without it, women less men.
        after: The same with it.
        change: After less before.
        price: Macro-F1 with it less without it.
        moved: Change of each gender's UAR.
        ends: UAR of each gender without it and with it.
    """

    before: Interval
    after: Interval
    change: Interval
    price: Interval
    moved: Mapping[str, Interval]
    ends: Mapping[str, tuple[float, float]]

    @property
    def worse_off(self) -> str:
        """The gender with the lower UAR before."""
        return min(self.ends, key=lambda group: self.ends[group][0])

    @property
    def better_off(self) -> str:
        """The other one."""
        return max(self.ends, key=lambda group: self.ends[group][0])

    @property
    def closed(self) -> bool:
        """Whether the gap is at most half of what it was, by a change that excludes zero."""
        halved = abs(self.after.estimate) <= abs(self.before.estimate) / 2
        return self.before.excludes(0) and halved and self.change.excludes(0)

    @property
    def raised(self) -> bool:
        """Whether the worse-off gain, and the better-off pay next to nothing."""
        paid = self.moved[self.better_off].estimate
        return self.moved[self.worse_off].low > 0 and paid >= -PRICE

    @property
    def verdict(self) -> str:
        """In words: what became of the gap, and by whom."""
        if self.raised:
            return "closed by raising" if self.closed else "raises the worse-off; gap stays"
        if not self.closed:
            return "gap stays"
        paid = 100 * self.moved[self.better_off].estimate
        people = {"female": "women", "male": "men"}[self.better_off]
        return f"levelled down: {people} pay {-paid:.0f} points"


def outcome(after: Answers, before: Answers) -> Outcome:
    """Weigh the gap that a remedy closes against what it costs, and whom."""
    price = paired(after, before)
    size = {"n_speakers": price.n_speakers, "n_seeds": price.n_seeds}

    def interval(row: Mapping[str, Any], estimate: str = "estimate") -> Interval:
        return Interval(float(row[estimate]), float(row["low"]), float(row["high"]), **size)

    moved = {}
    for group in BETWEEN:
        inside = before.group == before.groups.index(group)
        moved[group] = paired(after.where(inside), before.where(inside), "uar")
    then, now = _uar(before), _uar(after)
    return Outcome(
        before=interval(conditional_gap(before)),
        after=interval(conditional_gap(after)),
        change=interval(conditional_change(after, before), "change"),
        price=price,
        moved=moved,
        ends={group: (then[group], now[group]) for group in BETWEEN},
    )


def gain_of_worse_off(after: Mapping[str, Answers], before: Mapping[str, Answers]) -> Interval:
    """What the worse-off gender gains in UAR, mean over corpora, over speakers and seeds.

    Args:
        after: Answers with the remedy, by corpus.
        before: Without it, on the same clips.
    """
    gains = []
    for corpus, its in before.items():
        scores = _uar(its)
        inside = its.group == its.groups.index(min(scores, key=lambda group: scores[group]))
        sides = (resample(side.where(inside), "uar") for side in (after[corpus], its))
        gains.append(next(sides) - next(sides))
    return (reduce(add, gains) * (1 / len(gains))).interval(limits=(-1, 1))


def remedies(outcomes: Mapping[str, Outcome]) -> pd.DataFrame:
    """Outcomes in words, a row a remedy: the gap, its price, who moved, and the verdict."""
    return pd.DataFrame(
        [
            {
                "remedy": label,
                "gap": f"{100 * its.before.estimate:+.0f} → {100 * its.after.estimate:+.0f}",
                "change": _in_points(its.change),
                "macro-F1": _in_points(its.price),
                **{
                    f"UAR, {who}": f"{its.ends[who][0]:.2f} → {its.ends[who][1]:.2f}: "
                    f"{_in_points(its.moved[who])}"
                    for who in BETWEEN
                },
                "verdict": its.verdict,
            }
            for label, its in outcomes.items()
        ]
    )


def who_moved(outcomes: Mapping[str, Outcome]) -> list[dict[str, Any]]:
    """Change of each gender's UAR, as rows of ``plots.differences``: a panel a gender."""
    return [
        {"label": label, "test": group, **vars(its.moved[group])}
        for label, its in outcomes.items()
        for group in BETWEEN
    ]


def _in_points(interval: Interval) -> str:
    points = (100 * value for value in (interval.estimate, interval.low, interval.high))
    return "{:+.0f} ({:+.0f} to {:+.0f})".format(*points)


def _uar(answers: Answers) -> dict[str, float]:
    """UAR of each gender, mean over seeds."""
    table = by_group(answers, metrics=["uar"], n_resamples=1)
    return {str(row["group"]): float(row["estimate"]) for row in table.to_dict("records")}
