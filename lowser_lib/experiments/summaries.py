"""What sweeps amount to: means over seeds, differences between sweeps, budget curves, leaks.

Two intervals stand beside a difference in transfer. That *over seeds* is Student's, of the
differences between runs of the same seed, which share the split, the head's first weights and the
batches: would other seeds say the same, on these speakers? That *over speakers* resamples the
target's speakers and the seeds: would others say the same elsewhere?
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lowser_lib import skews
from lowser_lib.errors import RunError
from lowser_lib.evaluation import Interval, exchange_test, mean_interval, paired_speaker_bootstrap
from lowser_lib.evaluation.intervals import resample
from lowser_lib.evaluation.significance import LEVEL, marked, smallest_p
from lowser_lib.experiments import budgets, frozen_tables, leaning, lexical
from lowser_lib.experiments.ledger_figures import (
    Missing,
    Records,
    answers_of,
    budget_answers,
    budget_gain,
    spread,
    spread_change,
)
from lowser_lib.experiments.profiles import LANGUAGES
from lowser_lib.experiments.records import MATCHING, RunRecord, load_records, predictions
from lowser_lib.manifest import EMOTIONS

# --- transfer ---------------------------------------------------------------------------------

COMPARABLE = (
    "encoder_sha256",
    "precision",
    "max_source_clips",
    "max_target_clips",
    "folds",
    "validation",
    "protocol",
    "skew",
)
"""Settings that two runs have to share for a difference between them to be the methods'. How a
method trains is not among them: a sweep may be about just that."""


BASELINE = "baseline"
"""The sweep that all others are compared with."""


def baseline_of(results: Path, runs: Sequence[RunRecord], name: str = BASELINE) -> list[RunRecord]:
    """The baseline's records for the same languages and seeds, as far as there are any.

    Args:
        results: Folder for records.
        runs: Of a sweep.
        name: Of the baseline's sweep, where it is another one: on skewed speech.

    Raises:
        RunError: A record is damaged.
    """
    known: dict[tuple[str, str, int], RunRecord] = {}
    for profile in dict.fromkeys(run.profile for run in runs):
        for record in load_records(results, profile, name):
            known[profile, record.config["language"], record.seed] = record
    places = [(run.profile, run.config["language"], run.seed) for run in runs]
    return [known[place] for place in places if place in known]


def summarise(
    runs: Sequence[RunRecord], baseline: Sequence[RunRecord], n_resamples: int = 1000
) -> pd.DataFrame:
    """Means, and differences to the baseline, of macro-F1.

    Args:
        runs: Records of a sweep.
        baseline: Records of the baseline's; those of the same language and seed are compared. May
            be empty.
        n_resamples: Draws of the bootstrap.

    Returns:
        A row a language and matching: ``language``, ``matching``, and intervals ``mean``,
        ``baseline``, ``over_seeds``, ``over_speakers``; None where there is nothing to compare.

    Raises:
        RunError: Two runs began with different encoders, learned from or were tested on different
            clips.
    """
    rows = []
    for language in dict.fromkeys(run.config["language"] for run in runs):
        ours = {run.seed: run for run in runs if run.config["language"] == language}
        theirs = {run.seed: run for run in baseline if run.config["language"] == language}
        seeds = sorted(ours.keys() & theirs.keys())
        for matching in MATCHING:
            row: dict[str, str | Interval | None] = {
                "language": language,
                "matching": matching,
                "mean": mean_interval(_scores(ours.values(), matching)),
                "baseline": None,
                "over_seeds": None,
                "over_speakers": None,
            }
            if seeds:
                for seed in seeds:
                    _check_comparable(ours[seed], theirs[seed])
                pairs = [ours[seed] for seed in seeds], [theirs[seed] for seed in seeds]
                scores = [_scores(part, matching) for part in pairs]
                row["baseline"] = mean_interval(scores[1])
                row["over_seeds"] = mean_interval(scores[0] - scores[1])
                row["over_speakers"] = _over_speakers(*pairs, matching, n_resamples)
            rows.append(row)
    return pd.DataFrame(rows)


def identifiability(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """How well speakers are told apart before and after adaptation, in means over seeds.

    Returns:
        A row a language and set of clips: ``language``, ``clips``, ``before``, ``after``,
        ``chance``; none where a method does not measure it.
    """
    rows = [
        {
            "language": run.config["language"],
            "clips": clips,
            "before": pair["before"]["accuracy"],
            "after": pair["after"]["accuracy"],
            "chance": pair["before"]["chance"],
        }
        for run in runs
        for clips, pair in run.metrics.get("identifiability", {}).items()
        if pair["before"] is not None and pair["after"] is not None
    ]
    if not rows:
        return pd.DataFrame(columns=["language", "clips", "before", "after", "chance"])
    table = pd.DataFrame(rows)
    return table.groupby(["language", "clips"], sort=False).mean().reset_index()


def collapses(runs: Sequence[RunRecord]) -> pd.Series:
    """How the monitors of BYOL moved from the first epoch to the last, in means over runs.

    Args:
        runs: Records of a sweep of ``byol``.

    Returns:
        ``runs`` and ``collapsed`` are counts; the others of the form ``0.41 → 0.53``.
    """
    notes = [run.metrics["byol"]["collapse"] for run in runs]
    row = {"runs": len(notes), "collapsed": sum(its["verdict"]["collapsed"] for its in notes)}
    for space in ("embedding", "projection"):
        for figure in ("spread", "effective_rank"):
            values = np.array([its[f"{space}_{figure}"] for its in notes])
            moved = " → ".join(f"{values[:, place].mean():.2g}" for place in (0, -1))
            row[f"{space} {figure.replace('_', ' ')}"] = moved
    return pd.Series(row)


def fold_spreads(runs: Sequence[RunRecord], others: Sequence[RunRecord]) -> pd.DataFrame:
    """How much scores vary over five parts of the speakers though the network stays the same.

    Args:
        runs: Records of a sweep on a profile's targets.
        others: Of the sweep that it is compared with.

    Returns:
        A row a language, in points of macro-F1, corpus-standardised: ``speakers``; ``folds`` and
        ``seeds``, the standard deviation over folds of one network, and over seeds on all speakers
        (NaN of a single seed); ``other folds`` and ``other seeds``; ``change``, ``low`` and
        ``high``, the difference over folds and its interval. A corpus with fewer than two speakers
        a fold is left out.
    """
    known = Records(runs[0].profile, {"ours": runs, "theirs": others})
    rows = {}
    for language in dict.fromkeys(run.config["language"] for run in runs):
        try:
            change = spread_change(known, "ours", "theirs", language).standardised
            assert change is not None  # there are two kinds of answers in each record
        except Missing:
            continue
        row: dict[str, float] = {"speakers": len(known.runs("ours", language)[0].metrics["clips"])}
        for label, sweep in (("", "ours"), ("other ", "theirs")):
            its = known.runs(sweep, language)
            counts = answers_of(its, matching=MATCHING[1]).confusions()
            row[f"{label}folds"] = 100 * spread(counts).mean()
            scores = 100 * _scores(its, MATCHING[1])
            row[f"{label}seeds"] = scores.std(ddof=1) if len(scores) > 1 else np.nan
        row |= {"change": 100 * change.estimate, "low": 100 * change.low, "high": 100 * change.high}
        rows[LANGUAGES[language]] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def smaller_batches(runs: Sequence[RunRecord]) -> list[str]:
    """One line for each language whose speech could not fill the first stage's batches."""
    lines = [
        f"{run.config['language']}: {run.metrics['stage1']['batch']['missing']}"
        for run in runs
        if run.metrics.get("stage1", {}).get("batch", {}).get("missing")
    ]
    return list(dict.fromkeys(lines))


