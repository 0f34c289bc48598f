"""Our side of the ledger: figures with intervals, from the records of one profile.

Every measure takes the records and a claim's arguments, and gives one :class:`Figure` a corpus. It
raises :class:`Missing` where there is no record yet. Embeddings are those of the classifier as it
is, without matching, as in the papers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lowser_lib.corpora import EMOTIONS
from lowser_lib.evaluation import (
    Interval,
    classification_metrics,
    mean_interval,
    paired_speaker_bootstrap,
    speaker_bootstrap,
)
from lowser_lib.evaluation.gaps import CONDITIONAL, gap_change
from lowser_lib.evaluation.metrics import metric_from_counts
from lowser_lib.experiments import profiles
from lowser_lib.experiments.records import RunRecord, predictions

CLASSES = list(range(len(EMOTIONS)))


PARTS, DRAWS = 5, 200
"""Parts of the speakers, and how often these are drawn, for a spread over folds."""


class Missing(Exception):  # noqa: N818  # no error: it says that something is still to be measured
    """There is no record yet that a figure could come from."""


@dataclass(frozen=True)
class Figure:
    """One figure of ours.

    Attributes:
        corpus: On what.
        interval: The figure.
        sign: 1 where the paper's direction is above ``null``, -1 where it is below.
        null: What would be no effect.
        note: What else a reader should know, a few words.
        exact: Whether it is a count, which needs no interval.
    """

    corpus: str
    interval: Interval
    sign: int = 1
    null: float = 0.0
    note: str = ""
    exact: bool = False


@dataclass(frozen=True)
class Records:
    """The records of a profile.

    Attributes:
        profile: Its name.
        sweeps: Records by the name of their sweep.
        chapters: The other ones.
        resamples: Draws of a bootstrap.
    """

    profile: str
    sweeps: Mapping[str, Sequence[RunRecord]]
    chapters: Sequence[RunRecord] = ()
    resamples: int = 1000

    @property
    def all(self) -> list[RunRecord]:
        """Every record."""
        return [*self.chapters, *(run for runs in self.sweeps.values() for run in runs)]

    def runs(self, sweep: str, language: str) -> list[RunRecord]:
        """A sweep's records of one language.

        Raises:
            Missing: There is none.
        """
        found = [run for run in self.sweeps.get(sweep, ()) if run.config["language"] == language]
        if not found:
            raise Missing(f"no record of the sweep {sweep} for {language}")
        return found

    def corpus(self, language: str) -> str:
        """Name of the corpus of a language."""
        return profiles.get(self.profile).targets[language]

    def genders(self, speakers: Sequence[str]) -> dict[str, str]:
        """Gender of each speaker, from whatever record tells it.

        Raises:
            Missing: No record tells it of all of them.
        """
        known: dict[str, str] = {}
        for record in self.all:
            known |= record.metrics.get("genders") or {}
        if set(speakers) - known.keys():
            raise Missing("no record tells the genders of the speakers")
        return {speaker: known[speaker] for speaker in speakers}


def answers_of(runs: Sequence[RunRecord]) -> dict[str, np.ndarray]:
    """Speakers, truth (n,), and the answers ``(seeds, n)`` of some runs on the same clips."""
    read = [predictions(run) for run in runs]
    answers = np.stack([one["none"] for one in read])
    return {"speaker": read[0]["speaker"], "truth": read[0]["truth"], "answers": answers}


def pairs_of(
    records: Records, sweep: str, language: str, other: str = "baseline"
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Answers of a sweep and of another for the same seeds."""
    ours = {run.seed: run for run in records.runs(sweep, language)}
    theirs = {run.seed: run for run in records.runs(other, language)}
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        raise Missing(f"{sweep} and {other} have no seed in common for {language}")
    first, second = (answers_of([runs[seed] for seed in seeds]) for runs in (ours, theirs))
    return first, second


def level(records: Records, sweep: str, language: str, metric: str) -> list[Figure]:
    """A sweep's score, against that of naming the commonest emotion always."""
    found = answers_of(records.runs(sweep, language))
    interval = speaker_bootstrap(
        found["truth"], found["answers"], found["speaker"], CLASSES, metric, records.resamples
    )
    commonest = np.full_like(found["truth"], np.bincount(found["truth"]).argmax())
    null = classification_metrics(found["truth"], commonest, CLASSES)[metric]
    return [Figure(records.corpus(language), interval, null=null, note=f"by guessing {null:.2f}")]


