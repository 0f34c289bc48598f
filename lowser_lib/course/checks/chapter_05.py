"""Checks of chapter 05: BYOL's distance, what a target keeps of its first weights, the spread."""

from __future__ import annotations

import math

import numpy as np
import torch

from lowser_lib.course.checks import Student, expect_close, gives, has_shape, run_check


def check_distance(student: Student) -> None:
    """Check ``distance(prediction, target)``: the mean of 2 − 2·cosine, target taken as given.

    Both arguments are tensors ``(N, D)``. It gives a tensor that holds one number.
    """
    east, north = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    two, apart = torch.cat([east, east]), torch.cat([east, north])

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

    run_check("distance of prediction and target", student, [
        has_shape((torch.ones(3, 2), torch.ones(3, 2))),
        gives((east, east), 0.0, "for the same direction"),
        gives((east, north), 2.0, "at a right angle"),
        gives((east, -east), 4.0, "for opposite directions"),
        gives((5 * east, 0.1 * east), 0.0, "whatever the lengths,"),
        gives((two, apart), 1.0, "for distances 0 and 2",
              (2.0, "that is the sum over the clips; take their mean.")),
        one_way,
    ])  # fmt: skip


def check_kept(student: Student) -> None:
    """Check ``kept(taus)``: the share of a target's first weights that is left after some steps.

    ``taus`` is a list of one τ a step. It gives the product.
    """
    hint = "τ may change from step to step: every step has its own."
    run_check("what a target keeps", student, [
        gives(([0.9],), 0.9, "after one step at τ = 0.9",
              (0.1, "that is what one step replaces; asked for is what it leaves.")),
        gives(([0.5] * 3,), 0.125, "after three steps at τ = ½"),
        gives(([0.5, 0.8, 1.0],), 0.4, "for τ = 0.5, 0.8 and 1",
              (0.5**3, hint), ((2.3 / 3) ** 3, hint)),
        gives(([0.9, 0.0, 0.9],), 0.0, "if a step on the way copies (τ = 0)"),
        gives(([],), 1.0, "before the first step"),
    ])  # fmt: skip


def check_spread(student: Student) -> None:
    """Check ``spread(embeddings)``: standard deviation of directions, mean, times √D.

    ``embeddings`` is an array ``(N, D)`` without zero vectors. It gives a number from 0 to 1.
    """
    cross = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    skew = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    points = np.random.default_rng(0).normal(size=(20, 5)) + 1.0
    directions = points / np.linalg.norm(points, axis=1, keepdims=True)

    def one_way(spread: Student) -> str | None:
        ray = np.array([[0.6, 0.8], [1.2, 1.6], [6.0, 8.0]])
        hint = expect_close(spread(ray), 0.0, "for three vectors in one direction")
        return f"{hint[:-1]}; bring each to length 1 first." if hint else None

    run_check("spread of embeddings", student, [
        has_shape((cross,)),
        one_way,
        gives((cross,), 1.0, "for the four ends of a cross",
              (0.5**0.5, "the factor √D is missing: the mean deviation shrinks with the "
                         "dimension."),
              ((4 / 3) ** 0.5, "divide by N, not by N − 1.")),
        gives((skew,), skew.std(axis=0).mean() * math.sqrt(3), "for four vectors on axes",
              (skew.std() * math.sqrt(3),
               "take the deviation of each number over the clips, not of all numbers at once."),
              (math.sqrt(skew.var(axis=0).sum()),
               "take the mean of the deviations, not the root of the mean variance.")),
        gives((points,), directions.std(axis=0).mean() * math.sqrt(5),
              "for twenty random vectors"),
    ])  # fmt: skip
