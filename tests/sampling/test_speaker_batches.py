"""So many speakers with so many clips each: what every batch and all epochs have to keep."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch.utils.data import DataLoader

from lowser_lib.losses import nt_xent
from lowser_lib.sampling import EmbeddingDataset, SpeakerBatchSampler

#: Clips of each speaker.
clip_counts = st.lists(st.integers(1, 23), min_size=4, max_size=14)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def speakers_of(counts: list[int], seed: int = 0) -> np.ndarray:
    """A speaker's name for each clip, in shuffled order."""
    names = np.repeat([f"made/S{number:02d}" for number in range(len(counts))], counts)
    return np.random.default_rng(seed).permutation(names)


def make(speakers: Any, places: int = 4, clips: int = 4, **options: Any) -> SpeakerBatchSampler:
    """A sampler, whatever it warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seed = options.pop("seed", 0)
        return SpeakerBatchSampler(
            speakers, generator(seed), speakers_per_batch=places, clips_per_speaker=clips, **options
        )


def epochs(sampler: SpeakerBatchSampler, count: int) -> Iterator[list[list[int]]]:
    for epoch in range(count):
        sampler.epoch = epoch
        yield list(sampler)


# --- batches ---------------------------------------------------------------------------------


@given(
    counts=clip_counts, places=st.integers(1, 4), clips=st.integers(1, 5), seed=st.integers(0, 99)
)
@settings(max_examples=60, deadline=None)
def test_batches_are_full_and_repeat_no_clip_and_no_speaker(
    counts: list[int], places: int, clips: int, seed: int
) -> None:
    enough = sum(count >= clips for count in counts)
    speakers = speakers_of(counts)
    if enough < places:
        with pytest.raises(ValueError, match=f"needs {places} speakers with"):
            make(speakers, places, clips)
        return
    sampler = make(speakers, places, clips, seed=seed)
    for batches in epochs(sampler, 3):
        assert len(batches) == len(sampler) >= 1
        for batch in batches:
            assert len(set(batch)) == len(batch) == places * clips
            table = speakers[batch].reshape(places, clips)
            assert (table == table[:, :1]).all()  # a speaker's clips stand together
            assert len(set(table[:, 0])) == places


@given(counts=clip_counts, places=st.integers(1, 4), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_every_clip_is_used_over_epochs_and_none_much_more(
    counts: list[int], places: int, seed: int
) -> None:
    if sum(count >= 4 for count in counts) < places:
        return
    speakers = speakers_of(counts)
    sampler = make(speakers, places, seed=seed)
    used: Counter[int] = Counter()
    for batches in epochs(sampler, 30):
        used.update(chain.from_iterable(batches))
    for speaker, count in Counter(speakers).items():
        kept = [used[int(clip)] for clip in np.flatnonzero(speakers == speaker)]
        if count < 4:
            assert set(kept) == {0} and speaker in sampler.left_out
        else:
            # Over 30 epochs a speaker has had many turns; in each, a clip comes once or waits.
            assert min(kept) >= 1
            assert max(kept) - min(kept) <= 3


def test_an_even_corpus_is_used_once_an_epoch() -> None:
    # The paper's batch: 16 × 4. 32 speakers with 20 clips are 10 full batches, nothing left.
    speakers = speakers_of([20] * 32)
    sampler = SpeakerBatchSampler(speakers, generator())
    assert len(sampler) == 10 and not sampler.left_out
    for batches in epochs(sampler, 2):
        assert {len(batch) for batch in batches} == {64}
        assert sorted(chain.from_iterable(batches)) == list(range(640))


def test_what_fills_no_group_waits_for_the_next_turn() -> None:
    # 7 clips are one group of 4; 3 wait. Of the first two epochs each clip is in one at least.
    sampler = make(speakers_of([7] * 4))
    assert len(sampler) == 1
    first, second = (set(chain.from_iterable(batches)) for batches in epochs(sampler, 2))
    assert len(first) == len(second) == 16
    assert first | second == set(range(28))


def test_nobody_waits_for_ever_where_places_do_not_divide_speakers() -> None:
    # 5 speakers, 4 places, one batch: each epoch another speaker waits.
    speakers = speakers_of([4] * 5)
    sampler = make(speakers)
    waiting = [set(speakers) - set(speakers[batches[0]]) for batches in epochs(sampler, 5)]
    assert len(sampler) == 1
    assert sorted(chain.from_iterable(waiting)) == sorted(set(speakers))


def test_a_speaker_with_far_more_clips_is_heard_over_several_epochs() -> None:
    speakers = speakers_of([200, 8, 8, 8, 8, 8])
    sampler = make(speakers)
    assert len(sampler) == 3  # 2 + 5 × 2 groups fill 3 batches of 4, each speaker once in each
    much = set(np.flatnonzero(speakers == "made/S00"))
    speech: Counter[int] = Counter()
    for batches in epochs(sampler, 19):  # 50 groups, 3 an epoch less one in 13
        part = [clip for batch in batches for clip in batch if clip in much]
        assert len(part) <= 12
        speech.update(part)
    assert set(speech) == much and max(speech.values()) <= 2


def test_partners_change_from_epoch_to_epoch() -> None:
    sampler = make(speakers_of([8] * 12))
    groups: Counter[frozenset[int]] = Counter()
    for batches in epochs(sampler, 40):
        for batch in batches:
            groups.update(frozenset(batch[i : i + 4]) for i in range(0, 16, 4))
    # Of 8 clips there are 70 groups; a fixed cut would show 2 of each speaker's.
    assert len(groups) > 12 * 30


# --- gender ----------------------------------------------------------------------------------


def gendered(women: list[int], men: list[int]) -> tuple[np.ndarray, np.ndarray]:
    speakers = speakers_of(women + men)
    is_woman = np.isin(speakers, [f"made/S{number:02d}" for number in range(len(women))])
    return speakers, np.where(is_woman, "female", "male").astype(object)


@given(
    women=st.lists(st.integers(4, 20), min_size=2, max_size=5),
    men=st.lists(st.integers(4, 40), min_size=2, max_size=12),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_genders_get_equal_places(women: list[int], men: list[int], seed: int) -> None:
    speakers, genders = gendered(women, men)
    sampler = make(speakers, genders=genders, seed=seed)
    used: set[int] = set()
    for batches in epochs(sampler, 25):
        used.update(chain.from_iterable(batches))
        for batch in batches:
            assert len(set(batch)) == 16 and len(set(speakers[batch])) == 4
            assert (genders[batch] == "female").sum() == 8
    assert used == set(range(len(speakers)))


def test_the_smaller_gender_is_heard_repeatedly() -> None:
    # As in URDU: far more men. Left alone, batches are as the corpus is.
    speakers, genders = gendered([6, 5, 4], [20] * 18)
    plain, balanced = make(speakers), make(speakers, genders=genders)
    share = np.mean([(genders[batch] == "female").mean() for batch in plain])
    assert share < 0.1
    assert len(balanced) == 45  # all of the men's 90 groups, two a batch
    clips = list(chain.from_iterable(balanced))
    assert set(clips) >= set(np.flatnonzero(genders == "male"))
    assert Counter(genders[clips]) == {"female": 360, "male": 360}


def test_unknown_gender_is_left_out_and_told() -> None:
    speakers, genders = gendered([8] * 3, [8] * 4)
    genders[speakers == "made/S06"] = "unknown"
    with pytest.warns(UserWarning, match=r"1 of 7 speakers .*made/S06: of unknown gender"):
        sampler = SpeakerBatchSampler(
            speakers, generator(), speakers_per_batch=4, genders=pd.Series(genders)
        )
    assert list(sampler.left_out) == ["made/S06"]
    assert "made/S06" not in speakers[list(chain.from_iterable(sampler))]


# --- runs that are resumed --------------------------------------------


def test_epochs_differ_and_can_be_had_again() -> None:
    speakers = speakers_of([9, 14, 5, 21, 4, 8, 8])
    sampler = make(speakers, seed=3)
    first, second, third = epochs(sampler, 3)
    assert first != second != third
    sampler.epoch = 1
    assert list(sampler) == second == list(sampler)
    other = make(speakers, seed=4)
    assert list(epochs(other, 3)) != [first, second, third]


def test_loader_brings_batches_that_the_loss_accepts() -> None:
    speakers = speakers_of([9, 14, 5, 21, 4, 8, 8])
    codes = pd.factorize(speakers)[0]
    data = EmbeddingDataset(torch.randn(len(codes), 8, generator=generator()), codes)
    loader = DataLoader(data, batch_sampler=make(speakers), collate_fn=data.collate)
    for batch in loader:
        assert batch.labels.unique(return_counts=True)[1].tolist() == [4] * 4
        assert nt_xent(batch.inputs, batch.labels) > 0


@pytest.mark.parametrize("kind", [list, np.array, pd.Series, torch.tensor])
def test_speakers_may_be_names_or_numbers(kind: Any) -> None:
    codes = [0, 1, 2, 3] * 5
    expected = list(make([f"S{code}" for code in codes]))
    assert list(make(kind(codes))) == expected


# --- what is left out, and bad input ---------------------------------------------------------


def test_speakers_with_too_few_clips_are_told() -> None:
    with pytest.warns(
        UserWarning,
        match=r"2 of 6 speakers are in no batch \(made/S01: 3 of the 4 clips .*; made/S04: 1 of",
    ):
        sampler = SpeakerBatchSampler(
            speakers_of([4, 3, 4, 9, 1, 4]), generator(), speakers_per_batch=4
        )
    assert list(sampler.left_out) == ["made/S01", "made/S04"]


def test_a_long_report_is_cut_short() -> None:
    with pytest.warns(UserWarning, match=r"9 of 13 speakers .*made/S04.*; and 4 more\)"):
        SpeakerBatchSampler(speakers_of([1] * 9 + [4] * 4), generator(), speakers_per_batch=4)


def test_no_warning_where_all_speakers_take_part() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SpeakerBatchSampler(speakers_of([4] * 16), generator())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"places": 0}, "speakers_per_batch must be at least 1, not 0"),
        ({"clips": 0}, "clips_per_speaker must be at least 1, not 0"),
        ({"places": 16}, "needs 16 speakers with at least 4 clips, but there are 6; lower"),
        ({"clips": 9}, "needs 4 speakers with at least 9 clips, but there are 0; lower"),
        ({"speakers": []}, "needs 4 speakers with at least 4 clips, but there are 0"),
        ({"speakers": np.zeros((4, 2))}, r"speakers must have shape \(clips,\), not \(4, 2\)"),
        ({"speakers": ["a", None, "b", None]}, r"speakers\[1\] is missing; 2 are"),
        ({"genders": ["female"] * 48}, "genders must name at least two genders"),
        ({"genders": ["female"] * 47}, r"genders must have shape \(48,\), not \(47,\)"),
        ({"genders": ["female", "male"] * 24}, "'made/S00' has more than one gender: female, male"),
        ({"places": 3, "genders": "half"}, "speakers_per_batch 3 cannot be shared evenly by 2"),
        ({"places": 8, "genders": "half"}, "needs 4 speakers of one gender .* but there are 3"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, Any], message: str) -> None:
    speakers = np.repeat([f"made/S{number:02d}" for number in range(6)], 8)
    if isinstance(options.get("genders"), str):
        options = options | {"genders": np.repeat(["female", "male"], 24)}
    with pytest.raises(ValueError, match=message):
        make(**{"speakers": speakers} | options)
