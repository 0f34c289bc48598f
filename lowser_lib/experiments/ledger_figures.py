"""Our side of the ledger: figures with intervals, from the records of one profile.

Every measure takes the records and a claim's arguments and gives one :class:`Figure`. It raises
:class:`Missing` where there is no record yet, or where records cannot answer. Answers are those of
the classifier as it is, as in the papers (standardisation ``none``); where the same figure exists
with embeddings standardised by corpus, it stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from lowser_lib.corpora import EMOTIONS
from lowser_lib.errors import RunError
from lowser_lib.evaluation import Answers, Interval, chance, mean_interval
from lowser_lib.evaluation.gaps import CONDITIONAL, gap_change
from lowser_lib.evaluation.groups import BETWEEN
from lowser_lib.evaluation.intervals import Resampled, jackknife, mean_over, resample
from lowser_lib.evaluation.metrics import Statistic, metric_from_counts
from lowser_lib.experiments import profiles
from lowser_lib.experiments.records import RunRecord, predictions

PARTS, PARTINGS = 5, 100
"""Parts of the speakers, and how often these are drawn, for a spread over folds."""

STANDS_IN = {"wav2vec2": "whisper"}
"""The view that a claim is put to where its own was not measured: another model of speech."""

STANDARDISED = "embeddings"
"""The name under which records keep the answers of embeddings standardised by corpus."""


TUNED_ON = {"speaker_contrastive": ("synthetic_urdu",)}
"""Corpora on some of whose speakers a method's settings were chosen: no test of it in a mean."""


class Missing(Exception):  # noqa: N818  # no error: it says that something is still to be measured
    """There is no record yet that a figure could come from."""


@dataclass(frozen=True)
class Figure:
    """One figure of ours.

    Attributes:
        corpora: On what.
        interval: The figure.
        null: What would be no effect: 0, or what guessing scores.
        note: What else a reader should know, a few words.
        standardised: The same with embeddings standardised by corpus; None where there is none.
        standardised_null: What guessing scores there.
        points: Whether it is a difference, shown in points; a level is shown as it is.
        protocol: What was trained on what; empty: as the sweeps of transfer.
    """

    corpora: tuple[str, ...]
    interval: Interval
    null: float = 0.0
    note: str = ""
    standardised: Interval | None = None
    points: bool = True
    protocol: str = ""


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

    @property
    def protocol(self) -> str:
        """What the sweeps of transfer were trained on."""
        runs = next(iter(self.sweeps.get("baseline", ())), None)
        return "english" if runs is None else str(runs.config.get("protocol", "english"))

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

    @property
    def languages(self) -> list[str]:
        """The target languages whose corpora name more than one speaker."""
        known = []
        for language in profiles.get(self.profile).targets:
            runs = [run for run in self.sweeps.get("baseline", ()) if run.config["language"]
                    == language]  # fmt: skip
            if runs and len(runs[0].metrics["clips"]) > 1:
                known.append(language)
        return known

    def answers(
        self, sweep: str, language: str, other: str | None = None, matching: str = "none"
    ) -> Answers:
        """A sweep's answers in one language, of the seeds that another sweep has, too.

        Raises:
            Missing: There is none.
        """
        runs = {run.seed: run for run in self.runs(sweep, language)}
        if other is not None:
            shared = runs.keys() & {run.seed for run in self.runs(other, language)}
            if not shared:
                raise Missing(f"{sweep} and {other} have no seed in common for {language}")
            runs = {seed: runs[seed] for seed in sorted(shared)}
        genders = None
        speakers = sorted(next(iter(runs.values())).metrics["clips"])
        if all(speaker in self.known_genders for speaker in speakers):
            genders = self.known_genders
        return answers_of(list(runs.values()), genders, matching)

    def change(
        self,
        sweep: str,
        language: str,
        statistic: str | Statistic = "macro_f1",
        other: str = "baseline",
        matching: str = "none",
    ) -> Resampled:
        """A figure of one sweep less that of another, seed with seed, speaker with speaker."""
        first, second = (
            resample(self.answers(*pair, matching), statistic, self.resamples)
            for pair in ((sweep, language, other), (other, language, sweep))
        )
        return first - second

    @property
    def known_genders(self) -> dict[str, str]:
        """Gender of each speaker, from whatever record tells it."""
        known: dict[str, str] = {}
        for record in self.all:
            known |= record.metrics.get("genders") or {}
        return known


