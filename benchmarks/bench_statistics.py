"""Whether intervals cover and tests keep their level, at the sizes of URDU, EmoDB and RAVDESS.

Speakers differ in how well they are understood and in which method suits them, trainings in luck;
all seeds share the speakers. Nominal are 95 % of coverage and 5 % of false alarms. Fast versions of
these simulations are tests. Run as ``python benchmarks/bench_statistics.py [TRIALS]``; exits with 1
where a coverage lies outside .92 to .98, or a level above .07.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from lowser_lib.evaluation import Answers, exchange_test
from lowser_lib.evaluation.gaps import gaps
from lowser_lib.evaluation.groups import Least
from lowser_lib.evaluation.intervals import jackknife, paired, resample
from lowser_lib.experiments.ledger_figures import spread

TRIALS, CLASSES = 1000, 4
#: Women, men, and mean numbers of clips of each.
CORPORA = {"URDU": (11, 18, 5.1, 19.1), "EmoDB": (5, 5, 34, 34), "RAVDESS": (12, 12, 56, 56)}
#: Deviations on the scale of log odds: of speakers, of how a method suits them, of trainings.
SPEAKERS, SUITS, SEEDS, METHODS = 0.6, 0.4, 0.15, 0.1


def corpus(name: str, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Speaker, truth and gender of every clip; in URDU nearly all speak in one mood alone."""
    women, men, few, many = CORPORA[name]
    genders = np.arange(women + men) < women
    clips = np.maximum(2, random.poisson(np.where(genders, few, many)))
    speaker = np.repeat(np.arange(women + men), clips)
    truth = random.integers(0, CLASSES, len(speaker))
    if name == "URDU":
        mood = random.permutation(np.arange(women + men) % CLASSES)
        truth = np.where(random.random(len(truth)) < 0.9, mood[speaker], truth)
    return speaker, truth, genders[speaker]


def two_methods(
    name: str, seeds: int, random: np.random.Generator, suits: float = SUITS, luck: float = METHODS
) -> tuple[Answers, Answers]:
    """Answers of two methods that are equally good."""
    speaker, truth, gender = corpus(name, random)
    number = speaker.max() + 1
    skill, shared = random.normal(0, SPEAKERS, number), random.normal(0, SEEDS, seeds)
    sides = []
    for _ in range(2):
        own, alone = random.normal(0, suits, number), random.normal(0, luck, seeds)
        odds = (skill + own)[speaker] + (shared + alone)[:, None]
        right = random.random(odds.shape) < 1 / (1 + np.exp(-odds))
        other = (truth + random.integers(1, CLASSES, odds.shape)) % CLASSES
        answers = np.where(right, truth, other)
        sides.append(Answers.of(truth, answers, speaker, range(CLASSES), gender))
    return sides[0], sides[1]


def coverages(name: str, seeds: int, trials: int) -> Iterator[tuple[str, float]]:
    """Share of intervals that hold the truth: an accuracy, differences, a gap, a spread."""
    random = np.random.default_rng(0)
    hits = dict.fromkeys(("accuracy", "difference of macro-F1", "gap", "difference of spreads"), 0)
    for trial in range(trials):
        first, second = two_methods(name, seeds, random)
        whole = resample(first, "accuracy", 400, random).interval(generator=random)
        hits["accuracy"] += whole.low <= 0.5 <= whole.high
        change = paired(first, second, "macro_f1", 400, generator=random)
        hits["difference of macro-F1"] += change.low <= 0 <= change.high
        table = gaps(first, (True, False), least=Least(1, 1), n_resamples=400, n_permutations=99)
        row = table.set_index("gap").loc["accuracy"]
        hits["gap"] += bool(row["low"] <= 0 <= row["high"])
        if trial % 10 == 0:
            sides = [side.confusions() for side in (first, second)]
            apart = jackknife(sides, lambda pair: spread(pair[0]) - spread(pair[1]))
            hits["difference of spreads"] += apart.low <= 0 <= apart.high
    for what, count in hits.items():
        yield what, count / (trials / 10 if "spread" in what else trials)


def levels(name: str, seeds: int, trials: int) -> Iterator[tuple[str, float]]:
    """Share of tests that find what is not there."""
    random, alarms = np.random.default_rng(1), {"exchange by speaker": 0, "gap": 0}
    for _ in range(trials):
        # The test speaks about other speakers, with these trainings: no luck of one method alone.
        first, second = two_methods(name, seeds, random, luck=0)
        alarms["exchange by speaker"] += exchange_test(first, second, n_resamples=999).p <= 0.05
        table = gaps(first, (True, False), least=Least(1, 1), n_resamples=2, n_permutations=499)
        alarms["gap"] += table.set_index("gap")["p"]["accuracy"] <= 0.05
    for what, count in alarms.items():
        yield what, count / trials


def main() -> int:
    """Simulate, print, and say whether all is as it should be."""
    trials = int(sys.argv[1]) if sys.argv[1:] else TRIALS
    # Of so many trials the share has an error of its own.
    slack = 2 * np.sqrt(0.05 * 0.95 / trials) if trials < TRIALS else 0.0
    good = True
    for name in CORPORA:
        for seeds in (3, 5):
            for what, share in coverages(name, seeds, trials):
                print(f"{name}, {seeds} seeds, coverage, {what}: {share:.3f}", flush=True)
                room = slack + (0.03 if "spread" in what else 0)  # a tenth of the trials
                good &= 0.92 - room <= share <= 0.98 + room
            for what, share in levels(name, seeds, trials):
                print(f"{name}, {seeds} seeds, level, {what}: {share:.3f}", flush=True)
                good &= share <= 0.07 + slack
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
