"""Mixup: levels, shares, partners; labels and similarities mixed alike."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from lowser_lib.augment import Mixup, mix_labels


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noises(levels: list[float], samples: int = 20_000) -> tuple[Tensor, Tensor]:
    clips = (
        torch.randn(len(levels), samples, generator=generator(8)) * torch.tensor(levels)[:, None]
    )
    return clips, torch.full((len(levels),), samples)


def chosen(share: list[float], partner: list[int]) -> dict[str, Tensor]:
    return {
        "share": torch.tensor(share, dtype=torch.float64),
        "partner": torch.tensor(partner),
    }


def test_partners_are_brought_to_the_level_of_the_clip() -> None:
    clips, lengths = noises([0.1, 0.001])
    mixed = Mixup().apply(clips, lengths, chosen([0.3, 0.3], [1, 0])).clips
    scale = (0.7**2 + 0.3**2) ** 0.5
    ratio = float(clips[0].norm() / clips[1].norm())
    expected = (0.7 * clips[0] + 0.3 * ratio * clips[1]) / scale
    torch.testing.assert_close(mixed[0], expected, atol=1e-6, rtol=1e-5)
    for clip, result in zip(clips, mixed, strict=True):
        assert float(result.norm() / clip.norm()) == pytest.approx(1, abs=0.02)


def test_a_shorter_partner_is_repeated_and_a_longer_one_cut() -> None:
    clips = torch.tensor([[1.0, -1, 1, -1, 1], [2, 2, 0, 0, 0]])
    mixed = Mixup().apply(clips, torch.tensor([5, 2]), chosen([0.5, 0.5], [1, 0])).clips
    half = 0.5**0.5
    torch.testing.assert_close(mixed[0], half * torch.tensor([2.0, 0, 2, 0, 2]))
    torch.testing.assert_close(mixed[1], half * torch.tensor([4.0, 0, 0, 0, 0]))


@given(seed=st.integers(0, 99), n_clips=st.integers(2, 9), strength=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_rows_of_the_mixing_are_shares_of_two(seed: int, n_clips: int, strength: float) -> None:
    transform = Mixup(strength=strength)
    clips, lengths = noises([0.1] * n_clips, 50)
    parameters = transform.draw(n_clips, generator(seed))
    mixing = transform.apply(clips, lengths, parameters).mixing
    assert mixing is not None
    torch.testing.assert_close(mixing.sum(dim=1), torch.ones(n_clips))
    assert bool((parameters["partner"] != torch.arange(n_clips)).all())
    assert bool((mixing.diagonal() >= 1 - 0.4 * strength - 1e-6).all())
    assert bool(((mixing > 0).sum(dim=1) <= 2).all())


def test_every_other_clip_may_be_the_partner() -> None:
    partners = [Mixup().draw(4, generator(seed))["partner"][0].item() for seed in range(60)]
    assert set(partners) == {1, 2, 3}


def test_a_silent_partner_adds_nothing() -> None:
    clips, lengths = noises([0.1, 0.0], 100)
    mixed = Mixup().apply(clips, lengths, chosen([0.4, 0.4], [1, 0])).clips
    assert torch.isfinite(mixed).all() and not mixed[1].any()
    torch.testing.assert_close(mixed[0], clips[0] * 0.6 / 0.52**0.5)


def test_labels_mix_as_clips_do() -> None:
    clips, lengths = noises([0.1] * 3, 50)
    mixing = Mixup().apply(clips, lengths, chosen([0.3, 0.0, 0.25], [1, 2, 0])).mixing
    assert mixing is not None
    targets = mix_labels(mixing, torch.tensor([0, 2, 2]), 4)
    expected = torch.tensor([[0.7, 0, 0.3, 0], [0, 0, 1, 0], [0.25, 0, 0.75, 0]])
    torch.testing.assert_close(targets, expected)
    # The cross-entropy with mixed labels is the mixture of two cross-entropies.
    logits = torch.randn(3, 4, generator=generator())
    whole = torch.nn.functional.cross_entropy(logits, targets, reduction="none")[0]
    parts = [torch.nn.functional.cross_entropy(logits[:1], torch.tensor([k])) for k in (0, 2)]
    torch.testing.assert_close(whole, 0.7 * parts[0] + 0.3 * parts[1])


# Bad input


@pytest.mark.parametrize("share", [(-0.1, 0.2), (0.3, 0.2), (0.0, 0.6)])
def test_bad_shares_are_refused(share: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="share"):
        Mixup(share)


def test_a_clip_without_a_partner_is_refused() -> None:
    clips, lengths = noises([0.1], 50)
    with pytest.raises(ValueError, match="two clips or more"):
        Mixup(probability=0.01)(clips, lengths, generator())
    assert torch.equal(Mixup(strength=0)(clips, lengths, generator()).clips, clips)
    with pytest.raises(ValueError, match="its own partner"):
        Mixup().apply(clips, lengths, chosen([0.2], [0]))


def test_bad_labels_and_shapes_are_refused() -> None:
    mixing = torch.eye(2)
    for labels in ([0, -1], [0, 4]):
        with pytest.raises(ValueError, match="labels must lie in"):
            mix_labels(mixing, torch.tensor(labels), 4)
    with pytest.raises(ValueError, match="shapes"):
        mix_labels(mixing, torch.tensor([0, 1, 2]), 4)
