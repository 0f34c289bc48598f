"""What the checks of all chapters share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Student = Callable[..., Any]
"""A learner's function."""

Case = Callable[[Student], "str | None"]
"""Tries a learner's function; gives None when it is right, else a hint in one line."""


class Unfinished(Exception):  # noqa: N818 - not an error: the exercise is waiting
    """The learner has not written the function yet."""


def run_check(title: str, student: Student, cases: Sequence[Case]) -> None:
    """Try a learner's function and print one line: solved, or what to look at next.

    Args:
        title: What the function is to do, in a few words.
        student: The learner's function. A body of ``...``, or one that raises
            :class:`NotImplementedError` or gives None, counts as not written yet.
        cases: What to try, from coarse to fine; the first that gives a hint ends the check.
    """
    print(verdict(title, student, cases))


def verdict(title: str, student: Student, cases: Sequence[Case]) -> str:
    """The line that :func:`run_check` prints.

    Args:
        title: What the function is to do, in a few words.
        student: The learner's function.
        cases: What to try.

    Returns:
        ``Solved: title.`` or ``Not yet: hint``.
    """
    if not callable(student):
        return f"Not yet: hand over the function itself, not {_shown(student)}."
    name = getattr(student, "__name__", "your function")
    for case in cases:
        try:
            hint = case(_finished(student))
        except (Unfinished, NotImplementedError):
            return f"Not yet: {name} gives nothing back; write it, then run this cell again."
        except Exception as error:  # whatever the learner's code raises becomes a hint
            text = " ".join(str(error).split()) or "no message"
            return f"Not yet: {name} stopped with {type(error).__name__}: {text[:200]}"
        if hint is not None:
            return f"Not yet: {hint}"
    return f"Solved: {title}."


def _finished(student: Student) -> Student:
    """The learner's function, which gives nothing back only while it is unfinished."""

    def call(*arguments: Any, **named: Any) -> Any:
        answer = student(*arguments, **named)
        if answer is None or answer is Ellipsis:
            raise Unfinished
        return answer

    return call


def expect_shape(answer: Any, shape: tuple[int, ...], letters: str = "") -> str | None:
    """Hint when an array or tensor has another shape.

    Args:
        answer: What the learner's function gave.
        shape: The shape it should have; ``()`` for a number.
        letters: What the sizes stand for, such as ``(batch, dimension)``.
    """
    found = tuple(np.shape(_array(answer)))
    if found == shape:
        return None
    meaning = f" {letters}" if letters else ""
    return f"the shape should be {shape}{meaning}, yours is {found}."


def expect_close(answer: Any, value: Any, what: str, tolerance: float = 1e-6) -> str | None:
    """Hint when numbers differ.

    Args:
        answer: A number, array or tensor from the learner's function.
        value: The right one, of the same shape.
        what: The case in words, put before the right answer: ``for two equal clips``.
        tolerance: Largest absolute difference.
    """
    given, right = np.asarray(_array(answer)), np.asarray(_array(value))
    if given.shape != right.shape:
        return expect_shape(given, right.shape)
    try:
        close = np.allclose(given.astype(float), right.astype(float), rtol=0.0, atol=tolerance)
    except (TypeError, ValueError):
        close = False
    return None if close else f"{what} the answer is {_shown(right)}, yours is {_shown(given)}."


def expect_equal(answer: Any, value: Any, what: str) -> str | None:
    """Hint when a word, tuple or other plain value differs.

    Args:
        answer: What the learner's function gave.
        value: The right value.
        what: The case in words.
    """
    try:
        equal = bool(answer == value)
    except (TypeError, ValueError, RuntimeError):  # arrays do not say yes or no
        equal = False
    return None if equal else f"{what} the answer is {value!r}, yours is {_shown(answer)}."


def _array(value: Any) -> Any:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        rounded = np.round(value, 4) if np.issubdtype(value.dtype, np.number) else value
        text = str(rounded.tolist())
    else:
        text = repr(value)
    text = " ".join(text.split())
    return text if len(text) <= 80 else f"{text[:77]}..."
