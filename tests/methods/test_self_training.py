"""Self-training: what it takes, what it gains, and that it never reads a label of the target."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from made_up_clips import accuracy, corpus, together

from lowser_lib.errors import TrainingError
from lowser_lib.methods import self_training
from lowser_lib.methods.frozen import Embedded, FrozenConfig, fit_head, train_frozen
from lowser_lib.methods.self_training import SelfTrainingConfig, train_self_training

PLAIN = FrozenConfig(C=0.1, standardisation="corpus")


def sources() -> Embedded:
    return together(corpus("a", 0), corpus("b", 1))


def test_no_rounds_is_the_frozen_recipe() -> None:
    target = corpus("c", 2)
    result = train_self_training(sources(), target, SelfTrainingConfig(rounds=0, frozen=PLAIN))
    expected = train_frozen(sources(), target, PLAIN).probabilities(target)
    np.testing.assert_array_equal(result.model.probabilities(target), expected)
    assert len(result.rounds) == 1


def test_one_round_by_hand() -> None:
    target, known = corpus("c", 2), sources()
    config = SelfTrainingConfig(rounds=1, weight=2.0, frozen=PLAIN)
    first = train_frozen(known, target, PLAIN)
    rows = first.standardised(target)
    answers, sure = (
        first.probabilities(target).argmax(axis=1),
        first.probabilities(target).max(axis=1),
    )
    taken = [
        index
        for answer in range(4)
        for index in sorted(np.flatnonzero(answers == answer), key=lambda i: -sure[i])[
            : -(-int((answers == answer).sum()) // 2)
        ]
    ]
    features = np.concatenate([first.standardised(known), rows[sorted(taken)]])
    labels = np.concatenate([np.asarray(known.labels), answers[sorted(taken)]])
    weights = np.ones(len(labels))
    weights[len(known) :] = 2.0 * len(known) / len(taken)  # twice as much as all sources together
    expected = fit_head(features, labels, config.C, 4, weights).probabilities(rows)
    outcome = train_self_training(known, target, config)
    np.testing.assert_allclose(outcome.model.probabilities(target), expected, atol=1e-12)
    assert outcome.rounds[1].taken == len(taken)


def test_it_gains_where_classes_lie_a_little_elsewhere() -> None:
    gains = []
    for seed in range(2, 7):
        target = corpus("c", seed, speakers=10, turn=0.7)
        config = SelfTrainingConfig(C=0.1, frozen=FrozenConfig(C=0.1, standardisation="speaker"))
        result = train_self_training(sources(), target, config)
        before, after = (
            accuracy(m.probabilities(target), target) for m in (result.first, result.model)
        )
        gains.append(after - before)
    assert np.mean(gains) > 0.03


def test_labels_of_the_target_are_never_read() -> None:
    target, answers = corpus("c", 2), []
    for seed in range(3):
        labels = np.random.default_rng(seed).permutation(np.asarray(target.labels))
        shuffled = Embedded.of(target.features, target.corpora, target.speakers, labels)
        result = train_self_training(sources(), shuffled, SelfTrainingConfig())
        answers.append(result.model.probabilities(shuffled).tobytes())
    unlabelled = train_self_training(sources(), target.unlabelled(), SelfTrainingConfig())
    assert {unlabelled.model.probabilities(target).tobytes()} == set(answers)


def test_inductive_answers_do_not_depend_on_each_other() -> None:
    target = corpus("c", 2, speakers=12)
    speech = np.isin(target.speakers.astype(str), [f"c/{number}" for number in range(6)])
    result = train_self_training(sources(), target.rows(speech), SelfTrainingConfig(frozen=PLAIN))
    tested = target.rows(~speech)
    together_, alone = (
        result.model.probabilities(tested),
        result.model.probabilities(tested.rows([3])),
    )
    np.testing.assert_allclose(alone[0], together_[3], atol=1e-12)
    assert accuracy(together_, tested) > 0.5


def test_the_monitor_counts() -> None:
    target = corpus("c", 2)
    result = train_self_training(sources(), target, SelfTrainingConfig(rounds=2, frozen=PLAIN))
    answers = result.model.probabilities(target).argmax(axis=1)
    begun = result.first.probabilities(target).argmax(axis=1)
    last = result.rounds[-1]
    np.testing.assert_allclose(last.shares, np.bincount(answers, minlength=4) / len(answers))
    assert last.agreement == pytest.approx((answers == begun).mean())
    assert result.rounds[0].agreement == 1
    assert 0.25 <= last.held_back <= 1
    assert 0.25 <= last.confidence <= 1


def test_running_away_is_said() -> None:
    target = corpus("c", 2)
    config = SelfTrainingConfig(frozen=PLAIN, least_agreement=1.0)
    with pytest.warns(UserWarning, match="ran away: it agrees with its first answers on"):
        result = train_self_training(sources(), target, config)
    assert "first head" in result.ran_away
    first = self_training.Round(np.array([0.4, 0.3, 0.2, 0.1]), 1.0, 0, 0.5, 0.5)
    last = self_training.Round(np.array([0.9, 0.1, 0.0, 0.0]), 0.6, 9, 0.9, 0.5)
    assert "one class has 90%" in self_training._ran_away([first, last], SelfTrainingConfig())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train_self_training(sources(), target, SelfTrainingConfig(frozen=PLAIN))


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"rounds": -1}, "rounds"),
        ({"rounds": 2.5}, "rounds"),
        ({"share": 0}, "share"),
        ({"share": 1.1}, "share"),
        ({"weight": 0}, "weight"),
        ({"C": float("inf")}, "C"),
        ({"least_agreement": 2}, "least_agreement"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        SelfTrainingConfig(**settings)


def test_nothing_heard_is_refused() -> None:
    target = corpus("c", 2)
    with pytest.raises(TrainingError, match="no clip of the target"):
        train_self_training(sources(), target.rows(np.zeros(len(target), bool)))
