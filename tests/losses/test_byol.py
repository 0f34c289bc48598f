"""BYOL's loss against lightly and closed forms, and what may go wrong."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings, strategies as st
from torch import Tensor

from lowser_lib.losses import byol_loss, symmetric_byol_loss


def draw(seed: int = 0, n: int = 7, d: int = 5, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def value_and_gradient(loss: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    value = loss(x)
    (gradient,) = torch.autograd.grad(value, x)
    return value.detach(), gradient


@pytest.mark.parametrize("seed", range(3))
def test_equals_lightly(seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what lightly's own imports warn of
        theirs = pytest.importorskip("lightly.loss").NegativeCosineSimilarity()
    target = draw(seed + 10)
    mine = value_and_gradient(lambda x: byol_loss(x, target), draw(seed))
    other = value_and_gradient(lambda x: 2 + 2 * theirs(x, target), draw(seed))
    torch.testing.assert_close(mine, other, atol=1e-13, rtol=1e-12)


def test_is_the_squared_distance_at_length_1() -> None:
    x, y = draw(1), draw(2)
    distances = (F.normalize(x, dim=1) - F.normalize(y, dim=1)).square().sum(dim=1)
    torch.testing.assert_close(byol_loss(x, y), distances.mean(), atol=1e-14, rtol=0)


def test_closed_forms() -> None:
    x = draw()
    assert float(byol_loss(x, 3 * x)) == pytest.approx(0, abs=1e-14)
    assert float(byol_loss(x, -x)) == pytest.approx(4, abs=1e-14)
    right = torch.tensor([[1.0, 0.0]])
    assert float(byol_loss(right, torch.tensor([[0.0, 2.0]]))) == 2
    assert float(byol_loss(right, torch.tensor([[1.0, 1.0]]))) == pytest.approx(2 - 2**0.5)


@given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_lengths_do_not_matter_and_the_range_is_kept(seed: int, scale: float) -> None:
    x, y = draw(seed), draw(seed + 1)
    loss = float(byol_loss(x, y))
    assert 0 <= loss <= 4
    assert float(byol_loss(scale * x, y)) == pytest.approx(loss, abs=1e-12)
    assert float(byol_loss(y, x)) == pytest.approx(loss, abs=1e-12)


def test_no_gradient_flows_into_the_target() -> None:
    x, y = draw(1).requires_grad_(), draw(2).requires_grad_()
    byol_loss(x, y).backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert y.grad is None


def test_a_zero_vector_costs_2_and_has_no_gradient() -> None:
    x, y = draw(1), draw(2)
    x[0] = 0
    y[1] = 0
    value, gradient = value_and_gradient(lambda x: byol_loss(x, y), x)
    rest = byol_loss(x[2:], y[2:])
    torch.testing.assert_close(value, (2 * 2 + 5 * rest) / 7)
    assert gradient.isfinite().all()
    assert (gradient[:2] == 0).all() and (gradient[2:] != 0).any()


@pytest.mark.parametrize("length", [1e-30, 1e30])
def test_very_short_and_very_long_vectors_are_finite(length: float) -> None:
    x, y = draw(1, dtype=torch.float32), draw(2, dtype=torch.float32)
    value, gradient = value_and_gradient(lambda x: byol_loss(x, y), length * x)
    assert value.isfinite() and gradient.isfinite().all()


def test_half_precision_is_computed_in_single() -> None:
    x, y = draw(1).bfloat16(), draw(2).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        value, gradient = value_and_gradient(lambda x: byol_loss(x, y), x)
    assert value.dtype == torch.float32 and gradient.dtype == torch.bfloat16
    assert float(value) == pytest.approx(float(byol_loss(x.double(), y.double())), abs=1e-6)
    assert byol_loss(draw(1), draw(2).float()).dtype == torch.float32


def test_two_views_predict_each_other() -> None:
    left, two, first, second = (draw(seed) for seed in range(4))
    both = symmetric_byol_loss((left, two), (first, second))
    assert torch.equal(both, (byol_loss(left, second) + byol_loss(two, first)) / 2)
    assert torch.equal(both, symmetric_byol_loss((two, left), (second, first)))


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        (draw()[0], draw(), r"prediction must be floating point .* shape \(5,\)"),
        (draw(), draw()[0], r"target must be floating point .* shape \(5,\)"),
        (draw(), draw()[:, :4], r"same shape, not \(7, 5\) and \(7, 4\)"),
        (draw()[:0], draw()[:0], r"prediction must be .* shape \(0, 5\)"),
        (draw().long(), draw(), "prediction must be floating point .* not torch.int64"),
    ],
)
def test_wrong_arguments_are_refused(prediction: Tensor, target: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        byol_loss(prediction, target)
