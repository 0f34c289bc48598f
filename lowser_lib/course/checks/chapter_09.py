"""Checks of chapter 09: how far words lean, and what few points can show."""

from __future__ import annotations

import math

from lowser_lib.course.checks.framework import Student, expect_close, expect_shape, run_check


def check_own_share(student: Student) -> None:
    """Check ``own_share(lean, own, sentences)``: share of an emotion's clips in its own sentences.

    Args:
        student: The learner's function; ``lean`` lies in [0, 1], ``own`` of all ``sentences`` are
            the emotion's own. It gives one number.
    """

    def a_number(own_share: Student) -> str | None:
        return expect_shape(own_share(0.5, 2, 10), ())

    def no_lean(own_share: Student) -> str | None:
        answer = float(own_share(0.0, 2, 10))
        if math.isclose(answer, 0):
            return "without a lean an emotion says its own sentences as often as all others."
        return expect_close(answer, 0.2, "for 2 of 10 sentences without a lean")

    def all_lean(own_share: Student) -> str | None:
        return expect_close(own_share(1.0, 2, 10), 1.0, "for a lean of 1")

    def between(own_share: Student) -> str | None:
        answer = float(own_share(0.5, 2, 10))
        if math.isclose(answer, 0.5):
            return "the half that is drawn evenly brings own sentences, too."
        return expect_close(answer, 0.6, "for 2 of 10 sentences and a lean of 0.5")

    def other_sizes(own_share: Student) -> str | None:
        return expect_close(own_share(0.9, 3, 12), 0.925, "for 3 of 12 sentences and a lean of 0.9")

    run_check(
        "the share of own sentences", student, [a_number, no_lean, all_lean, between, other_sizes]
    )


def check_smallest_p(student: Student) -> None:
    """Check ``smallest_p(points, tests)``: the smallest p-value that points in order can reach.

    Args:
        student: The learner's function; so many ``points`` are tried in every order, and so many
            ``tests`` are made (Bonferroni). It gives one number, 1 at most.
    """

    def one_test(smallest_p: Student) -> str | None:
        answer = float(smallest_p(4, 1))
        if math.isclose(answer, 1 / 16):
            return "points exchange their places, not their signs: how many orders have four?"
        if math.isclose(answer, 2 / 24):
            return "one-sided: of all orders one alone is as good as the best."
        return expect_close(answer, 1 / 24, "for four points and one test")

    def several_tests(smallest_p: Student) -> str | None:
        answer = float(smallest_p(4, 3))
        if math.isclose(answer, 1 / 24):
            return "of three tests the smallest p is multiplied by three."
        return expect_close(answer, 3 / 24, "for four points and three tests")

    def more_points(smallest_p: Student) -> str | None:
        return expect_close(smallest_p(6, 4), 4 / 720, "for six points and four tests")

    def at_most_one(smallest_p: Student) -> str | None:
        return expect_close(smallest_p(2, 5), 1.0, "for two points and five tests")

    run_check("the smallest p-value", student, [one_test, several_tests, more_points, at_most_one])
