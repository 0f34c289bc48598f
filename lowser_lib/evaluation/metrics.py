"""What trainings answered, and its score: accuracy, macro-F1, unweighted average recall.

All three metrics are functions of the confusion matrix alone. :func:`classification_metrics`
computes them for one set of predictions; :func:`metric_from_counts` for thousands of confusion
matrices at once, which is what the bootstrap needs.

Two choices matter when a class is absent from the truth, as angry women are from URDU:

* **UAR** (unweighted average recall) is the mean recall over the classes *present in the truth*.
  Recall of a class that nobody spoke is 0/0, not 0. This is scikit-learn's
  ``balanced_accuracy_score``; its ``recall_score(average="macro")`` counts an absent class as 0.
* **Macro-F1** is the mean over *all the labels given*, as in scikit-learn's
  ``f1_score(labels=labels, average="macro", zero_division=0)``: a class in neither truth nor
  prediction counts 0. To score data that cannot hold a class, leave it out of ``labels``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lowser_lib.errors import EvaluationError

METRICS = ("accuracy", "macro_f1", "uar")
"""The names of the metrics, as keys of the result of :func:`classification_metrics`."""

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Any figure that follows from confusion matrices: (..., classes, classes) -> (...)."""


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
    counts = confusion(y_true, y_pred, labels).to_numpy()
    return {metric: float(metric_from_counts(counts, metric)) for metric in METRICS}


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
    truth = encode_labels(y_true, labels, "y_true")
    prediction = encode_labels(y_pred, labels, "y_pred")
    if truth.ndim != 1 or truth.shape != prediction.shape:
        raise EvaluationError(
            f"y_true and y_pred must be lists of one length, not of shapes {truth.shape} and "
            f"{prediction.shape}: score the predictions against the clips they were made for"
        )
    if not len(truth):
        raise EvaluationError("there is nothing to score: y_true and y_pred are empty")
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(counts, (truth, prediction), 1)
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
        sums = per_truth + matrices.sum(axis=-2)
        return np.asarray((2 * correct / np.where(sums > 0, sums, 1)).mean(axis=-1))
    if metric == "uar":
        recalls = correct / np.where(per_truth > 0, per_truth, 1)
        return np.asarray(recalls.sum(axis=-1) / (per_truth > 0).sum(axis=-1))
    raise ValueError(f"metric must be one of {', '.join(METRICS)}, not {metric!r}")


def chance(
    y_true: ArrayLike,
    labels: Sequence[Hashable],
    metric: str = "macro_f1",
    n_guessers: int = 2000,
    seed: int = 0,
) -> float:
    """What guessing scores: naming each class equally often, whatever is said.

    Naming one class always is another thing, and no bar: with four classes of equal size its
    macro-F1 is .10, a guesser's about .25. UAR and accuracy of a guesser are 1 / classes, whatever
    the truth; macro-F1 has no closed form, and is the mean of many simulated guessers.

    Args:
        y_true: True labels, shape (n,).
        labels: All classes, each once.
        metric: One of :data:`METRICS`.
        n_guessers: Guessers simulated for macro-F1.
        seed: Of these.

    Returns:
        The mean score of a guesser, in (0, 1].

    Raises:
        EvaluationError: No truth, or a label that is not in ``labels``.
        ValueError: ``metric`` is unknown.
    """
    truth = encode_labels(y_true, labels, "y_true")
    if not truth.size:
        raise EvaluationError("there is nothing to guess: y_true is empty")
    if metric != "macro_f1":
        metric_from_counts(np.eye(len(labels)), metric)  # refuses an unknown one
        return 1 / len(labels)
    size = len(labels)
    spoken = np.bincount(truth.ravel(), minlength=size)
    guesses = np.random.default_rng(seed).multinomial(
        spoken, np.full(size, 1 / size), size=(n_guessers, size)
    )
    return float(metric_from_counts(guesses, metric).mean())


EVERYBODY = "all"
"""The one group of answers that name none."""