def text(
    runs: Sequence[RunRecord], baseline: Sequence[RunRecord] = (), n_resamples: int = 1000
) -> str:
    """The summary of a sweep of any kind, as it is printed.

    Args:
        runs: Records of one sweep.
        baseline: Of transfer: see :func:`summarise`.
        n_resamples: Likewise.
    """
    if runs[0].config.get("kind") == leaning.LeaningSweep.usual_name:
        return leaning.leaning_text(runs)
    if "kind" in runs[0].config:
        return frozen_tables.text(runs, n_resamples)
    if "lean" in runs[0].config:
        return lexical_text(runs)
    if "fold" in runs[0].config:
        return budget_text(runs)
    table = summarise(runs, baseline, n_resamples)
    is_baseline = all(run.config["method"] == BASELINE for run in runs)
    if is_baseline:
        table = table[["language", "matching", "mean"]]
    else:
        table = table.rename(
            columns={
                "over_seeds": "difference, over seeds",
                "over_speakers": "difference, over speakers and seeds",
            }
        )
    counted = runs[0].config["method"], len({run.seed for run in runs})
    parts = [
        "macro-F1 of {}, {} seeds, 95 % intervals".format(*counted),
        table.map(_shown).to_string(index=False),
    ]
    if not is_baseline and not baseline:
        parts.append("no run of the baseline to compare with: lowser sweep baseline")
    parts += smaller_batches(runs)
    speakers = identifiability(runs)
    if len(speakers):
        parts += ["", "speakers told apart by the nearest neighbour, means over seeds"]
        parts.append(speakers.map(_shown).to_string(index=False))
    return "\n".join(parts)


