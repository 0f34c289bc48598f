"""Records by gender: what is read, how curves are made, and verdicts on remedies."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lowser_lib.corpora.base import EMOTIONS
from lowser_lib.evaluation import Answers, Interval
from lowser_lib.evaluation.metrics import classification_metrics
from lowser_lib.experiments import gender_gaps
from lowser_lib.experiments.gender_gaps import Outcome, answers_by_gender
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


def read(results: Path, name: str) -> Answers:
    found = answers_by_gender(results, "fast", name)
    assert found is not None
    return found


def test_answers_come_with_emotions_and_genders_by_name(tmp_path: Path) -> None:
    genders = write(tmp_path, "plain", women(0.5))
    found = read(tmp_path, "plain")
    assert found.predicted.shape == (2, SPEAKERS * len(TRUTH))
    assert set(found.truth) == {0, 1, 2, 3} and found.labels == EMOTIONS
    groups = [found.groups[number] for number in found.group]
    assert [genders[speaker] for speaker in found.speaker] == groups


def test_genders_may_come_from_elsewhere_and_nothing_is_made_up(tmp_path: Path) -> None:
    genders = write(tmp_path, "older", women(0.5), told=False)
    assert answers_by_gender(tmp_path, "fast", "older") is None
    assert answers_by_gender(tmp_path, "fast", "older", genders={"s00": "male"}) is None
    found = answers_by_gender(tmp_path, "fast", "older", genders=genders)
    assert found is not None and found.groups == ("female", "male")
    assert answers_by_gender(tmp_path, "fast", "older", "de", genders) is None
    assert answers_by_gender(tmp_path, "fast", "never-run", genders=genders) is None


def test_curves_are_uar_by_gender_and_their_difference(tmp_path: Path) -> None:
    shares = {0.5: women(0.9), 0.9: women(0.4)}
    for share, hit in shares.items():
        write(tmp_path, f"at-{share}", hit)
    answers = {share: read(tmp_path, f"at-{share}") for share in shares}
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


def test_a_remedy_that_helps_women_reaches_the_aim(tmp_path: Path) -> None:
    for name, chance in (("without", 0.4), ("with", 0.88)):
        write(tmp_path, name, women(chance))
    found = gender_gaps.outcome(read(tmp_path, "with"), read(tmp_path, "without"))
    assert found.verdict == "aim reached"
    assert found.change.low > 0 and found.price.low > 0
    assert found.moved["female"][1] > found.moved["female"][0] + 0.3
    assert found.before.estimate == pytest.approx(found.moved["female"][0] - found.moved["male"][0])
    assert math.isclose(found.after.estimate - found.before.estimate, found.change.estimate)


def test_a_remedy_that_pulls_men_down_is_too_dear(tmp_path: Path) -> None:
    write(tmp_path, "without", women(0.4))
    write(tmp_path, "with", lambda gender: 0.4)
    found = gender_gaps.outcome(read(tmp_path, "with"), read(tmp_path, "without"))
    assert found.verdict == "halved, but too dear"


@pytest.mark.parametrize(
    ("after", "change", "price", "verdict"),
    [
        (-0.05, (0.15, 0.05, 0.25), (0.0, -0.02, 0.02), "aim reached"),
        (-0.05, (0.1, -0.1, 0.3), (0, 0, 0), "aim reached; in doubt: that the gap changes"),
        (0.1, (0.3, 0.1, 0.5), (-0.02, -0.03, 0.0), "aim reached; in doubt: the price"),
        (0.11, (0.31, 0.1, 0.5), (0.0, -0.01, 0.01), "cheap, but not halved"),
        (-0.15, (0.05, 0.0, 0.1), (-0.03, -0.04, -0.02), "neither halved nor cheap"),
        (-0.05, (0.15, 0.05, 0.25), (-0.03, -0.04, 0.1), "halved, but too dear"),
    ],
)
def test_verdicts(
    after: float, change: tuple[float, float, float], price: tuple[float, float, float],
    verdict: str,
) -> None:  # fmt: skip
    kept = Interval(after, after, after, 8), Interval(*change, 8), Interval(*price, 8)
    assert Outcome(Interval(-0.2, -0.3, -0.1, 8), *kept, aim=0.02).verdict == verdict
    unclear = Outcome(Interval(-0.2, -0.5, 0.1, 8), *kept, aim=0.02)
    assert unclear.verdict == "no clear gap to halve"
