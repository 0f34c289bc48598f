"""Records by gender: what is read, how curves are made, and verdicts on remedies."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from lowser_lib.corpora.base import EMOTIONS
from lowser_lib.evaluation import Answers, Interval
from lowser_lib.evaluation.metrics import classification_metrics
from lowser_lib.experiments import gender_gaps
from lowser_lib.experiments.gender_gaps import Outcome, all_answers
from lowser_lib.experiments.records import SCHEMA, RunRecord

TRUTH = np.tile(np.arange(4), 5)
SPEAKERS = 16


def write(
    results: Path, name: str, hit: Callable[[str], float], seeds: int = 2, told: bool = True
) -> dict[str, str]:
    """Records of eight women and eight men; each clip is understood with its gender's chance."""
    genders = {f"s{one:02d}": "female" if one % 2 else "male" for one in range(SPEAKERS)}
    for seed in range(seeds):
        random = np.random.default_rng([seed, len(name)])
        clips = {}
        for speaker, gender in genders.items():
            right = random.random(len(TRUTH)) < hit(gender)
            said = np.where(right, TRUTH, (TRUTH + 1 + random.integers(3, size=len(TRUTH))) % 4)
            columns = {"truth": TRUTH, "none": said, "embeddings": said}
            clips[speaker] = {key: "".join(map(str, one)) for key, one in columns.items()}
        metrics = {"transfer": {one: {"macro_f1": 0.5} for one in ("none", "embeddings")},
                   "clips": clips} | ({"genders": genders} if told else {})  # fmt: skip
        record = RunRecord(
            schema=SCHEMA, chapter="03", name="made-up", profile="fast", seed=seed,
            metrics=metrics, config={"language": "ur"}, corpora={}, device={}, versions={},
            commit={}, seconds=1.0, finished="now",
        )  # fmt: skip
        path = results / "fast" / "sweeps" / name / f"ur-{seed}.json"
        record.write(path)
    return genders


def women(chance: float) -> Callable[[str], float]:
    """Men are understood nine times in ten, women with this chance."""
    return lambda gender: chance if gender == "female" else 0.9


@pytest.fixture(autouse=True)
def records_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gender_gaps.paths, "results_root", lambda: tmp_path)


def read(name: str, **known: Any) -> Answers | None:
    return all_answers("fast", {name: name}, **known).get(name)


def answers_in(name: str) -> Answers:
    found = read(name)
    assert found is not None
    return found


def test_answers_come_with_emotions_and_genders_by_name(tmp_path: Path) -> None:
    genders = write(tmp_path, "plain", women(0.5))
    found = answers_in("plain")
    assert found.predicted.shape == (2, SPEAKERS * len(TRUTH))
    assert set(found.truth) == {0, 1, 2, 3} and found.labels == EMOTIONS
    groups = [found.groups[number] for number in found.group]
    assert [genders[speaker] for speaker in found.speaker] == groups


def test_genders_may_come_from_elsewhere_and_nothing_is_made_up(tmp_path: Path) -> None:
    genders = write(tmp_path, "older", women(0.5), told=False)
    assert read("older") is None
    assert read("older", genders={"s00": "male"}) is None
    found = read("older", genders=genders)
    assert found is not None and found.groups == ("female", "male")
    assert read("older", language="de", genders=genders) is None
    assert read("never-run", genders=genders) is None


def test_curves_are_uar_by_gender_and_their_difference(tmp_path: Path) -> None:
    shares = {0.5: women(0.9), 0.9: women(0.4)}
    for share, hit in shares.items():
        write(tmp_path, f"at-{share}", hit)
    answers = {share: answers_in(f"at-{share}") for share in shares}
    scores, gaps = gender_gaps.share_curves(answers, "probe")
    assert [(row["share"], row["group"]) for row in scores] == [
        (share, gender) for share in shares for gender in ("female", "male")
    ]
    for share, one in answers.items():
        female = one.where(one.group == one.groups.index("female"))
        uar = np.mean([
            classification_metrics(female.truth, row, range(4))["uar"] for row in female.predicted
        ])  # fmt: skip
        own = {row["group"]: row["estimate"] for row in scores if row["share"] == share}
        assert math.isclose(own["female"], uar)
        gap = next(row for row in gaps if row["share"] == share)
        # Every emotion has as many clips, so that the mean gap is the difference of UAR.
        assert math.isclose(gap["estimate"], own["female"] - own["male"], abs_tol=1e-12)
        assert gap["low"] <= gap["estimate"] <= gap["high"]
    assert {row["test"] for row in scores} == {row["group"] for row in gaps} == {"probe"}


def test_a_remedy_that_helps_women_closes_the_gap_by_raising(tmp_path: Path) -> None:
    for name, chance in (("without", 0.4), ("with", 0.88)):
        write(tmp_path, name, women(chance))
    found = gender_gaps.outcome(answers_in("with"), answers_in("without"))
    assert found.closed and found.raised and found.verdict == "closed by raising"
    assert (found.worse_off, found.better_off) == ("female", "male")
    assert found.change.low > 0 and found.price.low > 0 and found.moved["female"].low > 0
    before, after = found.ends["female"]
    assert math.isclose(after - before, found.moved["female"].estimate)
    assert found.before.estimate == pytest.approx(before - found.ends["male"][0])
    assert math.isclose(found.after.estimate - found.before.estimate, found.change.estimate)
    twice = [{corpus: answers_in(name) for corpus in "ab"} for name in ("with", "without")]
    gain = gender_gaps.gain_of_worse_off(*twice)
    assert gain.estimate == pytest.approx(found.moved["female"].estimate) and gain.low > 0