def best_gain(
    records: Records, sweeps: Sequence[str], language: str, metric: str = "macro_f1"
) -> list[Figure]:
    """Gain on the baseline of the best of several sweeps; the level allows for choosing it."""
    shown = []
    level_of_each = 1 - 0.05 / len(sweeps)  # Bonferroni
    for sweep in sweeps:
        first, second = pairs_of(records, sweep, language)
        interval = paired_speaker_bootstrap(
            first["truth"], first["answers"], second["answers"], first["speaker"], CLASSES,
            metric, records.resamples, level_of_each,
        )  # fmt: skip
        after = np.mean([
            classification_metrics(first["truth"], one, CLASSES)[metric] for one in first["answers"]
        ])  # fmt: skip
        shown.append(Figure(records.corpus(language), interval, note=f"{sweep}, at {after:.2f}"))
    return [max(shown, key=lambda figure: figure.interval.estimate)]


def spread(records: Records, sweep: str, language: str, threshold: float) -> list[Figure]:
    """Standard deviation of macro-F1 over five parts of the speakers, in many such partings."""
    found = answers_of(records.runs(sweep, language))
    speakers = np.unique(found["speaker"])
    corpus = records.corpus(language)
    if len(speakers) < 2 * PARTS:
        nothing = Interval(math.nan, math.nan, math.nan, len(speakers))
        return [Figure(corpus, nothing, note=f"{len(speakers)} speakers make no {PARTS} parts")]
    counts = np.zeros((len(found["answers"]), len(speakers), len(CLASSES), len(CLASSES)))
    who = np.searchsorted(speakers, found["speaker"])
    for seed, answers in enumerate(found["answers"]):
        np.add.at(counts[seed], (who, found["truth"], answers), 1)
    random, drawn = np.random.default_rng(0), []
    for _ in range(DRAWS):
        parts = np.array_split(random.permutation(len(speakers)), PARTS)
        scores = [metric_from_counts(counts[:, part].sum(axis=1), "macro_f1") for part in parts]
        drawn.append(np.std(scores, axis=0, ddof=1).mean())
    low, high = np.quantile(drawn, [0.025, 0.975])
    interval = Interval(
        float(np.median(drawn)), float(low), float(high), len(speakers), len(counts)
    )
    return [Figure(corpus, interval, null=threshold, note=f"median and range of {DRAWS} partings")]


def group_change(records: Records, language: str, group: str, sign: int) -> list[Figure]:
    """How speaker-contrastive learning changes one gender's accuracy."""
    first, second = pairs_of(records, "speaker_contrastive", language)
    genders = records.genders(sorted(set(first["speaker"])))
    inside = np.array([genders[speaker] == group for speaker in first["speaker"]])
    if not inside.any():
        nothing = Interval(math.nan, math.nan, math.nan, 0)
        return [
            Figure(records.corpus(language), nothing, sign, note=f"no {group} speaker is known")
        ]
    interval = paired_speaker_bootstrap(
        first["truth"][inside], first["answers"][:, inside], second["answers"][:, inside],
        first["speaker"][inside], CLASSES, "accuracy", records.resamples,
    )  # fmt: skip
    ends = [(one["answers"] == one["truth"])[:, inside].mean() for one in (second, first)]
    note = f"{ends[0]:.2f} → {ends[1]:.2f}, {int(inside.sum())} clips"
    return [Figure(records.corpus(language), interval, sign, note=note)]


def conditional_change(records: Records, language: str) -> list[Figure]:
    """How it changes the mean gap within emotions, women less men."""
    first, second = pairs_of(records, "speaker_contrastive", language)
    genders = records.genders(sorted(set(first["speaker"])))
    groups = np.array([genders[speaker] for speaker in first["speaker"]])
    if not {"female", "male"} <= set(groups):
        nothing = Interval(math.nan, math.nan, math.nan, 0)
        return [Figure(records.corpus(language), nothing, -1, note="one gender alone is known")]
    table = gap_change(
        first["truth"], first["answers"], second["answers"], groups, first["speaker"], CLASSES,
        ("female", "male"), n_resamples=records.resamples,
    )  # fmt: skip
    row = table[table["gap"] == CONDITIONAL].to_dict("records")[0]
    used = int(row["classes"])
    note = f"{used} of {len(CLASSES)} emotions"
    if used:
        note = f"{row['before']:+.2f} → {row['after']:+.2f}, {note}"
    size = {"n_speakers": len(genders), "n_seeds": len(first["answers"])}
    interval = Interval(row["change"], row["low"], row["high"], **size)
    return [Figure(records.corpus(language), interval, -1, note=note)]


