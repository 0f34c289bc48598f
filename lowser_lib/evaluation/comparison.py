"""Several methods on several tests: scores, or paired differences, as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np
import pandas as pd

from lowser_lib.evaluation.intervals import Resampled, difference, resample
from lowser_lib.evaluation.metrics import Answers, same_clips

MEAN = "mean"
"""The mean over all tests whose speakers are known, one test counting as much as another."""

COLUMNS = ["method", "corpus", "estimate", "low", "high"]


def compared(
    sides: Mapping[str, Mapping[str, Answers]],
    against: str | None = None,
    *,
    only: str | None = None,
    n_resamples: int = 500,
) -> pd.DataFrame:
    """Macro-F1 of several methods on several tests, or what each gains on one of them.

    All methods of a test see the same draws of speakers, so that differences are paired.

    Args:
        sides: By method, by test: its answers. Tests that a method lacks are left out.
        against: Name of the method that is subtracted; None subtracts none.
        only: One test, or :data:`MEAN`; None: all.
        n_resamples: Draws of the bootstrap.

    Returns:
        ``method``, ``corpus`` (the test, and :data:`MEAN` where there are several), ``estimate``,
        ``low`` and ``high``, as :func:`lowser_lib.plots.interval_plot` takes them; with ``only``
        the last three, a row a method. Empty where there is nothing to compare.

    Raises:
        EvaluationError: Two methods that are subtracted were tested on different clips.
    """
    if against is not None and against not in sides:
        sides = {}
    tests = list(dict.fromkeys(test for its in sides.values() for test in its))
    tests = [test for test in tests if all(test in its for its in sides.values())]
    figures: dict[str, dict[str, Resampled]] = {}
    for method, its in sides.items():
        if against is not None:
            for test in tests:
                same_clips(sides[against][test], its[test])
        figures[method] = {test: resample(its[test], "macro_f1", n_resamples) for test in tests}
        told = [figure for figure in figures[method].values() if figure.n_speakers > 1]
        if len(told) > 1:
            figures[method][MEAN] = mean_over(told)
    rows = []
    for method, scores in figures.items():
        for test, score in scores.items():
            if method == against:
                continue
            if against is None:
                interval = score.interval(limits=(0, 1))
            else:
                interval = difference(score, figures[against][test], limits=(-1, 1))
            rows.append((method, test, interval.estimate, interval.low, interval.high))
    table = pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(COLUMNS[2:], float))
    if only is None:
        return table
    return table[table["corpus"] == only].set_index("method")[COLUMNS[2:]]


def mean_over(figures: list[Resampled]) -> Resampled:
    """The mean of figures on different speakers; of the seeds that all of them have."""
    seeds = min(len(figure.values) for figure in figures)
    cut = [Resampled(f.values[:seeds], f.draws[:, :seeds], f.n_speakers) for f in figures]
    return reduce(add, cut) * (1 / len(cut))


def by_clip(answers: Answers) -> Answers:
    """The same answers as if each clip had a speaker of its own: what such draws would promise."""
    return replace(answers, speaker=np.arange(len(answers.truth)).astype(object))
