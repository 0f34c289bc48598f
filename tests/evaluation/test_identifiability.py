"""Telling speakers apart by the nearest neighbour."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.neighbors import KNeighborsClassifier

from lowser_lib.errors import EvaluationError
from lowser_lib.evaluation import probing
from lowser_lib.evaluation.probing import speaker_identifiability

EAST, NORTH = (1.0, 0.0), (0.0, 1.0)


def test_four_clips_by_hand() -> None:
    vectors = [EAST, (0.9, 0.1), NORTH, (0.6, 0.4)]
    outcome = speaker_identifiability(vectors, ["a", "a", "b", "b"])
    # The last clip lies nearer to both of a's than to the other of b's; the rest are right.
    assert outcome.accuracy == pytest.approx(3 / 4)
    assert outcome.chance == pytest.approx(1 / 3)
    assert (outcome.n_clips, outcome.n_speakers, outcome.left_out) == (4, 2, 0)


def test_neighbours_come_from_other_sentences() -> None:
    # The sentence decides where a clip lies, but for a little of the speaker.
    vectors = np.array([(9, 0, 1), (9, 0, -1), (0, 9, 1), (0, 9, -1)])
    speakers, sentences = ["a", "b", "a", "b"], [1, 1, 2, 2]
    assert speaker_identifiability(vectors, speakers).accuracy == 0
    assert speaker_identifiability(vectors, speakers, sentences).accuracy == 1
    assert speaker_identifiability(vectors, speakers, sentences).chance == 0.5


def test_who_has_no_other_group_is_counted_apart() -> None:
    vectors = np.eye(5)
    answer = speaker_identifiability(vectors, list("aabbc"), [1, 2, 1, 1, 2])
    assert (answer.n_clips, answer.n_speakers, answer.left_out) == (2, 1, 3)


def test_a_missing_group_is_one_by_itself() -> None:
    vectors = np.random.default_rng(0).normal(size=(8, 3))
    speakers = list("aabbccdd")
    for missing in (None, float("nan")):
        alone = speaker_identifiability(vectors, speakers, [missing] * 8)
        assert alone == speaker_identifiability(vectors, speakers)
    mixed = speaker_identifiability(vectors, speakers, [None, None, 1, 1, 1, None, 2, 3])
    assert mixed.left_out == 2  # both of b


@given(st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_without_groups_it_is_scikit_learns_leave_one_out(seed: int) -> None:
    random = np.random.default_rng(seed)
    speakers = np.repeat(np.arange(5), 4)
    vectors = random.normal(size=(20, 3)) + speakers[:, None] % 3
    right = []
    for index in range(20):
        rest = np.arange(20) != index
        nearest = KNeighborsClassifier(1, metric="cosine").fit(vectors[rest], speakers[rest])
        right.append(nearest.predict(vectors[[index]])[0] == speakers[index])
    assert speaker_identifiability(vectors, speakers).accuracy == pytest.approx(np.mean(right))


def test_equal_embeddings_score_what_chance_does() -> None:
    speakers, groups = list("aaabbbbcc"), [1, 2, 3] * 3
    for vectors in (np.zeros((9, 4)), np.full((9, 4), 0.1, dtype=np.float32)):
        result = speaker_identifiability(vectors, speakers, groups)
        assert result.accuracy == pytest.approx(result.chance)


def test_random_embeddings_score_about_what_chance_does() -> None:
    random = np.random.default_rng(0)
    result = speaker_identifiability(
        random.normal(size=(3000, 5)), np.arange(3000) % 10, np.arange(3000) % 7
    )
    assert result.accuracy == pytest.approx(result.chance, abs=0.03)
    assert result.chance == pytest.approx(0.1, abs=0.01)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    vectors, speakers = random.normal(size=(50, 4)), np.arange(50) % 6
    whole = speaker_identifiability(vectors, speakers)
    monkeypatch.setattr(probing, "BLOCK", 7)
    assert speaker_identifiability(vectors, speakers) == whole


@pytest.mark.parametrize(
    ("vectors", "speakers", "groups", "message"),
    [
        (np.zeros((0, 3)), [], None, "finite and of shape"),
        (np.zeros(3), [1, 2, 3], None, "finite and of shape"),
        (np.full((2, 3), np.nan), [1, 1], None, "6 values that are not finite"),
        (np.ones((3, 2)), [1, 1], None, "speakers must have one value for each of 3 clips"),
        (np.ones((3, 2)), [1, 1, None], None, "1 of 3 clips have none"),
        (np.ones((3, 2)), [1, 1, 2], [1, 2], "groups must have one value"),
        (np.ones((3, 2)), [1, 2, 3], None, "no speaker has clips in two groups"),
        (np.ones((3, 2)), [1, 1, 2], [1, 1, 2], "no speaker has clips in two groups"),
    ],
)
def test_bad_input_is_refused(vectors: Any, speakers: Any, groups: Any, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        speaker_identifiability(vectors, speakers, groups)


def test_each_speaker_has_a_share_and_the_whole_is_their_mean_by_clips() -> None:
    random = np.random.default_rng(4)
    speakers = np.array([f"s{number % 5}" for number in range(40)])
    result = speaker_identifiability(random.normal(size=(40, 3)), speakers)
    assert sorted(result.by_speaker) == sorted(set(speakers))
    assert np.mean(list(result.by_speaker.values())) == pytest.approx(result.accuracy)
