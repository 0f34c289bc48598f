"""The text-invariant loss against a slow plain version, nt_xent, closed forms and bad input."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from lowser_lib.losses import nt_xent
from lowser_lib.losses.text_invariant import text_invariant_masks, text_invariant_nt_xent

DOUBLE = torch.float64


def draw(clips: int, seed: int = 0, width: int = 5) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(clips, width, generator=random, dtype=DOUBLE, requires_grad=True)


def slow(z: Tensor, labels: Tensor, texts: Tensor, temperature: float, negatives: str) -> Tensor:
    """The definition, one pair and one negative at a time."""
    cosines = torch.nn.functional.cosine_similarity(z[:, None], z[None], dim=2)
    scores = (cosines / temperature).exp()
    costs = []
    for i in range(len(z)):
        for j in range(len(z)):
            if labels[i] != labels[j] or texts[i] == texts[j]:
                continue
            total = scores[i, j]
            for k in range(len(z)):
                hard = negatives == "all" or texts[k] == texts[i]
                if labels[k] != labels[i] and hard:
                    total = total + scores[i, k]
            costs.append(-(scores[i, j] / total).log())
    return torch.stack(costs).mean() if costs else z.sum() * 0


@given(
    cells=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=9),
    temperature=st.sampled_from([0.1, 0.5, 2.0]),
    negatives=st.sampled_from(["all", "same-text"]),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=40, deadline=None)
def test_equals_the_definition_with_its_gradient(
    cells: list[tuple[int, int]], temperature: float, negatives: str, seed: int
) -> None:
    labels, texts = torch.tensor(cells).T
    first, second = draw(len(cells), seed), draw(len(cells), seed)
    ours = text_invariant_nt_xent(first, labels, texts, temperature, negatives)  # type: ignore[arg-type]
    theirs = slow(second, labels, texts, temperature, negatives)
    torch.testing.assert_close(ours, theirs)
    ours.backward()
    theirs.backward()
    torch.testing.assert_close(first.grad, second.grad)


def test_without_sentences_it_is_nt_xent() -> None:
    z, labels = draw(12), torch.arange(12) % 3
    torch.testing.assert_close(
        text_invariant_nt_xent(z, labels, None, 0.2), nt_xent(z, labels, 0.2)
    )
    every = torch.arange(12)
    torch.testing.assert_close(
        text_invariant_nt_xent(z, labels, every, 0.2), nt_xent(z, labels, 0.2)
    )


def test_closed_form() -> None:
    # An anchor, its positive at a right angle, one negative in its own direction and one opposite:
    # s = 0, 1 and -1 at temperature 1.
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [-1.0, 0.0]], dtype=DOUBLE)
    labels, texts = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 0, 1])
    first = math.log(1 + math.exp(1) + math.exp(-1))
    second = math.log(3)  # from the positive, both negatives lie at right angles
    result = text_invariant_nt_xent(z, labels, texts, 1.0)
    assert result.item() == pytest.approx((first + second) / 2)
    # The hard ones alone: clip 2 says what clip 0 says, clip 3 what clip 1 says.
    hard = text_invariant_nt_xent(z, labels, texts, 1.0, "same-text")
    assert hard.item() == pytest.approx((math.log(1 + math.e) + math.log(2)) / 2)


def test_same_emotion_and_sentence_is_neither_pulled_nor_pushed() -> None:
    labels, texts = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 0])
    positive, negative = text_invariant_masks(labels, texts)
    assert positive.tolist() == [
        [False, False, True, False],
        [False, False, True, False],
        [True, True, False, False],
        [False, False, False, False],
    ]
    assert negative.tolist() == [[False] * 3 + [True]] * 3 + [[True] * 3 + [False]]


def test_a_batch_of_one_sentence_costs_nothing_and_trains_nothing() -> None:
    z = draw(6)
    loss = text_invariant_nt_xent(z, torch.arange(6) % 2, torch.zeros(6, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0
    assert z.grad is not None
    assert not z.grad.any()


def test_zero_vectors_and_missing_negatives_stay_finite() -> None:
    z = torch.zeros(4, 3, requires_grad=True)
    loss = text_invariant_nt_xent(z, torch.tensor([0, 0, 0, 0]), torch.arange(4), 0.1)
    loss.backward()
    assert loss.item() == 0
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_half_precision_is_computed_in_float32() -> None:
    z, labels, texts = draw(8).detach(), torch.arange(8) % 2, torch.arange(8) // 2
    low = text_invariant_nt_xent(z.bfloat16(), labels, texts)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, text_invariant_nt_xent(z.bfloat16().float(), labels, texts))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embeddings": torch.zeros(3)}, "embeddings must be floating point"),
        ({"embeddings": torch.zeros(3, 2, dtype=torch.int64)}, "embeddings must be floating"),
        ({"labels": torch.zeros(2)}, "labels must have shape"),
        ({"texts": torch.zeros(4)}, "texts must have shape"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"negatives": "some"}, "negatives must be"),
    ],
)
def test_wrong_arguments_are_refused(change: dict[str, object], message: str) -> None:
    given: dict[str, object] = {
        "embeddings": torch.ones(3, 2), "labels": torch.zeros(3), "texts": torch.arange(3),
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        text_invariant_nt_xent(**(given | change))  # type: ignore[arg-type]
