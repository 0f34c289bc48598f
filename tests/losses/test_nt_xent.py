"""NT-Xent against a plain loop, closed forms, other libraries, and what may go wrong."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings, strategies as st
from torch import Tensor

from lowser_lib.losses import OtherPositives, nt_xent
from lowser_lib.losses.nt_xent import plain_nt_xent
from lowser_lib.sampling import UNLABELLED

BOTH: tuple[OtherPositives, ...] = ("exclude", "include")
both_forms = pytest.mark.parametrize("form", BOTH)
temperatures = st.floats(0.02, 5)
#: Clips of each label: at least two labels, at least two clips.
group_sizes = st.lists(st.integers(2, 5), min_size=2, max_size=5)


def draw(n: int, d: int = 6, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def labels_of(sizes: list[int], seed: int = 0) -> Tensor:
    """As many clips of each label as told, in shuffled order."""
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]


def value_and_gradient(loss: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    value = loss(x)
    (gradient,) = torch.autograd.grad(value, x)
    return value.detach(), gradient


def assert_same(
    ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor], x: Tensor, atol: float
) -> None:
    for mine, other in zip(value_and_gradient(ours, x), value_and_gradient(theirs, x), strict=True):
        torch.testing.assert_close(mine, other, atol=atol, rtol=1e-9)


def plain_loop(x: Tensor, labels: Tensor, temperature: float, form: str) -> Tensor:
    """The equation, read aloud."""
    z = x / x.norm(dim=1, keepdim=True)
    clips = range(len(x))
    costs = []
    for i in clips:
        for j in clips:
            if j == i or labels[j] != labels[i]:
                continue
            denominator = torch.zeros((), dtype=x.dtype)
            for k in clips:
                negative = bool(labels[k] != labels[i])
                if k == j or negative or (form == "include" and k != i):
                    denominator = denominator + torch.exp(z[i] @ z[k] / temperature)
            costs.append(-torch.log(torch.exp(z[i] @ z[j] / temperature) / denominator))
    return torch.stack(costs).mean()


# --- references ------------------------------------------------------------------------------


@given(sizes=group_sizes.filter(lambda sizes: sum(sizes) <= 13), temperature=temperatures)
@settings(max_examples=8, deadline=None)
@both_forms
def test_equals_the_plain_loop(form: OtherPositives, sizes: list[int], temperature: float) -> None:
    x, labels = draw(sum(sizes)), labels_of(sizes)
    assert_same(
        lambda x: nt_xent(x, labels, temperature, form),
        lambda x: plain_loop(x, labels, temperature, form),
        x,
        atol=1e-10,
    )


@given(sizes=group_sizes, temperature=temperatures)
@settings(max_examples=25, deadline=None)
@both_forms
def test_equals_the_plain_form_beside_it(
    form: OtherPositives, sizes: list[int], temperature: float
) -> None:
    x, labels = draw(sum(sizes)), labels_of(sizes)
    assert_same(
        lambda x: nt_xent(x, labels, temperature, form),
        lambda x: plain_nt_xent(x, labels, temperature, form),
        x,
        atol=1e-10,
    )


@both_forms
@pytest.mark.parametrize("temperature", [0.02, 0.07, 0.5])
def test_equals_pytorch_metric_learning(form: OtherPositives, temperature: float) -> None:
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    theirs = {"exclude": losses.NTXentLoss, "include": losses.SupConLoss}[form](temperature)
    x, labels = draw(64, 24), labels_of([4] * 16)
    assert_same(
        lambda x: nt_xent(x, labels, temperature, form), lambda x: theirs(x, labels), x, 1e-10
    )
    if form == "exclude":  # a mean over pairs also where labels differ in size
        unequal = labels_of([2, 3, 5, 9, 13, 32])
        assert_same(
            lambda x: nt_xent(x, unequal, temperature), lambda x: theirs(x, unequal), x, 1e-10
        )


@both_forms
@pytest.mark.parametrize("temperature", [0.02, 0.07, 0.5])
def test_two_views_equal_lightly(form: OtherPositives, temperature: float) -> None:
    theirs = pytest.importorskip("lightly.loss").NTXentLoss(temperature)
    x, labels = draw(64, 24), torch.arange(32).repeat(2)
    assert_same(
        lambda x: nt_xent(x, labels, temperature, form), lambda x: theirs(x[:32], x[32:]), x, 1e-10
    )


@both_forms
def test_gradient_is_that_of_finite_differences(form: OtherPositives) -> None:
    x, labels = draw(9, 4).requires_grad_(), labels_of([2, 3, 4])
    assert torch.autograd.gradcheck(lambda x: 3 * nt_xent(x, labels, 0.2, form), x)


@both_forms
def test_two_views_are_a_cross_entropy_in_float32(form: OtherPositives) -> None:
    # SimCLR's own way to write it, on many clips.
    x, labels = draw(1400, 16, dtype=torch.float32), torch.arange(700).repeat(2)
    z = F.normalize(x)
    scores = (z @ z.T / 0.07).fill_diagonal_(-torch.inf)
    expected = F.cross_entropy(scores, torch.arange(1400).roll(700))
    torch.testing.assert_close(nt_xent(x, labels, 0.07, form), expected)


@both_forms
def test_blocks_do_not_show(form: OtherPositives, monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = draw(23), labels_of([2, 3, 5, 6, 7])
    whole = value_and_gradient(lambda x: nt_xent(x, labels, 0.1, form), x)
    monkeypatch.setattr(sys.modules["lowser_lib.losses.nt_xent"], "BLOCK", 5)
    cut = value_and_gradient(lambda x: nt_xent(x, labels, 0.1, form), x)
    torch.testing.assert_close(cut, whole)


# --- closed forms ----------------------------------------------------------------------------


@both_forms
@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_four_points_by_hand(form: OtherPositives, temperature: float) -> None:
    # On a cross, neighbours share a label: each clip has its positive and one negative at a right
    # angle (similarity 0), and the other negative opposite (similarity −1). Lengths do not matter.
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [0.0, -4.0]], dtype=torch.float64)
    loss = nt_xent(x, torch.tensor([7, 7, 3, 3]), temperature, form)
    assert loss.item() == pytest.approx(math.log(2 + math.exp(-1 / temperature)), abs=1e-12)


@pytest.mark.parametrize(("form", "others"), [("exclude", 1 + 60), ("include", 3 + 60)])
def test_identical_clips_cost_the_log_of_the_denominator(form: Any, others: int) -> None:
    # 16 speakers × 4: 3 positives and 60 negatives; with "exclude" one positive at a time.
    labels = torch.arange(16).repeat(4)
    value, gradient = value_and_gradient(
        lambda x: nt_xent(x, labels, 0.07, form), torch.ones(64, 8, dtype=torch.float64)
    )
    assert value.item() == pytest.approx(math.log(others))
    assert gradient.abs().max() < 1e-12


def test_one_label_has_no_negatives() -> None:
    # Nothing to tell apart: "exclude" costs nothing, "include" has the positives push each other.
    x, labels = draw(5), torch.zeros(5, dtype=torch.int64)
    value, gradient = value_and_gradient(lambda x: nt_xent(x, labels), x)
    assert value == 0 and (gradient == 0).all()
    value, gradient = value_and_gradient(lambda x: nt_xent(x, labels, 1.0, "include"), x)
    torch.testing.assert_close(value, plain_loop(x, labels, 1.0, "include"))
    assert gradient.abs().max() > 1e-3


def fan(angle: float, labels: int = 3) -> Tensor:
    """Two clips a label at ± an angle, in a plane of its own: negatives have similarity 0."""
    x = torch.zeros(2 * labels, 2 * labels, dtype=torch.float64)
    for label in range(labels):
        x[2 * label : 2 * label + 2, 2 * label] = math.cos(angle)
        x[2 * label, 2 * label + 1] = math.sin(angle)
        x[2 * label + 1, 2 * label + 1] = -math.sin(angle)
    return x


@given(
    near=st.floats(0, 1.5), apart=st.floats(0.01, 0.07), temperature=st.floats(0.07, 5),
    form=st.sampled_from(BOTH),
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_closer_positives_cost_less(
    near: float, apart: float, temperature: float, form: OtherPositives
) -> None:
    labels = torch.arange(3).repeat_interleave(2)
    close, far = (nt_xent(fan(a), labels, temperature, form) for a in (near, near + apart))
    assert close < far
    score = math.cos(2 * near) / temperature
    assert close.item() == pytest.approx(math.log1p(4 * math.exp(-score)), rel=1e-9, abs=1e-12)


# --- properties ------------------------------------------------------------------------------


@given(sizes=group_sizes, temperature=temperatures, seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_order_names_of_labels_lengths_and_rotations_do_not_matter(
    sizes: list[int], temperature: float, seed: int
) -> None:
    x, labels = draw(sum(sizes), seed=seed), labels_of(sizes, seed)
    random = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(x), generator=random)
    lengths = 10 ** (6 * torch.rand(len(x), 1, generator=random, dtype=torch.float64) - 3)
    rotation, _ = torch.linalg.qr(draw(6, 6, seed + 1))
    for form in BOTH:
        loss = partial(nt_xent, labels=labels, temperature=temperature, other_positives=form)
        value, gradient = value_and_gradient(loss, x)
        same = [
            nt_xent(x[order], labels[order], temperature, form),
            nt_xent(x, 1000 - 3 * labels, temperature, form),
            nt_xent(x * lengths, labels, temperature, form),
            nt_xent(x @ rotation, labels, temperature, form),
        ]
        for other in same:
            torch.testing.assert_close(other, value, rtol=1e-9, atol=1e-12)
        # No length matters, so no gradient points along its vector.
        assert (gradient * x).sum(dim=1).abs().max() < 1e-9


@given(sizes=group_sizes, temperature=temperatures)
@settings(max_examples=15, deadline=None)
def test_a_larger_denominator_costs_more(sizes: list[int], temperature: float) -> None:
    x, labels = draw(sum(sizes)), labels_of(sizes)
    exclude, include = (nt_xent(x, labels, temperature, form) for form in BOTH)
    if set(sizes) == {2}:
        torch.testing.assert_close(exclude, include)
    else:
        assert 0 < exclude < include


@both_forms
def test_descending_the_gradient_brings_speakers_together(form: OtherPositives) -> None:
    x, labels = draw(24, 8), labels_of([4] * 6)
    first = nt_xent(x, labels, 0.2, form)
    for _ in range(60):
        _, gradient = value_and_gradient(lambda x: nt_xent(x, labels, 0.2, form), x)
        x = x - 3 * gradient
    z = F.normalize(x)
    same = labels[:, None] == labels
    assert nt_xent(x, labels, 0.2, form) < 0.5 * first
    assert (z @ z.T)[same].mean() > 0.8 > (z @ z.T)[~same].mean() + 0.5


# --- numbers at their limits -----------------------------------------------------------------


@both_forms
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["zero", "one zero", "identical", "opposite", "huge", "tiny"])
def test_always_finite(form: OtherPositives, dtype: torch.dtype, kind: str) -> None:
    x, labels = draw(12, dtype=torch.float32), torch.arange(3).repeat(4)
    largest, smallest = (6e4, 0.1) if dtype == torch.float16 else (1e38, 1e-11)
    x = {
        "zero": torch.zeros_like(x),
        "one zero": x * (torch.arange(12) > 0)[:, None],
        "identical": torch.ones_like(x),
        "opposite": torch.where(labels[:, None] == 0, x[:1], -x[:1]),
        "huge": x.sign() * largest,
        "tiny": x.sign() * smallest,
    }[kind].to(dtype)
    for temperature in (0.001, 0.07, 100.0):
        loss = partial(nt_xent, labels=labels, temperature=temperature, other_positives=form)
        value, gradient = value_and_gradient(loss, x)
        assert value.dtype == torch.float32 and gradient.dtype == dtype
        assert value.isfinite() and value >= 0 and gradient.isfinite().all()
        assert (gradient[(x == 0).all(dim=1)] == 0).all()


def test_lengths_near_the_limits_of_float32_keep_their_direction() -> None:
    x, labels = draw(12, dtype=torch.float32), torch.arange(3).repeat(4)
    expected = nt_xent(x, labels)
    for scale in (1e-10, 1e37):
        torch.testing.assert_close(nt_xent(x * scale, labels), expected)


def test_a_zero_vector_is_similar_to_none() -> None:
    x, labels = draw(6), torch.arange(2).repeat(3)
    x[0] = 0
    far = torch.cat([x, torch.zeros(6, 1, dtype=x.dtype)], dim=1)
    far[0, -1] = 1  # at a right angle to all others: the same similarities
    torch.testing.assert_close(nt_xent(x, labels), nt_xent(far, labels))


def test_half_precision_is_computed_in_float32() -> None:
    x, labels = draw(64, 32, dtype=torch.bfloat16), torch.arange(16).repeat(4)
    expected = value_and_gradient(lambda x: nt_xent(x, labels), x.float())
    value, gradient = value_and_gradient(lambda x: nt_xent(x, labels), x)
    torch.testing.assert_close(value, expected[0])
    torch.testing.assert_close(gradient, expected[1].bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(nt_xent(x, labels), expected[0])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@both_forms
def test_what_is_not_finite_is_not_hidden(form: OtherPositives, value: float) -> None:
    x, labels = draw(12), torch.arange(3).repeat(4)
    x[5, 2] = value
    assert nt_xent(x, labels, 0.07, form).isnan()


def test_a_second_derivative_is_refused() -> None:
    x = draw(6).requires_grad_()
    loss = nt_xent(x, torch.arange(2).repeat(3))
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(loss, x, create_graph=True)


def test_loss_alone_asks_for_no_gradient() -> None:
    assert not nt_xent(draw(4), torch.tensor([0, 0, 1, 1])).requires_grad


# --- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 0, 1, 1, 2], r"1 of 5 anchors have no positive: 4 \(label 2\)\. Each label needs"),
        ([5, 0, 0, 0, 6], r"2 of 5 anchors have no positive: 0 \(label 5\), 4 \(label 6\)"),
        ([0, 1, 2, 3, 4], r"5 of 5 anchors"),
        ([0, 0, UNLABELLED, UNLABELLED, UNLABELLED], r"3 of 5 anchors .* 2 \(label -1\), 3"),
    ],
)
def test_anchors_without_positives_are_named(labels: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nt_xent(draw(5), torch.tensor(labels))


def test_a_long_list_of_anchors_is_cut_short() -> None:
    with pytest.raises(ValueError, match=r"9 of 9 anchors .*4 \(label 4\) and 4 more\."):
        nt_xent(draw(9), torch.arange(9))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"embeddings": torch.zeros(4)},
            r"embeddings must be .*, not torch.float32 of shape \(4,\)",
        ),
        ({"embeddings": torch.zeros(4, 2, 2)}, r"of shape \(4, 2, 2\)"),
        ({"embeddings": torch.zeros(0, 3)}, r"of shape \(0, 3\)"),
        ({"embeddings": torch.zeros(4, 0)}, r"of shape \(4, 0\)"),
        ({"embeddings": torch.zeros(4, 3, dtype=torch.int64)}, "not torch.int64"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, r"shape \(4,\), not \(3,\)"),
        ({"labels": torch.zeros(4, 1, dtype=torch.int64)}, r"shape \(4,\), not \(4, 1\)"),
        ({"labels": torch.zeros(4)}, "labels must be whole numbers, not torch.float32"),
        ({"labels": torch.ones(4, dtype=torch.bool)}, "whole numbers, not torch.bool"),
        ({"temperature": 0.0}, "temperature must be above 0, not 0.0"),
        ({"temperature": -0.5}, "temperature must be above 0, not -0.5"),
        ({"temperature": math.nan}, "not nan"),
        ({"temperature": math.inf}, "not inf"),
        ({"other_positives": "ignore"}, "must be one of 'exclude', 'include', not 'ignore'"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"embeddings": draw(4), "labels": torch.tensor([0, 0, 1, 1])}
    with pytest.raises(ValueError, match=message):
        nt_xent(**good | arguments)


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.int64])
def test_any_whole_numbers_are_labels(dtype: torch.dtype) -> None:
    labels = torch.tensor([0, 0, 1, 1], dtype=dtype)
    expected = nt_xent(draw(4), labels.long())
    torch.testing.assert_close(nt_xent(draw(4), labels), expected)
    column = torch.stack([labels, labels], dim=1)[:, 0]  # not contiguous
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.testing.assert_close(nt_xent(draw(4), column), expected)
