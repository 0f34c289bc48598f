"""Paired permutation tests against all signs by hand, Holm against its definition, bad input."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lowser_lib.errors import EvaluationError
from lowser_lib.evaluation import Answers, classification_metrics
from lowser_lib.evaluation.metrics import metric_from_counts
from lowser_lib.evaluation.significance import (
    PairedTest,
    exchange_test,
    holm,
    mark,
    marked,
    paired_permutation_test,
    smallest_p,
)

RANDOM = np.random.default_rng(0)


def slow(differences: np.ndarray) -> float:
    """The share of all signs whose mean is as far from 0."""
    signs = np.array(list(product([1, -1], repeat=len(differences))))
    means = np.abs(signs @ differences)
    return float((means >= abs(differences.sum()) - 1e-12).mean())


@given(
    st.lists(st.floats(-1, 1).map(lambda x: round(x, 2)), min_size=2, max_size=9),
    st.floats(-0.5, 0.5),
)
@settings(max_examples=40, deadline=None)
def test_few_pairs_equal_all_signs_by_hand(differences: list[float], shift: float) -> None:
    second = np.round(np.linspace(0, 1, len(differences)), 2)
    result = paired_permutation_test(second + differences + shift, second)
    exact = (second + differences + shift) - second
    assert result.exact
    assert result.p == pytest.approx(slow(exact))
    assert result.difference == pytest.approx(exact.mean())


def test_five_pairs_are_never_significant_and_six_may_be() -> None:
    assert paired_permutation_test([1.0] * 5, [0.0] * 5).p == pytest.approx(2 / 32)
    assert paired_permutation_test([1.0] * 6, [0.0] * 6).p == pytest.approx(2 / 64)


def test_many_pairs_are_drawn_with_a_seed() -> None:
    first, second = RANDOM.normal(0.3, 1, 40), RANDOM.normal(size=40)
    outcome = paired_permutation_test(first, second, seed=1)
    assert not outcome.exact
    assert outcome == paired_permutation_test(first, second, seed=1)
    assert outcome.p != paired_permutation_test(first, second, seed=2).p
    # A sign test on normal differences agrees with the t-test.
    from scipy.stats import ttest_rel

    assert outcome.p == pytest.approx(ttest_rel(first, second).pvalue, abs=0.02)


def test_no_difference_has_p_of_one() -> None:
    values = RANDOM.normal(size=12)
    assert paired_permutation_test(values, values).p == 1


def test_pairs_of_a_group_change_sign_together() -> None:
    first, second = RANDOM.normal(size=15), RANDOM.normal(size=15)
    folds = np.repeat([*"abcde"], 3)
    answer = paired_permutation_test(first, second, folds)
    means = (first - second).reshape(5, 3).mean(axis=1)
    assert answer.n_pairs == 5
    assert answer.p == pytest.approx(slow(means))
    assert answer.difference == pytest.approx(means.mean())
    shuffled = RANDOM.permutation(15)
    again = paired_permutation_test(first[shuffled], second[shuffled], folds[shuffled])
    assert again.p == pytest.approx(answer.p)


def test_differences_that_are_rounding_alone_are_none() -> None:
    second = np.linspace(0, 1, 5)
    nothing = paired_permutation_test(second + np.array([1e-16, -1e-16, 2e-16, 0, 1e-16]), second)
    assert nothing.p == 1


def made_up(
    random: np.random.Generator, speakers: int, seeds: int, better: float = 0.0
) -> tuple[Answers, Answers]:
    """Two methods on the same speakers; each speaker is easier for one of them, in all seeds."""
    who = np.repeat(np.arange(speakers), 12)
    truth = np.tile([0, 1, 2, 3], speakers * 3)
    skill, likes = random.normal(0, 0.5, speakers), random.normal(0, 0.8, speakers)
    sides = []
    for kept in (better + likes[who] / 2, -likes[who] / 2):
        rows = []
        for _ in range(seeds):
            right = random.random(len(truth)) < 1 / (1 + np.exp(-(skill[who] + kept)))
            rows.append(np.where(right, truth, (truth + 1) % 4))
        sides.append(Answers.of(truth, np.stack(rows), who, range(4)))
    return sides[0], sides[1]


def test_an_exchange_by_speaker_equals_all_exchanges_by_hand() -> None:
    first, second = made_up(RANDOM, 6, seeds=2, better=0.5)
    test = exchange_test(first, second, "macro_f1")
    assert test.exact and test.n_pairs == 6

    def difference(exchanged: np.ndarray) -> float:
        scores = []
        for left, other in ((first, second), (second, first)):
            inside = np.isin(left.speaker.astype(int), np.flatnonzero(exchanged))
            mixed = np.where(inside, other.predicted, left.predicted)
            scores.append(np.mean([
                classification_metrics(left.truth, row, range(4))["macro_f1"] for row in mixed
            ]))  # fmt: skip
        return float(scores[0] - scores[1])

    every = [difference(np.array(chosen)) for chosen in product([0, 1], repeat=6)]
    assert test.difference == pytest.approx(every[0])
    assert test.p == pytest.approx(np.mean(np.abs(every) >= abs(every[0]) - 1e-12))


def test_an_exchange_by_speaker_keeps_its_level_where_one_of_runs_does_not() -> None:
    random, by_speaker, by_run, trials = np.random.default_rng(0), 0, 0, 400
    for _ in range(trials):
        first, second = made_up(random, 10, seeds=10)
        by_speaker += exchange_test(first, second, n_resamples=1024).p <= 0.05
        scores = [
            metric_from_counts(side.confusions().sum(axis=1), "uar") for side in (first, second)
        ]
        by_run += paired_permutation_test(scores[0], scores[1], n_resamples=1024).p <= 0.05
    assert by_speaker / trials <= 0.07
    assert by_run / trials > 0.2


def test_an_exchange_finds_what_is_there_and_a_method_beside_itself_is_nothing() -> None:
    first, second = made_up(np.random.default_rng(1), 12, seeds=3, better=1.0)
    assert exchange_test(first, second).p < 0.01
    itself = exchange_test(first, first)
    assert (itself.difference, itself.p) == (0, 1)
    alone = Answers.of([0, 1], [0, 1], ["a", "a"], range(4))
    with pytest.raises(EvaluationError, match="1 speaker"):
        exchange_test(alone, alone)
    with pytest.raises(EvaluationError, match="the two sides differ in"):
        exchange_test(first, second.where(second.truth < 3))


def test_the_smallest_p_is_known_before_testing() -> None:
    assert smallest_p(5) == 2 / 32 and smallest_p(6, tests=6) == pytest.approx(12 / 64)
    assert smallest_p(29) == 1 / 10_000 and smallest_p(2, tests=4) == 1
    clear = paired_permutation_test([1.0] * 7, [0.0] * 7)
    assert clear.p == pytest.approx(smallest_p(7))
    many = paired_permutation_test([1.0] * 40, [0.0] * 40, n_resamples=99)
    assert many.p == pytest.approx(smallest_p(40, n_resamples=99)) == pytest.approx(1 / 100)
    with pytest.raises(ValueError, match="n_pairs must be at least 1"):
        smallest_p(0)


def test_holm_of_a_worked_example() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.6, 0.7]), [1, 1])
    assert holm([]).shape == (0,)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_holm_rejects_what_its_steps_reject(p: list[float]) -> None:
    corrected = holm(p)
    for level in (0.01, 0.05, 0.2, 0.7):
        rejected = set()
        for step, index in enumerate(np.argsort(p, kind="stable")):
            if p[index] * (len(p) - step) >= level:
                break
            rejected.add(int(index))
        assert set(np.flatnonzero(corrected < level).tolist()) == rejected
    assert (corrected >= np.array(p)).all()


def test_marks() -> None:
    assert (mark(0.049), mark(0.05), mark(0.02, level=0.01)) == ("*", "ns", "ns")
    tests = {
        ("mel", 1): PairedTest(0.08, 0.02, 15, False),
        ("mel", 4): PairedTest(0.01, 0.6, 15, False),
        ("egemaps", 1): PairedTest(0.1, 0.03, 15, False),
    }
    table = marked(tests)
    assert table.loc[("mel", 1), "p_holm"] == pytest.approx(0.06)
    assert table["mark"].tolist() == ["ns", "ns", "ns"]
    assert marked(tests, level=0.1)["mark"].tolist() == ["*", "ns", "*"]
    assert marked({"a": tests["mel", 1]}).loc["a", "mark"] == "*"
    assert len(marked({})) == 0


@pytest.mark.parametrize(
    ("first", "second", "groups", "message"),
    [
        ([1.0, 2.0], [1.0], None, "rows of equal length"),
        ([[1.0, 2.0]], [[1.0, 2.0]], None, "rows of equal length"),
        ([1.0], [2.0], None, "1 pairs or groups"),
        ([1.0, 2.0], [0.0, 1.0], ["a", "a"], "1 pairs or groups"),
        ([1.0, np.nan], [0.0, 1.0], None, "1 of 2 pairs have a result that is not finite"),
        ([1.0, 2.0], [0.0, 1.0], ["a"], "groups must have one value"),
        ([1.0, 2.0, 3.0], [0.0, 1.0, 2.0], ["a", None, "b"], "1 pairs have none"),
    ],
)
def test_refuses(first: object, second: object, groups: list[str] | None, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        paired_permutation_test(first, second, groups)  # type: ignore[arg-type]


def test_refuses_values_out_of_range() -> None:
    for values in ([0.5, 1.1], [np.nan], [[0.1]]):
        with pytest.raises(EvaluationError, match="p_values must be"):
            holm(values)
    with pytest.raises(EvaluationError, match="p must lie"):
        mark(np.nan)
    with pytest.raises(ValueError, match="n_resamples"):
        paired_permutation_test([1.0, 2.0], [0.0, 0.0], n_resamples=10)
