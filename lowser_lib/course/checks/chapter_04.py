"""Checks of chapter 04: NT-Xent with several positives, negatives heard, share between groups."""

from __future__ import annotations

import math

import numpy as np
import torch

from lowser_lib.course.checks.framework import Student, expect_close, expect_shape, run_check


def check_contrast(student: Student) -> None:
    """Check ``contrast(similarities, speakers, temperature)``: NT-Xent with several positives.

    The mean over all ordered pairs of clips of one speaker of
    −log(exp s(i, j) / (exp s(i, j) + Σ exp s(i, k))), with k over the anchor's negatives and s the
    similarity over the temperature.

    Args:
        student: The learner's function; ``similarities`` is a tensor ``(N, N)``, ``speakers`` a
            tensor ``(N,)`` of whole numbers. It gives a number.
    """
    two = torch.tensor([0, 0, 1, 1])
    four = torch.tensor([0, 0, 0, 1, 1, 1])
    even = torch.zeros((4, 4))

    def a_number(contrast: Student) -> str | None:
        return expect_shape(contrast(even.clone(), two.clone(), 1.0), ())

    def all_alike(contrast: Student) -> str | None:
        answer = float(contrast(even.clone(), two.clone(), 1.0))
        if math.isclose(answer, 4 * math.log(3), abs_tol=1e-5):
            return "that is the sum over the four pairs; take their mean."
        return expect_close(answer, math.log(3), "for four clips that are all alike", 1e-5)

    def others_stay_out(contrast: Student) -> str | None:
        similarities = torch.zeros((6, 6))
        answer = float(contrast(similarities, four.clone(), 1.0))
        if math.isclose(answer, math.log(5), abs_tol=1e-5):
            return (
                "an anchor's other positives stand in your denominator; leave in only the pair's "
                "own positive and the negatives."
            )
        if math.isclose(answer, math.log(6), abs_tol=1e-5):
            return "the anchor itself stands in your denominator; no clip is its own partner."
        return expect_close(answer, math.log(4), "for two speakers with three equal clips", 1e-5)

    def never_itself(contrast: Student) -> str | None:
        similarities = 5 * torch.eye(4)
        answer = contrast(similarities, two.clone(), 1.0)
        what = "however similar a clip is to itself,"
        return expect_close(answer, math.log(3), what, 1e-5)

    def by_temperature(contrast: Student) -> str | None:
        generator = torch.Generator().manual_seed(0)
        similarities = torch.rand((6, 6), generator=generator, dtype=torch.float64)
        for temperature in (1.0, 0.1):
            right = _contrast(similarities, four, temperature)
            answer = contrast(similarities.clone(), four.clone(), temperature)
            what = f"for six clips at temperature {temperature:g}"
            if hint := expect_close(answer, round(right, 5), what, 2e-5):
                return hint
        return None

    cases = [a_number, all_alike, others_stay_out, never_itself, by_temperature]
    run_check("NT-Xent over all pairs of a batch", student, cases)


def _contrast(similarities: torch.Tensor, speakers: torch.Tensor, temperature: float) -> float:
    """The loss pair by pair, as slowly and plainly as can be."""
    powers = (similarities / temperature).exp()
    costs = []
    for anchor, own in enumerate(speakers):
        rest = powers[anchor][speakers != own].sum()
        for other in range(len(speakers)):
            if other != anchor and speakers[other] == own:
                costs.append(-(powers[anchor, other] / (powers[anchor, other] + rest)).log())
    return float(torch.stack(costs).mean())


