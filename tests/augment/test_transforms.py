"""What every transform promises: a draw of its own a clip, padding untouched, clear errors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from lowser_lib.augment import (
    FrequencyMasking,
    GaussianNoise,
    Mixup,
    SpecAugment,
    SpectralStretch,
    SpeedPerturbation,
    TimeMasking,
    TimeWarp,
    Transform,
)
from lowser_lib.augment.base import Parameters
from lowser_lib.errors import AudioError

TRANSFORMS: tuple[Transform, ...] = (
    GaussianNoise(),
    SpeedPerturbation(),
    SpectralStretch(),
    TimeWarp(),
    TimeMasking(masks=2),
    FrequencyMasking(masks=2),
    SpecAugment(),
    Mixup(),
)
ALONE = tuple(transform for transform in TRANSFORMS if not isinstance(transform, Mixup))


def name(transform: Transform) -> str:
    return type(transform).__name__


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(transform: Transform, lengths: list[int], seed: int = 1) -> tuple[Tensor, Tensor]:
    """Clips of the transform's domain, zero behind their ends."""
    shape = [len(lengths), 80, max(lengths)]
    if transform.domain == "waveform":
        del shape[1]
    clips = 0.1 * torch.randn(shape, generator=generator(seed))
    for clip, length in zip(clips, lengths, strict=True):
        clip[..., length:] = 0
    return clips, torch.tensor(lengths)


def rows(parameters: Parameters, start: int, end: int) -> Parameters:
    return {key: value[start:end] for key, value in parameters.items()}


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=name)
@given(
    lengths=st.lists(st.integers(1, 900), min_size=2, max_size=5),
    strength=st.floats(0, 1),
    probability=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
@settings(max_examples=15, deadline=None)
def test_a_padded_batch_stays_one(
    transform: Transform, lengths: list[int], strength: float, probability: float, seed: int
) -> None:
    clips, length = batch(transform, lengths)
    before = clips.clone()
    kept = type(transform)(strength=strength, probability=probability)
    result = kept(clips, length, generator(seed))
    assert torch.equal(clips, before)
    assert torch.isfinite(result.clips).all()
    assert result.clips.dtype == clips.dtype
    assert result.clips.shape[:-1] == clips.shape[:-1]
    assert result.clips.shape[-1] >= int(result.lengths.max())
    for clip, end in zip(result.clips, result.lengths.tolist(), strict=True):
        assert not clip[..., end:].any()
    if transform.keeps_length:
        assert torch.equal(result.lengths, length)
        assert result.clips.shape == clips.shape
    assert (result.mixing is None) is transform.keeps_label


@pytest.mark.parametrize("transform", TRANSFORMS, ids=name)
def test_most_clips_are_changed(transform: Transform) -> None:
    clips, lengths = batch(transform, [700, 800, 750, 790])
    result = transform(clips, lengths, generator(3))
    changed = [
        clip.shape != old.shape or not torch.equal(clip, old)
        for clip, old in zip(result.clips, clips, strict=True)
    ]
    assert sum(changed) >= 3


@pytest.mark.parametrize("transform", TRANSFORMS, ids=name)
def test_strength_and_probability_zero_are_the_identity(transform: Transform) -> None:
    clips, lengths = batch(transform, [30, 700, 512])
    for still in (transform.at_strength(0.0), type(transform)(probability=0.0)):
        result = still(clips, lengths, generator())
        assert torch.equal(result.clips, clips)
        assert torch.equal(result.lengths, lengths)
        if result.mixing is not None:
            assert torch.equal(result.mixing, torch.eye(3))


@pytest.mark.parametrize("transform", TRANSFORMS, ids=name)
def test_the_generator_moves_on_alike_at_every_strength(transform: Transform) -> None:
    clips, lengths = batch(transform, [300, 500])
    states = []
    for strength in (0.0, 0.3, 1.0):
        random = generator()
        transform.at_strength(strength)(clips, lengths, random)
        states.append(random.get_state())
    assert torch.equal(states[0], states[1]) and torch.equal(states[1], states[2])


@pytest.mark.parametrize("transform", TRANSFORMS, ids=name)
def test_seeded_results_repeat_on_one_thread_and_on_two(
    transform: Transform, threads: None
) -> None:
    # Beyond 32,768 numbers PyTorch deals work out to threads.
    clips, lengths = batch(transform, [45_000, 7000] if clips_are_long(transform) else [900, 140])
    results = []
    for count in (1, 2, 1):
        torch.set_num_threads(count)
        results.append(transform(clips, lengths, generator(5)))
    for other in results[1:]:
        assert torch.equal(other.lengths, results[0].lengths)
        assert torch.equal(other.clips, results[0].clips)


def clips_are_long(transform: Transform) -> bool:
    return transform.domain == "waveform"


@pytest.mark.parametrize("transform", ALONE, ids=name)
def test_neither_neighbours_nor_padding_have_a_say(transform: Transform) -> None:
    clips, lengths = batch(transform, [40, 1023, 517, 200])
    parameters = transform.draw(4, generator(2))
    together = transform.apply(clips, lengths, parameters)
    for index, length in enumerate(lengths.tolist()):
        part = rows(parameters, index, index + 1)
        for size in (length, length + 1, 1500):
            padded = clips.new_zeros(1, *clips.shape[1:-1], size)
            padded[..., :length] = clips[index, ..., :length]
            alone = transform.apply(padded, lengths[index : index + 1], part)
            end = int(alone.lengths)
            assert end == int(together.lengths[index])
            assert torch.equal(alone.clips[0, ..., :end], together.clips[index, ..., :end])


@pytest.mark.parametrize("transform", ALONE, ids=name)
def test_a_clip_draws_the_same_in_any_batch(transform: Transform) -> None:
    few, many = transform.draw(3, generator(9)), transform.draw(40, generator(9))
    for key, value in few.items():
        assert torch.equal(value, many[key][:3])


@pytest.mark.parametrize("transform", TRANSFORMS, ids=name)
def test_clips_of_a_batch_draw_different_numbers(transform: Transform) -> None:
    for key, value in transform.draw(50, generator()).items():
        assert len(value.unique(dim=0)) > (25 if key != "speed" else 10)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=name)
