"""How far a score would move with other speakers and other training seeds.

The clips of one speaker are not independent: who is easy to read is easy in most of their clips.
Resampling clips would treat ten speakers of fifty clips as five hundred witnesses and give an
interval that is far too narrow. So the bootstrap here draws whole *speakers* with replacement, each
with all of their clips (the cluster bootstrap; Davison and Hinkley 1997, section 3.8), and takes
the percentiles of the metric over the draws.

**Several seeds.** Predictions of several trainings, one row a seed, are averaged: the estimate is
the mean of the metric over seeds. Seeds are drawn with replacement too, in the same draw as the
speakers and independently of them, because both would be new if the experiment were repeated by
someone else. All seeds of one draw see the same speakers. **Two methods** trained with the same
seeds share split, first weights and batches: seed j of one is compared with seed j of the other,
and a draw of seeds is the same for both.

**Few of either.** Draws of n values have (n − 1)/n of their variance, and percentiles are those of
a normal curve where Student's would be right (Hesterberg 2015, *What Teachers Should Know About the
Bootstrap*, section 5.3). What is particular to a speaker in a seed, on the other hand, is drawn
twice, with the one and with the other (Owen 2007, *The pigeonhole bootstrap*, Annals of Applied
Statistics 1, 386–411). Where the first outweighs the second, the percentiles are stretched about
the estimate, to the variance of a two-way layout and by Student's quantile over the normal one,
with Satterthwaite's degrees of freedom. In simulation a nominal 95 % covers the truth in 92 to 98 %
of cases, from ten speakers and three seeds on (``benchmarks/bench_statistics.py``). With one seed
the interval is over speakers alone.

**What it cannot do.** The folds' models and the labels are held fixed. Where speakers differ in
which classes they speak, as in URDU, some draws hardly hold a class, macro-F1 falls, and the
interval reaches further down than up. With one speaker nothing can be said, and the bounds are
``nan``.

Every metric is a function of the confusion matrix, and that of a draw is the sum of its speakers'.
Counting one matrix a speaker first makes a thousand draws one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from lowser_lib.errors import EvaluationError, require
from lowser_lib.evaluation.metrics import Answers, Statistic, metric_from_counts, same_clips


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval it lies in.

    Attributes:
        estimate: The metric, or a difference of two.
        low: Lower bound, ``nan`` when not estimable.
        high: Upper bound, ``nan`` when not estimable.
        n_speakers: Speakers it rests on; 0 when speakers play no part.
        n_seeds: Training seeds it rests on.
        level: The nominal coverage.
    """

    estimate: float
    low: float
    high: float
    n_speakers: int
    n_seeds: int = 1
    level: float = 0.95

    @property
    def estimable(self) -> bool:
        """Whether there are bounds."""
        return not (math.isnan(self.low) or math.isnan(self.high))

    def excludes(self, value: float) -> bool:
        """Whether ``value`` lies outside the interval; ``False`` when not estimable."""
        return self.estimable and not self.low <= value <= self.high

    def __str__(self) -> str:
        if not self.estimable:
            return f"{self.estimate:.2f} [not estimable]"
        return f"{self.estimate:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True)
class Resampled:
    """A figure of every seed: as measured, and with the speakers drawn again.

    Figures of the same seeds can be added, subtracted and scaled, and keep what they share: the
    difference of two methods on the same draws, or the mean over languages.

    Attributes:
        values: One figure a seed, shape (seeds,).
        draws: The same with other speakers, shape (resamples, seeds).
        n_speakers: Speakers drawn; where there are several sets of them, the smallest.
    """

    values: NDArray[np.float64]
    draws: NDArray[np.float64]
    n_speakers: int

    def __add__(self, other: Resampled) -> Resampled:
        """The sum, seed j with seed j."""
        return Resampled(
            self.values + other.values,
            self.draws + other.draws,
            min(self.n_speakers, other.n_speakers),
        )

    def __mul__(self, factor: float) -> Resampled:
        """The figure times a number."""
        return Resampled(factor * self.values, factor * self.draws, self.n_speakers)

    def __sub__(self, other: Resampled) -> Resampled:
        """The difference, seed j less seed j."""
        return self + other * -1

    def interval(
        self,
        level: float = 0.95,
        generator: np.random.Generator | None = None,
        limits: tuple[float, float] = (-math.inf, math.inf),
    ) -> Interval:
        """Mean over seeds, with the interval over speakers and seeds.

        Args:
            level: Nominal coverage, in (0, 1).
            generator: Draws the seeds; by default one of seed 0.
            limits: The smallest and the largest value that the figure can have.
        """
        return _interval([self], level, generator, limits)


