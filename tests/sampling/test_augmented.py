"""Waveforms in memory, and batches that are augmented anew."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lowser_lib.augment import Compose, FrequencyMasking, GaussianNoise, SpeedPerturbation
from lowser_lib.sampling import Batch, ClipDataset, LengthBucketSampler
from lowser_lib.sampling.augmented import AugmentedLoader, WaveformDataset, batch_log_mel, cut
from lowser_lib.views.mel import log_mel

NOISY = Compose([SpeedPerturbation(), GaussianNoise(), FrequencyMasking()])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sounds(n_clips: int = 6) -> WaveformDataset:
    random = np.random.default_rng(3)
    clips = [
        0.1 * random.standard_normal(3200 + 160 * index, dtype=np.float32)
        for index in range(n_clips)
    ]
    return WaveformDataset(clips, list(range(n_clips)))


def loader(augment: Compose | None = NOISY, seed: int = 0) -> AugmentedLoader:
    data, random = sounds(), generator(seed)
    return AugmentedLoader(data, LengthBucketSampler(data.lengths, 3, random), augment, random)


def heard(epoch: int, one: AugmentedLoader) -> list[Batch]:
    one.batch_sampler.epoch = epoch
    return list(one)


def assert_same(first: list[Batch], second: list[Batch]) -> None:
    for left, other in zip(first, second, strict=True):
        for a, b in zip(left, other, strict=True):
            assert torch.equal(a, b)


def test_without_augmentation_spectrograms_are_those_of_the_clips() -> None:
    data = sounds()
    for inputs, lengths, labels in loader(None):
        for mel, frames, label in zip(inputs, lengths.tolist(), labels.tolist(), strict=True):
            torch.testing.assert_close(mel[:, :frames], log_mel(data.samples[label]))
            assert not mel[:, frames:].any()


def test_a_batch_is_a_function_of_seed_epoch_and_number() -> None:
    whole = heard(3, loader())
    again = loader()
    heard(0, again)  # what was heard before does not matter
    assert_same(heard(3, again), whole)


def test_batches_differ_between_epochs_seeds_and_in_number() -> None:
    data = WaveformDataset([sounds().samples[0]] * 6)

    def noise(seed: int, epoch: int) -> Tensor:
        random = generator(seed)
        sampler = LengthBucketSampler(data.lengths, 2, random)
        sample = AugmentedLoader(data, sampler, Compose([GaussianNoise()]), random)
        return torch.cat([batch.inputs for batch in heard(epoch, sample)])

    different = torch.cat([noise(0, 0), noise(0, 1), noise(1, 0)]).flatten(1)
    assert len(different.unique(dim=0)) == len(different) == 18


def test_torchs_own_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    list(loader())
    assert torch.equal(torch.get_rng_state(), before)


def test_spectrograms_may_be_augmented_too() -> None:
    mels = [torch.rand(80, 30, generator=generator(index)) for index in range(4)]
    data, random = ClipDataset(mels, [0, 0, 1, 1]), generator()
    sampler = LengthBucketSampler(data.lengths, 4, random)
    masked = next(iter(AugmentedLoader(data, sampler, Compose([FrequencyMasking()]), random)))
    assert masked.inputs.shape == (4, 80, 30)
    assert masked.labels.sort().values.tolist() == [0, 0, 1, 1]
    plain = next(iter(AugmentedLoader(data, sampler, None, random)))
    assert not torch.equal(plain.inputs, masked.inputs)


def test_a_padded_batch_has_the_spectrograms_of_its_clips() -> None:
    data = sounds(3)
    batch = data.collate([data[index] for index in range(3)])
    mels, frames = batch_log_mel(batch.inputs, batch.lengths)
    assert frames.tolist() == [20, 21, 22]
    for mel, waveform, count in zip(mels, data.samples, frames.tolist(), strict=True):
        torch.testing.assert_close(mel[:, :count], log_mel(waveform))


@pytest.mark.parametrize(
    "waveform",
    [np.zeros(3200, dtype=np.int16), np.zeros((2, 3200), np.float32), np.zeros(100, np.float32)],
)
def test_what_is_no_clip_is_refused(waveform: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"waveforms\[1\] is"):
        WaveformDataset([np.zeros(3200, np.float32), waveform])


def test_labels_of_another_number_are_refused() -> None:
    with pytest.raises(ValueError, match=r"labels must have shape \(1,\)"):
        WaveformDataset([np.zeros(3200, np.float32)], [0, 1])


def numbered(lengths: list[int]) -> Batch:
    """Clips whose samples count from 1, so that a piece tells where it comes from."""
    inputs = torch.zeros(len(lengths), max(lengths))
    for clip, length in zip(inputs, lengths, strict=True):
        clip[:length] = torch.arange(1, length + 1)
    return Batch(inputs, torch.tensor(lengths), torch.arange(len(lengths)))


def test_long_clips_are_cut_to_a_piece_and_short_ones_are_left() -> None:
    batch = numbered([3, 10, 6])
    pieces = cut(batch, 4, generator())
    assert pieces.inputs.shape == (3, 4) and pieces.lengths.tolist() == [3, 4, 4]
    assert pieces.inputs[0].tolist() == [1, 2, 3, 0]
    for piece in pieces.inputs[1:]:
        assert (piece.diff() == 1).all() and piece[0] >= 1
    assert torch.equal(pieces.labels, batch.labels)
    assert torch.equal(batch.inputs, numbered([3, 10, 6]).inputs)


def test_every_place_of_a_piece_is_drawn() -> None:
    random = generator()
    starts = {int(cut(numbered([7]), 4, random).inputs[0, 0]) for _ in range(100)}
    assert starts == {1, 2, 3, 4}


def test_spectrograms_are_cut_in_time_alone() -> None:
    mels = numbered([9]).inputs[:, None, :].expand(1, 5, 9)
    piece = cut(Batch(mels, torch.tensor([9]), torch.tensor([0])), 4, generator()).inputs
    assert piece.shape == (1, 5, 4) and (piece[0, 1:] == piece[0, 0]).all()


def test_the_loader_cuts_before_it_augments() -> None:
    data, random = sounds(), generator()
    sampler = LengthBucketSampler(data.lengths, 3, random)
    for batch in AugmentedLoader(data, sampler, None, random, longest=1600):
        assert batch.inputs.shape[2] == 10 and batch.lengths.tolist() == [10] * 3
    with pytest.raises(ValueError, match="longest must be at least 1"):
        AugmentedLoader(data, sampler, None, random, longest=0)