def test_probability_is_the_share_of_clips_changed(transform: Transform) -> None:
    clips, lengths = batch(transform, [60] * 400)
    seldom = type(transform)(probability=0.25)
    result = seldom.apply(clips, lengths, seldom.draw(400, generator(4)))
    if transform.keeps_length:
        changed = (result.clips != clips).flatten(1).any(dim=1)
    else:
        changed = result.lengths != lengths
    # 4 standard deviations about a quarter; some masks are 0 wide, some speeds round to 1.
    assert 0.1 < float(changed.double().mean()) < 0.34


@pytest.mark.parametrize("transform", TRANSFORMS, ids=name)
def test_double_precision_agrees_with_single(transform: Transform) -> None:
    clips, lengths = batch(transform, [300, 500, 451])
    parameters = transform.draw(3, generator(6))
    single = transform.apply(clips, lengths, parameters)
    double = transform.apply(clips.double(), lengths, parameters)
    assert double.clips.dtype == torch.float64
    torch.testing.assert_close(double.clips.float(), single.clips, atol=2e-5, rtol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("transform", TRANSFORMS, ids=name)
def test_a_gpu_gives_what_the_cpu_gives(transform: Transform) -> None:
    clips, lengths = batch(transform, [300, 1000, 451])
    here = transform(clips, lengths, generator(6))
    there = transform(clips.cuda(), lengths.cuda(), generator(6))
    assert there.clips.is_cuda and there.lengths.is_cuda
    torch.testing.assert_close(there.clips.cpu(), here.clips, atol=2e-5, rtol=1e-5)
    assert torch.equal(there.lengths.cpu(), here.lengths)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=name)
def test_mixed_precision_leaves_it_alone(transform: Transform) -> None:
    clips, lengths = batch(transform, [300, 500])
    expected = transform(clips, lengths, generator())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = transform(clips, lengths, generator())
    assert torch.equal(result.clips, expected.clips)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=name)
def test_repr_prints_ranges_strength_and_probability(transform: Transform) -> None:
    text = repr(transform.at_strength(0.5))
    assert text.startswith(f"{name(transform)}(")
    for key, (low, high) in transform.at_strength(0.5).ranges().items():
        assert f"{key}=[{low:g}, {high:g}]" in text
    assert "strength=0.5" in text and "probability=1" in text


def test_repr_reads_well() -> None:
    assert (
        repr(GaussianNoise((5, 20))) == "GaussianNoise(snr_db=[5, 20], strength=1, probability=1)"
    )
    assert repr(SpeedPerturbation(strength=0.5, probability=0.2)) == (
        "SpeedPerturbation(speed=[0.95, 1.05], strength=0.5, probability=0.2)"
    )
    assert "snr_db=[inf, inf]" in repr(GaussianNoise(strength=0))


def test_what_each_declares() -> None:
    declared = {
        name(transform): (transform.domain, transform.keeps_length, transform.keeps_label)
        for transform in TRANSFORMS
    }
    assert declared == {
        "GaussianNoise": ("waveform", True, True),
        "SpeedPerturbation": ("waveform", False, True),
        "Mixup": ("waveform", True, False),
        "SpectralStretch": ("mel", True, True),
        "TimeWarp": ("mel", True, True),
        "TimeMasking": ("mel", True, True),
        "FrequencyMasking": ("mel", True, True),
        "SpecAugment": ("mel", True, True),
    }


# Bad input


@pytest.mark.parametrize("transform", TRANSFORMS, ids=name)
def test_bad_batches_are_refused(transform: Transform) -> None:
    clips, lengths = batch(transform, [300, 500])
    bad = clips.clone()
    bad[1, ..., 7] = torch.nan
    endless = clips.clone()
    endless[0, ..., 3] = -torch.inf
    for wrong in (bad, endless):
        with pytest.raises(AudioError, match="NaN or infinite"):
            transform(wrong, lengths, generator())
    for wrong in (clips[0], clips[None], clips.half(), clips.long()):
        with pytest.raises(ValueError, match="of shape"):
            transform(wrong, lengths, generator())
    for wrong in (clips[:0], clips[..., :0]):
        with pytest.raises(ValueError, match="empty batch"):
            transform(wrong, lengths[: len(wrong)], generator())
    for wrong in (lengths[:1], lengths[None], lengths.double()):
        with pytest.raises(ValueError, match="lengths must be whole numbers"):
            transform(clips, wrong, generator())
    for wrong in (torch.tensor([300, 501]), torch.tensor([0, 500]), torch.tensor([-1, 500])):
        with pytest.raises(ValueError, match="lengths must lie in"):
            transform(clips, wrong, generator())
    with pytest.raises(ValueError, match="lengths must lie in"):
        transform.apply(clips, torch.tensor([300, 501]), transform.draw(2, generator()))


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("argument", ["strength", "probability"])
def test_strength_and_probability_out_of_range_are_refused(argument: str, value: float) -> None:
    with pytest.raises(ValueError, match=argument):
        TimeMasking(**{argument: value})  # type: ignore[arg-type]
