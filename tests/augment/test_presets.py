"""Several augmentations in order, and the two sets that the methods use."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lowser_lib.augment import (
    KINDS,
    Compose,
    FrequencyMasking,
    GaussianNoise,
    Mixup,
    SpeedPerturbation,
    TimeMasking,
    byol,
    contrastive,
    named,
)
from lowser_lib.views import log_mel, pad_mels


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def waveforms() -> tuple[Tensor, Tensor]:
    clips = 0.1 * torch.randn(4, 16_000, generator=generator(8))
    lengths = torch.tensor([16_000, 9000, 12_345, 8000])
    return clips * (torch.arange(16_000) < lengths[:, None]), lengths


def to_mel(clips: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    pairs = zip(clips, lengths.tolist(), strict=True)
    return pad_mels([log_mel(clip[:length]) for clip, length in pairs])


def names(preset: Compose) -> list[str]:
    return [type(transform).__name__ for transform in preset.transforms]


def test_contrastive_has_the_seven() -> None:
    assert names(contrastive()) == [
        "SpeedPerturbation",
        "Mixup",
        "GaussianNoise",
        "SpectralStretch",
        "SpecAugment",
        "TimeMasking",
        "FrequencyMasking",
    ]
    assert not contrastive().keeps_length and not contrastive().keeps_label


def test_byol_has_three_of_them_each_weaker() -> None:
    strong = {type(transform): transform for transform in contrastive().transforms}
    assert len(byol()) == 3 and byol().keeps_length and byol().keeps_label
    for weak in byol().transforms:
        ranges = strong[type(weak)].ranges()
        for key, (low, high) in weak.ranges().items():
            if key == "snr_db":
                assert low > ranges[key][0] and high > ranges[key][1]
            else:
                assert high < ranges[key][1]


@pytest.mark.parametrize("make", [contrastive, byol])
def test_strength_and_probability_reach_every_part(make: Callable[..., Compose]) -> None:
    preset = make(0.25, 0.75)
    assert {transform.strength for transform in preset.transforms} == {0.25}
    assert {transform.probability for transform in preset.transforms} == {0.75}
    other = preset.at_strength(0.5)
    assert {transform.strength for transform in other.transforms} == {0.5}
    assert {transform.probability for transform in other.transforms} == {0.75}


@pytest.mark.parametrize("make", [contrastive, byol])
def test_strength_zero_gives_the_plain_spectrogram(make: Callable[..., Compose]) -> None:
    clips, lengths = waveforms()
    result = make(0.0)(clips, lengths, generator(), to_mel)
    expected, frames = to_mel(clips, lengths)
    assert torch.equal(result.clips, expected) and torch.equal(result.lengths, frames)


@pytest.mark.parametrize("make", [contrastive, byol])
def test_presets_run_from_waveforms_to_spectrograms(make: Callable[..., Compose]) -> None:
    clips, lengths = waveforms()
    first, again = (make()(clips, lengths, generator(3), to_mel) for _ in range(2))
    other = make()(clips, lengths, generator(4), to_mel)
    assert first.clips.shape == (4, 80, int(first.lengths.max()))
    assert torch.equal(first.clips, again.clips) and torch.equal(first.lengths, again.lengths)
    assert first.clips.shape != other.clips.shape or not torch.equal(first.clips, other.clips)
    for clip, end in zip(first.clips, first.lengths.tolist(), strict=True):
        assert not clip[:, end:].any()


def test_a_composition_is_its_parts_one_after_another() -> None:
    clips, lengths = waveforms()
    parts = [SpeedPerturbation(), GaussianNoise()]
    result = Compose(parts)(clips, lengths, generator(1))
    random = generator(1)
    step = parts[0](clips, lengths, random)
    step = parts[1](step.clips, step.lengths, random)
    assert torch.equal(result.clips, step.clips) and torch.equal(result.lengths, step.lengths)
    assert result.mixing is None


def test_mixing_twice_multiplies() -> None:
    clips, lengths = waveforms()
    random = generator(1)
    once = Mixup()(clips, lengths, random)
    twice = Mixup()(once.clips, lengths, random)
    result = Compose([Mixup(), GaussianNoise(), Mixup()])
    both = Compose([Mixup(), Mixup()])(clips, lengths, generator(1))
    assert once.mixing is not None and twice.mixing is not None and both.mixing is not None
    torch.testing.assert_close(both.mixing, twice.mixing @ once.mixing)
    assert not result.keeps_label and result.keeps_length


def test_waveforms_alone_and_spectrograms_alone_need_no_bridge() -> None:
    clips, lengths = waveforms()
    assert Compose([GaussianNoise()])(clips, lengths, generator()).clips.shape == clips.shape
    mels, frames = to_mel(clips, lengths)
    masks = Compose([TimeMasking(), FrequencyMasking()])
    assert masks(mels, frames, generator()).clips.shape == mels.shape
    # A bridge that is there is crossed, even with nothing on the other side.
    result = Compose([GaussianNoise(probability=0)])(clips, lengths, generator(), to_mel)
    assert torch.equal(result.clips, mels)


def test_repr_prints_every_part() -> None:
    text = repr(byol(0.5))
    assert text.startswith("Compose([\n") and text.count("\n") == 4
    assert "GaussianNoise(snr_db=[26.0206, 46.0206], strength=0.5, probability=0.5)," in text


def test_wrong_compositions_are_refused() -> None:
    clips, lengths = waveforms()
    with pytest.raises(ValueError, match="empty"):
        Compose([])
    with pytest.raises(ValueError, match="waveforms come before spectrograms"):
        Compose([TimeMasking(), GaussianNoise()])
    with pytest.raises(ValueError, match="to_mel is needed"):
        byol()(clips, lengths, generator())
    with pytest.raises(ValueError, match="takes waveforms"):
        byol()(*to_mel(clips, lengths), generator())
    with pytest.raises(ValueError, match="strength"):
        contrastive(1.5)


def test_augmentations_go_by_name() -> None:
    assert repr(named("byol", 0.5)) == repr(byol(0.5))
    assert repr(named("contrastive", 0.5, 0.25)) == repr(contrastive(0.5, 0.25))
    for name, kind in KINDS.items():
        (left,) = named(name, 0.5, 0.25).transforms
        assert type(left) is kind and (left.strength, left.probability) == (0.5, 0.25)
    assert set(map(type, contrastive().transforms)) == set(KINDS.values())
    with pytest.raises(ValueError, match="unknown augmentation 'echo'; choose one of contrastive"):
        named("echo")


def test_voice_is_another_throat_and_another_pitch() -> None:
    made = named("voice", strength=1.0, probability=0.3)
    assert [type(transform).__name__ for transform in made.transforms] == [
        "SpeedPerturbation",
        "SpectralStretch",
    ]
    assert made.keeps_label
    assert {transform.probability for transform in made.transforms} == {0.3}
    assert made.transforms[1].ranges()["factor"] == pytest.approx((0.85, 1.18))
