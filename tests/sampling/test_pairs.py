"""Batches of labelled clips and of two views: what they hold, and that they can be had again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lowser_lib.augment import Compose, byol
from lowser_lib.sampling import UNLABELLED, LengthBucketSampler
from lowser_lib.sampling.augmented import JoinedSampler, PairLoader, Pairs, WaveformDataset
from lowser_lib.sampling.clips import ClipDataset
from lowser_lib.views.mel import log_mel

BATCH = 4


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sounds(clips: int, seed: int, labels: list[int] | None = None) -> WaveformDataset:
    random = np.random.default_rng(seed)
    made = [
        random.standard_normal(random.integers(800, 2400), dtype=np.float32) for _ in range(clips)
    ]
    return WaveformDataset(made, labels)


SOURCE = sounds(10, 0, [number % 4 for number in range(10)])


def spectrograms(data: WaveformDataset) -> ClipDataset:
    return ClipDataset([log_mel(sample) for sample in data.samples], data.labels)


def joined(source: int = 10, target: int = 7, seed: int = 0) -> JoinedSampler:
    random = generator(seed)
    lengths = (torch.arange(1, count + 1) for count in (source, target))
    return JoinedSampler(*(LengthBucketSampler(size, BATCH, random) for size in lengths))


def loader(
    augment: Compose | None = None, seed: int = 0, target: int = 7, **options: Any
) -> PairLoader:
    random = generator(seed)
    unlabelled = sounds(target, 1, [3] * target)
    samplers = (
        LengthBucketSampler(SOURCE.lengths, BATCH, random),
        LengthBucketSampler(unlabelled.lengths, BATCH, random),
    )
    return PairLoader(
        spectrograms(SOURCE), SOURCE, unlabelled, samplers, augment, random, **options
    )


def test_views_are_cut_each_at_a_place_of_its_own() -> None:
    longest = int(SOURCE.lengths.min()) // 2
    for pairs in epoch(loader(longest=longest), 0):
        assert all(
            bool((view.lengths == view.lengths[0]).all()) for view in (pairs.first, pairs.second)
        )
        assert pairs.first.lengths[0] < pairs.labelled.lengths.min()
        assert not torch.equal(pairs.first.inputs, pairs.second.inputs)


def epoch(loader: PairLoader, number: int) -> list[Pairs]:
    loader.batch_sampler.epoch = number
    return list(loader)


def same(first: list[Pairs], second: list[Pairs]) -> bool:
    parts = [
        [part for pairs in run for batch in pairs for part in batch] for run in (first, second)
    ]
    return len(parts[0]) == len(parts[1]) and all(map(torch.equal, *parts))


# --- which clips -------------------------------------------------------------------------------


def test_an_epoch_is_a_pass_over_the_source() -> None:
    sampler = joined()
    for number in range(3):
        sampler.epoch = number
        batches = list(sampler)
        assert len(batches) == len(sampler) == 3
        assert sorted(index for batch in batches for index in batch if index < 10) == [*range(10)]
        for batch in batches:  # the source's clips first
            assert batch == [
                *(index for index in batch if index < 10),
                *(index for index in batch if index >= 10),
            ]


@pytest.mark.parametrize("target", [3, 7, 11, 40])
def test_the_targets_clips_come_equally_often(target: int) -> None:
    sampler = joined(target=target)
    speech: list[int] = []
    for number in range(30):
        sampler.epoch = number
        speech += [index - 10 for batch in sampler for index in batch if index >= 10]
    counts = np.bincount(speech, minlength=target)
    assert counts.max() - counts.min() <= 1
    whole = len(speech) // target
    first = [sorted(speech[turn * target : (turn + 1) * target]) for turn in range(whole)]
    assert first == [[*range(target)]] * whole  # all of them before any comes again


def test_joined_epochs_can_be_had_in_any_order() -> None:
    sampler = joined()

    def at(number: int) -> list[list[int]]:
        sampler.epoch = number
        return list(sampler)

    forward = [at(number) for number in range(4)]
    assert [at(number) for number in reversed(range(4))] == forward[::-1]
    assert forward[0] != forward[1]
    other = joined(seed=9)
    differing = 0
    for number in range(4):
        other.epoch = number
        differing += list(other) != forward[number]
    assert differing


@pytest.mark.parametrize(("source", "target"), [(0, 7), (7, 0)])
def test_an_empty_side_is_refused(source: int, target: int) -> None:
    with pytest.raises(ValueError, match="both samplers need a batch"):
        joined(source, target)


# --- what a step gets --------------------------------------------------------------------------


def test_a_step_has_labelled_clips_and_two_views_of_more() -> None:
    for pairs in epoch(loader(byol()), 0):
        clips = len(pairs.labelled.labels)
        assert set(pairs.labelled.labels.tolist()) <= {0, 1, 2, 3}
        assert len(pairs.first.labels) == len(pairs.second.labels) > clips
        assert (pairs.first.labels == UNLABELLED).all()  # whatever labels the target has
        # The source's clips, then the target's: of equal length in both views.
        assert torch.equal(pairs.first.lengths, pairs.second.lengths)
        assert torch.equal(pairs.first.lengths[:clips], pairs.labelled.lengths)
        assert not torch.equal(pairs.first.inputs, pairs.second.inputs)


def test_without_augmentation_views_are_the_clips() -> None:
    for augment in (None, byol(strength=0.0)):
        for pairs in epoch(loader(augment), 0):
            clips, _, frames = pairs.labelled.inputs.shape
            assert torch.equal(pairs.first.inputs, pairs.second.inputs)
            assert torch.equal(pairs.first.inputs[:clips, :, :frames], pairs.labelled.inputs)


def test_batches_follow_from_seed_and_epoch_alone() -> None:
    left = loader(byol())
    epochs = [epoch(left, number) for number in range(3)]
    assert same(epoch(left, 1), epochs[1])
    assert not same(epochs[0], epochs[1])
    assert same(epoch(loader(byol()), 2), epochs[2])
    other = loader(byol(), seed=3)
    assert not same(epoch(other, 2), epochs[2])


def test_other_clips_as_sounds_are_refused() -> None:
    random = generator()
    samplers = tuple(LengthBucketSampler([5] * 9, BATCH, random) for _ in range(2))
    with pytest.raises(ValueError, match="10 spectrograms, but 9 sounds"):
        PairLoader(spectrograms(SOURCE), sounds(9, 0), sounds(9, 1), samplers, None, random)  # type: ignore[arg-type]
