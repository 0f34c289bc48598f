"""The frozen recipe: scikit-learn's own fit, the rule, and answers for speakers never learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_up_clips import accuracy, corpus, together
from sklearn.linear_model import LogisticRegression

from lowser_lib.errors import EvaluationError, TrainingError
from lowser_lib.methods.frozen import (
    Embedded,
    FrozenConfig,
    cross_answers,
    fit_head,
    train_frozen,
)
from lowser_lib.sampling import UNLABELLED


@pytest.mark.parametrize("classes", [2, 4])
def test_head_answers_as_scikit_learn(classes: int) -> None:
    clips = corpus("a", 0)
    labels = np.asarray(clips.labels) % classes
    weights = np.linspace(0.5, 2, len(clips))
    head = fit_head(clips.features, labels, 0.1, classes, weights)
    model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000)
    model.fit(clips.features, labels, sample_weight=weights)
    expected = model.predict_proba(clips.features)
    np.testing.assert_allclose(head.probabilities(clips.features), expected, atol=1e-9)


def test_a_class_without_a_clip_is_never_answered() -> None:
    clips = corpus("a", 0)
    labels = np.where(np.asarray(clips.labels) == 2, UNLABELLED, np.asarray(clips.labels))
    result = fit_head(clips.features, labels, 0.1, 5).probabilities(clips.features)
    assert (result[:, [2, 4]] == 0).all()
    np.testing.assert_allclose(result.sum(axis=1), 1)
    with pytest.raises(TrainingError, match="two to tell apart"):
        fit_head(clips.features, np.zeros(len(clips), int), 0.1, 4)


def test_another_corpus_is_understood_once_it_is_standardised() -> None:
    sources, target = together(corpus("a", 0), corpus("b", 1)), corpus("c", 2)
    scores = {
        step: accuracy(
            train_frozen(sources, target, FrozenConfig(C=0.1, standardisation=step)).probabilities(
                target
            ),
            target,
        )
        for step in ("none", "corpus", "speaker", "rule")
    }
    assert scores["none"] < scores["corpus"] < scores["speaker"] == scores["rule"]
    assert scores["speaker"] > 0.8


def test_the_rule_leaves_speakers_of_one_mood_alone() -> None:
    sources = together(corpus("a", 0), corpus("b", 1))
    for target, step in ((corpus("c", 2), "speaker"), (corpus("c", 2, 24, 8, moods=1), "corpus")):
        trained = train_frozen(sources, target.unlabelled(), FrozenConfig(C=0.1))
        assert trained.standardiser.step == step
        assert (trained.share > 0.2) == (step == "corpus")
        assert set(trained.standardiser.corpora) == {"a", "b", "c"}


def test_without_a_target_the_sources_choose() -> None:
    assert train_frozen(corpus("a", 0), None, FrozenConfig(C=0.1)).standardiser.step == "speaker"
    moody = corpus("a", 0, 24, 8, moods=1)
    assert train_frozen(moody, None, FrozenConfig(C=0.1)).standardiser.step == "corpus"


def test_labels_of_the_target_are_never_read() -> None:
    sources, target = together(corpus("a", 0), corpus("b", 1)), corpus("c", 2)
    answers = []
    for seed in range(3):
        labels = np.random.default_rng(seed).permutation(np.asarray(target.labels))
        shuffled = Embedded.of(target.features, target.corpora, target.speakers, labels)
        answers.append(train_frozen(sources, shuffled).probabilities(shuffled).tobytes())
    assert len(set(answers)) == 1


def test_cross_answers_have_not_learned_the_speaker() -> None:
    clips = together(corpus("a", 0), corpus("b", 1))
    config = FrozenConfig(C=0.1, standardisation="corpus")
    plain = cross_answers(clips, config)
    assert plain.shape == (len(clips), 4)
    # Other labels of one speaker change everybody's answers but that speaker's own fold's.
    its = clips.speakers == "a/0"
    labels = np.where(its, 3 - np.asarray(clips.labels), np.asarray(clips.labels))
    other = cross_answers(
        Embedded.of(clips.features, clips.corpora, clips.speakers, labels), config
    )
    np.testing.assert_array_equal(other[its], plain[its])
    assert not np.allclose(other[~its], plain[~its])
    assert accuracy(cross_answers(clips, FrozenConfig(C=0.1)), clips) > accuracy(plain, clips) - 0.1
    with pytest.raises(TrainingError, match="needs two; add a corpus"):
        cross_answers(clips.rows(its), config)


def test_a_manifest_gives_names_and_labels() -> None:
    table = pd.DataFrame(
        {
            "corpus": ["a", "a", "a"],
            "speaker": ["a/x", "a/unknown", "a/x"],
            "emotion": ["sad", "calm", None],
        }
    )
    clips = Embedded.of_manifest(np.zeros((3, 2)), table)
    assert clips.speakers.tolist() == ["a/x", "", "a/x"]
    assert np.asarray(clips.labels).tolist() == [3, UNLABELLED, UNLABELLED]
    kept = Embedded.of_manifest(np.zeros((3, 2)), table, classes=("calm", "sad"))
    assert np.asarray(kept.labels).tolist() == [1, 0, UNLABELLED]
    assert kept.unlabelled().labels is None


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"C": 0}, "C"),
        ({"C": float("nan")}, "C"),
        ({"standardisation": "clip"}, "standardisation"),
        ({"prior": -1}, "prior"),
        ({"limit": 1.5}, "limit"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        FrozenConfig(**settings)


def test_bad_clips_are_named() -> None:
    with pytest.raises(ValueError, match="3 clips need as many"):
        Embedded.of(np.zeros((3, 2)), ["a"] * 3, ["s"] * 2)
    with pytest.raises(EvaluationError, match="finite"):
        Embedded.of(np.full((3, 2), np.nan), ["a"] * 3, ["s"] * 3)
    with pytest.raises(TrainingError, match="no labels"):
        train_frozen(corpus("a", 0).unlabelled())
