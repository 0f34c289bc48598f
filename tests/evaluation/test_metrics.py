"""Metrics against scikit-learn, and the cases in which scikit-learn's own functions disagree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score, recall_score

from lowser_lib.errors import EvaluationError
from lowser_lib.evaluation import METRICS, classification_metrics, confusion
from lowser_lib.evaluation.metrics import chance, encode_labels, metric_from_counts

LABELS = ("angry", "happy", "neutral", "sad")
labelled = st.lists(
    st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=40
)


def test_worked_example() -> None:
    truth = ["angry", "angry", "angry", "happy", "sad", "sad"]
    prediction = ["angry", "angry", "happy", "happy", "angry", "sad"]
    metrics = classification_metrics(truth, prediction, ["angry", "happy", "sad"])
    # Recalls 2/3, 1, 1/2; F1 = 2TP / (row + column): 4/6, 2/3, 2/3.
    assert metrics == pytest.approx({"accuracy": 4 / 6, "macro_f1": 2 / 3, "uar": 13 / 18})
    assert list(metrics) == list(METRICS)
    assert all(type(value) is float for value in metrics.values())


def test_perfect_and_always_wrong() -> None:
    truth = list(LABELS) * 3
    assert set(classification_metrics(truth, truth, LABELS).values()) == {1.0}
    shifted = truth[1:] + truth[:1]
    assert set(classification_metrics(truth, shifted, LABELS).values()) == {0.0}


@settings(deadline=None, max_examples=50)
@given(labelled)
def test_equal_to_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    truth, prediction = map(list, zip(*pairs, strict=True))
    metrics = classification_metrics(truth, prediction, LABELS)
    assert metrics["accuracy"] == pytest.approx(np.mean([t == p for t, p in pairs]))
    assert metrics["macro_f1"] == pytest.approx(
        f1_score(truth, prediction, labels=LABELS, average="macro", zero_division=0)
    )
    present = sorted(set(truth))
    assert metrics["uar"] == pytest.approx(
        recall_score(truth, prediction, labels=present, average="macro")
    )


@settings(deadline=None, max_examples=50)
@given(labelled)
def test_metric_from_counts_equals_the_metric_of_the_predictions(
    pairs: list[tuple[str, str]],
) -> None:
    truth, prediction = map(list, zip(*pairs, strict=True))
    counts = confusion(truth, prediction, LABELS).to_numpy()
    metrics = classification_metrics(truth, prediction, LABELS)
    for metric in METRICS:
        stacked = metric_from_counts(np.stack([counts, 3 * counts]), metric)
        assert stacked == pytest.approx([metrics[metric]] * 2)


# "y_pred contains classes not in y_true" is the case under test.
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_class_absent_from_the_truth() -> None:
    truth = ["happy", "happy", "sad", "neutral"]
    prediction = ["happy", "angry", "sad", "neutral"]
    metrics = classification_metrics(truth, prediction, LABELS)
    assert metrics["uar"] == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert metrics["uar"] == pytest.approx(balanced_accuracy_score(truth, prediction))
    macro_recall = recall_score(truth, prediction, labels=LABELS, average="macro", zero_division=0)
    assert metrics["uar"] > macro_recall
    # Macro-F1 keeps all the labels given: nobody is angry, and taking someone so costs.
    assert metrics["macro_f1"] == pytest.approx((0 + 2 / 3 + 1 + 1) / 4)
    without = classification_metrics(["happy", "sad"], ["happy", "sad"], ["happy", "sad"])
    assert without["macro_f1"] == 1.0


def test_confusion_is_labelled_and_rows_are_the_truth() -> None:
    table = confusion(["sad", "sad", "happy"], ["happy", "sad", "happy"], LABELS)
    assert table.loc["sad", "happy"] == 1
    assert table.loc["happy", "sad"] == 0
    assert (table.index.name, table.columns.name) == ("truth", "prediction")
    assert list(table.index) == list(table.columns) == list(LABELS)
    reference = confusion_matrix(
        ["sad", "sad", "happy"], ["happy", "sad", "happy"], labels=list(LABELS)
    )
    np.testing.assert_array_equal(table.to_numpy(), reference)


def test_takes_numbers_series_and_arrays_alike() -> None:
    numbers = classification_metrics([0, 1, 1], np.array([0, 1, 0]), [0, 1])
    strings = classification_metrics(
        pd.Series(["a", "b", "b"], index=[7, 8, 9]), pd.Categorical(["a", "b", "a"]), ["a", "b"]
    )
    assert numbers == strings


@pytest.mark.parametrize("strange", ["bored", None, float("nan"), 3])
def test_unknown_label_is_named(strange: Any) -> None:
    with pytest.raises(EvaluationError, match=rf"y_true holds .*{strange}"):
        classification_metrics([strange, "sad"], ["sad", "sad"], LABELS)
    with pytest.raises(EvaluationError, match="y_pred holds"):
        classification_metrics(["sad", "sad"], ["sad", strange], LABELS)


def test_nothing_to_score() -> None:
    with pytest.raises(EvaluationError, match="empty"):
        classification_metrics([], [], LABELS)


def test_unequal_lengths() -> None:
    with pytest.raises(EvaluationError, match=r"\(1,\) and \(2,\)"):
        classification_metrics(["sad"], ["sad", "sad"], LABELS)


@pytest.mark.parametrize("labels", [[], ["sad", "sad"]])
def test_labels_name_each_class_once(labels: list[str]) -> None:
    with pytest.raises(ValueError, match="labels"):
        classification_metrics(["sad"], ["sad"], labels)


def test_unknown_metric() -> None:
    with pytest.raises(ValueError, match="'f1'"):
        metric_from_counts(np.eye(2), "f1")


def test_encode_labels_keeps_the_shape() -> None:
    codes = encode_labels([["sad", "angry"], ["happy", "sad"]], LABELS, "y_pred")
    np.testing.assert_array_equal(codes, [[3, 0], [1, 3]])


def test_guessing_is_a_quarter_and_not_naming_one_class_always() -> None:
    even, random = np.repeat(LABELS, 50), np.random.default_rng(1)
    assert chance(even, LABELS, "uar") == chance(even, LABELS, "accuracy") == 0.25
    guesses = [random.choice(LABELS, len(even)) for _ in range(300)]
    scores = [classification_metrics(even, guess, LABELS)["macro_f1"] for guess in guesses]
    assert chance(even, LABELS) == pytest.approx(np.mean(scores), abs=0.005)
    assert 0.23 < chance(even, LABELS) < 0.26
    constant = classification_metrics(even, np.full(len(even), "sad"), LABELS)["macro_f1"]
    assert constant == pytest.approx(0.1)
    with pytest.raises(ValueError, match="metric must be one of"):
        chance(even, LABELS, "f1")
    with pytest.raises(EvaluationError, match="nothing to guess"):
        chance([], LABELS)
