"""What a sweep amounts to: means over seeds, and the difference to the baseline's sweep.

Two intervals stand beside a difference. That *over seeds* is Student's, of the differences between
runs of the same seed, which share the split, the head's first weights and the batches: would other
seeds say the same, on these speakers? That *over speakers* resamples the target's speakers and the
seeds: would others say the same elsewhere?
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lowser_lib.corpora.base import EMOTIONS
from lowser_lib.errors import RunError
from lowser_lib.evaluation import Interval, mean_interval, paired_speaker_bootstrap
from lowser_lib.experiments.records import RunRecord
from lowser_lib.experiments.sweep_records import MATCHING, predictions, read, record_path

COMPARABLE = (
    "encoder_sha256",
    "precision",
    "max_source_clips",
    "max_target_clips",
    "folds",
    "validation",
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
    places = [(run.profile, name, run.config["language"], run.seed) for run in runs]
    return [read(results, *place) for place in places if record_path(results, *place).is_file()]


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
        own = {run.seed: run for run in runs if run.config["language"] == language}
        known = {run.seed: run for run in baseline if run.config["language"] == language}
        seeds = sorted(own.keys() & known.keys())
        for matching in MATCHING:
            row: dict[str, str | Interval | None] = {
                "language": language,
                "matching": matching,
                "mean": mean_interval(_scores(own.values(), matching)),
                "baseline": None,
                "over_seeds": None,
                "over_speakers": None,
            }
            if seeds:
                for seed in seeds:
                    _check_comparable(own[seed], known[seed])
                pairs = [own[seed] for seed in seeds], [known[seed] for seed in seeds]
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
            "before": one["before"]["accuracy"],
            "after": one["after"]["accuracy"],
            "chance": one["before"]["chance"],
        }
        for run in runs
        for clips, one in run.metrics.get("identifiability", {}).items()
        if one["before"] is not None and one["after"] is not None
    ]
    if not rows:
        return pd.DataFrame(columns=["language", "clips", "before", "after", "chance"])
    table = pd.DataFrame(rows)
    return table.groupby(["language", "clips"], sort=False).mean().reset_index()


def smaller_batches(runs: Sequence[RunRecord]) -> list[str]:
    """One line for each language whose speech could not fill the first stage's batches."""
    lines = [
        f"{run.config['language']}: {run.metrics['stage1']['batch']['missing']}"
        for run in runs
        if run.metrics.get("stage1", {}).get("batch", {}).get("missing")
    ]
    return list(dict.fromkeys(lines))


def text(runs: Sequence[RunRecord], baseline: Sequence[RunRecord], n_resamples: int = 1000) -> str:
    """The summary as it is printed; arguments as of :func:`summarise`."""
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
    told = identifiability(runs)
    if len(told):
        parts += ["", "speakers told apart by the nearest neighbour, means over seeds"]
        parts.append(told.map(_shown).to_string(index=False))
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
    read_out = [[predictions(run) for run in part] for part in (runs, others)]
    first = read_out[0][0]
    for part, answers in zip((runs, others), read_out, strict=True):
        for run, one in zip(part, answers, strict=True):
            if any(not np.array_equal(one[key], first[key]) for key in ("speaker", "truth")):
                raise RunError(
                    f"{run.name} was tested on other clips than {runs[0].name}; run both sweeps on "
                    "the same speech"
                )
    return paired_speaker_bootstrap(
        first["truth"],
        np.stack([one[matching] for one in read_out[0]]),
        np.stack([one[matching] for one in read_out[1]]),
        first["speaker"],
        list(range(len(EMOTIONS))),
        n_resamples=n_resamples,
    )


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
