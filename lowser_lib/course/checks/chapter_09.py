"""Checks of chapter 09: how far words lean, and what few points can show."""

from __future__ import annotations

from lowser_lib.course.checks import Student, gives, has_shape, run_check


def check_own_share(student: Student) -> None:
    """Check ``own_share(lean, own, sentences)``: share of an emotion's clips in its own sentences.

    ``lean`` lies in [0, 1], ``own`` of all ``sentences`` are the emotion's own. It gives a number.
    """
    run_check("the share of own sentences", student, [
        has_shape((0.5, 2, 10)),
        gives((0.0, 2, 10), 0.2, "for 2 of 10 sentences without a lean",
              (0, "without a lean an emotion says its own sentences as often as all others.")),
        gives((1.0, 2, 10), 1.0, "for a lean of 1"),
        gives((0.5, 2, 10), 0.6, "for 2 of 10 sentences and a lean of 0.5",
              (0.5, "the half that is drawn evenly brings own sentences, too.")),
        gives((0.9, 3, 12), 0.925, "for 3 of 12 sentences and a lean of 0.9"),
    ])  # fmt: skip


def check_smallest_p(student: Student) -> None:
    """Check ``smallest_p(points, tests)``: the smallest p-value that points in order can reach.

    So many ``points`` are tried in every order, and so many ``tests`` are made (Bonferroni). It
    gives one number, 1 at most.
    """
    run_check("the smallest p-value", student, [
        gives((4, 1), 1 / 24, "for four points and one test",
              (1 / 16, "points exchange their places, not their signs: how many orders have four?"),
              (2 / 24, "one-sided: of all orders one alone is as good as the best.")),
        gives((4, 3), 3 / 24, "for four points and three tests",
              (1 / 24, "of three tests the smallest p is multiplied by three.")),
        gives((6, 4), 4 / 720, "for six points and four tests"),
        gives((2, 5), 1.0, "for two points and five tests"),
    ])  # fmt: skip
