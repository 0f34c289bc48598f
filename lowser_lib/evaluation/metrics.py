"""Accuracy, macro-F1 and unweighted average recall, and the confusion matrix they come from.

All three metrics are functions of the confusion matrix alone. :func:`classification_metrics`
computes them with scikit-learn for one set of predictions; :func:`metric_from_counts` computes the
same for thousands of confusion matrices at once, which is what the bootstrap needs.

Two choices matter when a class is absent from the truth, as angry women are from URDU:

* **UAR** (unweighted average recall) is the mean recall over the classes *present in the truth*.
  Recall of a class that nobody spoke is 0/0, not 0. This is scikit-learn's
  ``balanced_accuracy_score``; its ``recall_score(average="macro")`` counts an absent class as 0.
* **Macro-F1** is the mean over *all the labels given*, as in scikit-learn's
  ``f1_score(labels=labels, average="macro", zero_division=0)``: a class in neither truth nor
  prediction counts 0. To score data that cannot hold a class, leave it out of ``labels``.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from lowser_lib.errors import EvaluationError

METRICS = ("accuracy", "macro_f1", "uar")
"""The names of the metrics, as keys of the result of :func:`classification_metrics`."""


def classification_metrics(
    y_true: ArrayLike, y_pred: ArrayLike, labels: Sequence[Hashable]
) -> dict[str, float]:
    """Score predictions against the truth.

    Args:
        y_true: True labels, shape (n,).
        y_pred: Predicted labels, shape (n,).
        labels: All classes, each once; every value of ``y_true`` and ``y_pred`` is one of them.

    Returns:
        ``accuracy``, ``macro_f1`` and ``uar``, each in [0, 1]. The module's text says how a class
        that is absent from the truth counts in each.

    Raises:
        EvaluationError: Nothing to score, unequal lengths, or a label that is not in ``labels``.
        ValueError: ``labels`` is empty or holds a label twice.
    """
    truth, prediction = encode_pair(y_true, y_pred, labels)
    classes = np.arange(len(labels))
    present = np.unique(truth)
    return {
        "accuracy": float(accuracy_score(truth, prediction)),
        "macro_f1": float(
            f1_score(truth, prediction, labels=classes, average="macro", zero_division=0)
        ),
        "uar": float(recall_score(truth, prediction, labels=present, average="macro")),
    }


def confusion(y_true: ArrayLike, y_pred: ArrayLike, labels: Sequence[Hashable]) -> pd.DataFrame:
    """Count how often each true class is taken for each class.

    Args:
        y_true: True labels, shape (n,).
        y_pred: Predicted labels, shape (n,).
        labels: All classes, each once, in the order of the rows and columns.

    Returns:
        Counts, one row a true class (index named ``truth``) and one column a predicted class
        (columns named ``prediction``).

    Raises:
        EvaluationError: As :func:`classification_metrics`.
        ValueError: As :func:`classification_metrics`.
    """
    truth, prediction = encode_pair(y_true, y_pred, labels)
    counts = confusion_matrix(truth, prediction, labels=np.arange(len(labels)))
    return pd.DataFrame(
        counts,
        index=pd.Index(list(labels), name="truth"),
        columns=pd.Index(list(labels), name="prediction"),
    )


def metric_from_counts(counts: ArrayLike, metric: str) -> NDArray[np.float64]:
    """Compute one metric for many confusion matrices at once.

    Args:
        counts: Confusion matrices, shape (..., classes, classes), rows the truth. Counts may be
            weighted; none may be all zero.
        metric: One of :data:`METRICS`.

    Returns:
        The metric of each matrix, shape (...), equal to :func:`classification_metrics` of the
        predictions that the matrix counts.

    Raises:
        ValueError: ``metric`` is unknown.
    """
    matrices = np.asarray(counts, dtype=np.float64)
    correct = np.diagonal(matrices, axis1=-2, axis2=-1)
    per_truth = matrices.sum(axis=-1)
    if metric == "accuracy":
        return np.asarray(correct.sum(axis=-1) / per_truth.sum(axis=-1))
    if metric == "macro_f1":
        # F1 = 2 TP / (2 TP + FP + FN), and the denominator is row sum + column sum.
        per_class = _ratio(2 * correct, per_truth + matrices.sum(axis=-2))
        return np.asarray(per_class.mean(axis=-1))
    if metric == "uar":
        recalls = _ratio(correct, per_truth)
        return np.asarray(recalls.sum(axis=-1) / (per_truth > 0).sum(axis=-1))
    raise ValueError(f"metric must be one of {', '.join(METRICS)}, not {metric!r}")


def encode_labels(values: ArrayLike, labels: Sequence[Hashable], what: str) -> NDArray[np.intp]:
    """Replace labels by their positions in ``labels``.

    Args:
        values: Labels, any shape.
        labels: All classes, each once.
        what: What the values are, for the error's message.

    Returns:
        Positions, in the shape of ``values``.

    Raises:
        EvaluationError: A value is missing or is not in ``labels``.
        ValueError: ``labels`` is empty or holds a label twice.
    """
    if not len(labels) or len(set(labels)) != len(labels):
        raise ValueError(f"labels must name each class once, not {list(labels)!r}")
    array = np.asarray(values)
    flat = pd.Index(array.ravel(), dtype=object)
    codes = pd.Index(list(labels), dtype=object).get_indexer(flat)
    if (codes < 0).any():
        strange = sorted({repr(value) for value in flat[codes < 0]})
        raise EvaluationError(
            f"{what} holds {', '.join(strange[:5])} ({int((codes < 0).sum())} values), which "
            f"is not among the labels {list(labels)!r}: drop unlabelled clips first, or add the "
            "label"
        )
    return np.asarray(codes, dtype=np.intp).reshape(array.shape)


def encode_pair(
    y_true: ArrayLike, y_pred: ArrayLike, labels: Sequence[Hashable]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Encode truth and prediction, and make sure that they belong together.

    Args:
        y_true: True labels, shape (n,).
        y_pred: Predicted labels, shape (n,).
        labels: All classes, each once.

    Returns:
        Both as positions in ``labels``, shape (n,).

    Raises:
        EvaluationError: Nothing to score, unequal lengths, or a label that is not in ``labels``.
        ValueError: ``labels`` is empty or holds a label twice.
    """
    truth = encode_labels(y_true, labels, "y_true")
    prediction = encode_labels(y_pred, labels, "y_pred")
    if truth.ndim != 1 or truth.shape != prediction.shape:
        raise EvaluationError(
            f"y_true and y_pred must be lists of one length, not of shapes {truth.shape} and "
            f"{prediction.shape}: score the predictions against the clips they were made for"
        )
    if not len(truth):
        raise EvaluationError("there is nothing to score: y_true and y_pred are empty")
    return truth, prediction


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide, with 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
