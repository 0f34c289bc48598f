"""Checks of the exercises: a hint instead of a traceback.

Each chapter has one file, ``chapter_03.py``, with one function an exercise. It calls ``run_check``
of :mod:`~lowser_lib.course.checks.framework`, which tries the learner's function on a few cases,
from coarse to fine (shape, a value worked out by hand, a property), and prints one line: ``Solved``
or ``Not yet`` with the hint of the first case that does not hold. Most cases are made by ``gives``
and ``has_shape``; one that looks at more than a single answer is a function of its own.
"""
