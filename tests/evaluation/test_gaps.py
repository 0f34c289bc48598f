"""Gaps between two groups: the closed form of URDU, plain slow versions, and what luck makes."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from lowser_lib.errors import EvaluationError
from lowser_lib.evaluation.gaps import (
    CONDITIONAL,
    FLOOR,
    MIX,
    STANDARDISED,
    UNDERSTANDING,
    gap_change,
    gaps,
)
from lowser_lib.evaluation.groups import Least, length_bins
from lowser_lib.evaluation.intervals import paired_speaker_bootstrap
from lowser_lib.evaluation.metrics import Answers

LABELS = ["angry", "happy", "neutral", "sad"]
BETWEEN = ("female", "male")
#: Clips of URDU by emotion.
URDU = {"female": (0, 46, 4, 6), "male": (100, 54, 96, 94)}
SPEAKERS = {"female": 11, "male": 18}


def urdu() -> pd.DataFrame:
    """URDU, and a classifier with equal recalls for both: half of the happy clips, all others."""
    rows = []
    for gender, counts in URDU.items():
        for label, count in zip(LABELS, counts, strict=True):
            for number in range(count):
                wrong = label == "happy" and number % 2 == 0
                speaker = f"{gender[0]}{number % SPEAKERS[gender]}"
                rows.append((gender, speaker, label, "angry" if wrong else label))
    return pd.DataFrame(rows, columns=["group", "speaker", "truth", "answer"])


def of(table: pd.DataFrame, between: tuple[str, str] = BETWEEN, **options: object) -> pd.DataFrame:
    quick = {"n_resamples": 100, "n_permutations": 199, **options}
    return gaps(answers(table), between, **quick).set_index("gap")  # type: ignore[arg-type]


def answers(table: pd.DataFrame, given: object = None) -> Answers:
    """A table's answers, or others to the same clips."""
    given = table["answer"] if given is None else given
    return Answers.of(table["truth"], given, table["speaker"], LABELS, table["group"])  # type: ignore[arg-type]


def drawn(seed: int, speakers: int = 8) -> pd.DataFrame:
    """Speakers who all say everything, understood at random."""
    random = np.random.default_rng(seed)
    rows = [
        (("female", "male")[speaker % 2], f"s{speaker}", label)
        for speaker in range(speakers)
        for label in LABELS * 3
    ]
    table = pd.DataFrame(rows, columns=["group", "speaker", "truth"])
    table["answer"] = random.choice(LABELS, len(table))
    return table


def test_urdu_makes_a_large_gap_of_equal_recalls() -> None:
    result = of(urdu(), n_resamples=500, n_permutations=999)
    raw = (23 + 4 + 6) / 56 - (100 + 27 + 96 + 94) / 344
    assert raw < -0.33  # as large as the one that Gong et al. 2025 report, 41 to 73
    assert result["estimate"]["accuracy"] == pytest.approx(raw)
    assert result["estimate"][MIX] == pytest.approx(raw)
    for name in (UNDERSTANDING, "recall of happy", "recall of sad", CONDITIONAL, STANDARDISED):
        assert result["estimate"][name] == pytest.approx(0, abs=1e-12)
    # The raw gap looks certain; the class-conditional one is what luck makes.
    assert result["high"]["accuracy"] < 0 and result["p"]["accuracy"] < 0.01
    assert result["low"][CONDITIONAL] <= 0 <= result["high"][CONDITIONAL]
    assert result["p"][CONDITIONAL] > 0.9


def test_what_urdu_cannot_say_is_said() -> None:
    outcome = of(urdu())
    assert outcome["estimate"][["recall of angry", "recall of neutral"]].isna().all()
    assert outcome["reason"]["recall of angry"] == "female: no clip"
    assert outcome["reason"]["recall of neutral"] == "female: 4 of the 5 clips that it takes"
    assert outcome["classes"][CONDITIONAL] == 2
    assert "without angry (female: no clip)" in outcome["reason"][CONDITIONAL]
    # Turned round, women's recalls would have to stand in for men's: there is none of angry.
    turned = of(urdu(), ("male", "female"))
    assert math.isnan(turned["estimate"][MIX])
    assert turned["reason"][MIX].startswith("angry, female: no clip")
    assert turned["estimate"]["accuracy"] == -outcome["estimate"]["accuracy"]
    few = of(urdu(), least=Least(clips=100, speakers=3))
    assert few["estimate"].isna().all() and (few["reason"] != "").all()