def check_heard(student: Student) -> None:
    """Check ``heard(similarities, temperature)``: to how many negatives the loss listens.

    The exponential of the entropy of the negatives' shares, exp(s/τ) over their sum.

    Args:
        student: The learner's function; ``similarities`` is a tensor ``(n,)`` of one anchor's
            negatives. It gives a number between 1 and n.
    """

    def a_number(heard: Student) -> str | None:
        return expect_shape(heard(torch.zeros(5), 1.0), ())

    def all_equal(heard: Student) -> str | None:
        answer = float(heard(torch.full((5,), 0.3), 0.5))
        if math.isclose(answer, math.log(5), abs_tol=1e-4):
            return "that is the entropy itself, in nats; its exponential is a number of negatives."
        return expect_close(answer, 5.0, "for five negatives that are equally near", 1e-4)

    def two_of_many(heard: Student) -> str | None:
        similarities = torch.tensor([0.9, 0.9, -0.9, -0.9, -0.9])
        answer = heard(similarities, 0.05)
        return expect_close(answer, 2.0, "for two that are near and three that are far", 1e-3)

    def very_cold(heard: Student) -> str | None:
        answer = float(heard(torch.tensor([0.9, 0.2, -0.4]), 0.001))
        if math.isnan(answer) or math.isinf(answer):
            return (
                "at temperature 0.001 numbers overflow or a share of 0 meets its logarithm; "
                "softmax and logsumexp take care of the first, and 0 · log 0 counts as 0."
            )
        return expect_close(answer, 1.0, "at temperature 0.001", 1e-4)

    def in_between(heard: Student) -> str | None:
        shares = np.array([0.5, 0.25, 0.25])
        similarities = torch.tensor(np.log(shares) * 0.2 + 0.1)
        return expect_close(
            heard(similarities, 0.2), round(2**1.5, 5), "for shares of ½, ¼ and ¼", 1e-4
        )

    run_check(
        "how many negatives are heard", student,
        [a_number, all_equal, two_of_many, very_cold, in_between],
    )  # fmt: skip


def check_share_between(student: Student) -> None:
    """Check ``share_between(embeddings, groups)``: share of the variance that groups explain.

    Of all squared distances from the mean of all clips, the share that would be left if every clip
    stood at the mean of its group.

    Args:
        student: The learner's function; ``embeddings`` is an array ``(N, D)``, ``groups`` an array
            ``(N,)`` of names. It gives a number from 0 to 1.
    """
    names = np.array(["a", "a", "b", "b", "b", "b"])

    def a_number(share: Student) -> str | None:
        generator = np.random.default_rng(0)
        return expect_shape(share(generator.normal(size=(6, 3)), names.copy()), ())

    def all_of_it(share: Student) -> str | None:
        places = np.array([[5.0, 1.0]] * 3 + [[6.0, 3.0]] * 3)
        answer = share(places, np.array(list("aaabbb")))
        return expect_close(answer, 1.0, "where groups are single points")

    def none_of_it(share: Student) -> str | None:
        places = np.array([[1.0], [3.0], [0.0], [4.0], [1.0], [3.0]])
        return expect_close(share(places, names.copy()), 0.0, "where all groups have one mean")

    def by_size(share: Student) -> str | None:
        places = np.array([[0.0], [2.0], [3.0], [5.0], [3.0], [5.0]])
        # Mean 3; group means 1 and 4: 2·4 + 4·1 of 9 + 1 + 0 + 4 + 0 + 4.
        answer = float(share(places, names.copy()))
        if math.isclose(answer, 2.25 / 3, abs_tol=1e-6):
            return "groups of different sizes were counted alike; each clip counts once."
        return expect_close(answer, 12 / 18, "for means 1 (two clips) and 4 (four)", 1e-6)

    def several_numbers(share: Student) -> str | None:
        generator = np.random.default_rng(1)
        places = generator.normal(size=(6, 2)) * [1.0, 10.0] + 7
        centred = places - places.mean(axis=0)
        means = np.stack([centred[names == name].mean(axis=0) for name in names])
        right = (means**2).sum() / (centred**2).sum()
        wrong = ((means**2).sum(axis=0) / (centred**2).sum(axis=0)).mean()
        answer = float(share(places, names.copy()))
        if math.isclose(answer, wrong, abs_tol=1e-6):
            return "sum the squares over all numbers of an embedding first, then divide once."
        return expect_close(answer, round(float(right), 5), "for embeddings of two numbers", 1e-4)

    run_check(
        "share of the variance between groups", student,
        [a_number, all_of_it, none_of_it, by_size, several_numbers],
    )  # fmt: skip
