"""What any method has to beat: always the same answer, and eGeMAPS with a support vector machine.

:func:`majority` is the score of knowing nothing. :class:`EgemapsSVM` is the classical recipe of
the field before learned features (Schuller et al. 2009, *The INTERSPEECH 2009 Emotion Challenge*):
hand-crafted measures of the voice, standardised, and a support vector machine.
"""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.svm import SVC

from lowser_lib.errors import EvaluationError, TrainingError, require
from lowser_lib.views.standardisation import Standardiser, finite_matrix

Standardise = Literal["train", "corpus"]


def majority(train_labels: ArrayLike, n: int) -> NDArray[Any]:
    """Answer the most frequent label of training, whatever is asked.

    Args:
        train_labels: Labels of training, shape (m,). Of equally frequent ones the first in sorted
            order is taken.
        n: Number of answers.

    Returns:
        The label, ``n`` times.

    Raises:
        TrainingError: There are no labels.
        ValueError: ``n`` is negative.
    """
    labels = np.asarray(train_labels)
    if not labels.size:
        raise TrainingError("the majority label needs at least one training label")
    require("0..", n=n)
    values, counts = np.unique(labels, return_counts=True)
    return np.full(n, values[counts.argmax()])


class EgemapsSVM:
    """Support vector machine with a radial kernel on standardised features.

    Our choices: scikit-learn's default ``C = 1`` and kernel width, not tuned, so that no target is
    looked at and a label budget of 1 a class needs no validation speakers; each class weighted by
    its inverse frequency, as macro-F1 and UAR count classes alike.

    Features have units (Hz, dB, s), and a kernel compares them only once they are standardised. The
    two ways differ where corpora differ, in microphone, level, noise:

    * ``"train"``: mean and variance of the training clips, also for clips of another corpus.
    * ``"corpus"``: each corpus by its own mean and variance. No labels are used, but a *new* corpus
      is standardised by all the clips that are handed to :meth:`predict`, so hand over all of it
      at once. A corpus that was seen in training keeps what was measured there. This one step
      decides about transfer: without it the machine calls nearly every clip of another corpus
      the same.

    Args:
        standardise: ``"train"`` or ``"corpus"``.
        C: Price of a margin violation, positive.

    Raises:
        ValueError: ``standardise`` is unknown or ``C`` is not positive.
    """

    def __init__(self, standardise: Standardise = "train", C: float = 1.0) -> None:
        require(("train", "corpus"), standardise=standardise)
        require("(0, inf]", C=C)
        self.standardise = standardise
        self.C = C

    def fit(self, features: ArrayLike, labels: ArrayLike, corpora: ArrayLike | None = None) -> Self:
        """Learn from labelled clips.

        Args:
            features: Shape (n, features), finite.
            labels: Shape (n,), at least two different ones.
            corpora: The corpus of each clip, shape (n,); needed, and looked at, only for
                ``standardise="corpus"``.

        Returns:
            The machine itself.

        Raises:
            TrainingError: Labels are missing, do not match the features, or are all the same.
            EvaluationError: As :meth:`predict`.
            ValueError: ``corpora`` is needed and not given.
        """
        matrix = finite_matrix(features)
        answers = np.asarray(labels)
        if answers.shape != matrix.shape[:1] or pd.isna(answers).any():
            raise TrainingError(
                f"fit needs one label for each of {len(matrix)} clips, but has labels of shape "
                f"{answers.shape}, {int(pd.isna(answers).sum())} missing: drop unlabelled clips"
            )
        if len(np.unique(answers)) < 2:
            raise TrainingError(
                f"fit needs at least two classes, but {len(answers)} clips have the labels "
                f"{np.unique(answers).tolist()!r}"
            )
        groups = self._groups(len(matrix), corpora)
        self._standardiser = Standardiser("corpus").fit(matrix, groups)
        self._machine = SVC(C=self.C, kernel="rbf", gamma="scale", class_weight="balanced")
        self._machine.fit(self._standardiser(matrix, groups), answers)
        return self

    def predict(self, features: ArrayLike, corpora: ArrayLike | None = None) -> NDArray[Any]:
        """Answer for clips without labels.

        Args:
            features: Shape (n, features), finite.
            corpora: The corpus of each clip, shape (n,), as in :meth:`fit`.

        Returns:
            One label a clip, shape (n,).

        Raises:
            EvaluationError: Features of the wrong shape or not finite, not one corpus a clip, or
                only one clip of a new corpus, which cannot be standardised by itself.
            TrainingError: Called before :meth:`fit`.
            ValueError: ``corpora`` is needed and not given.
        """
        if not hasattr(self, "_machine"):
            raise TrainingError("predict needs a trained machine: call fit first")
        matrix = finite_matrix(features)
        if matrix.shape[1] != self._machine.n_features_in_:
            raise EvaluationError(
                f"features have {matrix.shape[1]} columns, but the machine was trained on "
                f"{self._machine.n_features_in_}: extract them with the same view"
            )
        return np.asarray(
            self._machine.predict(self._standardiser(matrix, self._groups(len(matrix), corpora)))
        )

    def _groups(self, n: int, corpora: ArrayLike | None) -> NDArray[Any]:
        """Say which clips are standardised together."""
        if self.standardise == "train":
            return np.full(n, "training", dtype=object)
        if corpora is None:
            raise ValueError("corpora must be given for standardise='corpus', but is None")
        return np.asarray(corpora, dtype=object)
