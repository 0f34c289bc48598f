"""Before training: what a corpus can and cannot say about a difference between two groups.

Every line of :func:`checklist` follows from the manifest alone. No model is needed to know that
there is no angry woman.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from lowser_lib.corpora import EMOTIONS
from lowser_lib.errors import EvaluationError, SplitError
from lowser_lib.evaluation.answers import Answers
from lowser_lib.evaluation.groups import LEAST, Least, cells, length_bins
from lowser_lib.manifest import skew_table
from lowser_lib.splits import speaker_folds

BETWEEN = ("female", "male")
"""Every gap of the course is women less men."""


def mix_bound(mix: pd.DataFrame, between: tuple[str, str] = BETWEEN) -> float:
    """Largest raw gap of accuracies, either way, of a model that understands both groups alike.

    With equal recalls r the gap is Σ (s_a − s_b) · r. It is largest where all is told right of
    which the first says more and nothing else: Σ max(0, s_a − s_b), the total variation distance.

    Args:
        mix: A row a group, a column a class: shares that add up to 1.
        between: Names of the two rows.
    """
    first, second = (mix.loc[name].to_numpy(dtype=float) for name in between)
    return float(np.clip(first - second, 0, None).sum())


def largest_share(manifest: pd.DataFrame, column: str = "gender") -> float:
    """The largest part of any cell of a group and an emotion that is a single speaker's.

    Args:
        manifest: A manifest; rows without an emotion do not count.
        column: The column that names the groups.
    """
    spoken = manifest.groupby([column, "emotion", "speaker"]).size()
    return float((spoken / spoken.groupby(level=[0, 1]).transform("sum")).max())


def folds_lacking(
    manifest: pd.DataFrame, folds: int, seed: int = 0, column: str = "gender"
) -> int | None:
    """How many speaker-disjoint test folds lack a cell that the corpus has.

    Args:
        manifest: A manifest.
        folds: Number of folds.
        seed: Of the folds.
        column: The column that names the groups.

    Returns:
        None where the corpus has too few speakers for folds.
    """

    def cells_in(part: pd.DataFrame) -> set[tuple[str, str]]:
        return set(zip(part[column], part["emotion"], strict=True))

    try:
        parts = [part for _, part in speaker_folds(manifest, folds, seed)]
    except SplitError:
        return None
    return sum(cells_in(part) < cells_in(manifest) for part in parts)


def checklist(
    manifest: pd.DataFrame, folds: int = 5, seed: int = 0, least: Least = LEAST
) -> pd.DataFrame:
    """Eight questions about women and men to a corpus, before any training.

    Args:
        manifest: A manifest; rows without an emotion are left out.
        folds: Folds that it is to be split into.
        seed: Of the folds.
        least: What a cell must hold to be estimable.

    Returns:
        One row a question: ``question``, ``function`` (of the library, to look closer) and
        ``answer``, in words.

    Raises:
        EvaluationError: No labelled clip has a known gender.
    """
    labelled = manifest[manifest["emotion"].notna()]
    known = labelled[labelled["gender"].isin(BETWEEN)].reset_index(drop=True)
    if known.empty:
        raise EvaluationError(
            f"of {len(labelled)} labelled clips none has a known gender: fill in the manifest's "
            "column gender where speakers have told theirs"
        )
    spoken = Answers.of(known["emotion"], None, known["speaker"], EMOTIONS, known["gender"])
    counted = cells(spoken, least)
    weak = counted[counted["reason"] != ""]
    counts = skew_table(known, rows="gender").reindex(list(BETWEEN), fill_value=0)
    mix = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    people = known.groupby("gender")["speaker"].nunique().reindex(list(BETWEEN), fill_value=0)
    ways = math.comb(int(people.sum()), int(people["female"]))
    bins = pd.Series(length_bins(known["duration"])).groupby(known["gender"]).agg(
        lambda names: names.value_counts().index[0]
    )  # fmt: skip
    lacking = folds_lacking(known, folds, seed)
    answers = {
        ("Whose gender is not known?", "manifest"): (
            f"that of {len(labelled) - len(known)} of {len(labelled)} clips"
        ),
        ("Whose clips are they?", "skew_table"): (
            f"{counts.loc['male'].sum() / len(known):.0%} are men's"
        ),
        ("Which cells are too small?", "cells"): "; ".join(
            f"{row.group}, {row.emotion}: {row.reason}" for row in weak.itertuples()
        ) or "none",
        ("Is a cell one person's?", "largest_share"): (
            f"of some cell {largest_share(known):.0%} is"
        ),
        ("Do both say the same?", "mix_bound"): (
            f"a model fair within emotions may show a raw gap of {100 * mix_bound(mix):.0f} points"
        ),
        ("Are clips equally long?", "length_bins"): ", ".join(
            f"{group} mostly {most}" for group, most in bins.items()
        ),
        ("Can luck be ruled out?", "gaps"): (
            f"{people['female']} women, {people['male']} men: names can be dealt out in {ways:,} "
            "ways, and no p is smaller than one in these"
        ),
        ("Does a fold lack a cell?", "folds_lacking"): (
            "there are too few speakers for folds" if lacking is None else f"{lacking} of {folds}"
        ),
    }  # fmt: skip
    rows = [(*question, answer) for question, answer in answers.items()]
    return pd.DataFrame(rows, columns=["question", "function", "answer"])
