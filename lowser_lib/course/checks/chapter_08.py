"""Checks of chapter 08: a gap apart and within emotions, weights for cells, who is raised."""

from __future__ import annotations

import math

import numpy as np

from lowser_lib.course.checks import (
    Student,
    expect_close,
    gives,
    has_shape,
    run_check,
    run_letters,
)


def check_apart(student: Student) -> None:
    """Check ``apart(shares, recalls, other_shares, other_recalls)``: what a raw gap is made of.

    All four are arrays ``(classes,)``. The first group's recall is ``nan`` where its share is 0. It
    gives two numbers: what the mix makes, and what understanding makes.
    """
    mixed, even = np.array([0.75, 0.25]), np.array([0.5, 0.5])
    good, poor = np.array([0.8, 0.2]), np.array([0.6, 0.4])

    def same_understanding(apart: Student) -> str | None:
        mix, understanding = apart(mixed, good, even, good)
        if math.isclose(mix, -0.15, abs_tol=1e-9):
            return "the gap is the first group less the other; yours is the other way round."
        return expect_close([mix, understanding], [0.15, 0.0], "where recalls are alike")

    def both(apart: Student) -> str | None:
        mix, understanding = apart(mixed, good, even, poor)
        if math.isclose(mix, 0.15, abs_tol=1e-9) and math.isclose(understanding, 0, abs_tol=1e-9):
            return (
                "the mix is to be weighed by the other group's recalls, and understanding by the "
                "first group's shares; yours are the other way round."
            )
        if not math.isclose(mix + understanding, 0.15, abs_tol=1e-9):
            return f"both parts together must be the gap of 0.15; yours make {mix + understanding}."
        return expect_close([mix, understanding], [0.05, 0.1], "where mix and recalls differ")

    def never_said(apart: Student) -> str | None:
        parts = apart(np.array([0.0, 1.0]), np.array([math.nan, 0.2]), even, poor)
        if any(map(math.isnan, parts)):
            return (
                "what the first group never says has a share of 0 and no recall: it adds nothing, "
                "but 0 · nan is nan. Leave such classes out of the second sum."
            )
        return expect_close(list(parts), [-0.1, -0.2], "where the first group never says a class")

    run_check("a raw gap, taken apart", student, [
        has_shape((even, good, even, good), (2,)),
        same_understanding,
        gives((mixed, good, mixed, poor), [0.0, 0.1], "where both say the same"),
        both,
        never_said,
    ])  # fmt: skip


def check_within(student: Student) -> None:
    """Check ``within(recalls, other_recalls, clips, other_clips, least)``: the mean gap.

    The first four are arrays ``(classes,)``, ``least`` is how many clips a cell must have. Recalls
    are ``nan`` where there is no clip. It gives the mean difference over classes of which both
    groups have enough, ``nan`` where there are none.
    """
    first, second = np.array([0.9, 0.4, 0.5, 0.7]), np.array([0.5, 0.6, 0.1, 0.9])
    many, few = np.array([20, 20, 20, 20]), np.array([4, 20, 20, 20])
    large, none = np.array([97, 9, 9, 9]), np.array([0, 20, 20, 20])
    lacking = np.array([math.nan, 0.4, 0.5, 0.7])

    def other_group_too(within: Student) -> str | None:
        if not math.isclose(float(within(first, second, many, few, 5)), 0.0, abs_tol=1e-9):
            return "a cell that the *other* group lacks is missing, too."
        return None

    def nothing(within: Student) -> str | None:
        answer = float(within(first, second, np.full(4, 2), many, 5))
        if not math.isnan(answer):
            return f"where no class is left there is no gap to tell: nan, not {answer}."
        return None

    run_check("the gap within emotions", student, [
        has_shape((first, second, many, many, 5)),
        gives((first, second, many, many, 5), 0.1, "for four full classes",
              (-0.1, "the gap is the first group less the other; yours is the other way round.")),
        gives((first, second, large, many, 5), 0.1,
              "every class counts the same, however many clips it has:"),
        gives((first, second, few, many, 5), 0.0,
              "without the first class, the mean of the other three",
              (0.1, "the first class has 4 of the 5 clips that it takes; leave it out.")),
        other_group_too,
        gives((first, second, np.full(4, 5), many, 5), 0.1, "exactly five are enough:"),
        gives((lacking, second, none, many, 5), 0.0,
              "where the first group never says the first class"),
        nothing,
    ])  # fmt: skip


def check_weights(student: Student) -> None:
    """Check ``weights(cells)``: weights of clips that give every cell the same say.

    ``cells`` is an array ``(clips,)`` of whole numbers, some of which may not occur. It gives
    weights ``(clips,)`` with mean 1.
    """
    uneven = np.array([0, 0, 0, 2])

    def same_say(weights: Student) -> str | None:
        answer = np.asarray(weights(uneven), dtype=float)
        if np.allclose(answer, [4 / 9, 4 / 9, 4 / 9, 4 / 3]):
            return "cell 1 has no clip: share out among the cells that there are, two of them."
        if math.isclose(answer[:3].sum(), answer[3]) and not math.isclose(answer.mean(), 1):
            return f"each cell has the same say, but the mean must be 1; yours is {answer.mean()}."
        return expect_close(answer, [2 / 3, 2 / 3, 2 / 3, 2], "for cells of three clips and one")

    run_check("weights that give every cell the same say", student, [
        has_shape((uneven,), (4,)),
        gives((np.array([1, 0, 1, 0]),), [1, 1, 1, 1], "for two cells of two"),
        same_say,
        gives((np.array([2, 0, 0, 0]),), [2, 2 / 3, 2 / 3, 2 / 3], "for cells 2, 0, 0, 0"),
    ])  # fmt: skip


def check_raising(student: Student) -> None:
    """Check ``raising() -> letters``: which of five remedies raise the worse-off.

    Args:
        student: The learner's function; it gives the letters as a set, list or text.
    """
    wrong = {
        "B": "B closes the gap, but the men pay 12 points, twice what the women gain.",
        "C": "C closes the gap best of all, and nobody gains anything.",
    }
    run_letters("which remedies raise the worse-off", student, {"A", "D", "E"}, wrong)
