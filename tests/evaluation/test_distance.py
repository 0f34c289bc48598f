"""The distance of frequencies: closed forms, symmetry, the triangle, bad input."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings, strategies as st

from lowser_lib.errors import EvaluationError
from lowser_lib.evaluation.similarity import frequency_distance

WORDS = st.text("abcd", min_size=1, max_size=12)


def test_closed_forms() -> None:
    assert frequency_distance("aabb", "ab") == 0
    assert frequency_distance("ab", "cd") == pytest.approx(1)
    # (1, 0) and (1/2, 1/2): the middle is (3/4, 1/4).
    divergence = (math.log2(4 / 3) + 0.5 * math.log2(2 / 3) + 0.5 * math.log2(2)) / 2
    assert frequency_distance("a", "ab") == pytest.approx(math.sqrt(divergence))


@given(WORDS, WORDS, WORDS)
@settings(max_examples=40, deadline=None)
def test_it_is_a_metric(first: str, second: str, third: str) -> None:
    left, other = frequency_distance(first, second), frequency_distance(second, first)
    assert left == pytest.approx(other, abs=1e-9)
    assert 0 <= left <= 1 + 1e-9
    assert frequency_distance(first, third) <= left + frequency_distance(second, third) + 1e-7


def test_an_empty_sample_is_refused() -> None:
    with pytest.raises(EvaluationError, match="a sample is empty"):
        frequency_distance("abc", "")
