"""A regularised head on embeddings that stay as they are: the recipe for few speakers.

A frozen encoder's averaged states, standardised without labels, under a logistic regression. On
people it goes further from language to language than fine-tuning does (chapter 03), takes seconds,
and has nothing to draw: the same clips give the same answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lowser_lib import manifest
from lowser_lib.corpora import EMOTIONS
from lowser_lib.errors import TrainingError, require
from lowser_lib.sampling import UNLABELLED
from lowser_lib.views.standardisation import (
    SHARE_LIMIT,
    SPEAKER_PRIOR,
    STEPS,
    Standardiser,
    chosen_step,
    finite_matrix,
    speaker_share,
)

#: Steps of the solver at most.
MOST_ITERATIONS = 1000


@dataclass(frozen=True)
class FrozenConfig:
    """Settings of the recipe.

    Attributes:
        C: price of an error against the size of the weights, above 0; the smaller, the flatter.
        standardisation: ``none``, ``corpus``, ``speaker`` (see
            :class:`~lowser_lib.views.standardisation.Standardiser`), or ``rule``: ``speaker`` where
            speakers tell little of the emotions that the step ``corpus`` predicts, else ``corpus``.
        prior: clips of a speaker that count as much as the corpus.
        limit: share of the predicted emotions that speakers may tell, of the rule.
    """

    # Chosen on sources: flat, since a few hundred clips of acted speech meet hundreds of features.
    C: float = 0.003
    standardisation: str = "rule"
    prior: float = SPEAKER_PRIOR
    limit: float = SHARE_LIMIT

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        require("(0, inf)", C=self.C)
        require((*STEPS, "rule"), standardisation=self.standardisation)
        require("[0, inf]", prior=self.prior)
        require("[0, 1]", limit=self.limit)


@dataclass(frozen=True)
class Embedded:
    """Clips as vectors, with what is known of them.

    Attributes:
        features: ``(N, D)``.
        corpora: ``(N,)`` names.
        speakers: ``(N,)`` names; ``""`` where unknown.
        labels: ``(N,)`` class numbers, :data:`~lowser_lib.sampling.UNLABELLED` where there is none;
            None: no clip has one.
    """

    features: NDArray[np.float64]
    corpora: NDArray[np.object_]
    speakers: NDArray[np.object_]
    labels: NDArray[np.int64] | None = None

    @classmethod
    def of(
        cls,
        features: ArrayLike,
        corpora: Sequence[str] | NDArray[np.object_],
        speakers: Sequence[str] | NDArray[np.object_],
        labels: ArrayLike | None = None,
    ) -> Embedded:
        """Put columns together.

        Raises:
            EvaluationError: features are no finite matrix.
            ValueError: numbers do not agree.
        """
        matrix = finite_matrix(features)
        places, voices = np.asarray(corpora, dtype=object), np.asarray(speakers, dtype=object)
        known = None if labels is None else np.asarray(labels, dtype=np.int64)
        for column in (places, voices, places if known is None else known):
            if column.shape != matrix.shape[:1]:
                raise ValueError(
                    f"{len(matrix)} clips need as many names and labels, not {column.shape}"
                )
        return cls(matrix, places, voices, known)

    @classmethod
    def of_manifest(
        cls, features: ArrayLike, table: pd.DataFrame, classes: Sequence[str] = EMOTIONS
    ) -> Embedded:
        """The clips of a manifest, whose unknown speakers are told from known ones.

        Args:
            features: ``(N, D)`` in the manifest's order.
            table: the manifest.
            classes: labels in their order; a row with another one has no label.
        """
        speakers = table["speaker"].mask(manifest.speaker_unknown(table), "").to_list()
        labels = manifest.emotion_codes(table, classes)
        return cls.of(features, table["corpus"].to_list(), speakers, labels)

    def __len__(self) -> int:
        return len(self.features)

    def rows(self, chosen: ArrayLike) -> Embedded:
        """Some of the clips, by a mask or by indices."""
        index = np.asarray(chosen)
        labels = None if self.labels is None else self.labels[index]
        return Embedded(self.features[index], self.corpora[index], self.speakers[index], labels)

    def unlabelled(self) -> Embedded:
        """The same clips without their labels."""
        return replace(self, labels=None)


@dataclass(frozen=True)
class Head:
    """A linear layer that gives the classes' probabilities.

    Attributes:
        weights: ``(n_classes, D)`` float64.
        biases: ``(n_classes,)`` float64; minus infinity of a class that was never seen.
    """

    weights: NDArray[np.float64]
    biases: NDArray[np.float64]

    def probabilities(self, features: ArrayLike) -> NDArray[np.float64]:
        """Probabilities ``(N, n_classes)`` of standardised features ``(N, D)``; rows sum to 1."""
        scores = np.asarray(features, dtype=np.float64) @ self.weights.T + self.biases
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def fit_head(
    features: ArrayLike,
    labels: ArrayLike,
    C: float,
    n_classes: int,
    weights: ArrayLike | None = None,
) -> Head:
    """Fit a logistic regression in which each class counts alike.

    Args:
        features: ``(N, D)``, standardised.
        labels: ``(N,)`` class numbers; clips without a label are passed over.
        C: see :class:`FrozenConfig`.
        n_classes: number of classes; those without a clip are never answered.
        weights: ``(N,)`` of the clips; None: all 1.

    Raises:
        TrainingError: fewer than two classes have a clip.
    """
    matrix, answers = np.asarray(features, dtype=np.float64), np.asarray(labels)
    chosen = answers != UNLABELLED
    classes = np.unique(answers[chosen])
    if len(classes) < 2:
        raise TrainingError(f"labels of {len(classes)} class(es): a head needs two to tell apart")
    counts = None if weights is None else np.asarray(weights, dtype=np.float64)[chosen]
    model = LogisticRegression(C=C, class_weight="balanced", max_iter=MOST_ITERATIONS)
    with threadpool_limits(1):  # sums of several threads are rounded otherwise
        model.fit(matrix[chosen], answers[chosen], sample_weight=counts)
    coefficients, intercepts = model.coef_, model.intercept_
    if len(classes) == 2:  # scikit-learn gives the second class's, with zeros for the first
        coefficients = np.vstack([0 * coefficients, coefficients])
        intercepts = np.concatenate([[0.0], intercepts])
    head = Head(np.zeros((n_classes, matrix.shape[1])), np.full(n_classes, -np.inf))
    head.weights[classes], head.biases[classes] = coefficients, intercepts
    return head


class Frozen(NamedTuple):
    """A head with the standardisation that belongs before it.

    Attributes:
        head: on standardised features.
        standardiser: with statistics of all corpora that were heard.
        share: of the predicted emotions that the target's speakers tell, see
            :func:`~lowser_lib.views.standardisation.speaker_share`; NaN where nobody asked.
    """

    head: Head
    standardiser: Standardiser
    share: float

    def standardised(self, clips: Embedded) -> NDArray[np.float64]:
        """Features ``(N, D)`` as the head reads them."""
        return self.standardiser(clips.features, clips.corpora, clips.speakers)

    def probabilities(self, clips: Embedded) -> NDArray[np.float64]:
        """Probabilities ``(N, n_classes)``; labels are not read."""
        return self.head.probabilities(self.standardised(clips))


def train_frozen(
    sources: Embedded,
    target: Embedded | None = None,
    config: FrozenConfig | None = None,
    n_classes: int = 4,
) -> Frozen:
    """Fit the head on labelled clips of the sources, for a target whose labels are not read.

    Args:
        sources: labelled clips.
        target: clips of the target that may be heard; None: the sources choose for themselves,
            each by the answers of a head for the other speakers' clips.
        config: the settings; None takes the defaults.
        n_classes: number of classes.

    Raises:
        TrainingError: fewer than two classes have a clip.
        EvaluationError: a corpus has a single clip.
    """
    config = config or FrozenConfig()
    if sources.labels is None:
        raise TrainingError("the sources have no labels: there is nothing to learn")
    if config.standardisation != "rule":
        return _fitted(sources, target, config.standardisation, config, n_classes)
    if target is not None:
        plain = _fitted(sources, target, "corpus", config, n_classes)
        answers = plain.probabilities(target).argmax(axis=1)
        share = speaker_share(target.speakers, answers)
    else:
        share = _share_of_sources(sources, config, n_classes)
    step = chosen_step(share, config.limit)
    return _fitted(sources, target, step, config, n_classes)._replace(share=share)


def _fitted(
    sources: Embedded, target: Embedded | None, step: str, config: FrozenConfig, n_classes: int
) -> Frozen:
    standardiser = Standardiser(step, config.prior)
    for clips in (sources, *(() if target is None else (target,))):
        standardiser.fit(clips.features, clips.corpora)
    features = standardiser(sources.features, sources.corpora, sources.speakers)
    head = fit_head(features, np.asarray(sources.labels), config.C, n_classes)
    return Frozen(head, standardiser, float("nan"))


def _share_of_sources(sources: Embedded, config: FrozenConfig, n_classes: int) -> float:
    """The largest share of a source corpus, each answered for without its own speakers' labels."""
    answers = cross_answers(sources, replace(config, standardisation="corpus"), n_classes)
    predicted = answers.argmax(axis=1)
    shares = [
        speaker_share(sources.speakers[its], predicted[its])
        for its in (sources.corpora == name for name in sorted(set(sources.corpora)))
    ]
    known = [share for share in shares if not np.isnan(share)]
    return max(known) if known else float("nan")


