"""Checks of chapter 05: BYOL's distance, its moving average, the spread, claims."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn
from torch.nn.utils import skip_init

from lowser_lib.course.checks import (
    Case,
    Student,
    expect_close,
    gives,
    has_shape,
    run_check,
    run_letters,
)


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


def check_follow(student: Student) -> None:
    """Check ``follow(target, online, tau)``: one step of the moving average of weights.

    Args:
        student: The learner's function; ``target`` and ``online`` are networks of one shape. It
            moves the target network's parameters in place and gives the network back.
    """

    def network() -> nn.Module:  # without torch's own generator, which is the learner's
        ends = (skip_init(nn.Linear, *shape) for shape in ((2, 3), (3, 1)))
        return nn.Sequential(next(ends), nn.BatchNorm1d(3), next(ends))

    def after(follow: Student, tau: float) -> tuple[nn.Module, nn.Module]:
        """Target and online network after a step; all their parameters were 0 and 1."""
        pair = network(), network()
        for part, value in zip(pair, (0.0, 1.0), strict=True):
            for weights in part.parameters():
                nn.init.constant_(weights, value)
        back = follow(*pair, tau)
        if back is not pair[0]:
            raise ValueError("give the target network itself back, moved in place")
        return pair[0], pair[1]

    def step(tau: float, right: float, what: str, *mistakes: tuple[float, str]) -> Case:
        def case(follow: Student) -> str | None:
            target, online = after(follow, tau)
            moved = [float(weights.detach().mean()) for weights in target.parameters()]
            if any(float(weights.detach().mean()) != 1 for weights in online.parameters()):
                return "the online network moved; only the target network may."
            if 0.0 in moved and max(moved) > 0:
                return "some parameters of the target network stayed; move every one, biases too."
            return expect_close(moved[0], right, what, *mistakes)

        return case

    swapped = "that is what one step with 1 − τ gives: τ is the share that the target keeps."
    run_check("a step of the target network", student, [
        step(0.75, 0.25, "for weights 0 and 1 at τ = 0.75", (0.75, swapped)),
        step(1.0, 0.0, "at τ = 1, where nothing moves,", (1.0, swapped)),
        step(0.0, 1.0, "at τ = 0, which copies,", (0.0, swapped)),
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


def check_claims(student: Student) -> None:
    """Check ``claims() -> letters``: which of six claims about self-training to let pass.

    Args:
        student: The learner's function; it gives the letters as a set, list or text.
    """
    wrong = {
        "A": "A does not pass: a head that learns its own answers grows surer, right or wrong.",
        "D": "D does not pass: the target's labels chose the round, and then scored it.",
        "E": "E does not pass: the tested clips were heard; a new speaker's were not.",
    }
    run_letters("which claims to let pass", student, {"B", "C", "F"}, wrong)