def _check_comparable(run: RunRecord, other: RunRecord) -> None:
    """Raise a RunError unless two runs differ in their methods alone."""
    differing = [name for name in COMPARABLE if run.config.get(name) != other.config.get(name)]
    both = run.corpora.keys() & other.corpora.keys()
    differing += sorted(name for name in both if run.corpora[name] != other.corpora[name])
    if differing:
        raise RunError(
            f"{run.name} cannot be compared with {other.name}: they differ in "
            f"{', '.join(differing)}. Move the older records away and run their sweep again"
        )


def _scores(runs: Iterable[RunRecord], matching: str) -> np.ndarray:
    return np.array([run.metrics["transfer"][matching]["macro_f1"] for run in runs])


def _over_speakers(
    runs: Sequence[RunRecord], others: Sequence[RunRecord], matching: str, n_resamples: int
) -> Interval:
    """Interval of the difference when speakers and seeds are drawn again."""
    ours, theirs = ([predictions(run) for run in part] for part in (runs, others))
    first = ours[0]
    for part, answers in ((runs, ours), (others, theirs)):
        for run, clips in zip(part, answers, strict=True):
            if any(not np.array_equal(clips[key], first[key]) for key in ("speaker", "truth")):
                raise RunError(
                    f"{run.name} was tested on other clips than {runs[0].name}; run both sweeps on "
                    "the same speech"
                )
    return paired_speaker_bootstrap(
        first["truth"],
        np.stack([clips[matching] for clips in ours]),
        np.stack([clips[matching] for clips in theirs]),
        first["speaker"],
        list(range(len(EMOTIONS))),
        n_resamples=n_resamples,
    )


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


# --- label budgets ------------------------------------------------------------------------------

KEYS = ["corpus", "view", "budget"]


