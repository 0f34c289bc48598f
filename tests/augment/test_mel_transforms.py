"""Stretching and masking of spectrograms: against torchaudio, and by closed form."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given, settings, strategies as st
from torch import Tensor

from lowser_lib.augment import FrequencyMasking, SpecAugment, SpectralStretch, TimeMasking, TimeWarp
from lowser_lib.augment.spectrogram import clip_mean, source_bands, source_frames
from lowser_lib.views import log_mel


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mels(lengths: list[int], n_mels: int = 80) -> tuple[Tensor, Tensor]:
    clips = torch.rand(len(lengths), n_mels, max(lengths), generator=generator(8)) - 0.3
    for clip, length in zip(clips, lengths, strict=True):
        clip[:, length:] = 0
    return clips, torch.tensor(lengths)


def drawn_by_torchaudio(n_clips: int, seed: int) -> tuple[Tensor, Tensor]:
    """The numbers that torchaudio's iid masks take from the global generator."""
    random = generator(seed)
    return torch.rand(n_clips, generator=random), torch.rand(n_clips, generator=random)


# Masking


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("axis", ["time", "frequency"])
def test_masks_are_torchaudios_where_all_clips_fill_the_batch(axis: str, seed: int) -> None:
    clips, lengths = mels([120] * 8)
    width, start = (value.double()[:, None] for value in drawn_by_torchaudio(8, seed))
    fill = clip_mean(clips, lengths)[:, None, None].expand_as(clips)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if axis == "time":
            parameters = {"time_width": width, "time_start": start}
            ours = TimeMasking(40, 0.2).apply(clips, lengths, parameters).clips
            theirs = torchaudio.transforms.TimeMasking(40, iid_masks=True, p=0.2)
        else:
            parameters = {"band_width": width, "band_start": start}
            ours = FrequencyMasking(16).apply(clips, lengths, parameters).clips
            theirs = torchaudio.transforms.FrequencyMasking(16, iid_masks=True)
        # A value no clip has shows where torchaudio's masks lie.
        masked = theirs(clips, 99.0) == 99.0
    assert masked.any()
    assert torch.equal(ours, torch.where(masked, fill, clips))


@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=4),
    frames=st.integers(0, 60),
    proportion=st.floats(0, 1),
    strength=st.floats(0, 1),
    seed=st.integers(0, 999),
)
@settings(max_examples=40, deadline=None)
def test_a_time_mask_is_one_run_within_its_clip(
    lengths: list[int], frames: int, proportion: float, strength: float, seed: int
) -> None:
    clips, length = mels(lengths)
    result = TimeMasking(frames, proportion, strength=strength)(clips, length, generator(seed))
    for old, new, n in zip(clips, result.clips, lengths, strict=True):
        hidden = (old != new).any(dim=0).nonzero().flatten()
        assert len(hidden) <= strength * min(frames, proportion * n) + 1e-9
        if len(hidden):
            assert int(hidden[-1] - hidden[0]) + 1 == len(hidden) and int(hidden[-1]) < n


def test_masks_fill_in_the_mean_of_the_clip_alone() -> None:
    clips, lengths = mels([50, 200])
    clips[1] += 7 * (clips[1] != 0)
    for transform in (TimeMasking(masks=3), FrequencyMasking(masks=3), SpecAugment(warp_frames=0)):
        result = transform(clips, lengths, generator(2)).clips
        for old, new, n in zip(clips, result, [50, 200], strict=True):
            mean = float(old[:, :n].double().mean())
            assert new[old != new].tolist() == pytest.approx([mean] * int((old != new).sum()))
            assert (old != new).any()