def answers_of(
    runs: Sequence[RunRecord], genders: Mapping[str, str] | None = None, matching: str = "none"
) -> Answers:
    """What some runs of one language answered to the same clips, a row a run.

    Args:
        runs: Their records.
        genders: Gender of each speaker, to group by.
        matching: Whose answers; one of :data:`.records.MATCHING`.

    Raises:
        RunError: They were tested on different clips.
    """
    columns = [predictions(run) for run in runs]
    first, names = columns[0], np.array(EMOTIONS)
    for run, column in zip(runs, columns, strict=True):
        if any(not np.array_equal(column[key], first[key]) for key in ("speaker", "truth")):
            raise RunError(f"{run.name} was tested on other clips than {runs[0].name}")
    answered = names[np.stack([column[matching] for column in columns])]
    speakers = first["speaker"]
    groups = None if genders is None else [genders[speaker] for speaker in speakers]
    return Answers.of(names[first["truth"]], answered, speakers, EMOTIONS, groups)


def level(records: Records, sweep: str, language: str, metric: str = "macro_f1") -> Figure:
    """A sweep's score, against that of guessing."""
    plain, standardised = (
        resample(records.answers(sweep, language, matching=matching), metric, records.resamples)
        .interval(limits=(0, 1))
        for matching in ("none", STANDARDISED)
    )  # fmt: skip
    null = chance(records.answers(sweep, language).truth, range(len(EMOTIONS)), metric)
    note = f"by guessing {null:.2f}"
    corpora = (records.corpus(language),)
    return Figure(corpora, plain, null, note, standardised, points=False)


def best_gain(records: Records, sweeps: Sequence[str], language: str) -> Figure:
    """Gain on the baseline of the best of several sweeps; the level allows for choosing it."""
    level_of_each = 1 - 0.05 / len(sweeps)  # Bonferroni
    shown = [replace(_gain(records, [language], sweep, level=level_of_each), note=f"{sweep}'s")
             for sweep in sweeps]  # fmt: skip
    return max(shown, key=lambda figure: figure.interval.estimate)


def mean_gain(records: Records, sweep: str) -> Figure:
    """Gain of a sweep on the baseline, mean over the languages whose speakers are known."""
    return _gain(records, _untuned(records, sweep), sweep)


def contrast(records: Records, sweep: str, other: str, language: str) -> Figure:
    """Macro-F1 of one sweep less that of another."""
    return _gain(records, [language], sweep, other)


def gain_over_others(records: Records, language: str) -> Figure:
    """The better method's gain in one language, less the mean of the better gains elsewhere."""
    others = [code for code in records.languages if code != language]
    if language not in records.languages or not others:
        raise Missing("there are no records of this language and of others with known speakers")
    pair = []
    for matching in ("none", STANDARDISED):
        best = {}
        for code in (language, *others):
            gains = [records.change(sweep, code, matching=matching)
                     for sweep in ("speaker_contrastive", "byol")]  # fmt: skip
            best[code] = max(gains, key=lambda gain: float(gain.values.mean()))
        pair.append((best[language] - mean_over([best[code] for code in others])).interval())
    corpora = tuple(records.corpus(code) for code in (language, *others))
    return Figure(corpora, pair[0], standardised=pair[1])


