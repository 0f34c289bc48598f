"""What sweeps of frozen encoders amount to: crossed recipes, probes by layer, thinned targets.

Intervals resample the target's speakers and the seeds. Differences are paired: the same clips, seed
j with seed j.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lowser_lib.errors import RunError
from lowser_lib.evaluation import (
    Answers,
    Interval,
    mean_interval,
    paired_speaker_bootstrap,
    speaker_bootstrap,
)
from lowser_lib.experiments.frozen import FORMS
from lowser_lib.experiments.profiles import LANGUAGES
from lowser_lib.experiments.records import RunRecord
from lowser_lib.manifest import EMOTIONS
from lowser_lib.views.standardisation import STEPS

LABELS = list(range(len(EMOTIONS)))
RULE = "rule"
AGAINST = "corpus plain"
"""What a recipe is compared with: each corpus standardised by itself, without self-training."""

Arm = tuple[Sequence[RunRecord], str]
"""Records of a sweep, and one kind of their answers: ``corpus plain`` of a frozen encoder's,
``embeddings`` of a transfer's, ``adapted: corpus plain`` of a new head on an encoder of theirs."""


def answers(arms: Mapping[str, Arm]) -> dict[str, dict[str, Answers]]:
    """Several kinds of answers for the same targets, for :func:`lowser_lib.evaluation.compared`.

    Args:
        arms: Kinds of answers by name; one without a record is left out.

    Returns:
        By name, by language: the answers, of the languages and seeds that all arms have.

    Raises:
        RunError: Seeds of an arm were tested on different clips.
    """
    known = {name: (by_target(runs), kind) for name, (runs, kind) in arms.items() if runs}
    sides = [targets for targets, _ in known.values()]
    languages = [code for code in LANGUAGES if sides and all(code in side for side in sides)]
    found: dict[str, dict[str, Answers]] = {name: {} for name in known}
    for code in languages:
        shared = set.intersection(*({run.seed for run in side[code]} for side in sides))
        for name, (targets, kind) in known.items():
            encoder, _, its = kind.rpartition(": ")
            metrics = [run.metrics for run in targets[code] if run.seed in shared]
            parts = [each["refit"][encoder] if encoder else each for each in metrics]
            clips = stacked([part["clips"] for part in parts])
            found[name][LANGUAGES[code]] = Answers.of(
                clips["truth"], clips[its], clips["speaker"], LABELS
            )
    return found


def layers(runs: Sequence[RunRecord], step: str = "corpus") -> dict[str, Arm]:
    """An arm for each layer of an encoder; none where there is no record."""
    kinds = [name for name in (runs[0].metrics["scores"] if runs else ())
             if name.startswith(f"{step} layer ")]  # fmt: skip
    return {name.removeprefix(f"{step} layer "): (runs, name) for name in kinds}


def stacked(parts: Sequence[dict[str, dict[str, str]]]) -> dict[str, np.ndarray]:
    """Truth and answers of several seeds on the same clips.

    Args:
        parts: of each seed, by speaker: ``truth`` and answers by name, a digit a clip.

    Returns:
        ``speaker`` and ``truth`` ``(N,)``; every kind of answers ``(seeds, N)``.

    Raises:
        RunError: Seeds were tested on different clips, or have different kinds of answers.
    """
    truth = [{speaker: answers["truth"] for speaker, answers in part.items()} for part in parts]
    kinds = [{name for answers in part.values() for name in answers} for part in parts]
    if any(each != truth[0] for each in truth) or any(each != kinds[0] for each in kinds):
        raise RunError("seeds were tested on different clips; run the sweep again")
    columns = {
        name: np.array([[int(digit) for its in part.values() for digit in its[name]]
                        for part in parts])
        for name in sorted(kinds[0])
    }  # fmt: skip
    speakers = [name for name, its in parts[0].items() for _ in its["truth"]]
    return {**columns, "truth": columns["truth"][0], "speaker": np.array(speakers)}


