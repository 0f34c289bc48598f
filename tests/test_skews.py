"""Leaning words: exact shares, equal sizes, speakers in turns, bad input."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from lowser_lib import skews
from lowser_lib.corpora.base import EMOTIONS
from lowser_lib.errors import SplitError


def crossed(speakers: int = 6, sentences: int = 10, takes: int = 1) -> pd.DataFrame:
    """Every speaker says every sentence in every emotion."""
    cells = list(product(range(speakers), EMOTIONS, range(sentences), range(takes)))
    return pd.DataFrame(
        {
            "utterance_id": [f"made/{number:05d}" for number in range(len(cells))],
            "speaker": [f"made/S{speaker}" for speaker, *_ in cells],
            "emotion": [emotion for _, emotion, *_ in cells],
            "text_id": [f"s{sentence:02d}" for _, _, sentence, _ in cells],
        }
    )


def test_sentences_are_dealt_out_evenly_and_the_rest_is_nobodys() -> None:
    owners = skews.own_sentences(crossed(), seed=3)
    dealt = [text for texts in owners.values() for text in texts]
    assert list(owners) == list(EMOTIONS)
    assert [len(texts) for texts in owners.values()] == [2, 2, 2, 2]
    assert len(set(dealt)) == 8
    assert owners == skews.own_sentences(crossed().sample(frac=1, random_state=1), seed=3)
    assert owners != skews.own_sentences(crossed(), seed=4)
    many = skews.own_sentences(crossed(sentences=40), seed=3)
    assert all(list(texts) == sorted(texts) for texts in many.values())


def test_roles_are_counted_by_hand() -> None:
    table = crossed(speakers=1)
    owners = skews.own_sentences(table, 0)
    role = skews.roles(table, owners)
    counts = {name: int((role == name).sum()) for name in skews.ROLES}
    # Of ten sentences an emotion says 2 of its own, 2 of nobody's and 6 of the three others.
    assert counts == {"own": 8, "nobody's": 8, "another's": 24}
    for row, left in zip(table.itertuples(), role, strict=True):
        if left == "own":
            assert row.text_id in owners[str(row.emotion)]


@given(
    lean=st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]),
    per_class=st.integers(1, 12),
    seed=st.integers(0, 50),
)
@settings(max_examples=30, deadline=None)
def test_a_draw_holds_what_was_asked_for(lean: float, per_class: int, seed: int) -> None:
    table = crossed()
    owners = skews.own_sentences(table, seed)
    drawn = skews.leaning(table, lean, 4 * per_class, seed, owners)
    assert (drawn["emotion"].value_counts() == per_class).all()
    assert drawn.index.is_monotonic_increasing
    assert drawn["utterance_id"].is_unique
    kept = skews.roles(drawn, owners) == "own"
    wanted = per_class * (0.2 * (1 - lean) + lean)
    for _, group in drawn.assign(own=kept).groupby("emotion"):
        assert abs(group["own"].sum() - wanted) <= 0.5 + 1e-6
    per_speaker = drawn.groupby(["emotion", "speaker"]).size().unstack(fill_value=0)
    assert per_speaker.to_numpy().max() - per_speaker.to_numpy().min() <= 2


def test_the_ends_say_nothing_and_everything() -> None:
    table = crossed()
    owners = skews.own_sentences(table, 0)
    even = skews.leaning(table, 0.0, 40, 0, owners)
    assert (even.groupby(["emotion", "text_id"]).size() == 1).all()
    assert len(even.groupby(["emotion", "text_id"])) == 40
    alone = skews.leaning(table, 1.0, 48, 0, owners)
    assert set(skews.roles(alone, owners)) == {"own"}
    assert (alone.groupby(["emotion", "text_id"]).size() == 6).all()


def test_speakers_take_turns_over_the_sentences_of_an_emotion() -> None:
    for seed in range(5):
        drawn = skews.leaning(crossed(speakers=6), 0.0, 4 * 6, seed)
        assert (drawn.groupby(["emotion", "speaker"]).size() == 1).all()
        assert len(drawn.groupby(["emotion", "speaker"])) == 24


def test_room_is_bounded_by_the_rarest_sentence_whosever_it_is() -> None:
    table = crossed(speakers=5, sentences=16)
    owners = skews.own_sentences(table, 1)
    assert skews.room(table, owners) == 4 * 4 * 5
    # Anger says one of the sad sentences once: at a lean of 0, one clip of each sentence is left.
    rare = (table["emotion"] == "angry") & (table["text_id"] == owners["sad"][0])
    kept = table[~rare | (table["speaker"] == "made/S0")]
    assert skews.room(kept, owners) == 4 * 16 * 1
    assert skews.room(table[~rare], owners) == 0


def test_a_draw_follows_from_clips_and_seed_alone() -> None:
    table = crossed()
    first = skews.leaning(table, 0.5, 40, 7)
    again = skews.leaning(table.sample(frac=1, random_state=2), 0.5, 40, 7)
    other = skews.leaning(table, 0.5, 40, 8)
    assert set(first["utterance_id"]) == set(again["utterance_id"])
    assert set(first["utterance_id"]) != set(other["utterance_id"])


def test_room_can_be_had_at_every_lean_and_no_more() -> None:
    table = crossed(speakers=5)
    owners = skews.own_sentences(table, 1)
    total = skews.room(table, owners)
    assert total == 4 * 2 * 5
    for lean in np.linspace(0, 1, 11):
        assert len(skews.leaning(table, float(lean), total, 1, owners)) == total
    with pytest.raises(SplitError, match="are needed, but there are 5"):
        skews.leaning(table, 1.0, total + 4, 1, owners)


def test_room_is_none_where_an_emotion_never_says_its_own() -> None:
    table = crossed()
    owners = skews.own_sentences(table, 0)
    gone = (table["emotion"] == "sad") & (table["text_id"] == owners["sad"][0])
    assert skews.room(table[~gone], owners) == 0


@pytest.mark.parametrize("lean", [-0.1, 1.1, float("nan")])
def test_a_lean_out_of_range_is_refused(lean: float) -> None:
    with pytest.raises(ValueError, match="lean must lie in"):
        skews.leaning(crossed(), lean, 40, 0)


@pytest.mark.parametrize("total", [0, 3, 41])
def test_a_total_that_no_classes_share_is_refused(total: int) -> None:
    with pytest.raises(ValueError, match="total must be a multiple of 4"):
        skews.leaning(crossed(), 0.5, total, 0)


def test_too_few_sentences_are_refused() -> None:
    with pytest.raises(SplitError, match="3 sentences cannot be dealt out"):
        skews.own_sentences(crossed(sentences=3), 0)


# --- a skew by gender --------------------------------------------------------------------------


def gendered() -> pd.DataFrame:
    """Six women and six men, of whom one is of unknown gender, each with all emotions thrice."""
    gender = ["female"] * 6 + ["male"] * 5 + ["unknown"]
    table = crossed(speakers=12, sentences=3)
    return table.assign(gender=[gender[number // 12] for number in range(144)])


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 1.0])
def test_a_skew_changes_shares_and_nothing_else(share: float) -> None:
    drawn = skews.skewed(gendered(), share, 40, seed=1)
    assert len(drawn) == 40 and drawn.index.is_monotonic_increasing
    assert (drawn["gender"] == "male").mean() == pytest.approx(share)
    assert set(drawn["gender"]) <= {"female", "male"}
    counts = drawn.groupby(["gender", "emotion"]).size().unstack()
    assert (counts.nunique(axis=1) == 1).all()
    for _, part in drawn.groupby(["gender", "emotion"]):  # speakers take turns
        clips = part["speaker"].value_counts()
        available = {"female": 6, "male": 5}[part["gender"].iloc[0]]
        assert clips.max() == -(-len(part) // available)


def test_unlabelled_speech_is_skewed_as_one_class() -> None:
    silent = gendered()
    silent["emotion"] = pd.NA
    drawn = skews.skewed(silent, 0.8, 35, seed=1)
    assert len(drawn) == 35 and (drawn["gender"] == "male").sum() == 28
    assert drawn.groupby("speaker").size().max() <= -(-28 // 5)
    partly = gendered()
    partly.loc[partly.index % 7 == 0, "emotion"] = pd.NA
    assert skews.skewed(partly, 0.5, 16, seed=1)["emotion"].notna().all()


def test_a_skew_that_cannot_be_made_is_refused() -> None:
    table = gendered()
    other = skews.skewed(table, 0.5, 40, seed=2)
    assert set(other.index) != set(skews.skewed(table, 0.5, 40, seed=1).index)
    with pytest.raises(SplitError, match=r"20 clips of angry with gender male .* there are 15"):
        skews.skewed(table, 1.0, 80, seed=0)
    with pytest.raises(ValueError, match="multiple of 4"):
        skews.skewed(table, 0.5, 41, seed=0)
    with pytest.raises(ValueError, match="share must lie"):
        skews.skewed(table, 1.5, 40, seed=0)


@pytest.mark.parametrize(("share", "men"), [(0.7, 6), (0.55, 4), (0.3, 2), (0.95, 8)])
def test_a_share_is_rounded_to_the_nearest_clip(share: float, men: int) -> None:
    drawn = skews.skewed(gendered(), share, 32, seed=0)
    counts = drawn[drawn["gender"] == "male"]["emotion"].value_counts()
    assert counts.to_dict() == dict.fromkeys(EMOTIONS, men)


def test_a_skew_follows_from_clips_and_seed_alone() -> None:
    first = skews.skewed(gendered(), 0.5, 40, seed=3)
    again = skews.skewed(gendered().sample(frac=1, random_state=1), 0.5, 40, seed=3)
    assert set(first["utterance_id"]) == set(again["utterance_id"])


def test_a_skew_may_be_in_another_column() -> None:
    table = gendered().assign(language=lambda t: np.where(t.index % 2, "ur", "de"))
    drawn = skews.skewed(table, 0.25, 32, seed=0, column="language", value="ur")
    assert (drawn["language"] == "ur").sum() == 8