@dataclass(frozen=True)
class Answers:
    """Checked columns, one entry a clip; make them with :meth:`of`.

    Attributes:
        truth: Positions in ``labels``, shape (n,).
        predicted: Likewise, shape (seeds, n).
        speaker: Who speaks, shape (n,).
        labels: The classes, each once.
        group: Positions in ``groups``, shape (n,).
        groups: Names of the groups, sorted.
    """

    truth: NDArray[np.intp]
    predicted: NDArray[np.intp]
    speaker: NDArray[np.object_]
    labels: tuple[Hashable, ...]
    group: NDArray[np.intp]
    groups: tuple[Any, ...]

    @classmethod
    def of(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike | None,
        speakers: ArrayLike,
        labels: Sequence[Hashable],
        groups: ArrayLike | None = None,
    ) -> Answers:
        """Check what a caller has.

        Args:
            y_true: True labels, shape (n,).
            y_pred: Predicted labels, shape (n,), or (seeds, n) for several trainings;
                None where only what was said matters, as if all were told right.
            speakers: Who speaks each clip, shape (n,).
            labels: All classes, each once.
            groups: Group of each clip, shape (n,), such as its speaker's gender; None puts all
                clips into one.

        Raises:
            EvaluationError: Nothing to score, unequal lengths, a missing speaker or group, or a
                label that is not in ``labels``.
            ValueError: ``labels`` is empty or holds a label twice.
        """
        truth = encode_labels(y_true, labels, "y_true")
        answered = y_true if y_pred is None else y_pred
        predicted = np.atleast_2d(encode_labels(answered, labels, "y_pred"))
        if truth.ndim != 1 or not len(truth) or not len(predicted):
            raise EvaluationError("there is nothing to score: y_true or y_pred is empty")
        if predicted.ndim != 2 or predicted.shape[1:] != truth.shape:
            raise EvaluationError(
                f"y_pred must have one answer for each of {len(truth)} clips (or a row of them a "
                f"seed), not shape {predicted.shape}: score the predictions against the clips they "
                "were made for"
            )
        speaker = _column(speakers, len(truth), "speakers")
        named = np.full(len(truth), EVERYBODY) if groups is None else groups
        codes, names = pd.factorize(_column(named, len(truth), "groups"), sort=True)
        return cls(truth, predicted, speaker, tuple(labels), codes, tuple(names))

    @property
    def n_seeds(self) -> int:
        """Number of trainings."""
        return len(self.predicted)

    def where(self, inside: NDArray[np.bool_]) -> Answers:
        """The answers for some of the clips, of any group."""
        return replace(
            self,
            truth=self.truth[inside],
            predicted=self.predicted[:, inside],
            speaker=self.speaker[inside],
            group=self.group[inside],
        )

    def speakers(self, inside: NDArray[np.bool_]) -> int:
        """Number of speakers in some of the clips."""
        return len(set(self.speaker[inside].tolist()))

    def cells(self, group: int) -> Iterator[NDArray[np.bool_]]:
        """Which clips lie in each cell of a group, class by class."""
        for number in range(len(self.labels)):
            yield (self.group == group) & (self.truth == number)

    def counts(self, groups: Sequence[int] | None = None) -> NDArray[np.int64]:
        """Count confusion matrices by seed, speaker and group.

        Args:
            groups: Positions in ``self.groups``; None: all of them. Clips of others do not count.

        Returns:
            Counts, shape (seeds, speakers, groups, classes, classes), rows the truth, speakers in
            sorted order.
        """
        wanted = list(range(len(self.groups)) if groups is None else groups)
        inside = np.isin(self.group, wanted)
        place = {number: index for index, number in enumerate(wanted)}
        group = np.array([place[number] for number in self.group[inside]], dtype=int)
        speaker, names = pd.factorize(self.speaker[inside], sort=True)
        size = len(self.labels)
        shape = (self.n_seeds, len(names), len(wanted), size, size)
        counts = np.zeros(shape, dtype=np.int64)
        for seed, predicted in enumerate(self.predicted[:, inside]):
            np.add.at(counts[seed], (speaker, group, self.truth[inside], predicted), 1)
        return counts

    def confusions(self) -> NDArray[np.int64]:
        """One confusion matrix a seed and speaker: shape (seeds, speakers, classes, classes)."""
        return self.counts().sum(axis=2)


def same_clips(first: Answers, second: Answers) -> None:
    """Raise an EvaluationError unless two sets of answers are to the same clips."""
    if first.labels != second.labels or first.groups != second.groups:
        raise EvaluationError("the two sides have other labels or groups; compare like with like")
    for name in ("truth", "speaker", "group"):
        ours, theirs = getattr(first, name), getattr(second, name)
        if ours.shape != theirs.shape or (ours != theirs).any():
            raise EvaluationError(
                f"the two sides differ in {name}: they were tested on other clips, or on the same "
                "in another order"
            )


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


def _column(values: ArrayLike, n: int, name: str) -> NDArray[np.object_]:
    """One value for each of n clips, none of them missing."""
    column = np.asarray(values, dtype=object)
    if column.shape != (n,) or pd.isna(column).any():
        raise EvaluationError(
            f"{name} must have one entry for each of {n} clips (shape {column.shape}, "
            f"{int(pd.isna(column).sum())} missing): name those that are not known, such as "
            "'unknown', or leave their clips out"
        )
    return column
