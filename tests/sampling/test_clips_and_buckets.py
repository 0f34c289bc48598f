"""Which clips share a batch."""

from __future__ import annotations

import warnings
from collections import Counter
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch.utils.data import DataLoader

from lowser_lib.sampling import (
    UNLABELLED,
    ClipDataset,
    EmbeddingDataset,
    LengthBucketSampler,
    derive_seed,
    draw_seed,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def padding(sampler: LengthBucketSampler) -> float:
    """Share of all batches that is padding."""
    lengths = sampler.lengths
    real = sum(lengths[batch].sum() for batch in sampler)
    padded = sum(lengths[batch].max() * len(batch) for batch in sampler)
    return float(1 - real / padded)


@given(
    lengths=st.lists(st.integers(1, 300), max_size=90),
    batch_size=st.integers(1, 20),
    pool=st.integers(1, 4),
    seed=st.integers(0, 2**63 - 1),
)
@settings(max_examples=60, deadline=None)
def test_every_clip_is_used_once_an_epoch_in_even_batches(
    lengths: list[int], batch_size: int, pool: int, seed: int
) -> None:
    sampler = LengthBucketSampler(lengths, batch_size, generator(seed % 2**32), pool=pool)
    for epoch in (0, 1):
        sampler.epoch = epoch
        batches = list(sampler)
        assert sorted(chain.from_iterable(batches)) == list(range(len(lengths)))
        assert len(batches) == len(sampler)
        sizes = [len(batch) for batch in batches]
        assert not sizes or (max(sizes) <= batch_size and max(sizes) - min(sizes) <= 1)


def test_epochs_differ_and_can_be_had_again() -> None:
    lengths = list(range(1, 101))
    sampler = LengthBucketSampler(lengths, 8, generator(3))
    first = list(sampler)
    sampler.epoch = 1
    second = list(sampler)
    assert second != first
    assert {frozenset(batch) for batch in second} != {frozenset(batch) for batch in first}
    sampler.epoch = 0
    assert list(sampler) == first
    assert list(LengthBucketSampler(lengths, 8, generator(3))) == first
    assert list(LengthBucketSampler(lengths, 8, generator(4))) != first


def test_similar_lengths_share_a_batch() -> None:
    lengths = np.random.default_rng(0).integers(50, 1200, size=640)  # 0.5 to 12 s
    shuffled = LengthBucketSampler(lengths, 32, generator(), pool=1)
    pooled = LengthBucketSampler(lengths, 32, generator(), pool=8)
    sorted_all = LengthBucketSampler(lengths, 32, generator(), pool=1000)
    assert padding(sorted_all) < padding(pooled) < 0.15 < 0.4 < padding(shuffled)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"batch_size": 4, "pool": 0}, "pool must be at least 1"),
    ],
)
def test_sampler_refuses_bad_numbers(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LengthBucketSampler([1, 2, 3], generator=generator(), **arguments)


def test_sampler_refuses_a_table_of_lengths() -> None:
    with pytest.raises(ValueError, match=r"lengths must have shape \(clips,\)"):
        LengthBucketSampler(torch.ones(2, 3, dtype=torch.int64), 2, generator())


def test_loader_pads_to_the_longest_clip_of_a_batch() -> None:
    clips = [torch.full((4, frames), float(frames)) for frames in (3, 9, 5, 4, 8, 6)]
    dataset = ClipDataset(clips, [0, 1, 2, 0, 1, 2])
    assert dataset.lengths.tolist() == [3, 9, 5, 4, 8, 6]
    sampler = LengthBucketSampler(dataset.lengths, 2, generator())
    loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=dataset.collate)
    assert len(loader) == 3
    seen = []
    for inputs, lengths, labels in loader:
        assert inputs.shape == (2, 4, int(lengths.max()))
        for clip, length, label in zip(inputs, lengths.tolist(), labels.tolist(), strict=True):
            assert (clip[:, :length] == length).all()
            assert (clip[:, length:] == 0).all()
            seen.append((length, label))
    assert sorted(seen) == [(3, 0), (4, 0), (5, 2), (6, 2), (8, 1), (9, 1)]


