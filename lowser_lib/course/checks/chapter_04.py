"""Checks of chapter 04: NT-Xent, negatives heard, share between groups, speakers' means."""

from __future__ import annotations

import math

import numpy as np
import torch

from lowser_lib.course.checks import (
    Student,
    expect_close,
    gives,
    has_shape,
    run_check,
    run_letters,
)


def check_contrast(student: Student) -> None:
    """Check ``contrast(similarities, speakers, temperature)``: NT-Xent with several positives.

    The mean over all ordered pairs of clips of one speaker of
    −log(exp s(i, j) / (exp s(i, j) + Σ exp s(i, k))), with k over the anchor's negatives and s the
    similarity over the temperature. ``similarities`` is a tensor ``(N, N)``, ``speakers`` a tensor
    ``(N,)`` of whole numbers. It gives a number.
    """
    two, three = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 0, 1, 1, 1])
    generator = torch.Generator().manual_seed(0)
    random = torch.rand((6, 6), generator=generator, dtype=torch.float64)

    run_check("NT-Xent over all pairs of a batch", student, [
        has_shape((torch.zeros((4, 4)), two, 1.0)),
        gives((torch.zeros((4, 4)), two, 1.0), math.log(3), "for four clips that are all alike",
              (4 * math.log(3), "that is the sum over the four pairs; take their mean.")),
        gives((torch.zeros((6, 6)), three, 1.0), math.log(4),
              "for two speakers with three equal clips",
              (math.log(5), "an anchor's other positives stand in your denominator; leave in only "
                            "the pair's own positive and the negatives."),
              (math.log(6), "the anchor itself stands in your denominator; no clip is its own "
                            "partner.")),
        gives((5 * torch.eye(4), two, 1.0), math.log(3), "however similar a clip is to itself,"),
        *(gives((random, three, temperature), _contrast(random, three, temperature),
                f"for six clips at temperature {temperature:g}", tolerance=2e-5)
          for temperature in (1.0, 0.1)),
    ])  # fmt: skip


def _contrast(similarities: torch.Tensor, speakers: torch.Tensor, temperature: float) -> float:
    """The loss pair by pair, as slowly and plainly as can be."""
    powers = (similarities / temperature).exp()
    costs = []
    for anchor, speaker in enumerate(speakers):
        rest = powers[anchor][speakers != speaker].sum()
        for other in range(len(speakers)):
            if other != anchor and speakers[other] == speaker:
                costs.append(-(powers[anchor, other] / (powers[anchor, other] + rest)).log())
    return float(torch.stack(costs).mean())


def check_heard(student: Student) -> None:
    """Check ``heard(similarities, temperature)``: to how many negatives the loss listens.

    The exponential of the entropy of the negatives' shares, exp(s/τ) over their sum.
    ``similarities`` is a tensor ``(n,)`` of one anchor's negatives. It gives a number between 1
    and n.
    """
    shares = torch.tensor(np.log([0.5, 0.25, 0.25]) * 0.2 + 0.1)

    def very_cold(counted: Student) -> str | None:
        answer = float(counted(torch.tensor([0.9, 0.2, -0.4]), 0.001))
        if math.isnan(answer) or math.isinf(answer):
            return (
                "at temperature 0.001 numbers overflow or a share of 0 meets its logarithm; "
                "softmax and logsumexp take care of the first, and 0 · log 0 counts as 0."
            )
        return expect_close(answer, 1.0, "at temperature 0.001", tolerance=1e-4)

    run_check("how many negatives are heard", student, [
        has_shape((torch.zeros(5), 1.0)),
        gives((torch.full((5,), 0.3), 0.5), 5.0, "for five negatives that are equally near",
              (math.log(5),
               "that is the entropy itself, in nats; its exponential is a number of negatives."),
              tolerance=1e-4),
        gives((torch.tensor([0.9, 0.9, -0.9, -0.9, -0.9]), 0.05), 2.0,
              "for two that are near and three that are far", tolerance=1e-3),
        very_cold,
        gives((shares, 0.2), 2**1.5, "for shares of ½, ¼ and ¼", tolerance=1e-4),
    ])  # fmt: skip


def check_share_between(student: Student) -> None:
    """Check ``share_between(embeddings, groups)``: share of the variance that groups explain.

    Of all squared distances from the mean of all clips, the share that would be left if every clip
    stood at the mean of its group. ``embeddings`` is an array ``(N, D)``, ``groups`` an array
    ``(N,)`` of names. It gives a number from 0 to 1.
    """
    names = np.array(["a", "a", "b", "b", "b", "b"])
    random = np.random.default_rng(0).normal(size=(6, 3))
    points = np.array([[5.0, 1.0]] * 3 + [[6.0, 3.0]] * 3)
    level = np.array([[1.0], [3.0], [0.0], [4.0], [1.0], [3.0]])
    # Mean 3; group means 1 and 4: 2·4 + 4·1 of 9 + 1 + 0 + 4 + 0 + 4.
    sizes = np.array([[0.0], [2.0], [3.0], [5.0], [3.0], [5.0]])
    pairs = np.random.default_rng(1).normal(size=(6, 2)) * [1.0, 10.0] + 7
    centred = pairs - pairs.mean(axis=0)
    means = np.stack([centred[names == name].mean(axis=0) for name in names])
    apart = ((means**2).sum(axis=0) / (centred**2).sum(axis=0)).mean()

    run_check("share of the variance between groups", student, [
        has_shape((random, names)),
        gives((points, np.array(list("aaabbb"))), 1.0, "where groups are single points"),
        gives((level, names), 0.0, "where all groups have one mean"),
        gives((sizes, names), 12 / 18, "for means 1 (two clips) and 4 (four)",
              (2.25 / 3, "groups of different sizes were counted alike; each clip counts once.")),
        gives((pairs, names), (means**2).sum() / (centred**2).sum(),
              "for embeddings of two numbers",
              (apart,
               "sum the squares over all numbers of an embedding first, then divide once."),
              tolerance=1e-4),
    ])  # fmt: skip


def check_subtract(student: Student) -> None:
    """Check ``subtract()``: where the speaker's mean may be taken off."""
    wrong = {
        "B": "in B a guest's mean is that guest's one mood; you would subtract the mood.",
        "D": "in D the mean of one clip is the clip itself: nothing would be left, or, where the "
        "mean is shrunk, next to nothing would change.",
        "E": "in E who speaks tells the mood; less their means, patients and others look alike.",
    }
    run_letters("where to subtract the speaker's mean", student, {"A", "C"}, wrong)
