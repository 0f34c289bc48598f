"""Paired permutation tests against all signs by hand, Holm against its definition, bad input."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lowser_lib.errors import EvaluationError
from lowser_lib.evaluation.significance import (
    PairedTest,
    holm,
    mark,
    marked,
    paired_permutation_test,
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
    found = paired_permutation_test(second + differences + shift, second)
    exact = (second + differences + shift) - second
    assert found.exact
    assert found.p == pytest.approx(slow(exact))
    assert found.difference == pytest.approx(exact.mean())


def test_five_pairs_are_never_significant_and_six_may_be() -> None:
    assert paired_permutation_test([1.0] * 5, [0.0] * 5).p == pytest.approx(2 / 32)
    assert paired_permutation_test([1.0] * 6, [0.0] * 6).p == pytest.approx(2 / 64)


def test_many_pairs_are_drawn_with_a_seed() -> None:
    first, second = RANDOM.normal(0.3, 1, 40), RANDOM.normal(size=40)
    found = paired_permutation_test(first, second, seed=1)
    assert not found.exact
    assert found == paired_permutation_test(first, second, seed=1)
    assert found.p != paired_permutation_test(first, second, seed=2).p
    # A sign test on normal differences agrees with the t-test.
    from scipy.stats import ttest_rel

    assert found.p == pytest.approx(ttest_rel(first, second).pvalue, abs=0.02)


def test_no_difference_has_p_of_one() -> None:
    values = RANDOM.normal(size=12)
    assert paired_permutation_test(values, values).p == 1


def test_pairs_of_a_group_change_sign_together() -> None:
    first, second = RANDOM.normal(size=15), RANDOM.normal(size=15)
    folds = np.repeat([*"abcde"], 3)
    found = paired_permutation_test(first, second, folds)
    means = (first - second).reshape(5, 3).mean(axis=1)
    assert found.n_pairs == 5
    assert found.p == pytest.approx(slow(means))
    assert found.difference == pytest.approx(means.mean())
    shuffled = RANDOM.permutation(15)
    again = paired_permutation_test(first[shuffled], second[shuffled], folds[shuffled])
    assert again.p == pytest.approx(found.p)


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
