"""Checks of the exercises: a hint instead of a traceback.

Each chapter has one file, ``chapter_03.py``, with one function an exercise. It calls
:func:`run_check`, which tries the learner's function on a few cases, from coarse to fine (shape, a
value worked out by hand, a property), and prints one line: ``Solved`` or ``Not yet`` with the hint
of the first case that does not hold. Most cases are made by :func:`gives` and :func:`has_shape`;
one that looks at more than a single answer is a function of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
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
    print(_verdict(title, student, cases))


def run_letters(
    title: str, student: Student, right: Collection[str], wrong: Mapping[str, str]
) -> None:
    """Check a choice among lettered answers.

    Args:
        title: What was to be chosen, in a few words.
        student: The learner's function of no arguments; gives letters as a set, list or text.
        right: The letters that belong to the choice; which of them are missing is not told.
        wrong: The other letters, each with the reason why it does not belong.
    """

    def letters(choice: Student) -> str | None:
        unknown = sorted(_letters(choice()) - {*right, *wrong})
        return f"there is no {unknown[0]!r}; give letters such as 'A'." if unknown else None

    def reasons(choice: Student) -> str | None:
        chosen = sorted(_letters(choice()) & set(wrong))
        return wrong[chosen[0]] if chosen else None

    def complete(choice: Student) -> str | None:
        missing = len(set(right) - _letters(choice()))
        return f"what you name belongs; still to be named: {missing}." if missing else None

    run_check(title, student, [letters, reasons, complete])


def _letters(answer: Any) -> set[str]:
    """The letters of an answer, whatever holds them."""
    return {str(letter).strip().upper() for letter in answer} - {"", ","}


def _verdict(title: str, student: Student, cases: Sequence[Case]) -> str:
    """The line that :func:`run_check` prints: ``Solved: title.`` or ``Not yet: hint``."""
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


def gives(
    arguments: Sequence[Any],
    value: Any,
    what: str,
    *mistakes: tuple[Any, str],
    tolerance: float = 1e-5,
) -> Case:
    """A case: for these arguments the learner's function gives this value.

    Args:
        arguments: What it is called with; copies, so that nothing it does to them is seen.
        value: The right answer, a number, sequence, array or tensor.
        what: The case in words, put before the right answer: ``for two equal clips``.
        *mistakes: Answers that a known mistake gives, each with the hint that tells of it.
        tolerance: Largest absolute difference.
    """

    def case(student: Student) -> str | None:
        answer = student(*copy.deepcopy(tuple(arguments)))
        return expect_close(answer, value, what, *mistakes, tolerance=tolerance)

    return case


def has_shape(arguments: Sequence[Any], shape: tuple[int, ...] = (), letters: str = "") -> Case:
    """A case: what the learner's function gives has this shape; see :func:`expect_shape`."""

    def case(student: Student) -> str | None:
        return expect_shape(student(*copy.deepcopy(tuple(arguments))), shape, letters)

    return case


def as_array(answer: Any) -> np.ndarray:
    """An answer as an array, be it a number, a sequence or a tensor."""
    return np.asarray(answer.detach().cpu().numpy() if hasattr(answer, "detach") else answer)


def expect_shape(answer: Any, shape: tuple[int, ...], letters: str = "") -> str | None:
    """Hint when an array or tensor has another shape.

    Args:
        answer: What the learner's function gave.
        shape: The shape it should have; ``()`` for a number.
        letters: What the sizes stand for, such as ``(batch, dimension)``.
    """
    given = as_array(answer).shape
    if given == shape:
        return None
    meaning = f" {letters}" if letters else ""
    return f"the shape should be {shape}{meaning}, yours is {given}."


def expect_close(
    answer: Any,
    value: Any,
    what: str,
    *mistakes: tuple[Any, str],
    tolerance: float = 1e-5,
) -> str | None:
    """Hint when numbers differ.

    Args:
        answer: A number, array or tensor from the learner's function.
        value: The right one, of the same shape.
        what: As of :func:`gives`, like the next two.
        *mistakes: Likewise.
        tolerance: Likewise.
    """
    given, right = as_array(answer), as_array(value)
    if given.shape != right.shape:
        return expect_shape(given, right.shape)
    if _close(given, right, tolerance):
        return None
    for wrong, hint in mistakes:
        if _close(given, as_array(wrong), tolerance):
            return hint
    return f"{what} the answer is {_shown(right)}, yours is {_shown(given)}."


def _close(given: np.ndarray, right: np.ndarray, tolerance: float) -> bool:
    try:
        return np.allclose(given.astype(float), right.astype(float), rtol=0.0, atol=tolerance)
    except (TypeError, ValueError):  # words, or of another shape
        return False


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


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        rounded = np.round(value, 4) if np.issubdtype(value.dtype, np.number) else value
        text = str(rounded.tolist())
    else:
        text = repr(value)
    text = " ".join(text.split())
    return text if len(text) <= 80 else f"{text[:77]}..."