def resample(
    answers: Answers,
    statistic: str | Statistic,
    n_resamples: int = 1000,
    generator: np.random.Generator | None = None,
) -> Resampled:
    """Compute a figure of each seed, and again with speakers drawn with replacement.

    Args:
        answers: The answers.
        statistic: ``accuracy``, ``macro_f1``, ``uar``, or any function of confusion matrices.
        n_resamples: Number of draws.
        generator: Source of the draws; by default one of seed 0: answers of the same speakers then
            get the same draws, and their difference is a paired one.

    Raises:
        ValueError: ``statistic`` is an unknown metric, or ``n_resamples`` is below 1.
    """
    require("1..", n_resamples=n_resamples)
    counts = answers.confusions()
    random = np.random.default_rng(0) if generator is None else generator
    return of_counts(counts, speaker_weights(counts.shape[1], n_resamples, random), statistic)


def speaker_weights(
    n_speakers: int, n_resamples: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Draw as many speakers as there are: how often each is drawn, (resamples, speakers)."""
    return generator.multinomial(n_speakers, np.full(n_speakers, 1 / n_speakers), n_resamples)


def of_counts(
    counts: NDArray[np.int64], weights: NDArray[np.int64], statistic: str | Statistic
) -> Resampled:
    """A figure of counts (seeds, speakers, classes, classes), for given draws of speakers."""

    def score(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
        if isinstance(statistic, str):
            return metric_from_counts(matrices, statistic)
        return statistic(matrices)

    draws = [score(np.tensordot(weights, seed, axes=1)) for seed in counts]
    return Resampled(score(counts.sum(axis=1)), np.stack(draws, axis=1), counts.shape[1])


def speaker_bootstrap(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    speakers: ArrayLike,
    labels: Sequence[Hashable],
    metric: str = "macro_f1",
    n_resamples: int = 1000,
    level: float = 0.95,
    generator: np.random.Generator | None = None,
) -> Interval:
    """Interval of a metric over resampled speakers, and over seeds if there are several.

    Args:
        y_true: True labels, shape (n,).
        y_pred: Predicted labels, shape (n,), or (seeds, n) for several trainings.
        speakers: Who speaks each clip, shape (n,).
        labels: All classes, each once.
        metric: ``accuracy``, ``macro_f1`` or ``uar``.
        n_resamples: Number of draws.
        level: Nominal coverage, in (0, 1).
        generator: Source of the draws; by default one of seed 0, so that a table can be remade.

    Returns:
        The interval; without bounds (``nan``) when there are fewer than two speakers.

    Raises:
        EvaluationError: Nothing to score, unequal lengths, a missing speaker, or a label that is
            not in ``labels``.
        ValueError: ``metric``, ``level`` or ``n_resamples`` is out of range.
    """
    generator = np.random.default_rng(0) if generator is None else generator
    answers = Answers.of(y_true, y_pred, speakers, labels)
    return resample(answers, metric, n_resamples, generator).interval(level, generator, (0, 1))


def paired_speaker_bootstrap(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    y_pred_other: ArrayLike,
    speakers: ArrayLike,
    labels: Sequence[Hashable],
    metric: str = "macro_f1",
    n_resamples: int = 1000,
    level: float = 0.95,
    generator: np.random.Generator | None = None,
) -> Interval:
    """Interval of the difference between two methods on the same clips.

    Both methods see the same speakers in each draw, so that what makes a speaker hard for both
    cancels: the interval is narrower than two separate ones suggest. Where both have the same
    number of seeds, seed j is compared with seed j; where not, their seeds are drawn separately.

    Args:
        y_true: True labels, shape (n,).
        y_pred: Predictions of the method, shape (n,) or (seeds, n).
        y_pred_other: Predictions of the method it is compared with, shape (n,) or (other seeds, n).
        speakers: Who speaks each clip, shape (n,).
        labels: All classes, each once.
        metric: ``accuracy``, ``macro_f1`` or ``uar``.
        n_resamples: Number of draws.
        level: Nominal coverage, in (0, 1).
        generator: Source of the draws; by default one of seed 0.

    Returns:
        The interval of ``metric(y_pred) − metric(y_pred_other)``; positive means that the first is
        better. ``n_seeds`` is the smaller of the two numbers of seeds.

    Raises:
        EvaluationError: As :func:`speaker_bootstrap`.
        ValueError: As :func:`speaker_bootstrap`.
    """
    first, second = (Answers.of(y_true, y, speakers, labels) for y in (y_pred, y_pred_other))
    return paired(first, second, metric, n_resamples, level, generator)


def paired(
    first: Answers,
    second: Answers,
    statistic: str | Statistic = "macro_f1",
    n_resamples: int = 1000,
    level: float = 0.95,
    generator: np.random.Generator | None = None,
) -> Interval:
    """:func:`paired_speaker_bootstrap` for answers, and for any function of confusion matrices."""
    require("1..", n_resamples=n_resamples)
    same_clips(first, second)
    generator = np.random.default_rng(0) if generator is None else generator
    counts = [side.confusions() for side in (first, second)]
    weights = speaker_weights(counts[0].shape[1], n_resamples, generator)
    left, right = (of_counts(side, weights, statistic) for side in counts)
    return difference(left, right, level, generator, (-1, 1))


def difference(
    first: Resampled,
    second: Resampled,
    level: float = 0.95,
    generator: np.random.Generator | None = None,
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> Interval:
    """Interval of first less second on the same draws; arguments as of :meth:`.interval`."""
    if len(first.values) == len(second.values):
        return (first - second).interval(level, generator, limits)
    return _interval([first, second * -1], level, generator, limits)


def jackknife(
    sides: Sequence[NDArray[np.int64]],
    statistic: Callable[[Sequence[NDArray[np.int64]]], NDArray[np.float64]],
    level: float = 0.95,
) -> Interval:
    """Interval over speakers and seeds of a figure for which speakers cannot be drawn twice.

    Speakers are left out one at a time (Efron and Stein 1981), their counts set to zero, which
    gives the variance over speakers; that over seeds is added. Bounds are Student's.

    Args:
        sides: Counts (seeds, speakers, classes, classes), of the same seeds and speakers.
        statistic: Takes the sides; one value a seed.
        level: Nominal coverage, in (0, 1).
    """
    require("(0, 1)", level=level)
    whole = statistic(sides)
    n_seeds, n_speakers = sides[0].shape[:2]
    kept = 1 - np.eye(n_speakers, dtype=np.int64)[:, :, None, None]  # nobody changes places
    without = np.array([statistic([side * mask for side in sides]) for mask in kept])
    deviations = without - without.mean(axis=0)
    factor = (n_speakers - 1) / n_speakers
    of_speakers = factor * float((deviations.mean(axis=1) ** 2).sum())
    terms, both = [(of_speakers, n_speakers - 1)], 0.0
    if n_seeds > 1:
        terms.append((float(whole.var(ddof=1)) / n_seeds, n_seeds - 1))
        alone = deviations - deviations.mean(axis=1, keepdims=True)
        both = factor * float((alone**2).sum(axis=0).mean()) / (n_seeds - 1)
    variance, freedom = _two_way(terms, both)
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * math.sqrt(variance) if variance else 0.0
    estimate = float(whole.mean())
    return Interval(estimate, estimate - half, estimate + half, n_speakers, n_seeds, level)


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Student's t interval of a mean, for one score a seed.

    Args:
        values: Scores, shape (seeds,), finite.
        level: Nominal coverage, in (0, 1).

    Returns:
        The interval; without bounds (``nan``) when there is only one value.

    Raises:
        EvaluationError: No values, or one that is not finite.
        ValueError: ``level`` is out of range.
    """
    require("(0, 1)", level=level)
    scores = np.asarray(values, dtype=np.float64).ravel()
    if not len(scores) or not np.isfinite(scores).all():
        raise EvaluationError(
            f"a mean needs one finite score a seed, not {scores.tolist()!r}: leave out the runs "
            "that failed, and say so"
        )
    estimate, count = float(scores.mean()), len(scores)
    if count < 2:
        return Interval(estimate, math.nan, math.nan, 0, count, level)
    half = float(stats.t.ppf((1 + level) / 2, count - 1) * scores.std(ddof=1) / math.sqrt(count))
    return Interval(estimate, estimate - half, estimate + half, 0, count, level)


def _interval(
    parts: Sequence[Resampled],
    level: float,
    generator: np.random.Generator | None,
    limits: tuple[float, float],
) -> Interval:
    """Interval of a sum of figures whose seeds are drawn separately."""
    require("(0, 1)", level=level)
    random = np.random.default_rng(0) if generator is None else generator
    estimate = float(sum(part.values.mean() for part in parts))
    n_speakers = min(part.n_speakers for part in parts)
    n_seeds = min(len(part.values) for part in parts)
    nothing = Interval(estimate, math.nan, math.nan, n_speakers, n_seeds, level)
    if n_speakers < 2:
        return nothing
    drawn, of_speakers = [], []
    for part in parts:
        seeds = random.integers(len(part.values), size=part.draws.shape)
        drawn.append(np.take_along_axis(part.draws, seeds, axis=1).mean(axis=1))
        of_speakers.append(part.draws.mean(axis=1))
    known = np.isfinite(sum(of_speakers)) & np.isfinite(sum(drawn))
    if known.sum() <= len(known) / 2:  # in most draws the figure does not exist
        return nothing
    draws = np.asarray(sum(drawn))[known]
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    spread = float(np.asarray(sum(of_speakers))[known].var())
    stretch = _stretch(float(draws.var()), spread, n_speakers, parts, level)
    bounds = (estimate + stretch * (bound - estimate) for bound in (low, high))
    low, high = (float(np.clip(bound, *limits)) for bound in bounds)
    return Interval(estimate, low, high, n_speakers, n_seeds, level)


def _stretch(
    drawn: float, over_speakers: float, n_speakers: int, parts: Sequence[Resampled], level: float
) -> float:
    """By how much percentiles of such draws are too close to the estimate.

    Args:
        drawn: Variance of the draws.
        over_speakers: Variance of the draws' means over all seeds.
        n_speakers: Number of speakers drawn from.
        parts: Figures whose seeds are drawn separately.
        level: Of the interval, in (0, 1).
    """
    of_speakers = over_speakers * n_speakers / (n_speakers - 1)
    terms, both = [(of_speakers, n_speakers - 1)], 0.0
    for part in parts:
        count = len(part.values)
        if count > 1:
            terms.append((float(part.values.var(ddof=1)) / count, count - 1))
            alone = part.draws - part.draws.mean(axis=1, keepdims=True)
            both += float(np.nanvar(alone, axis=0).mean()) / (count - 1)
    total, freedom = _two_way(terms, both)
    if drawn <= 0 or total <= 0:
        return 1.0
    tail = (1 + level) / 2
    student = float(stats.t.ppf(tail, freedom) / stats.norm.ppf(tail))
    return max(1.0, math.sqrt(total / drawn) * student)  # never narrower than the draws


def _two_way(terms: Sequence[tuple[float, int]], both: float) -> tuple[float, float]:
    """Variance of a mean over speakers and seeds, and Satterthwaite's degrees of freedom.

    Args:
        terms: Variance and degrees of freedom: of the speakers first, then of seeds.
        both: What is particular to a speaker in a seed, which is in either of them.
    """
    total = sum(variance for variance, _ in terms)
    if total <= 0:
        return 0.0, 1.0
    freedom = total**2 / sum(variance**2 / free for variance, free in terms)
    return max(terms[0][0], total - both), freedom


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
        known = [figure for figure in figures[method].values() if figure.n_speakers > 1]
        if len(known) > 1:
            figures[method][MEAN] = mean_over(known)
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
