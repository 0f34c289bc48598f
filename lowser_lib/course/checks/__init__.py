"""Checks of the exercises: a hint instead of a traceback.

Each chapter has one file, ``chapter_03.py``, with one function an exercise. It calls
:func:`run_check`, which tries the learner's function on a few cases, from coarse to fine (shape,
a value worked out by hand, a property), and prints one line: ``Solved`` or ``Not yet`` with the
hint of the first case that does not hold.
"""

from __future__ import annotations

from lowser_lib.course.checks.framework import (
    Case,
    Student,
    Unfinished,
    expect_close,
    expect_equal,
    expect_shape,
    run_check,
)

__all__ = [
    "Case",
    "Student",
    "Unfinished",
    "expect_close",
    "expect_equal",
    "expect_shape",
    "run_check",
]