def spread_change(records: Records, sweep: str, other: str, language: str) -> Figure:
    """Spread of macro-F1 over parts of the speakers: one sweep's less another's, same parts.

    The range of a spread over many partings says how partings differ, not how sure one may be of
    it: that is found by leaving speakers out, one at a time (jackknife).
    """
    pair = []
    for matching in ("none", STANDARDISED):
        sides = [
            records.answers(*names, matching).confusions()
            for names in ((sweep, language, other), (other, language, sweep))
        ]
        pair.append(jackknife(sides, _spread_difference))
    corpora = (records.corpus(language),)
    spreads = [spread(side).mean() for side in sides]
    note = f"{100 * spreads[1]:.1f} → {100 * spreads[0]:.1f}, standardised"
    return Figure(corpora, pair[0], note=note, standardised=pair[1])


def spread(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Standard deviation of macro-F1 over five parts of the speakers, mean over many partings.

    Args:
        counts: Shape (seeds, speakers, classes, classes).

    Returns:
        One value a seed.

    Raises:
        Missing: There are fewer than two speakers a part.
    """
    n_speakers = counts.shape[1]
    if n_speakers < 2 * PARTS:
        raise Missing(f"{n_speakers} speakers make no {PARTS} parts")
    random, order = np.random.default_rng(0), np.arange(n_speakers)
    drawn = []
    for _ in range(PARTINGS):
        random.shuffle(order)
        parts = np.argsort(order) % PARTS
        scores = [metric_from_counts(counts[:, parts == part].sum(axis=1), "macro_f1")
                  for part in range(PARTS)]  # fmt: skip
        drawn.append(np.std(scores, axis=0, ddof=1))
    return np.asarray(np.mean(drawn, axis=0))


def _spread_difference(sides: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    return spread(sides[0]) - spread(sides[1])


def group_change(records: Records, language: str, group: str) -> Figure:
    """How speaker-contrastive learning changes one gender's accuracy."""
    pair, ends, clips = [], [], 0
    for matching in ("none", STANDARDISED):
        sides = []
        for names in (("speaker_contrastive", "baseline"), ("baseline", "speaker_contrastive")):
            answers = records.answers(names[0], language, names[1], matching)
            if group not in answers.groups:
                raise Missing(f"no record tells of a {group} speaker")
            inside = answers.where(answers.group == answers.groups.index(group))
            sides.append(resample(inside, "accuracy", records.resamples))
            clips = len(inside.truth)
        pair.append((sides[0] - sides[1]).interval(limits=(-1, 1)))
        ends.append([float(side.values.mean()) for side in sides])
    note = f"{ends[0][1]:.2f} → {ends[0][0]:.2f}, {clips} clips"
    return Figure((records.corpus(language),), pair[0], note=note, standardised=pair[1])


def gap_contrast(records: Records, language: str, sweep: str, other: str) -> Figure:
    """The mean gap within emotions, women less men, after one sweep less after another."""
    pair, note = [], ""
    for matching in ("none", STANDARDISED):
        first = records.answers(sweep, language, other, matching)
        second = records.answers(other, language, sweep, matching)
        if not set(BETWEEN) <= set(first.groups):
            raise Missing("one gender alone is known")
        table = gap_change(first, second, BETWEEN, n_resamples=records.resamples)
        row = table[table["gap"] == CONDITIONAL].to_dict("records")[0]
        speakers = len(set(first.speaker.tolist()))
        size = {"n_speakers": speakers, "n_seeds": first.n_seeds}
        pair.append(Interval(row["change"], row["low"], row["high"], **size))
        note = f"{int(row['classes'])} of {len(EMOTIONS)} emotions"
    return Figure((records.corpus(language),), pair[0], note=note, standardised=pair[1])


def confused(records: Records, pair: tuple[str, str]) -> Figure:
    """How much more two emotions are taken for each other than the other pairs are; baseline."""
    languages = records.languages
    if not languages:
        raise Missing("no record of the sweep baseline with known speakers")
    statistic = _confusion_of(pair)
    intervals = [
        mean_over([
            resample(records.answers("baseline", code, matching=matching), statistic,
                     records.resamples)
            for code in languages
        ]).interval()
        for matching in ("none", STANDARDISED)
    ]  # fmt: skip
    corpora = tuple(records.corpus(code) for code in languages)
    return Figure(corpora, intervals[0], standardised=intervals[1])


def confused_change(records: Records, pair: tuple[str, str]) -> Figure:
    """What speaker-contrastive learning changes in that."""
    sweep = "speaker_contrastive"
    return _gain(records, _untuned(records, sweep), sweep, statistic=_confusion_of(pair))


def _confusion_of(pair: tuple[str, str]) -> Statistic:
    wanted = tuple(EMOTIONS.index(emotion) for emotion in pair)
    others = [both for both in combinations(range(len(EMOTIONS)), 2) if both != wanted]

    def statistic(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        def share(first: int, second: int) -> NDArray[np.float64]:
            # Of their clips that are answered with either: a guesser, too, takes half for the
            # other, and one who always gives a third answer tells nothing.
            taken = counts[..., first, second] + counts[..., second, first]
            either = taken + counts[..., first, first] + counts[..., second, second]
            return np.where(either > 0, taken / np.maximum(1, either), 0.5)

        return share(*wanted) - np.mean([share(*both) for both in others], axis=0)

    return statistic


def identified_change(records: Records, language: str) -> Figure:
    """How much better or worse speakers are told apart after the first stage."""
    where, pairs = "unheard sentences", []
    for run in records.runs("speaker_contrastive", language):
        both = (run.metrics.get("identifiability") or {}).get(where) or {}
        if both.get("before") and both.get("after"):
            pairs.append((both["before"], both["after"]))
    if not pairs:
        raise Missing("no record tells how well speakers are told apart")
    voices = tuple(profiles.get(records.profile).unlabelled[language])
    if not all("by_speaker" in end for pair in pairs for end in pair):
        change = mean_interval([after["accuracy"] - before["accuracy"] for before, after in pairs])
        shown = ", ".join(f"{100 * value:+.1f}" for value in (change.low, change.high))
        raise Missing(
            f"its records name no speakers: {100 * change.estimate:+.1f} [{shown}] over seeds alone"
        )
    # A seed leaves other sentences unheard, and not every speaker says one of them.
    names = sorted(set.intersection(*(set(end["by_speaker"]) for pair in pairs for end in pair)))
    if len(names) < 2:
        raise Missing("fewer than two speakers are heard in every seed")
    table = np.array(
        [[after["by_speaker"][name] - before["by_speaker"][name] for name in names]
         for before, after in pairs]
    )  # fmt: skip
    random = np.random.default_rng(0)
    weights = random.multinomial(len(names), np.full(len(names), 1 / len(names)), records.resamples)
    draws = weights @ table.T / len(names)
    return Figure(voices, Resampled(table.mean(axis=1), draws, len(names)).interval())


def probe_change(records: Records) -> Figure:
    """Macro-F1 of a probe within the target, on embeddings after stage one less before."""
    for record in records.chapters:
        if record.stem == "04-speakers" and "within Urdu" in record.metrics.get("probe", {}):
            interval = Interval(**record.metrics["probe"]["within Urdu"])
            corpora = (records.corpus("ur"),)
            return Figure(corpora, interval, note="one seed", protocol="within the corpus")
    raise Missing("no record of chapter 04")


def share_male(records: Records, language: str) -> Figure:
    """Share of a corpus's clips that are men's: a count."""
    answers = records.answers("baseline", language)
    if "male" not in answers.groups:
        raise Missing("no record tells the genders of the speakers")
    share = float((answers.group == answers.groups.index("male")).mean())
    interval = Interval(share, share, share, len(set(answers.speaker.tolist())))
    return Figure((records.corpus(language),), interval, 0.5, f"{len(answers.truth)} clips",
                  points=False)  # fmt: skip


def budget_gain(
    records: Records,
    view: str,
    budgets: Sequence[int],
    arms: tuple[str, str] = ("pairwise", "scratch"),
) -> Figure:
    """What pre-training brings in UAR, mean over budgets, and over corpora."""
    figure = _over_corpora(records, lambda runs: _arm_gain(runs, view, budgets, arms, records))
    if view in STANDS_IN and view not in records.sweeps["pairwise"][0].config["views"]:
        return replace(figure, note=f"{figure.note}; the view {STANDS_IN[view]} in its place")
    return figure


def view_over_others(records: Records, view: str, budgets: Sequence[int]) -> Figure:
    """That gain for one view less the mean of the other views'."""

    def of(runs: Sequence[RunRecord]) -> Resampled:
        views = [name for name in runs[0].config["views"] if name != view]
        gains = {name: _arm_gain(runs, name, budgets, ("pairwise", "scratch"), records)
                 for name in (view, *views)}  # fmt: skip
        return gains[view] - mean_over([gains[name] for name in views])

    return _over_corpora(records, of)


def gain_shrinks(records: Records, view: str, few: Sequence[int], many: Sequence[int]) -> Figure:
    """That gain with few labels less that with many."""
    arms = ("pairwise", "scratch")
    return _over_corpora(
        records,
        lambda runs: (
            _arm_gain(runs, view, few, arms, records) - _arm_gain(runs, view, many, arms, records)
        ),
    )


def own_speech(records: Records, view: str, budgets: Sequence[int]) -> Figure:
    """UAR after pre-training on the target less that after pre-training on another corpus."""
    elsewhere = records.sweeps.get("pairwise-other", ())
    if not elsewhere:
        raise Missing("no record of the sweep pairwise-other")
    here = records.sweeps.get("pairwise") or elsewhere
    if elsewhere[0].config["views"] != here[0].config["views"]:
        raise Missing("pre-training on other speech was measured with other views")

    def of(runs: Sequence[RunRecord]) -> Resampled:
        corpus, seeds = runs[0].config["corpus"], {run.seed for run in elsewhere}
        sides = [
            mean_over(
                [_budget_score(part, view, budget, "pairwise", records) for budget in budgets]
            )
            for part in (
                [run for run in runs if run.seed in seeds],
                [run for run in elsewhere if run.config["corpus"] == corpus],
            )
        ]
        return sides[0] - sides[1]

    return _over_corpora(records, of)


def pwcca_change(records: Records) -> Figure:
    """PWCCA of pairs of views, pre-trained less drawn weights."""
    for record in records.chapters:
        rows = record.metrics.get("pwcca") if record.stem == "07-pairwise" else None
        if rows:
            shown = "; ".join(
                f"{row['index']} {row['drawn']:.2f} → {row['pre-trained']:.2f}" for row in rows
            )
            raise Missing(f"one seed, no interval: {shown}")
    raise Missing("no record of chapter 07")


def budget_answers(runs: Sequence[RunRecord], view: str, budget: int, arm: str) -> Answers | None:
    """What an arm answered on one corpus at one budget, the folds of each seed put together.

    Args:
        runs: Records of a sweep over label budgets, of one corpus.
        view: Name of a view.
        budget: Labels a class; 0 for all.
        arm: Name of an arm.

    Returns:
        The answers, a row a seed; None where no seed has all of its folds, or where a fold has too
        few clips of a class.
    """
    rows, speaker, truth = [], np.empty(0, dtype=object), np.empty(0, dtype=int)
    for seed in sorted({run.seed for run in runs}):
        folds = [run for run in runs if run.seed == seed]
        given = [_predicted(run, view, budget, arm) for run in folds]
        if len(folds) < folds[0].config["folds"] or None in given:
            continue
        who = np.concatenate([run.metrics["speakers"] for run in folds])
        order = np.argsort(who, kind="stable")  # the same clips in the same order for all seeds
        speaker = who[order]
        truth = np.concatenate([_digits(run.metrics["truth"]) for run in folds])[order]
        rows.append(np.concatenate([_digits(text or "") for text in given])[order])
    if not rows:
        return None
    names = np.array(EMOTIONS)
    return Answers.of(names[truth], names[np.stack(rows)], speaker, EMOTIONS)


def _gain(
    records: Records,
    languages: Sequence[str],
    sweep: str,
    other: str = "baseline",
    level: float = 0.95,
    statistic: str | Statistic = "macro_f1",
) -> Figure:
    """One sweep less another, mean over languages."""
    if not languages:
        raise Missing(f"no record of the sweep {sweep}")
    intervals = []
    for matching in ("none", STANDARDISED):
        changes = [records.change(sweep, code, statistic, other, matching) for code in languages]
        intervals.append(mean_over(changes).interval(level, limits=(-1, 1)))
    corpora = tuple(records.corpus(code) for code in languages)
    return Figure(corpora, intervals[0], standardised=intervals[1])


def _untuned(records: Records, sweep: str) -> list[str]:
    """Languages on whose speakers a method's settings were not chosen."""
    tuned = TUNED_ON.get(sweep, ())
    return [code for code in records.languages if records.corpus(code) not in tuned]


def _over_corpora(records: Records, of: Callable[[Sequence[RunRecord]], Resampled]) -> Figure:
    """A figure of the sweep over label budgets, mean over its corpora."""
    runs = records.sweeps.get("pairwise", ())
    if not runs:
        raise Missing("no record of the sweep pairwise")
    corpora = tuple(dict.fromkeys(run.config["corpus"] for run in runs))
    parts = {name: of([run for run in runs if run.config["corpus"] == name]) for name in corpora}
    note = ", ".join(f"{name} {100 * part.values.mean():+.1f}" for name, part in parts.items())
    note = note.replace("-", "−")
    return Figure(corpora, mean_over(list(parts.values())).interval(limits=(-2, 2)), note=note,
                  protocol="within the corpus, by speaker")  # fmt: skip


def _arm_gain(
    runs: Sequence[RunRecord],
    view: str,
    budgets: Sequence[int],
    arms: tuple[str, str],
    records: Records,
) -> Resampled:
    """One arm less another, budgets averaged within a seed."""
    first, second = (
        mean_over([_budget_score(runs, view, budget, arm, records) for budget in budgets])
        for arm in arms
    )
    return first - second


def _budget_score(
    runs: Sequence[RunRecord], view: str, budget: int, arm: str, records: Records
) -> Resampled:
    """UAR of an arm at one budget; of the view that stands in for one that was not measured."""
    views = (*runs[0].config["views"], "together")
    view = view if view in views else STANDS_IN.get(view, view)
    if view not in views:
        raise Missing(f"no record of the view {view}, only of {', '.join(views)}")
    answers = budget_answers(runs, view, budget, arm)
    if answers is None:
        raise Missing(f"no seed has all folds for the view {view} at {budget} labels, arm {arm}")
    return resample(answers, "uar", records.resamples)


def _digits(text: str) -> NDArray[np.int64]:
    """A string of digits as numbers."""
    return np.array([int(digit) for digit in text])


def _predicted(run: RunRecord, view: str, budget: int, arm: str) -> str | None:
    """A run's answers for a view, budget and arm; None where there are none."""
    for row in run.metrics["results"]:
        if (row["view"], row["budget"], row["arm"]) == (view, budget, arm):
            predicted: str | None = row["predicted"]
            return predicted
    return None


Measure = Callable[..., Figure]

MEASURES: Mapping[str, Measure] = {
    measure.__name__: measure
    for measure in (
        level, best_gain, mean_gain, contrast, gain_over_others, spread_change, group_change,
        gap_contrast, confused, confused_change, identified_change, probe_change, share_male,
        budget_gain, view_over_others, gain_shrinks, own_speech, pwcca_change,
    )
}  # fmt: skip
"""All measures, by the names that claims call them."""