def test_a_remedy_that_pulls_men_down_levels_down(tmp_path: Path) -> None:
    write(tmp_path, "without", women(0.4))
    write(tmp_path, "with", lambda gender: 0.4)
    found = gender_gaps.outcome(answers_in("with"), answers_in("without"))
    assert found.closed and not found.raised
    assert found.verdict.startswith("levelled down: men pay 5")
    table = gender_gaps.remedies({"less": found})
    assert table["verdict"].item() == found.verdict and "→" in table["UAR, male"].item()
    rows = gender_gaps.who_moved({"less": found})
    assert [row["test"] for row in rows] == ["female", "male"]
    assert rows[1]["estimate"] == found.moved["male"].estimate < -0.4


Bounds = tuple[float, float, float]
NARROW: Bounds = (0.15, 0.05, 0.25)
MEN_STAY: Bounds = (0.0, -0.01, 0.01)
MEN_PAY: Bounds = (-0.1, -0.15, -0.05)


@pytest.mark.parametrize(
    ("after", "change", "women_gain", "men", "verdict"),
    [
        (-0.05, NARROW, NARROW, MEN_STAY, "closed by raising"),
        (-0.05, NARROW, NARROW, MEN_PAY, "levelled down: men pay 10 points"),
        (-0.05, (0.15, -0.1, 0.3), (0.1, -0.1, 0.3), MEN_STAY, "gap stays"),
        (-0.15, (0.05, 0.01, 0.1), NARROW, (0.1, 0.05, 0.15), "raises the worse-off; gap stays"),
        (-0.15, (0.05, 0.01, 0.1), NARROW, MEN_PAY, "gap stays"),
        (0.11, (0.31, 0.1, 0.5), (0.3, 0.2, 0.4), MEN_STAY, "raises the worse-off; gap stays"),
    ],
)
def test_verdicts(
    after: float, change: Bounds, women_gain: Bounds, men: Bounds, verdict: str
) -> None:  # fmt: skip
    moved = {"female": Interval(*women_gain, 8), "male": Interval(*men, 8)}
    ends = {"female": (0.6, 0.6 + women_gain[0]), "male": (0.8, 0.8 + men[0])}
    found = Outcome(
        Interval(-0.2, -0.3, -0.1, 8), Interval(after, after, after, 8), Interval(*change, 8),
        Interval(0.0, 0.0, 0.0, 8), moved, ends,
    )  # fmt: skip
    assert found.verdict == verdict
    unclear = replace(found, before=Interval(-0.2, -0.5, 0.1, 8))
    assert not unclear.closed  # there was no clear gap


def test_rows_for_figures_and_words(tmp_path: Path) -> None:
    for name, chance, seeds in (("baseline", 0.4, 3), ("byol", 0.6, 2), ("byol-male-50", 0.7, 1)):
        write(tmp_path, name, women(chance), seeds)
    answers = all_answers("fast")
    assert list(answers) == ["baseline", "BYOL"]  # of the third there is no record
    assert {its.n_seeds for its in answers.values()} == {2}  # those that both have
    rows = gender_gaps.accuracies(answers)
    assert {row["corpus"] for row in rows} == {"female, 160 clips", "male, 160 clips"}
    parts = {row["label"]: row["estimate"] for row in gender_gaps.gap_rows({"a": answers["BYOL"]})}
    raw, mix, understood, _ = (parts[part] for part in gender_gaps.PARTS)
    assert raw == pytest.approx(mix + understood) and raw < -0.2
    changes = gender_gaps.change_rows(answers)
    assert {row["test"] for row in changes} == {"BYOL"}
    assert {row["label"] for row in changes} == set(gender_gaps.PARTS)
    words = gender_gaps.in_words(answers["baseline"], 99).set_index("gap")
    assert int(str(words.loc["accuracy", "points"])) < -40
    skewed = gender_gaps.skewed_answers("fast", (0.5, 0.9))
    assert {label: list(its) for label, its in skewed.items()} == {"BYOL": [0.5]}


def test_frozen_answers_come_by_language_where_both_genders_are_known() -> None:
    said = {"truth": 2 * "0123", "corpus plain": 2 * "0120"}
    genders = {f"s{number}": "female" if number % 2 else "male" for number in range(6)}
    clips = dict.fromkeys(genders, said)
    runs = [
        SimpleNamespace(seed=seed, config={"target": code},
                        metrics={"clips": clips, "genders": genders if code == "de" else {}})
        for seed in range(2) for code in ("de", "bn")
    ]  # fmt: skip
    found = gender_gaps.frozen_answers(cast(list[RunRecord], runs), "corpus plain")
    assert list(found) == ["German"]
    assert found["German"].predicted.shape == (2, 48)
    assert gender_gaps.conditional_gap(found["German"])["estimate"] == 0