def test_embeddings_have_length_one() -> None:
    dataset = EmbeddingDataset(torch.arange(6.0).reshape(3, 2), [2, 1, 0])
    batch = dataset.collate([dataset[0], dataset[2]])
    assert batch.inputs.tolist() == [[0, 1], [4, 5]]
    assert batch.lengths.tolist() == [1, 1] and dataset.lengths.tolist() == [1, 1, 1]
    assert batch.labels.tolist() == [2, 0]


def test_clips_without_labels_are_marked() -> None:
    assert ClipDataset([torch.zeros(4, 3)]).labels.tolist() == [UNLABELLED]
    assert EmbeddingDataset(torch.zeros(2, 3)).labels.tolist() == [UNLABELLED] * 2
    assert len(ClipDataset([])) == 0


@pytest.mark.parametrize(
    ("mels", "labels", "message"),
    [
        ([torch.zeros(4, 3), torch.zeros(5, 3)], None, r"mels\[1\] has shape \(5, 3\)"),
        ([torch.zeros(4, 0)], None, r"mels\[0\] has shape \(4, 0\)"),
        ([torch.zeros(4)], None, r"mels\[0\] has shape \(4,\)"),
        ([torch.zeros(4, 3)], [0, 1], r"labels must have shape \(1,\), not \(2,\)"),
        ([torch.zeros(4, 3)], [-2], "labels must be whole numbers from 0"),
        ([torch.zeros(4, 3)], torch.tensor([0.5]), "labels must be whole numbers"),
    ],
)
def test_clips_of_wrong_shape_are_refused(
    mels: list[torch.Tensor], labels: list[int] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ClipDataset(mels, labels)


def test_embeddings_of_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"embeddings must have shape \(clips, dimension\)"):
        EmbeddingDataset(torch.zeros(3, 4, 5))


def test_derived_seeds_do_not_collide() -> None:
    seeds = {derive_seed(seed, epoch) for seed in range(40) for epoch in range(40)}
    assert len(seeds) == 1600
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(0, 1) != derive_seed(1, 0)
    assert derive_seed(3, 4) == derive_seed(3, 4)


def test_drawn_seeds_follow_the_generator() -> None:
    source = generator(7)
    first, second = draw_seed(source), draw_seed(source)
    assert first != second
    assert draw_seed(generator(7)) == first


def test_labels_straight_from_pandas_are_taken_without_a_warning() -> None:
    labels = pd.Series([0, 1, 2]).to_numpy()
    labels.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = ClipDataset([torch.zeros(80, 5)] * 3, labels)
    assert dataset.labels.tolist() == [0, 1, 2]


# --- cells that are heard equally often --------------------------------------------------------


@given(
    cells=st.lists(st.integers(-1, 4), min_size=1, max_size=80),
    batch_size=st.integers(1, 20),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_each_cell_has_the_same_places(cells: list[int], batch_size: int, seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(1, 300, len(cells))
    sampler = LengthBucketSampler(lengths, batch_size, generator(seed), cells=cells)
    result = list(chain.from_iterable(sampler))
    assert len(result) == len(cells)
    drawn = Counter(cells[clip] for clip in result)
    assert drawn[-1] == cells.count(-1)
    places = [drawn[cell] for cell in set(cells) - {-1}]
    assert not places or max(places) - min(places) <= 1
    clips = Counter(result)
    for cell in set(cells):  # within a cell nobody comes twice before everybody has come
        times = [clips[clip] for clip in range(len(cells)) if cells[clip] == cell]
        assert max(times) - min(times) <= 1


def test_what_waits_in_a_cell_changes_with_the_epoch() -> None:
    sampler = LengthBucketSampler(np.ones(40), 8, generator(), cells=[0] * 36 + [1] * 4)
    speech = set()
    for epoch in range(8):
        sampler.epoch = epoch
        speech |= set(chain.from_iterable(sampler))
    assert speech == set(range(40))
    with pytest.raises(ValueError, match="cells must have shape"):
        LengthBucketSampler(np.ones(40), 8, generator(), cells=[0])
