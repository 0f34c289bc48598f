"""The one check of arguments: which values pass, and what is said of the others."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from lowser_lib.errors import require


@pytest.mark.parametrize(
    ("allowed", "values"),
    [
        ("[0, 1)", (0, 0.0, 0.99, np.float32(0.5))),
        ("(0, 1]", (1, 1e-9)),
        ("(0, inf)", (1e-9, 10**9)),
        ("(0, inf]", (1.0, math.inf)),
        ("[-1, 1]", (-1, 1)),
        ("1..", (1, 7, np.int64(3))),
        ("1.. or None", (1, None)),
        ("[0.5, inf) or None", (0.5, None)),
        (("mean", "sum"), ("mean", "sum")),
    ],
)
def test_what_is_allowed_passes(allowed: Any, values: tuple[Any, ...]) -> None:
    for value in values:
        require(allowed, name=value)


@pytest.mark.parametrize(
    ("allowed", "value", "message"),
    [
        ("[0, 1)", 1, r"share must lie in \[0, 1\), not 1"),
        ("[0, 1)", math.nan, r"share must lie in \[0, 1\), not nan"),
        ("(0, inf)", 0, "share must be above 0, not 0"),
        ("(0, inf)", math.nan, "share must be above 0, not nan"),
        ("(0, inf)", math.inf, r"share must lie in \(0, inf\), not inf"),
        ("[0, inf)", -0.1, "share must be at least 0, not -0.1"),
        ("[0, inf)", "3", "share must be a number, not '3'"),
        ("[0, inf)", True, "share must be a number, not True"),
        ("[0, inf)", None, "share must be a number, not None"),
        ("1..", 0, "share must be at least 1, not 0"),
        ("1..", 2.5, "share must be a whole number, not 2.5"),
        ("1..", 2.0, "share must be a whole number, not 2.0"),
        ("1..", math.nan, "share must be a whole number, not nan"),
        ("1.. or None", 0, "share must be at least 1, not 0"),
        (("mean", "sum"), "none", "share must be one of 'mean', 'sum', not 'none'"),
    ],
)
def test_what_is_not_is_named_with_its_range(allowed: Any, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        require(allowed, share=value)


def test_of_several_values_the_wrong_one_is_named() -> None:
    with pytest.raises(ValueError, match="second must be above 0, not 0"):
        require("(0, inf)", first=1, second=0)
