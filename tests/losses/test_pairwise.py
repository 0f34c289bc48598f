"""The pairwise loss against lightly, a slow plain version, closed forms and bad input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, permutations

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from lowser_lib.losses import nt_xent, pairwise_nt_xent

DOUBLE = torch.float64


def draw(n_views: int, clips: int, width: int = 6, seed: int = 0) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [
        torch.randn(clips, width, generator=random, dtype=DOUBLE, requires_grad=True)
        for _ in range(n_views)
    ]


def slow(views: Sequence[Tensor], temperature: float, within: bool) -> Tensor:
    """The definition, one clip and one negative at a time."""

    def score(u: Tensor, v: Tensor) -> Tensor:
        return u @ v / (u.norm() * v.norm()) / temperature

    pairs = []
    for first, other in combinations(views, 2):
        costs = []
        for anchors, partners in ((first, other), (other, first)):
            for i in range(len(first)):
                others = list(partners)
                if within:
                    others += [anchors[k] for k in range(len(first)) if k != i]
                total = sum(score(anchors[i], u).exp() for u in others)
                costs.append(torch.as_tensor(total).log() - score(anchors[i], partners[i]))
        pairs.append(torch.stack(costs).mean())
    return torch.stack(pairs).mean()


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
def test_two_views_equal_lightly(temperature: float) -> None:
    theirs = pytest.importorskip("lightly.loss").NTXentLoss(temperature)
    left, other = draw(2, 9)
    torch.testing.assert_close(pairwise_nt_xent([left, other], temperature), theirs(left, other))


@given(
    n_views=st.integers(2, 4),
    clips=st.integers(1, 5),
    temperature=st.sampled_from([0.1, 0.5, 2.0]),
    within=st.booleans(),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=25, deadline=None)
def test_equals_the_slow_version_and_its_gradients(
    n_views: int, clips: int, temperature: float, within: bool, seed: int
) -> None:
    views = draw(n_views, clips, seed=seed)
    ours, plain = pairwise_nt_xent(views, temperature, within), slow(views, temperature, within)
    torch.testing.assert_close(ours, plain)
    for mine, theirs in zip(
        torch.autograd.grad(ours, views), torch.autograd.grad(plain, views), strict=True
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-9, rtol=1e-6)


@pytest.mark.parametrize("within", [True, False])
def test_order_of_views_and_of_clips_does_not_matter(within: bool) -> None:
    views = draw(3, 5)
    expected = pairwise_nt_xent(views, 0.2, within)
    for order in permutations(views):
        torch.testing.assert_close(pairwise_nt_xent(order, 0.2, within), expected)
    shuffled = [view[[3, 1, 4, 0, 2]] for view in views]
    torch.testing.assert_close(pairwise_nt_xent(shuffled, 0.2, within), expected)


def test_three_equal_views_cost_what_two_cost() -> None:
    (view,) = draw(1, 6)
    two, three = pairwise_nt_xent([view] * 2), pairwise_nt_xent([view] * 3)
    torch.testing.assert_close(three, two)


def test_closed_form_of_orthogonal_clips() -> None:
    clips, temperature = 4, 0.5
    view = torch.eye(clips, dtype=DOUBLE)
    e = math.exp(1 / temperature)
    between = pairwise_nt_xent([view, view], temperature, within_view_negatives=False)
    within = pairwise_nt_xent([view, view], temperature)
    assert between.item() == pytest.approx(math.log((e + clips - 1) / e))
    assert within.item() == pytest.approx(math.log((e + 2 * (clips - 1)) / e))


@pytest.mark.parametrize("within", [True, False])
def test_stays_finite_where_there_is_no_negative_no_direction_or_no_room(within: bool) -> None:
    alone = draw(3, 1)
    assert pairwise_nt_xent(alone, 0.1, within).item() == pytest.approx(0, abs=1e-12)

    views = [view.detach().clone() for view in draw(3, 4)]
    views[0][1] = 0
    views[1] *= 1e150
    views[2] *= 1e-30
    inputs = [view.requires_grad_() for view in views]
    loss = pairwise_nt_xent(inputs, 1e-3, within)
    gradients = torch.autograd.grad(loss, inputs)
    assert loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert gradients[0][1].eq(0).all()


@pytest.mark.parametrize("within", [True, False])
def test_damaged_values_make_the_loss_nan(within: bool) -> None:
    views = [view.detach().clone() for view in draw(2, 4)]
    views[1][2, 0] = torch.inf
    assert pairwise_nt_xent(views, 0.1, within).isnan()


@pytest.mark.parametrize("within", [True, False])
def test_half_precision_is_computed_in_float32(within: bool) -> None:
    views = [view.detach().bfloat16() for view in draw(3, 8)]
    exact = pairwise_nt_xent([view.double() for view in views], 0.1, within)
    assert exact.dtype == torch.float64
    for autocast in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = pairwise_nt_xent(views, 0.1, within)
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(exact.item(), rel=1e-5)


def test_the_switch_leaves_out_own_view_negatives_and_nothing_else() -> None:
    sample, other = draw(2, 6)
    clips = torch.arange(6).repeat(2)
    joined = torch.cat([sample, other])
    torch.testing.assert_close(pairwise_nt_xent([sample, other]), nt_xent(joined, clips, 0.1))
    assert pairwise_nt_xent([sample, other], 0.1, False) < pairwise_nt_xent([sample, other], 0.1)


GOOD = torch.ones(4, 3)


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ([GOOD], "two or more tensors.*not 1 of them"),
        ([], "not 0 of them"),
        (GOOD.expand(2, 4, 3), r"not a tensor of shape \(2, 4, 3\)"),
        ([GOOD, GOOD[:3]], r"views\[1\] has shape \(3, 3\), but views\[0\] has \(4, 3\)"),
        ([GOOD, GOOD, GOOD[:, :2]], r"views\[2\] has shape \(4, 2\)"),
        ([GOOD, GOOD.long()], r"views\[1\] must be floating point"),
        ([GOOD[0], GOOD[0]], r"views\[0\] must be floating point of shape"),
        ([GOOD[:0], GOOD[:0]], r"views\[0\] must be floating point of shape"),
    ],
)
def test_refuses_views(views: Sequence[Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pairwise_nt_xent(views)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_refuses_a_temperature(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature must"):
        pairwise_nt_xent([GOOD, GOOD], temperature)
