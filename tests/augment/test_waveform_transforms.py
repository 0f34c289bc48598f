"""Noise and speed: against torchaudio, and against what they are by definition."""

from __future__ import annotations

import math

import pytest
import torch
import torchaudio
from hypothesis import given, settings, strategies as st
from torch import Tensor

from lowser_lib.audio import SAMPLE_RATE
from lowser_lib.augment import GaussianNoise, SpeedPerturbation


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def speechlike(lengths: list[int], level: float = 0.1) -> tuple[Tensor, Tensor]:
    clips = level * torch.randn(len(lengths), max(lengths), generator=generator(8))
    for clip, length in zip(clips, lengths, strict=True):
        clip[length:] = 0
    return clips, torch.tensor(lengths)


def decibels(signal: Tensor, noise: Tensor) -> float:
    return float(10 * torch.log10(signal.double().square().sum() / noise.double().square().sum()))


@given(
    lengths=st.lists(st.integers(50, 3000), min_size=1, max_size=4),
    low=st.floats(-20, 60),
    width=st.floats(0, 20),
    strength=st.floats(0.01, 1),
)
@settings(max_examples=30, deadline=None)
def test_measured_ratio_is_the_one_drawn(
    lengths: list[int], low: float, width: float, strength: float
) -> None:
    transform = GaussianNoise((low, low + width), strength=strength)
    clips, length = speechlike(lengths)
    clips, parameters = clips.double(), transform.draw(len(lengths), generator())
    noisy = transform.apply(clips, length, parameters).clips
    least, most = transform.ranges()["snr_db"]
    for clip, result, drawn in zip(clips, noisy, parameters["snr_db"].tolist(), strict=True):
        assert least - 1e-9 <= drawn <= most + 1e-9
        assert decibels(clip, result - clip) == pytest.approx(drawn, abs=1e-4)


def test_noise_is_torchaudios_given_the_same_noise() -> None:
    clips, lengths = speechlike([4000, 16_000, 9000])
    transform = GaussianNoise((0, 30))
    parameters = transform.draw(3, generator(1))
    ours = transform.apply(clips, lengths, parameters).clips
    # Any multiple of the noise that was added gives torchaudio the noise that was drawn.
    noise = 7 * (ours.double() - clips.double()).float()
    theirs = torchaudio.functional.add_noise(clips, noise, parameters["snr_db"].float(), lengths)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_noise_is_white_gaussian_and_new_for_every_clip() -> None:
    clips = torch.ones(4, 20_000)
    transform = GaussianNoise((0, 0))
    result = transform(clips, torch.full((4,), 20_000), generator())
    noise = (result.clips - clips).double()
    correlation = torch.corrcoef(noise)
    assert float((correlation - torch.eye(4)).abs().max()) < 0.04
    assert float((noise[:, 1:] * noise[:, :-1]).mean().abs()) < 0.02
    kurtosis = (noise**4).mean() / (noise**2).mean() ** 2
    assert float(kurtosis) == pytest.approx(3, abs=0.1)


def test_half_the_strength_is_half_the_noise() -> None:
    clips, lengths = speechlike([2000, 3000])
    whole = GaussianNoise((0, 20))
    loud = whole(clips, lengths, generator()).clips - clips
    soft = whole.at_strength(0.5)(clips, lengths, generator()).clips - clips
    torch.testing.assert_close(soft, loud / 2, atol=1e-6, rtol=1e-4)
    assert whole.at_strength(0.5).ranges()["snr_db"][0] == pytest.approx(20 * math.log10(2))


def test_a_silent_clip_stays_silent() -> None:
    clips = torch.zeros(2, 500)
    result = GaussianNoise()(clips, torch.tensor([500, 20]), generator())
    assert not result.clips.any()


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_a_sine_is_higher_and_shorter_by_the_speed(speed: float) -> None:
    time = torch.arange(SAMPLE_RATE) / SAMPLE_RATE
    clip = torch.sin(2 * torch.pi * 440 * time)[None]
    transform = SpeedPerturbation((speed, speed))
    result = transform(clip, torch.tensor([SAMPLE_RATE]), generator())
    assert int(result.lengths) == result.clips.shape[1] == SAMPLE_RATE / speed
    spectrum = torch.fft.rfft(result.clips[0] * torch.hann_window(result.clips.shape[1])).abs()
    peak = float(spectrum.argmax()) * SAMPLE_RATE / result.clips.shape[1]
    assert peak == pytest.approx(440 * speed, abs=1.5)
    # Away from the ends it is that very sine, which is what resampling is.
    later = torch.arange(result.clips.shape[1]) / SAMPLE_RATE
    expected = torch.sin(2 * torch.pi * 440 * speed * later)
    assert float((result.clips[0] - expected)[100:-100].abs().max()) < 2e-3


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_speed_is_torchaudios(factor: float) -> None:
    clips, lengths = speechlike([4000, 2500])
    ours = SpeedPerturbation((factor, factor))(clips, lengths, generator())
    speed = torchaudio.transforms.Speed(SAMPLE_RATE, factor)
    theirs, their_lengths = speed(clips, lengths)
    assert torch.equal(ours.lengths, their_lengths)
    # Theirs rings on beyond the end of the shorter clip, into its padding.
    theirs[1, int(their_lengths[1]) :] = 0
    torch.testing.assert_close(ours.clips, theirs, atol=2e-6, rtol=1e-5)


@given(
    lengths=st.lists(st.integers(1, 2000), min_size=1, max_size=5),
    strength=st.floats(0, 1),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_lengths_follow_the_speed(lengths: list[int], strength: float, seed: int) -> None:
    clips, length = speechlike(lengths)
    transform = SpeedPerturbation((0.7, 1.4), strength=strength)
    parameters = transform.draw(len(lengths), generator(seed))
    result = transform.apply(clips, length, parameters)
    hundredths = (parameters["speed"] * 100).round().long()
    assert torch.equal(result.lengths, -(-length * 100 // hundredths))
    slowest, fastest = transform.ranges()["speed"]
    assert bool((hundredths >= math.floor(100 * slowest)).all())
    assert bool((hundredths <= math.ceil(100 * fastest)).all())


@pytest.mark.parametrize(
    "snr_db", [(20, 10), (float("nan"), 3), (0, float("inf"))], ids=["order", "nan", "infinite"]
)
def test_bad_ratios_are_refused(snr_db: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="snr_db"):
        GaussianNoise(snr_db)


@pytest.mark.parametrize("speed", [(-0.9, 1.1), (0.4, 1.0), (1.0, 2.1), (1.1, 0.9)])
def test_bad_speeds_are_refused(speed: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="speed"):
        SpeedPerturbation(speed)


def test_a_generator_elsewhere_is_refused() -> None:
    class Elsewhere(torch.Generator):
        device = torch.device("cuda")

    with pytest.raises(ValueError, match="generator must be on the CPU"):
        GaussianNoise()(torch.ones(1, 9), torch.tensor([9]), Elsewhere())
