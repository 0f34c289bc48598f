"""What chapters and sweeps measured on recordings of people, for a chapter to tell."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd

from lowser_lib.evaluation import Answers, Interval, compared
from lowser_lib.evaluation.intervals import MEAN
from lowser_lib.experiments import frozen_tables, paths, summaries
from lowser_lib.experiments.profiles import LANGUAGES
from lowser_lib.experiments.records import MATCHING, RunRecord, load_record, load_records

ENCODERS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "eGeMAPS + SVM": ("frozen-egemaps", "corpus svm"),
        "random weights": ("frozen-random", "corpus plain"),
        "nano": ("frozen-nano", "corpus plain"),
        "tiny.en": ("frozen-tiny-en", "corpus plain"),
        "base": ("frozen-base", "corpus plain"),
    }
)
"""What pre-training is worth: sweeps and answers, each corpus standardised by itself."""


def measured(name: str, profile: str = "open") -> dict[str, Any] | None:
    """Read the metrics of a chapter's record; where there is none, say how to make it.

    Args:
        name: Chapter and name, such as ``03-transfer``.
        profile: The profile of the run.

    Returns:
        The record's metrics, or None where the results folder has no such record.

    Raises:
        RunError: The record is damaged or of another layout.
    """
    if not (paths.results_root() / profile / f"{name}.json").is_file():
        print(f"No record yet: lowser run --profile {profile} --chapters {name[:2]} makes it.")
        return None
    return load_record(paths.results_root(), profile, name).metrics


def swept(name: str, profile: str = "open") -> list[RunRecord]:
    """Read the records of a sweep; where there is none, say so.

    Args:
        name: Of the sweep, such as ``frozen-tiny-en``.
        profile: The profile of the runs.

    Raises:
        RunError: A record is damaged or of another layout.
    """
    runs = load_records(paths.results_root(), profile, name)
    if not runs:
        print(f"No records yet of the sweep {name} in the profile {profile}.")
    return runs


def answers(
    arms: Mapping[str, tuple[str, str]], profile: str = "open"
) -> dict[str, dict[str, Answers]]:
    """What sweeps answered to the same clips, those without records left out.

    Args:
        arms: By name: a sweep, and one kind of its answers, see :data:`.frozen_tables.Arm`.
        profile: The profile of the runs.

    Returns:
        By name, by language: for :func:`lowser_lib.evaluation.compared`.
    """
    known = {name: (swept(sweep, profile), kind) for name, (sweep, kind) in arms.items()}
    return frozen_tables.answers(known)


def layers(sweep: str) -> dict[str, dict[str, Answers]]:
    """What a frozen encoder's layers answered: by number of blocks passed, by language."""
    return frozen_tables.answers(frozen_tables.layers(swept(sweep)))


def identified(sweep: str, profile: str = "open") -> pd.DataFrame:
    """How well voices that a first stage heard are recognised in sentences that it did not hear.

    Returns:
        A row a language: ``before``, ``after`` and ``chance``, means over seeds.
    """
    table = summaries.identifiability(swept(sweep, profile))
    its = table[table["clips"] == "unheard sentences"].set_index("language")
    return its.rename(index=LANGUAGES)[["before", "after", "chance"]].astype(float)


def doses(sweeps: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """What first stages of several doses do to speakers and to emotions.

    Args:
        sweeps: By dose: a sweep of ``speaker_contrastive``.

    Returns:
        By language, a row a dose, the first without one: ``speakers`` (as :func:`identified`) and
        ``emotions`` (macro-F1 of a new head on the frozen encoder). Empty without records.
    """
    told = {dose: identified(sweep) for dose, sweep in sweeps.items()}
    told = {dose: table for dose, table in told.items() if len(table)}
    if not told:
        return {}
    arms = {dose: (sweeps[dose], "adapted: corpus plain") for dose in told}
    heard = compared(answers({"none": ("baseline", "pre-trained: corpus plain"), **arms}))
    scores = heard.pivot(index="method", columns="corpus", values="estimate")
    first = next(iter(told.values()))["before"]
    voices = pd.DataFrame({"none": first, **{dose: table["after"] for dose, table in told.items()}})
    return {
        language: pd.DataFrame(
            {"speakers": voices.loc[language], "emotions": scores[language]}
        ).loc[["none", *told]]
        for language in voices.index.intersection(scores.columns)
    }


def gains(
    arms: Mapping[str, str | tuple[str, str]], against: str, profile: str = "open"
) -> pd.DataFrame:
    """What sweeps, or kinds of their answers, change of macro-F1: paired, over speakers and seeds.

    Args:
        arms: Name to a sweep, whose corpus-standardised answers are taken, or to a sweep and the
            kind of its answers, such as ``("frozen-tiny-en", "corpus plain")``.
        against: Name of the arm that the others are compared with.
        profile: The profile of the runs.

    Returns:
        As :func:`lowser_lib.evaluation.compared`, of the languages and seeds that all arms have.

    Raises:
        RunError: A record is damaged or of another layout.
    """
    pairs = {
        name: (arm, MATCHING[1]) if isinstance(arm, str) else arm for name, arm in arms.items()
    }
    return compared(answers(pairs, profile), against)


def points(table: pd.DataFrame, method: str, corpus: str = MEAN) -> Interval:
    """One row of such a table in points, for a finding.

    Args:
        table: As of :func:`gains`.
        method: Name of an arm.
        corpus: A language, or the mean over languages.

    Raises:
        ValueError: There is no such row.
    """
    rows = table[(table["method"] == method) & (table["corpus"] == corpus)]
    if rows.empty:
        raise ValueError(f"table has no row for method {method!r} and corpus {corpus!r}")
    estimate, low, high = (100 * float(rows[end].iloc[0]) for end in ("estimate", "low", "high"))
    return Interval(estimate, low, high, n_speakers=0)
