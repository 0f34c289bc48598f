"""What features know, by a linear classifier on groups that it has not heard."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lowser_lib.errors import EvaluationError
from lowser_lib.evaluation import probing
from lowser_lib.evaluation.probing import (
    PENALTY,
    control_labels,
    probe,
    probe_answers,
    probe_folds,
    speaker_identifiability,
)
from lowser_lib.methods.yardsticks import majority

SPEAKERS = np.repeat([f"s{number}" for number in range(6)], 8)
MOODS = np.tile(["angry", "sad"], 24)


def clips(seed: int = 0, strength: float = 1.0) -> np.ndarray:
    """48 clips of 6 speakers: a mood, a voice and noise, a column each and four more."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(48, 6))
    features[:, 0] += strength * np.where(MOODS == "angry", 1, -1)
    features[:, 1] += 20 * np.unique(SPEAKERS, return_inverse=True)[1]
    return features


def test_it_is_scikit_learns_cross_validation_where_every_group_is_a_fold() -> None:
    features = clips()
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    answers = cross_val_predict(classifier, features, MOODS, groups=SPEAKERS, cv=LeaveOneGroupOut())
    result = probe(features, MOODS, SPEAKERS, n_folds=6)
    assert result.score == pytest.approx(balanced_accuracy_score(MOODS, answers), abs=1e-12)
    assert (probe_answers(features, MOODS, probe_folds(MOODS, SPEAKERS, 6)) == answers).all()


def test_what_is_in_plain_sight_is_found_and_what_is_not_is_not() -> None:
    answer = probe(clips(strength=50), MOODS, SPEAKERS, controls=6)
    assert answer.score == 1
    assert 0.3 < answer.control < 0.7
    assert (answer.chance, answer.n_clips, answer.n_classes, answer.n_groups) == (0.5, 48, 2, 6)
    constant = probe(np.zeros((48, 3)), MOODS, SPEAKERS)
    assert constant.score == 0.5  # the same answer for all
    assert math.isnan(constant.control)


def test_chance_is_what_the_majority_scores() -> None:
    labels = np.array(["a"] * 6 + ["b"] * 3 + ["c"] * 3)
    outcome = probe(np.zeros((12, 1)), labels, np.arange(12), n_folds=2)
    assert outcome.chance == pytest.approx(1 / 3)
    assert balanced_accuracy_score(labels, majority(labels, 12)) == pytest.approx(outcome.chance)


def test_units_and_order_do_not_matter() -> None:
    features = clips()
    scaled = features * [1e-3, 1e3, 5, 1, 2, 7] + 100
    expected = probe(features, MOODS, SPEAKERS).score
    assert probe(scaled, MOODS, SPEAKERS).score == expected


@pytest.mark.parametrize("n_folds", [2, 3, 5])
def test_a_group_is_in_one_fold(n_folds: int) -> None:
    fold = probe_folds(MOODS, SPEAKERS, n_folds, seed=3)
    assert sorted(set(fold)) == list(range(n_folds))
    for speaker in np.unique(SPEAKERS):
        assert len(set(fold[speaker == SPEAKERS])) == 1
    assert (fold == probe_folds(MOODS, SPEAKERS, n_folds, seed=3)).all()


def test_fewer_groups_than_folds_are_held_out_one_by_one() -> None:
    sentences = np.tile([1, 1, 2, 2], 12)
    assert (probe_folds(SPEAKERS, sentences) == (sentences == sentences[0])).mean() in (0, 1)
    assert probe(clips(), SPEAKERS, sentences).score > 2 / 6  # the voice is a column


def test_a_split_by_clips_finds_moods_that_voices_were_given_by_chance() -> None:
    features, given_moods = clips(), np.repeat(["angry", "sad", "sad", "angry", "angry", "sad"], 8)
    onehot = np.eye(6)[np.unique(SPEAKERS, return_inverse=True)[1]]
    features = np.hstack([features, onehot])
    assert probe(features, given_moods, np.arange(48)).score == 1
    assert probe(features, given_moods, SPEAKERS, n_folds=6).score < 0.8


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_controls_keep_the_shape_of_the_labels(seed: int) -> None:
    random = np.random.default_rng(seed)
    moods = random.choice(["angry", "happy", "sad"], size=48)
    groups = random.integers(0, 5, size=48)
    dealt = control_labels(moods, groups, np.random.default_rng(seed))
    for group in np.unique(groups):
        assert sorted(dealt[groups == group]) == sorted(moods[groups == group])
    genders = np.array(["f", "m", "f", "m", "m"])[groups]
    dealt = control_labels(genders, groups, np.random.default_rng(seed))
    by_group = [set(dealt[groups == group]) for group in np.unique(groups)]
    assert all(len(group) == 1 for group in by_group)
    kept = [genders[groups == group][0] for group in np.unique(groups)]
    assert sorted(group.pop() for group in by_group) == sorted(kept)