def budget_table(runs: Sequence[RunRecord]) -> pd.DataFrame:
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

    The folds of a seed are put together, and the two arms' answers exchanged speaker by speaker,
    all seeds at once; p-values are Holm-corrected for all comparisons, of every corpus.

    Args:
        runs: records of one sweep.
        arm: name of one arm, see :data:`lowser_lib.experiments.budgets.ARMS`.
        against: name of the arm that it is compared with.

    Returns:
        Indexed by corpus, view and budget: a column an arm, ``difference``, ``p``, ``p_holm``,
        ``mark`` and ``n_pairs``, the speakers.

    Raises:
        RunError: there is no result, or none of an arm.
    """
    results = budget_table(runs)
    if results.empty:
        raise RunError("there is no result yet; run: lowser sweep pairwise")
    missing = [name for name in (arm, against) if name not in set(results["arm"])]
    if missing:
        known = ", ".join(dict.fromkeys(results["arm"]))
        raise RunError(f"there is no result of an arm {missing[0]!r}; there are {known}")
    wide = results.pivot_table(index=[*KEYS, "seed", "fold"], columns="arm", values="uar").dropna()
    tests = {}
    columns = [wide.index.get_level_values(key) for key in KEYS]
    for corpus, view, budget in dict.fromkeys(zip(*columns, strict=True)):
        part = [run for run in runs if run.config["corpus"] == corpus]
        first, second = (budget_answers(part, view, budget, name) for name in (arm, against))
        if first is not None and second is not None:
            tests[corpus, view, budget] = exchange_test(first, second)
    tested = marked(tests).drop(columns="difference")
    arms = [name for name in budgets.ARMS if name in wide]
    means = wide.groupby(KEYS, sort=False)[arms].mean()
    means = means.assign(difference=means[arm] - means[against])
    if tested.empty:
        return means
    tested.index = tested.index.set_names(KEYS)
    return means.join(tested, how="left")


def verdicts(runs: Sequence[RunRecord], pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """How many comparisons of two arms are significant, and which way.

    Args:
        runs: Records of one sweep.
        pairs: An arm, and the one that it is compared with.

    Returns:
        A row a pair, such as ``probe − scratch``: ``comparisons``, ``better`` and ``worse`` (those
        with a mark), ``out of reach`` (those that could get no mark, with so few speakers and so
        many comparisons) and ``points``, the mean difference.
    """
    rows = {}
    for arm, against in pairs:
        table = curves(runs, arm, against).dropna(subset="p")
        sure = table.loc[table["mark"] == "*", "difference"]
        least = [smallest_p(int(people), len(table)) for people in table["n_pairs"]]
        rows[f"{arm} − {against}"] = {
            "comparisons": len(table),
            "better": int((sure > 0).sum()),
            "worse": int((sure < 0).sum()),
            "out of reach": sum(p > LEVEL for p in least),
            "points": 100 * table["difference"].mean(),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def budget_gains(
    runs: Sequence[RunRecord], pairs: Sequence[tuple[str, str]], budgets: Sequence[int]
) -> pd.DataFrame:
    """What one arm has more UAR than another, mean over budgets and corpora, by view.

    Args:
        runs: Records of one sweep.
        pairs: An arm, and the one that it is compared with.
        budgets: Labels a class, 0 for all.

    Returns:
        ``label`` (the view), ``test`` (the pair), ``estimate``, ``low`` and ``high`` over speakers
        and seeds, as :func:`lowser_lib.plots.differences` takes them. A view that no seed has in
        full is left out.
    """
    known = Records(runs[0].profile, {"pairwise": runs})
    results = budget_table(runs)
    rows = []
    for (arm, against), view in product(pairs, dict.fromkeys(results["view"])):
        try:
            interval = budget_gain(known, view, budgets, (arm, against)).interval
        except Missing:
            continue
        row = {"label": view, "test": f"{arm} − {against}", "estimate": interval.estimate}
        rows.append({**row, "low": interval.low, "high": interval.high})
    return pd.DataFrame(rows, columns=["label", "test", "estimate", "low", "high"])


def starts_gain(
    sweeps: Mapping[str, Sequence[RunRecord]], pair: tuple[str, str], budgets: Sequence[int]
) -> pd.DataFrame:
    """What one arm has more than another after pre-training on different speech, first seed alone.

    Args:
        sweeps: Records by what was pre-trained on; one without records is left out.
        pair: An arm, and the one that it is compared with.
        budgets: Labels a class, 0 for all.

    Returns:
        As of :func:`budget_gains`, ``label`` being the sweep and ``test`` the view, which all have.
    """
    first = {name: [run for run in runs if run.seed == 0] for name, runs in sweeps.items()}
    tables = [
        budget_gains(runs, [pair], budgets).assign(test=lambda table: table["label"], label=name)
        for name, runs in first.items()
        if runs
    ]
    rows = pd.concat(tables, ignore_index=True)
    shared = rows.groupby("test")["label"].transform("nunique") == len(tables)
    return rows[shared].reset_index(drop=True)


def crossed(
    plain: Sequence[RunRecord], normalised: Sequence[RunRecord], corpus: str
) -> dict[str, float]:
    """UAR of a probe with and without pre-training, with and without voices taken out.

    Args:
        plain: Records of a sweep over label budgets with the voices left in.
        normalised: Of one with the voices taken out.
        corpus: Tested on.

    Returns:
        ``drawn``, ``trained``, ``normalised`` and ``both``: means over what both sweeps have of
        seeds, folds, views and budgets; empty where they have nothing in common.
    """
    keys = ["seed", "fold", "view", "budget", "arm"]
    tables = [table[table["corpus"] == corpus] for table in map(budget_table, (plain, normalised))]
    both = tables[0].merge(tables[1], on=keys, suffixes=(" plain", " normalised"))
    means = both.groupby("arm")[["uar plain", "uar normalised"]].mean().to_dict("index")
    if not {"untrained", "probe"} <= set(means):
        return {}
    return {
        name: float(means[arm][f"uar {how}"])
        for name, arm, how in (
            ("drawn", "untrained", "plain"),
            ("trained", "probe", "plain"),
            ("normalised", "untrained", "normalised"),
            ("both", "probe", "normalised"),
        )
    }


def budget_scores(
    runs: Sequence[RunRecord],
    arms: Sequence[str],
    marks: pd.Series | None = None,
    n_resamples: int = 200,
) -> dict[str, pd.DataFrame]:
    """UAR over label budgets with intervals over speakers and seeds, ready to be drawn.

    Args:
        runs: Records of one sweep.
        arms: Some of the arms.
        marks: A mark by corpus, view and budget, as :func:`curves` gives it.
        n_resamples: Draws of the bootstrap.

    Returns:
        Corpus to the rows of :func:`lowser_lib.plots.budget_curves`.
    """
    results = budget_table(runs)
    tables = {}
    for corpus, part in results[results["arm"].isin(arms)].groupby("corpus", sort=False):
        its = [run for run in runs if run.config["corpus"] == corpus]
        rows = []
        for view, budget, arm in product(*(dict.fromkeys(part[key]) for key in ("view", "budget")),
                                         arms):  # fmt: skip
            answers = budget_answers(its, view, budget, arm)
            if answers is not None:
                interval = resample(answers, "uar", n_resamples).interval(limits=(0, 1))
                row = {"view": view, "budget": budget, "arm": arm, "estimate": interval.estimate}
                mark = None if marks is None else marks.get((corpus, view, budget))
                rows.append({**row, "low": interval.low, "high": interval.high, "mark": mark})
        tables[str(corpus)] = pd.DataFrame(rows)
    return tables


def budget_text(runs: Sequence[RunRecord], arm: str = "pairwise", against: str = "scratch") -> str:
    """The curves as they are printed; arguments as of :func:`curves`."""
    table = curves(runs, arm, against).reset_index()
    order = {0: float("inf")}  # "all" comes last
    table = table.sort_values(
        KEYS, key=lambda column: column.replace(order) if column.name == "budget" else column
    )
    table["budget"] = table["budget"].map(lambda budget: str(budget) if budget else "all")
    shown = table.to_string(index=False, float_format=lambda value: f"{value:.3f}")
    return (
        f"UAR, means over folds and seeds; difference: {arm} - {against}; p by exchange of "
        f"speakers, corrected for all (Holm)\n{shown}"
    )


# --- leaning words ------------------------------------------------------------------------------

LEAKS = {"to nobody's": skews.ROLES[1], "to another's": skews.ROLES[2]}
"""Leaks by name: what a score loses from an emotion's own sentences to these."""