def test_gaps_are_those_of_a_plain_version() -> None:
    table = drawn(5)
    table = table.drop(table.index[[0, 1, 5, 24, 30, 47]])  # unequal mixes
    answer = of(table)
    right = table["answer"] == table["truth"]
    accuracy = right.groupby(table["group"]).mean()
    assert answer["estimate"]["accuracy"] == pytest.approx(accuracy["female"] - accuracy["male"])
    recall = right.groupby([table["group"], table["truth"]]).mean().unstack()
    difference = recall.loc["female"] - recall.loc["male"]
    for label in LABELS:
        assert answer["estimate"][f"recall of {label}"] == pytest.approx(difference[label])
    assert answer["estimate"][CONDITIONAL] == pytest.approx(difference.mean())
    shares = table["truth"].value_counts(normalize=True)
    assert answer["estimate"][STANDARDISED] == pytest.approx((difference * shares).sum())


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_the_two_parts_make_the_raw_gap(seed: int) -> None:
    table = drawn(seed).sample(frac=0.7, random_state=seed)
    estimate = of(table, least=Least(1, 1), n_resamples=2)["estimate"]
    if not math.isnan(estimate[MIX]):
        assert estimate[MIX] + estimate[UNDERSTANDING] == pytest.approx(estimate["accuracy"])


def test_speakers_are_drawn_within_their_group() -> None:
    table = drawn(1)
    result = of(table, n_resamples=300, seed=7)
    random = np.random.default_rng(7)
    score = (table["answer"] == table["truth"]).groupby(table["speaker"]).mean()
    women, men = score[["s0", "s2", "s4", "s6"]], score[["s1", "s3", "s5", "s7"]]
    shares = [random.multinomial(4, [0.25] * 4, 300) / 4 for _ in range(2)]
    draws = shares[0] @ women.to_numpy() - shares[1] @ men.to_numpy()
    low, high = np.quantile(draws, [0.025, 0.975])
    # Four speakers a side: by the missing variance, and Student's quantile of three degrees.
    stretch = np.sqrt(4 / 3) * stats.t.ppf(0.975, 3) / stats.norm.ppf(0.975)
    estimate = result["estimate"]["accuracy"]
    assert result["low"]["accuracy"] == pytest.approx(estimate + stretch * (low - estimate))
    assert result["high"]["accuracy"] == pytest.approx(estimate + stretch * (high - estimate))


def test_names_are_dealt_out_to_speakers() -> None:
    table = drawn(2, speakers=6)
    result = of(table)
    score = (table["answer"] == table["truth"]).groupby(table["speaker"]).mean().to_numpy()

    def welch(first: np.ndarray, second: np.ndarray) -> float:
        spread = first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second)
        return abs(first.mean() - second.mean()) / math.sqrt(spread + floor)

    deals = [
        (score[list(chosen)], np.delete(score, list(chosen)))
        for chosen in combinations(range(6), 3)
    ]
    spreads = [a.var(ddof=1) / 3 + b.var(ddof=1) / 3 for a, b in deals]
    floor = FLOOR * np.median([spreads[0], *spreads])
    observed = welch(score[[1, 3, 5]], score[[0, 2, 4]])
    observed = min(observed, welch(score[[0, 2, 4]], score[[1, 3, 5]]))
    p = np.mean([welch(*deal) >= observed - 1e-9 for deal in deals])
    assert result["p"]["accuracy"] == pytest.approx(p, abs=0.051)  # the median is of one deal more


def test_drawn_deals_count_how_it_is_as_one_more() -> None:
    table = pd.concat([drawn(1, speakers=20), drawn(1, speakers=20)])
    table["answer"] = np.where(table["group"] == "male", table["truth"], "sad")
    p = of(table, n_permutations=99)["p"]["accuracy"]
    assert p == pytest.approx(1 / 100)  # no deal reaches a gap this clear; and p is never 0


def test_the_test_keeps_its_level_where_women_have_few_clips_and_men_many() -> None:
    random, rejected, plain, trials = np.random.default_rng(0), 0, 0, 300
    women = np.arange(29) < 11
    for _ in range(trials):
        clips = np.maximum(1, random.poisson(np.where(women, 1.7, 7.8)))
        speaker = np.repeat(np.arange(29), clips)
        truth = random.integers(0, 4, len(speaker))
        skill = 1 / (1 + np.exp(-random.normal(0, 0.8, 29)))
        right = random.random(len(speaker)) < skill[speaker]
        given = Answers.of(
            truth, np.where(right, truth, (truth + 1) % 4), speaker, range(4), women[speaker]
        )
        table = gaps(given, (True, False), n_permutations=299, n_resamples=2).set_index("gap")
        rejected += table["p"]["accuracy"] <= 0.05
        counts = np.array([np.bincount(speaker, right, 29), clips])  # without its standard error
        deals = np.array([women, *(random.permutation(women) for _ in range(199))])
        ends = [counts @ side.T for side in (deals, ~deals)]
        apart = np.abs(ends[0][0] / ends[0][1] - ends[1][0] / ends[1][1])
        plain += np.mean(apart >= apart[0]) <= 0.05
    assert rejected / trials <= 0.07
    assert plain / trials > 0.07  # what it is mended from


