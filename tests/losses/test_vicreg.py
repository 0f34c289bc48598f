"""VICReg's loss: lightly's values, closed forms of its terms, and bad input."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor

from lowser_lib.losses.vicreg import covariance, invariance, variance, vicreg_loss


def points(n: int = 12, d: int = 5, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=random, dtype=torch.float64)


@pytest.mark.parametrize("weights", [(25.0, 25.0, 1.0), (1.0, 0.0, 3.0)])
def test_equal_lightly(weights: tuple[float, float, float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what lightly's own imports warn of
        loss = pytest.importorskip("lightly.loss")
    first, second = points().requires_grad_(), 0.7 * points(seed=1)
    theirs = loss.VICRegLoss(*weights)(first, second)
    ours = vicreg_loss(first, second, weights)["loss"]
    torch.testing.assert_close(ours, theirs)
    (gradient,) = torch.autograd.grad(ours, first)
    torch.testing.assert_close(gradient, torch.autograd.grad(theirs, first)[0])


def test_the_terms_in_closed_form() -> None:
    assert float(invariance(torch.zeros(3, 2), torch.full((3, 2), 2.0))) == 4
    spread = torch.tensor([[-1.0, 0.1], [1.0, -0.1]])  # deviations √2 and 0.1414
    expected = (0 + 1 - (0.02 + 1e-4) ** 0.5) / 2
    assert float(variance(spread)) == pytest.approx(expected)
    # One covariance of 2 · 0.5 / (2 − 1) = 1, twice, over two features.
    assert float(covariance(torch.tensor([[-1.0, 0.5], [1.0, -0.5]]))) == pytest.approx(1.0)
    apart = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert float(covariance(apart)) == 0


def test_one_answer_for_all_is_dear_and_independent_views_that_agree_cost_nothing() -> None:
    same = torch.ones(8, 4)
    assert float(vicreg_loss(same, same)["variance"]) == pytest.approx(0.99)
    q, _ = torch.linalg.qr(points(32, 4) - points(32, 4).mean(dim=0))
    white = q * 32  # deviation above 1, no covariance
    terms = vicreg_loss(white, white)
    assert float(terms["invariance"]) == float(terms["variance"]) == 0
    assert float(terms["covariance"]) < 1e-20


def test_half_precision_is_computed_in_float32() -> None:
    first, second = points().bfloat16(), points(seed=1).bfloat16()
    assert vicreg_loss(first, second)["loss"].dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        inside = vicreg_loss(first.float(), second.float())["loss"]
    torch.testing.assert_close(inside, vicreg_loss(first.float(), second.float())["loss"])


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (torch.ones(1, 3), torch.ones(1, 3), "first must be floating point"),
        (torch.ones(3, 3), torch.ones(3, 3).long(), "second must be floating point"),
        (torch.ones(3, 3), torch.ones(3, 2), "must have the same shape"),
    ],
)
def test_bad_input_is_named(first: Tensor, second: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vicreg_loss(first, second)


def test_weights_are_not_negative() -> None:
    with pytest.raises(ValueError, match="weights must be at least 0, not -1"):
        vicreg_loss(points(), points(), (1.0, -1.0, 1.0))
