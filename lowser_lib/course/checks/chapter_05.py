"""Checks of chapter 05: BYOL's distance, what a target keeps of its first weights, the spread."""

from __future__ import annotations

import math

import numpy as np
import torch

from lowser_lib.course.checks.framework import Student, expect_close, expect_shape, run_check


def check_distance(student: Student) -> None:
    """Check ``distance(prediction, target)``: the mean of 2 − 2·cosine, target taken as given.

    Args:
        student: The learner's function; both arguments are tensors ``(N, D)``. It gives a tensor
            that holds one number.
    """
    east, north = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])

    def a_number(distance: Student) -> str | None:
        return expect_shape(distance(torch.ones(3, 2), torch.ones(3, 2)), ())

    def by_angle(distance: Student) -> str | None:
        for target, right, what in (
            (east, 0.0, "for the same direction"),
            (north, 2.0, "at a right angle"),
            (-east, 4.0, "for opposite directions"),
        ):
            if hint := expect_close(distance(east.clone(), target.clone()), right, what, 1e-5):
                return hint
        return None

    def length_is_nothing(distance: Student) -> str | None:
        answer = distance(5 * east, 0.1 * east)
        return expect_close(answer, 0.0, "whatever the lengths,", 1e-5)

    def mean(distance: Student) -> str | None:
        answer = float(distance(torch.cat([east, east]), torch.cat([east, north])))
        if math.isclose(answer, 2.0, abs_tol=1e-5):
            return "that is the sum over the clips; take their mean."
        return expect_close(answer, 1.0, "for distances 0 and 2", 1e-5)

    def one_way(distance: Student) -> str | None:
        prediction, target = (part.clone().requires_grad_() for part in (east, north))
        loss = distance(prediction, target)
        if not loss.requires_grad:
            return "no gradient reaches the prediction; nothing could be learned."
        loss.backward()
        if target.grad is not None and bool(target.grad.any()):
            return "a gradient flows into the target; take it as given, with detach()."
        if prediction.grad is None or not bool(prediction.grad.any()):
            return "no gradient reaches the prediction; nothing could be learned."
        return None

    run_check(
        "distance of prediction and target", student,
        [a_number, by_angle, length_is_nothing, mean, one_way],
    )  # fmt: skip


def check_kept(student: Student) -> None:
    """Check ``kept(taus)``: the share of a target's first weights that is left after some steps.

    Args:
        student: The learner's function; ``taus`` is a list of one τ a step. It gives the product.
    """

    def one_step(kept: Student) -> str | None:
        answer = float(kept([0.9]))
        if math.isclose(answer, 0.1, abs_tol=1e-9):
            return "that is what one step replaces; asked for is what it leaves."
        return expect_close(answer, 0.9, "after one step at τ = 0.9")

    def half_life(kept: Student) -> str | None:
        return expect_close(kept([0.5] * 3), 0.125, "after three steps at τ = ½")

    def changing(kept: Student) -> str | None:
        answer = float(kept([0.5, 0.8, 1.0]))
        if math.isclose(answer, 0.5**3) or math.isclose(answer, (2.3 / 3) ** 3):
            return "τ may change from step to step: every step has its own."
        return expect_close(answer, 0.4, "for τ = 0.5, 0.8 and 1")

    def copied(kept: Student) -> str | None:
        return expect_close(kept([0.9, 0.0, 0.9]), 0.0, "if a step on the way copies (τ = 0)")

    def no_step(kept: Student) -> str | None:
        return expect_close(kept([]), 1.0, "before the first step")

    run_check(
        "what a target keeps", student, [one_step, half_life, changing, copied, no_step]
    )  # fmt: skip


def check_spread(student: Student) -> None:
    """Check ``spread(embeddings)``: standard deviation of directions, mean, times √D.

    Args:
        student: The learner's function; ``embeddings`` is an array ``(N, D)`` without zero vectors.
            It gives a number from 0 to 1.
    """
    cross = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])

    def a_number(spread: Student) -> str | None:
        return expect_shape(spread(cross.copy()), ())

    def one_way(spread: Student) -> str | None:
        ray = np.array([[0.6, 0.8], [1.2, 1.6], [6.0, 8.0]])
        hint = expect_close(spread(ray), 0.0, "for three vectors in one direction", 1e-9)
        return f"{hint[:-1]}; bring each to length 1 first." if hint else None

    def everywhere(spread: Student) -> str | None:
        answer = float(spread(cross.copy()))
        if math.isclose(answer, 0.5**0.5, abs_tol=1e-9):
            return "the factor √D is missing: the mean deviation shrinks with the dimension."
        if math.isclose(answer, (2 / 3) ** 0.5 * 2**0.5, abs_tol=1e-9):
            return "divide by N, not by N − 1."
        return expect_close(answer, 1.0, "for the four ends of a cross", 1e-9)

    def by_number(spread: Student) -> str | None:
        skew = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
        right = skew.std(axis=0).mean() * math.sqrt(3)
        answer = float(spread(skew.copy()))
        if math.isclose(answer, skew.std() * math.sqrt(3), abs_tol=1e-9):
            return "take the deviation of each number over the clips, not of all numbers at once."
        if math.isclose(answer, math.sqrt(skew.var(axis=0).sum()), abs_tol=1e-9):
            return "take the mean of the deviations, not the root of the mean variance."
        return expect_close(answer, round(float(right), 6), "for four vectors on axes", 1e-5)

    def gap(spread: Student) -> str | None:
        points = np.random.default_rng(0).normal(size=(20, 5)) + 1.0
        directions = points / np.linalg.norm(points, axis=1, keepdims=True)
        right = float(directions.std(axis=0).mean() * math.sqrt(5))
        return expect_close(spread(points), round(right, 6), "for twenty random vectors", 1e-5)

    run_check("spread of embeddings", student, [a_number, one_way, everywhere, by_number, gap])