def test_controls_follow_the_seed() -> None:
    features = clips()
    first, again, other = (
        probe(features, MOODS, SPEAKERS, controls=2, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.control != other.control


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.zeros((47, 2))}, "do not belong together"),
        ({"features": np.zeros(48)}, "do not belong together"),
        ({"features": np.full((48, 2), np.nan)}, "48 of 48 clips"),
        ({"labels": ["angry"] * 48}, "one class alone, 'angry'"),
        ({"groups": ["a"] * 48}, "one group alone"),
        ({"groups": SPEAKERS[:-1]}, "48 labels and 47 groups"),
        ({"labels": [None, *MOODS[1:]]}, "labels must be one value a clip"),
        ({"labels": SPEAKERS}, "held out together"),
    ],
)
def test_what_cannot_be_asked_is_refused(change: dict[str, Any], message: str) -> None:
    asked = {"features": clips(), "labels": MOODS, "groups": SPEAKERS, **change}
    with pytest.raises(EvaluationError, match=message):
        probe(**asked)


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="n_folds must be at least 2, not 1"):
        probe(clips(), MOODS, SPEAKERS, n_folds=1)
    with pytest.raises(ValueError, match="controls must be at least 0, not -1"):
        probe(clips(), MOODS, SPEAKERS, controls=-1)


def test_mean_and_deviation_are_those_of_the_training_clips() -> None:
    # A clip held out lies far away: standardised with it, the mood of all others is flattened.
    features = np.random.default_rng(0).normal(size=(48, 6))
    features[:, 0] = np.where(MOODS == "angry", 1, -1)
    features[0, 0] = 1e6
    folds = (SPEAKERS == "s0").astype(int)
    answers = probe_answers(features, MOODS, folds)
    assert (answers[1:8] == MOODS[1:8]).all()
    together, inside = StandardScaler().fit_transform(features), folds == 0
    leaking = LogisticRegression(C=PENALTY, max_iter=1000).fit(together[inside], MOODS[inside])
    assert (leaking.predict(together[1:8]) != MOODS[1:8]).any()  # so that it would show


# Telling speakers apart by the nearest neighbour


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


def test_a_table_of_encoders_and_clips_and_what_cannot_be_judged() -> None:
    four = pd.DataFrame({"speaker": list("aabb"), "text_id": list("wxyz")})
    alone = pd.DataFrame({"speaker": list("abcd"), "text_id": list("wxyz")})
    states: dict[str, dict[str, Any]] = {
        "before": {"four": [EAST, (0.9, 0.1), NORTH, (0.6, 0.4)], "alone": np.eye(4)},
        "after": {"four": [EAST, EAST, NORTH, NORTH], "alone": np.eye(4)},
    }
    table: Any = probing.identifiability_table(states, {"four": four, "alone": alone})
    assert table.loc["four"].tolist() == pytest.approx([3 / 4, 1, 1 / 3])
    assert table.loc["alone"].isna().all()
    assert list(table.columns) == ["before", "after", "chance"]


def test_an_interview_is_a_probe_of_each_view_and_question() -> None:
    random = np.random.default_rng(4)
    groups = np.repeat([f"s{number}" for number in range(6)], 8)
    moods = np.tile(["sad", "glad"], 24)
    views = {"good": (moods == "sad")[:, None] + 0.1 * random.normal(size=(48, 2)),
             "noise": random.normal(size=(48, 3))}  # fmt: skip
    questions = {"mood": (moods, groups), "half": (np.repeat(["a", "b"], 24), moods)}
    scores, controls, chances = probing.interview(views, questions, controls=2, seed=1)
    assert chances == {"mood": 0.5, "half": 0.5}
    for row, view in enumerate(views):
        for column, (labels, their_groups) in enumerate(questions.values()):
            answer = probing.probe(views[view], labels, their_groups, controls=2, seed=1)
            assert scores.to_numpy()[row, column] == answer.score
            assert controls.to_numpy()[row, column] == answer.control
    assert scores.to_numpy()[0, 0] > 0.9