def lexical_table(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """All results, one row each: arm, lean, seed, test (whose sentence, or ``all``) and uar."""
    rows = [
        {**{key: run.config[key] for key in ("arm", "lean")}, "seed": run.seed, "test": test,
         "uar": uar}
        for run in runs
        for test, uar in run.metrics["uar"].items()
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["arm", "lean", "seed", "test", "uar"])
    table["arm"] = pd.Categorical(table["arm"], list(lexical.ARMS))
    return table.sort_values(["arm", "lean", "seed"], kind="stable").reset_index(drop=True)


def lexical_text(runs: Sequence[RunRecord]) -> str:
    """Means over seeds, as they are printed."""
    wide = lexical_table(runs).pivot_table(
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


def contrast_changes(
    frozen: Mapping[str, pd.DataFrame], tuned: Sequence[RunRecord]
) -> list[dict[str, Any]]:
    """What the contrast changes in the leak to another's sentences, for ``plots.differences``.

    Args:
        frozen: As of :func:`.leaning.leak_table`, by label: heads on a frozen encoder.
        tuned: Records of ``lowser sweep lexical``: all weights trained.
    """
    rows = []
    for label, table in frozen.items():
        change = table[(table["test"] == leaning.CHANGE) & (table["lean"] > 0)]
        rows += [
            (label, lean, of) for lean, of in zip(change["lean"], change["interval"], strict=True)
        ]
    change = remedy(tuned)
    change = change[(change["of"] == "to another's") & (change["lean"] > 0)]
    rows += [("synthetic, fine-tuned", lean, of)
             for lean, of in zip(change["lean"], change["interval"], strict=True)]  # fmt: skip
    return [{"label": label, "test": f"lean {lean:g}", **vars(of)} for label, lean, of in rows]


def _wide(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """A row a run, by arm, lean and seed; a column a test."""
    table = lexical_table(runs).astype({"arm": str})
    wide = table.pivot_table(index=["arm", "lean", "seed"], columns="test", values="uar")
    return wide[[*skews.ROLES, "all"]]