@given(n_mels=st.integers(1, 130), frames=st.integers(1, 40), spare=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_mean_is_numpys_for_any_number_of_bands(n_mels: int, frames: int, spare: int) -> None:
    clips, lengths = mels([frames, frames + spare], n_mels)
    before = clips.clone()
    for index, n in enumerate(lengths.tolist()):
        expected = clips[index, :, :n].double().mean()
        assert float(clip_mean(clips, lengths)[index]) == pytest.approx(float(expected), abs=1e-6)
    assert torch.equal(clips, before)


def test_a_band_mask_is_at_most_as_wide_as_told() -> None:
    clips, lengths = mels([30] * 200)
    result = FrequencyMasking(16)(clips, lengths, generator()).clips
    widths = (clips != result).any(dim=2).sum(dim=1)
    assert set(widths.tolist()) == set(range(16))
    every = FrequencyMasking(500)(clips, lengths, generator()).clips
    assert int((clips != every).any(dim=2).sum(dim=1).max()) <= 80


def test_specaugment_is_its_three_parts() -> None:
    clips, lengths = mels([200, 150, 60])
    whole = SpecAugment(strength=0.7)
    parameters = whole.draw(3, generator(5))
    warped = whole.time_warp.apply(clips, lengths, parameters).clips
    times = whole.time_masking.apply(warped, lengths, parameters).clips != warped
    bands = whole.frequency_masking.apply(warped, lengths, parameters).clips != warped
    result = whole.apply(clips, lengths, parameters).clips
    mean = clip_mean(warped, lengths)[:, None, None].expand_as(clips)
    assert times.any() and bands.any() and not torch.equal(warped, clips)
    assert torch.equal(result, torch.where(times | bands, mean, warped))
    assert whole.time_masking.masks == whole.frequency_masking.masks == 2


def test_the_parts_of_specaugment_draw_numbers_of_their_own() -> None:
    drawn = SpecAugment().draw(2000, generator(7))
    columns = torch.cat([value.double().reshape(2000, -1) for value in drawn.values()], dim=1)
    assert columns.shape == (2000, SpecAugment().draws)
    ties = torch.corrcoef(columns.T).fill_diagonal_(0).abs()
    assert float(ties.max()) < 0.1  # 2,000 pairs of independent numbers: 0.02, give or take


# Time warp


@given(
    frames=st.lists(st.integers(1, 500), min_size=1, max_size=5),
    strength=st.floats(0, 1),
    seed=st.integers(0, 999),
)
@settings(max_examples=40, deadline=None)
def test_warp_keeps_ends_and_order_and_at_most_doubles_speed(
    frames: list[int], strength: float, seed: int
) -> None:
    # On a ramp, a spectrogram's value is the place that it was read from.
    ramp = torch.arange(max(frames), dtype=torch.float64)
    lengths = torch.tensor(frames)
    clips = ramp.expand(len(frames), 2, -1) * (ramp < lengths[:, None, None])
    result = TimeWarp(strength=strength)(clips, lengths, generator(seed)).clips
    for old, new, n in zip(clips, result, frames, strict=True):
        read = new[0, :n]
        assert float(read[0]) == 0 and float(read[-1]) == pytest.approx(n - 1)
        pace = read.diff()
        assert bool((pace >= 0.5).all() and (pace <= 2 + 1e-9).all())
        assert float((new - old).abs().max()) <= 40 * strength + 1e-9


def test_warp_moves_the_drawn_frame_to_the_drawn_place() -> None:
    place = torch.tensor([40.0, 50.0], dtype=torch.float64)
    moved = torch.tensor([30.0, 50.0], dtype=torch.float64)
    last = torch.tensor([100.0, 100.0], dtype=torch.float64)
    read = source_frames(place, moved, last, 101)
    assert read[0, [0, 15, 30, 65, 100]].tolist() == pytest.approx([0, 20, 40, 70, 100])
    assert read[1].tolist() == list(range(101))


# Spectral stretch


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1])
def test_a_sine_moves_by_the_factor(factor: float) -> None:
    time = torch.arange(16_000) / 16_000
    mel = log_mel(torch.sin(2 * torch.pi * 1500 * time))[None]
    wanted = log_mel(torch.sin(2 * torch.pi * 1500 * factor * time))
    transform = SpectralStretch((factor, factor))
    result = transform(mel, torch.tensor([mel.shape[2]]), generator()).clips[0]
    peak, expected = result.mean(dim=1).argmax(), wanted.mean(dim=1).argmax()
    assert abs(int(peak) - int(expected)) <= 1
    assert factor == 1 or int(mel[0].mean(dim=1).argmax()) != int(expected)


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("factor", [0.8, 0.93, 1.07, 1.2])
def test_bands_are_read_where_jaitly_and_hinton_say(factor: float, n_mels: int) -> None:
    edges = librosa.mel_frequencies(n_mels + 2, fmin=0, fmax=8000)
    read = source_bands(torch.tensor([factor], dtype=torch.float64), n_mels)[0].numpy()
    source = np.interp(read, np.arange(n_mels), edges[1:-1])
    # Their map of a frequency, equation by equation: forward, where ours goes backward.
    turn = 4800 * min(factor, 1) / factor
    above = 8000 - (8000 - 4800 * min(factor, 1)) / (8000 - turn) * (8000 - source)
    reached = np.where(source <= turn, source * factor, above)
    inner = (read > 0) & (read < n_mels - 1)
    # Between two bands the mel scale is not quite straight in Hz.
    np.testing.assert_allclose(reached[inner], edges[1:-1][inner], rtol=4e-3)
    assert bool((np.diff(read) >= 0).all()) and inner.sum() > 0.9 * n_mels


def test_a_flat_spectrum_stays_flat_and_frames_stay_apart() -> None:
    clips = torch.arange(50.0).expand(2, 80, 50).contiguous()
    result = SpectralStretch((0.7, 1.4))(clips, torch.tensor([50, 50]), generator()).clips
    assert torch.equal(result, clips)


# Bad input


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: SpectralStretch((-1.0, 1.0)), "factor"),
        (lambda: SpectralStretch((1.1, 0.9)), "factor"),
        (lambda: TimeWarp(-1), "frames"),
        (lambda: TimeMasking(-1), "frames"),
        (lambda: TimeMasking(proportion=1.5), "proportion"),
        (lambda: TimeMasking(masks=0), "masks"),
        (lambda: FrequencyMasking(-2), "bands"),
        (lambda: FrequencyMasking(masks=0), "masks"),
        (lambda: SpecAugment(warp_frames=-1), "warp_frames"),
        (lambda: SpecAugment(frames=-1), "frames"),
        (lambda: SpecAugment(bands=-1), "bands"),
        (lambda: SpecAugment(time_masks=0), "masks"),
    ],
)
def test_bad_ranges_are_refused(make: type, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make()