def share_male(records: Records, language: str) -> list[Figure]:
    """Share of a corpus's clips that are men's: a count."""
    found = answers_of(records.runs("baseline", language)[:1])
    genders = records.genders(sorted(set(found["speaker"])))
    share = float(np.mean([genders[speaker] == "male" for speaker in found["speaker"]]))
    interval = Interval(share, share, share, len(genders))
    note = f"{len(found['truth'])} clips, a count"
    return [Figure(records.corpus(language), interval, null=0.5, note=note, exact=True)]


def identified_change(records: Records, sweep: str, language: str) -> list[Figure]:
    """How much better or worse speakers are told apart after the first stage, over seeds."""
    where = "unheard sentences"
    found = [
        one[where]["after"]["accuracy"] - one[where]["before"]["accuracy"]
        for one in (run.metrics.get("identifiability", {}) for run in records.runs(sweep, language))
        if (one.get(where) or {}).get("before") and one[where].get("after")
    ]
    if not found:
        raise Missing(f"no record of {sweep} tells how well speakers are told apart")
    voices = " + ".join(profiles.get(records.profile).unlabelled[language])
    return [Figure(voices, mean_interval(found), -1, note="over seeds")]


def budget_gain(records: Records, view: str, budgets: Sequence[int]) -> list[Figure]:
    """Gain of pre-training in UAR where labels are few; one figure a corpus."""
    runs = records.sweeps.get("pairwise", ())
    if not runs:
        raise Missing("no record of the sweep pairwise")
    shown = []
    for corpus in dict.fromkeys(run.config["corpus"] for run in runs):
        rows: dict[str, list[np.ndarray]] = {"pairwise": [], "scratch": []}
        own = [run for run in runs if run.config["corpus"] == corpus]
        speaker = truth = np.empty(0)
        for seed in sorted({run.seed for run in own}):
            folds = [run for run in own if run.seed == seed]
            if len(folds) < folds[0].config["folds"]:
                continue  # all speakers have to be there, once each
            who = np.concatenate([run.metrics["speakers"] for run in folds])
            order = np.argsort(who, kind="stable")  # the same clips in the same order for all seeds
            speaker = who[order]
            truth = np.concatenate([digits(run.metrics["truth"]) for run in folds])[order]
            for budget in budgets:
                found = {arm: [_predicted(run, view, budget, arm) for run in folds] for arm in rows}
                if any(one is None for ones in found.values() for one in ones):
                    continue  # a fold has too few clips of a class
                for arm, ones in found.items():
                    rows[arm].append(np.concatenate([digits(one or "") for one in ones])[order])
        if not rows["pairwise"]:
            continue
        interval = paired_speaker_bootstrap(
            truth, np.stack(rows["pairwise"]), np.stack(rows["scratch"]), speaker, CLASSES, "uar",
            records.resamples,
        )  # fmt: skip
        note = f"{len(rows['pairwise'])} seeds × budgets"
        shown.append(Figure(corpus, interval, note=note))
    if not shown:
        raise Missing(f"no corpus has all folds of a seed for the view {view}")
    return shown


def digits(text: str) -> np.ndarray:
    """A string of digits as numbers."""
    return np.array([int(digit) for digit in text])


def _predicted(run: RunRecord, view: str, budget: int, arm: str) -> str | None:
    """A run's answers for a view, budget and arm; None where there are none."""
    for row in run.metrics["results"]:
        if (row["view"], row["budget"], row["arm"]) == (view, budget, arm):
            found: str | None = row["predicted"]
            return found
    return None


Measure = Callable[..., list[Figure]]


MEASURES: Mapping[str, Measure] = {
    measure.__name__: measure
    for measure in (
        level, best_gain, spread, group_change, conditional_change, share_male, identified_change,
        budget_gain,
    )
}  # fmt: skip
"""All measures, by the names that claims call them."""