def by_target(runs: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    """Runs by target language, seeds counted up."""
    by_language: dict[str, list[RunRecord]] = {}
    for run in sorted(runs, key=lambda run: run.seed):
        by_language.setdefault(run.config.get("target") or run.config["language"], []).append(run)
    return by_language


def recipe_table(
    runs: Sequence[RunRecord],
    n_resamples: int = 1000,
    steps: Sequence[str] = (*STEPS, RULE),
    forms: Sequence[str] = FORMS,
) -> pd.DataFrame:
    """Macro-F1 of every step of standardisation, with and without self-training.

    Args:
        runs: Records of ``lowser sweep frozen``, of one encoder and protocol.
        n_resamples: Draws of the bootstrap.
        steps: Of standardisation, those that are wanted.
        forms: Likewise, of :data:`~lowser_lib.experiments.frozen.FORMS`.

    Returns:
        A row a target, step and form: ``language``, ``step``, ``form``, intervals ``score`` and
        ``gain`` (on the form ``plain`` after the step ``corpus``; None of that itself).
    """
    rows = []
    for language, its in by_target(runs).items():
        answers = stacked([run.metrics["clips"] for run in its])
        for step in steps:
            for form in forms:
                name = f"{step} {form}"
                if name not in answers:
                    continue  # measures are always standardised
                gain = None if name == AGAINST else gain_of(answers, name, AGAINST, n_resamples)
                row = {"language": language, "step": step, "form": form}
                rows.append({**row, "score": score_of(answers, name, n_resamples), "gain": gain})
    return pd.DataFrame(rows)


def probe_table(runs: Sequence[RunRecord], n_resamples: int = 1000) -> pd.DataFrame:
    """Macro-F1 of a head after each layer, and of the support vector machine of ``egemaps``.

    Returns:
        A row a target, step and layer: ``language``, ``step``, ``layer`` (``"svm"`` of the
        machine), ``score``.
    """
    rows = []
    for language, its in by_target(runs).items():
        answers = stacked([run.metrics["clips"] for run in its])
        for name in answers:
            step, _, layer = name.partition(" ")
            if layer.startswith("layer ") or layer == "svm":
                number = layer.removeprefix("layer ")
                place = {"language": language, "step": step, "layer": number}
                rows.append({**place, "score": score_of(answers, name, n_resamples)})
    return pd.DataFrame(rows, columns=["language", "step", "layer", "score"])


def over_distance(
    english: Sequence[RunRecord], others: Sequence[RunRecord], distance: pd.DataFrame
) -> pd.DataFrame:
    """Levels and gains by how far a language lies from the nearest one that was taught.

    Args:
        english: Records of ``lowser sweep frozen --protocol english``.
        others: Records of the protocol ``others``.
        distance: Between languages, by code.

    Returns:
        Rows for ``plots.over_distance``: the level taught in English alone (of English itself, on
        speakers held out), the level taught in all others, and what self-training adds there.
    """
    rows = []
    held_out = {run.seed: run.metrics["held_out"]["macro_f1"] for run in english}
    for what, runs, form in (
        ("taught in English", english, "plain"),
        ("taught in the others", others, "plain"),
        ("gain by self-training", others, "transductive"),
    ):
        table = recipe_table(runs, steps=["corpus"], forms=[form])
        figures = table.set_index("language")["gain" if form != "plain" else "score"].to_dict()
        if runs is english:
            figures["en"] = mean_interval(list(held_out.values()))
        for language, interval in figures.items():
            taught = ["en"] if runs is english else [code for code in figures if code != language]
            near = float(distance.loc[[language], taught].to_numpy().min())
            rows.append({"what": what, "language": language, "distance": near, **vars(interval)})
    return pd.DataFrame(rows)


def thinned_table(runs: Sequence[RunRecord], form: str = "plain") -> pd.DataFrame:
    """Macro-F1 on thinned targets, and what the rule saw and chose.

    Args:
        runs: Records of ``lowser sweep thinned``.
        form: ``plain`` or ``transductive``.

    Returns:
        A row a target, kind of thinning and degree, means over seeds: ``language``, ``what``,
        ``degree``, ``corpus``, ``speaker``, ``rule``, ``share`` (that speakers tell of the
        predicted emotions), ``taken out`` (how often the rule took the speaker out).
    """
    rows = []
    for run in runs:
        for each in run.metrics["situations"]:
            scores = {
                step: each["scores"][f"{step} {form}"]["macro_f1"] for step in ("corpus", "speaker")
            }
            rows.append(
                {
                    "language": run.config["target"],
                    **{key: each[key] for key in ("what", "degree")},
                    **scores,
                    RULE: scores[each["step"]],
                    "share": np.nan if each["share"] is None else each["share"],
                    "taken out": float(each["step"] == "speaker"),
                }
            )
    groups = pd.DataFrame(rows).groupby(["language", "what", "degree"], sort=False)
    return groups.mean().reset_index()


def by_moods(runs: Sequence[RunRecord]) -> dict[str, pd.DataFrame]:
    """What the speaker's mean is worth where each speaker shows fewer moods.

    Args:
        runs: Records of ``lowser sweep thinned``.

    Returns:
        By language, a row a number of moods: macro-F1 after the steps ``corpus`` and ``speaker``,
        and the ``gain`` of the second on the first.
    """
    table = thinned_table(runs)
    table = table[table["what"] == "moods"].assign(gain=table["speaker"] - table["corpus"])
    table.index = pd.Index(table["degree"].astype(int), name="moods")
    shown = ["corpus", "speaker", "gain"]
    return {LANGUAGES[str(code)]: its[shown] for code, its in table.groupby("language", sort=False)}


def thinned_curves(
    runs: Sequence[RunRecord], what: str, step: str = RULE
) -> dict[str, pd.DataFrame]:
    """Macro-F1 on thinned targets with and without self-training, as curves.

    Args:
        runs: Records of ``lowser sweep thinned``.
        what: What is thinned, one of :data:`lowser_lib.experiments.frozen.SHOWN`.
        step: ``corpus``, ``speaker`` or ``rule``.

    Returns:
        Language to a table: a row a degree, the columns ``plain`` and ``transductive``.
    """
    tables = {form: thinned_table(runs, form) for form in FORMS[:2]}
    both = pd.concat({form: table.set_index(["language", "what", "degree"])[step]
                      for form, table in tables.items()}, axis=1)  # fmt: skip
    its = both.xs(what, level="what")
    return {LANGUAGES[code]: its.loc[code] for code in its.index.unique("language")}


def monitored(runs: Sequence[RunRecord]) -> dict[str, pd.DataFrame]:
    """What can be seen of self-training without a label, beside what labels say afterwards.

    Args:
        runs: Records of ``lowser sweep frozen``.

    Returns:
        ``largest class`` (its share of the answers), ``confidence``, ``held back`` (the confidence
        on clips from which nothing was taken), ``agreement`` (share of clips answered as at first),
        ``warned`` (share of runs) and ``macro-F1``, each a table with a row a language and step and
        the columns ``first`` and ``last``: before the first round and after the last, means over
        seeds.
    """
    rows = []
    for run in runs:
        for step in STEPS:
            seen = run.metrics["monitor"].get(step)
            if seen is None:
                continue  # measures are always standardised
            place = {"language": LANGUAGES[run.config["target"]], "step": step}
            for when, its, form in zip(("first", "last"), seen["rounds"], FORMS, strict=False):
                rows += [
                    {**place, "what": what, "when": when, "value": value}
                    for what, value in {
                        "largest class": max(its["shares"]),
                        "confidence": its["confidence"],
                        "held back": its["held_back"],
                        "agreement": its["agreement"],
                        "warned": float(when == "last" and bool(seen["ran_away"])),
                        "macro-F1": run.metrics["scores"][f"{step} {form}"]["macro_f1"],
                    }.items()
                ]
    means = pd.DataFrame(rows).groupby(["what", "language", "step", "when"], sort=False).mean()
    return {
        str(what): its.droplevel(0)["value"].unstack(sort=False).rename_axis(columns=None)
        for what, its in means.groupby("what", sort=False)
    }


def score_of(answers: dict[str, np.ndarray], name: str, n_resamples: int = 1000) -> Interval:
    """Macro-F1 of one kind of answers, as :func:`stacked` gives them."""
    truth, speaker = answers["truth"], answers["speaker"]
    return speaker_bootstrap(truth, answers[name], speaker, LABELS, n_resamples=n_resamples)


def gain_of(
    answers: dict[str, np.ndarray], name: str, against: str, n_resamples: int = 1000
) -> Interval:
    """Difference in macro-F1 between two kinds of answers, as :func:`stacked` gives them."""
    return paired_speaker_bootstrap(
        answers["truth"],
        answers[name],
        answers[against],
        answers["speaker"],
        LABELS,
        n_resamples=n_resamples,
    )


def text(runs: Sequence[RunRecord], n_resamples: int = 1000) -> str:
    """The tables of a sweep, as they are printed."""
    if runs[0].config["kind"] == "thinned":
        shown = thinned_table(runs).to_string(index=False, float_format=lambda x: f"{x:.3f}")
        return f"macro-F1 on thinned targets without self-training, means over seeds\n{shown}"
    table = recipe_table(runs, n_resamples)
    table["gain"] = table["gain"].map(lambda gain: "-" if gain is None else str(gain))
    table["score"] = table["score"].map(str)
    seeds = len({run.seed for run in runs})
    probes = probe_table(runs, n_resamples)
    wide = probes.assign(score=probes["score"].map(str)).pivot(
        index=["language", "step"], columns="layer", values="score"
    )
    return (
        f"macro-F1, {seeds} seeds, 95 % intervals over speakers and seeds; gain on {AGAINST}\n"
        f"{table.to_string(index=False)}\n\nby layer, plain\n{wide.to_string()}"
    )