def cross_answers(
    clips: Embedded,
    config: FrozenConfig,
    n_classes: int = 4,
    folds: int = 5,
    strangers: bool = False,
) -> NDArray[np.float64]:
    """Answers for each clip by a head that has learned no label of its speaker.

    Args:
        clips: labelled, of at least two speakers.
        config: the settings; a rule decides anew in each fold, by the other speakers.
        n_classes: number of classes.
        folds: at most as many as there are speakers. Speakers are dealt out by their numbers of
            clips, most first, which nothing has to be drawn for.
        strangers: answer each clip as that of an unknown speaker in no known place: by what the
            corpora are like on average, whatever else the speaker says.

    Returns:
        Probabilities ``(N, n_classes)``.

    Raises:
        TrainingError: there is a single speaker, or a fold has fewer than two classes to learn.
    """
    if clips.labels is None:
        raise TrainingError("the clips have no labels: there is nothing to learn")
    names, counts = np.unique(clips.speakers.astype(str), return_counts=True)
    if len(names) < 2:
        raise TrainingError(
            f"{len(names)} speaker: a score on other speakers needs two; add a corpus"
        )
    order = np.lexsort((names, -counts))
    fold_of = {str(names[speaker]): place % folds for place, speaker in enumerate(order)}
    fold = np.array([fold_of[str(speaker)] for speaker in clips.speakers])
    answers = np.zeros((len(clips), n_classes))
    for number in np.unique(fold):
        held_out = fold == number
        learned = replace(clips, labels=np.where(held_out, UNLABELLED, clips.labels))
        # Held-out clips are heard for their corpus's statistics, their labels are not.
        if config.standardisation == "rule":
            step = chosen_step(
                _share_of_sources(clips.rows(~held_out), config, n_classes), config.limit
            )
        else:
            step = config.standardisation
        fitted = _fitted(learned, None, step, config, n_classes)
        asked = clips.rows(held_out)
        if strangers:
            nobody = np.full(len(asked), "", dtype=object)
            asked = replace(asked, corpora=nobody, speakers=nobody)
        answers[held_out] = fitted.probabilities(asked)
    return answers
