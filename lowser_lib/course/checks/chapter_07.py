"""Checks of chapter 07: the loss of two views, corrected p-values, experiments that could tell."""

from __future__ import annotations

import math

import torch

from lowser_lib.course.checks import (
    Student,
    expect_close,
    gives,
    has_shape,
    run_check,
    run_letters,
)
from lowser_lib.evaluation.significance import holm
from lowser_lib.losses import pairwise_nt_xent


def check_two_views(student: Student) -> None:
    """Check ``two_views(one, other, temperature)``: NT-Xent with negatives from both views.

    Both views are tensors ``(N, D)`` with rows of length 1. It gives a tensor that holds one
    number.
    """
    corners = torch.eye(3, dtype=torch.float64)
    alike = torch.ones(4, 1, dtype=torch.float64)

    def both_directions(two_views: Student) -> str | None:
        one = _directions([0.0, 20.0, 100.0])
        other = _directions([10.0, 130.0, 150.0])
        right = float(pairwise_nt_xent([one, other], 0.5))
        there, back = (float(two_views(a, b, 0.5)) for a, b in ((one, other), (other, one)))
        if not math.isclose(there, back, abs_tol=1e-9):
            return "both views have to be anchors: take the mean of rows and columns."
        summed = (2 * right, "that is the sum over both views; take their mean.")
        return expect_close(there, right, "for three clips on a circle", summed)

    run_check("the loss of two views", student, [
        has_shape((corners, corners, 0.5)),
        gives((alike, alike, 0.5), math.log(7), "for four clips that are all alike",
              (math.log(4),
               "the anchor's own view is missing: beside 4 clips of the other, 3 of its own."),
              (math.log(8),
               "a clip competes with itself; leave the diagonal of its own view out.")),
        gives((corners, corners, 0.2), pairwise_nt_xent([corners, corners], 0.2),
              "for three right angles at temperature 0.2"),
        both_directions,
        gives((corners.float(), corners.float(), 0.005), 0.0,
              "at temperature 0.005 (mind exp of 200)"),
    ])  # fmt: skip


def check_corrected(student: Student) -> None:
    """Check ``corrected(p_values)``: Holm's correction.

    ``p_values`` is a list of m values in [0, 1], in any order. It gives m values, in the same
    order.
    """

    def smallest(corrected: Student) -> str | None:
        times = (0.01, "the smallest of three is multiplied by three.")
        answer = corrected([0.01, 0.3, 0.2])[0]
        return expect_close(answer, 0.03, "for the smallest of 0.01, 0.3 and 0.2", times)

    def next_ones(corrected: Student) -> str | None:
        answer = corrected([0.01, 0.02, 0.03, 0.2])
        if math.isclose(float(answer[1]), 0.08):
            return "the second smallest of four is multiplied by three, not by four (Bonferroni)."
        return expect_close(answer, [0.04, 0.06, 0.06, 0.2], "for 0.01, 0.02, 0.03 and 0.2")

    def never_smaller(corrected: Student) -> str | None:
        given = [0.01, 0.011, 0.012]
        answer = corrected(given)
        if float(answer[2]) < float(answer[0]):
            return "0.012 is a larger p than 0.01; its corrected value must not be smaller."
        return expect_close(answer, holm(given), "for 0.01, 0.011 and 0.012")

    run_check("Holm's correction", student, [
        gives(([0.03],), [0.03], "for a single test"),
        has_shape(([0.01, 0.3, 0.2],), (3,)),
        smallest,
        next_ones,
        never_smaller,
        gives(([0.6, 0.7],), [1.0, 1.0], "for 0.6 and 0.7"),
        gives(([0.2, 0.01, 0.03],), [0.2, 0.03, 0.06], "for 0.2, 0.01 and 0.03, in this order"),
    ])  # fmt: skip


def check_could(student: Student) -> None:
    """Check ``could() -> letters``: which of seven experiments could give a mark.

    Args:
        student: The learner's function; it gives the letters as a set, list or text.
    """
    wrong = {
        "A": "A cannot: 2 / 2¹⁰ is small, but it is multiplied by 56.",
        "C": "C cannot: with five speakers even a single test has no p below 2 / 2⁵.",
        "E": "E cannot: a hundred seeds are tested on the same five speakers.",
        "F": "F cannot, by a hair: seven times 2 / 2⁸ is just above 0.05.",
    }
    run_letters("which experiments could give a mark", student, {"B", "D", "G"}, wrong)


def _directions(degrees: list[float]) -> torch.Tensor:
    angles = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([angles.cos(), angles.sin()], dim=1)