def test_many_clips_of_few_speakers_prove_nothing() -> None:
    rows = [(group, f"{group}{speaker}", label, label if group == "male" else "sad")
            for group in BETWEEN for speaker in range(2) for label in LABELS * 50]  # fmt: skip
    table = pd.DataFrame(rows, columns=["group", "speaker", "truth", "answer"])
    result = of(table, least=Least(speakers=2))
    assert result["estimate"]["accuracy"] == -0.75
    assert result["p"]["accuracy"] == pytest.approx(2 / 6)  # two of six deals


def test_luck_rarely_looks_like_a_gap() -> None:
    small = [of(drawn(seed), n_permutations=99)["p"][CONDITIONAL] < 0.1 for seed in range(60)]
    assert 0 < sum(small) <= 15  # six are expected


def test_a_property_of_clips_has_bounds_but_no_deals() -> None:
    table = drawn(3)
    table["group"] = length_bins(np.tile([1.0, 4.0, 4.0], len(table) // 3), edges=(2,))
    result = of(table, ("0 to 2 s", "2 s and more"))
    assert result["p"].isna().all()
    row = result.loc["accuracy"]
    assert row["low"] < row["estimate"] < row["high"]


def test_several_seeds_are_averaged() -> None:
    table = drawn(4)
    two = np.stack([table["answer"], table["truth"]])
    left = of(table)["estimate"]
    both = gaps(answers(table, two), BETWEEN, n_resamples=10).set_index("gap")["estimate"]
    for name in ("accuracy", CONDITIONAL, STANDARDISED):
        assert both[name] == pytest.approx(left[name] / 2)  # the second training has no gap


def test_a_change_is_the_difference_of_two_tables_on_the_same_speakers() -> None:
    table = drawn(8, speakers=12)
    other = np.random.default_rng(1).choice(LABELS, (2, len(table)))
    after = of(table)["estimate"]
    before = gaps(answers(table, other), BETWEEN, n_resamples=5).set_index("gap")["estimate"]
    result = gap_change(answers(table), answers(table, other), BETWEEN, n_resamples=200)
    result = result.set_index("gap")
    assert result["after"].to_numpy() == pytest.approx(after.to_numpy())
    assert result["before"].to_numpy() == pytest.approx(before.to_numpy())
    assert (result["low"] < result["change"]).all() and (result["change"] < result["high"]).all()
    # A method beside itself changes nothing, whoever is drawn.
    same = gap_change(answers(table), answers(table), BETWEEN, n_resamples=50)
    assert (same[["change", "low", "high"]] == 0).all(axis=None)
    # If men are answered alike by both, the change of the gap is that of the women.
    women = table["group"] == "female"
    mixed = np.where(women, other[0], table["answer"])
    result = gap_change(answers(table), answers(table, mixed), BETWEEN, n_resamples=2000)
    alone = paired_speaker_bootstrap(
        table["truth"][women], table["answer"][women], mixed[women], table["speaker"][women],
        LABELS, "accuracy", 2000,
    )  # fmt: skip
    row = result.set_index("gap").loc["accuracy"]
    assert row["change"] == pytest.approx(alone.estimate)
    assert row["low"] == pytest.approx(alone.low, abs=0.03)
    assert row["high"] == pytest.approx(alone.high, abs=0.03)
    right = answers(urdu(), urdu()["truth"])
    gone = gap_change(answers(urdu()), right, BETWEEN, n_resamples=20)
    assert gone.set_index("gap")["change"].isna().sum() == 2  # angry, neutral


def test_what_is_no_pair_is_refused() -> None:
    table = drawn(0)
    for between in (("female", "other"), ("male", "male")):
        with pytest.raises(EvaluationError, match="between must name two of the groups"):
            of(table, between)
    with pytest.raises(ValueError, match="n_permutations must be at least 99"):
        of(table, n_permutations=5)
    with pytest.raises(ValueError, match="level"):
        of(table, level=1.0)
