"""What features know: a linear classifier on features that stay as they are, a *probe*.

Whatever a probe finds on clips of people or sentences that it has not heard was in the features,
within a linear classifier's reach (Alain and Bengio 2017, *Understanding Intermediate Layers Using
Linear Classifier Probes*). What it does not find may still be there, in another form. And that a
probe finds something does not say that a model makes use of it (Belinkov 2022, *Probing
Classifiers: Promises, Shortcomings, and Advances*).

A probe is compared with itself on labels that were dealt at random: what luck and the procedure
score. This is not the control of Hewitt and Liang 2019 (*Designing and Interpreting Probes with
Control Tasks*), who give each word a random label, always the same, which a probe can learn by
heart and carry to the test; the score above that is what they call *selectivity*.

How well embeddings tell speakers apart is asked of neighbours: is the nearest other clip the same
speaker's? A nearest neighbour needs no training, so the figure is that of the embeddings alone. Two
clips of one session share a microphone and a room, and two of one sentence its words; either may
put them side by side whoever speaks. So a clip's neighbour is looked for among the clips of *other*
groups, sessions or sentences, alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lowser_lib.errors import EvaluationError, require
from lowser_lib.evaluation.metrics import classification_metrics

#: Parts that clips are dealt into at most; each is held out once.
FOLDS = 5


#: Our choice: scikit-learn's default strength of the penalty, for every view and question alike.
#: Tuning it by view would ask each view a question of its own.
PENALTY = 1.0


@dataclass(frozen=True)
class Probe:
    """What a probe found.

    Attributes:
        score: Unweighted average recall on held-out clips, in [0, 1]; each clip is held out once.
        chance: The score of any answer that is always the same, the majority's among them: one
            part in as many as there are classes.
        control: Mean score on labels dealt at random; nan where none were dealt.
        n_clips: Clips.
        n_classes: Classes.
        n_groups: Groups that were held out as wholes.
    """

    score: float
    chance: float
    control: float
    n_clips: int
    n_classes: int
    n_groups: int


def probe(
    features: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike,
    *,
    n_folds: int = FOLDS,
    controls: int = 0,
    seed: int = 0,
) -> Probe:
    """Ask features a question, with a linear classifier tested on groups it has not heard.

    Logistic regression with a quadratic penalty on standardised features. Mean and deviation are
    those of the training clips.

    Args:
        features: Shape (n, d), finite; one clip a row. Nothing is learned about them beforehand.
        labels: The answer for each clip, shape (n,).
        groups: What must be new in a test, shape (n,): speakers, or sentences where the question
            is who speaks.
        n_folds: Parts to hold out in turn, at least 2; fewer where there are fewer groups.
        controls: How many times the same is done on :func:`control_labels`.
        seed: Of folds and of control labels.

    Returns:
        The result.

    Raises:
        EvaluationError: Shapes do not agree, a value is missing or not finite, there are fewer than
            two classes or groups, or a class is in one fold alone.
        ValueError: ``n_folds`` is below 2 or ``controls`` is negative.
    """
    require("0..", controls=controls)
    fold = probe_folds(labels, groups, n_folds, seed)
    names, truth = np.unique(np.asarray(labels).astype(str), return_inverse=True)
    generator = np.random.default_rng(seed)
    dealt = [control_labels(truth, groups, generator) for _ in range(controls)]

    def score(answers: NDArray[Any]) -> float:
        answered = probe_answers(features, answers, fold)
        return classification_metrics(answers, answered, range(len(names)))["uar"]

    return Probe(
        score=score(truth),
        chance=1 / len(names),
        control=float(np.mean([score(answers) for answers in dealt])) if dealt else float("nan"),
        n_clips=len(truth),
        n_classes=len(names),
        n_groups=len(np.unique(np.asarray(groups).astype(str))),
    )


def interview(
    features: Mapping[str, ArrayLike],
    questions: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    controls: int = 0,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, float]]:
    """Ask several kinds of features several questions, as :func:`probe` asks one.

    Args:
        features: By name, each of shape (n, d).
        questions: By name: labels and groups.
        controls: As for :func:`probe`.
        seed: Likewise.

    Returns:
        Scores and scores on control labels, each a row a kind and a column a question; and what
        guessing scores, by question.
    """
    answers = pd.DataFrame({
        name: {question: probe(array, *pair, controls=controls, seed=seed)
               for question, pair in questions.items()}
        for name, array in features.items()
    }).T  # fmt: skip
    score, control, chance = (
        answers.map(lambda answer, figure=figure: getattr(answer, figure)).astype(float)
        for figure in ("score", "control", "chance")
    )
    return score, control, {str(name): float(value) for name, value in chance.iloc[0].items()}


def probe_folds(
    labels: ArrayLike, groups: ArrayLike, n_folds: int = FOLDS, seed: int = 0
) -> NDArray[np.int64]:
    """Deal clips into folds, whole groups at a time, with classes as even as that allows.

    Args:
        labels: Shape (n,).
        groups: Shape (n,); all clips of a group come into the same fold.
        n_folds: Number of folds, at least 2; fewer where there are fewer groups.
        seed: Another seed gives other folds.

    Returns:
        The fold of each clip, from 0, shape (n,).

    Raises:
        EvaluationError: Shapes do not agree, a value is missing, there are fewer than two classes
            or groups, or a class is in one fold alone, so that it is never heard when asked for.
        ValueError: ``n_folds`` is below 2.
    """
    require("2..", n_folds=n_folds)
    answers, kept = _column(labels, "labels"), _column(groups, "groups")
    if len(answers) != len(kept):
        raise EvaluationError(f"{len(answers)} labels and {len(kept)} groups: give one of each")
    for values, what in ((answers, "class"), (kept, "group")):
        if len(np.unique(values)) < 2:
            raise EvaluationError(
                f"there is one {what} alone, {str(values[0])!r}: nothing to tell apart"
            )
    n_parts = min(n_folds, len(np.unique(kept)), int(pd.Series(answers).value_counts().max()))
    cut = StratifiedGroupKFold(max(n_parts, 2), shuffle=True, random_state=seed)
    fold = np.zeros(len(answers), dtype=np.int64)
    for number, (_, held_out) in enumerate(cut.split(answers, answers, kept)):
        fold[held_out] = number
    in_folds = pd.Series(fold).groupby(answers).nunique()
    if (lone := in_folds[in_folds < 2]).size:
        raise EvaluationError(
            f"all clips of {len(lone)} classes (first: {lone.index[0]!r}) are held out together, "
            "so that no training ever hears them: leave these classes out, or take smaller groups"
        )
    return fold


def probe_answers(features: ArrayLike, labels: ArrayLike, folds: ArrayLike) -> NDArray[Any]:
    """Answer for each clip by a probe that was trained on the other folds.

    Args:
        features: Shape (n, d), finite.
        labels: Shape (n,).
        folds: The fold of each clip, shape (n,).

    Returns:
        Answers of shape (n,), of the labels' kind.

    Raises:
        EvaluationError: Shapes do not agree, or a value is not finite.
    """
    matrix = np.asarray(features, dtype=np.float64)
    truth, fold = np.asarray(labels), np.asarray(folds)
    if matrix.ndim != 2 or not truth.shape == fold.shape == matrix.shape[:1]:
        raise EvaluationError(
            f"features of shape {matrix.shape}, labels of {truth.shape} and folds of {fold.shape} "
            "do not belong together: give (clips, dimension), (clips,) and (clips,)"
        )
    if not np.isfinite(matrix).all():
        raise EvaluationError(
            f"features: {int((~np.isfinite(matrix)).any(axis=1).sum())} of {len(matrix)} clips "
            "have values that are not finite"
        )
    answers = truth.copy()
    with threadpool_limits(1):  # sums of several threads are rounded otherwise
        for number in np.unique(fold):
            held_out = fold == number
            classifier = make_pipeline(
                StandardScaler(), LogisticRegression(C=PENALTY, max_iter=1000)
            )
            classifier.fit(matrix[~held_out], truth[~held_out])
            answers[held_out] = classifier.predict(matrix[held_out])
    return answers


def control_labels(
    labels: ArrayLike, groups: ArrayLike, generator: np.random.Generator
) -> NDArray[Any]:
    """Deal labels anew, so that they mean nothing and are shaped as before.

    Within each group its own labels are dealt among its clips: a speaker keeps as many angry clips.
    Where every group has one label alone, as every speaker has one gender, groups are dealt labels
    as wholes; dealing them to clips would make the question another one.

    Args:
        labels: Shape (n,).
        groups: Shape (n,).
        generator: Deals.

    Returns:
        Labels of shape (n,), of the same kind.
    """
    answers, kept = np.asarray(labels), np.asarray(groups).astype(str)
    names, first, member = np.unique(kept, return_index=True, return_inverse=True)
    if (answers == answers[first][member]).all():
        return answers[generator.permutation(first)][member]
    dealt = answers.copy()
    for number in range(len(names)):
        rows = np.flatnonzero(member == number)
        dealt[rows] = answers[generator.permutation(rows)]
    return dealt


def _column(values: ArrayLike, name: str) -> NDArray[Any]:
    """Values as words, none of them missing."""
    column = np.asarray(values, dtype=object)
    if column.ndim != 1 or not column.size or pd.isna(column).any():
        missing = int(pd.isna(column).sum())
        raise EvaluationError(
            f"{name} must be one value a clip, not of shape {column.shape} with {missing} missing"
        )
    return column.astype(str)


#: Clips whose similarities to all others are in memory at once.
BLOCK = 1024


#: Similarities closer than this are equal: rounding decides nothing.
TIE = 1e-9


@dataclass(frozen=True)
class Identifiability:
    """How often the nearest clip of another group is the same speaker's.

    Attributes:
        accuracy: Share of the clips judged, in [0, 1].
        chance: The same for a neighbour drawn at random from the same candidates.
        n_clips: Clips judged.
        n_speakers: Their speakers.
        left_out: Clips that cannot be judged: their speaker has no clip in another group.
        by_speaker: The share of each speaker's clips judged, to draw speakers again.
    """

    accuracy: float
    chance: float
    n_clips: int
    n_speakers: int
    left_out: int
    by_speaker: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.accuracy:.2f} (chance {self.chance:.2f}, {self.n_clips} clips)"


def speaker_identifiability(
    embeddings: ArrayLike, speakers: ArrayLike, groups: ArrayLike | Sequence[object] | None = None
) -> Identifiability:
    """Accuracy of telling the speaker by the nearest neighbour, by cosine similarity.

    Where several clips are equally near, each counts for its share: embeddings that are all the
    same score exactly what chance does. A zero vector is equally near to all.

    Args:
        embeddings: Shape (n, d), finite; one clip a row.
        speakers: Who speaks each clip, shape (n,).
        groups: Session or sentence of each clip, shape (n,): neighbours come from other groups. A
            clip without one (None, NaN) is a group by itself. None: every clip is.

    Returns:
        The result, over the clips that have a clip of the same speaker among their candidates.
        Those that have none, and would be wrong whatever the embedding, are counted apart.

    Raises:
        EvaluationError: Shapes do not agree, a speaker is missing, a value is not finite, or no
            clip can be judged.
    """
    vectors = np.asarray(embeddings, dtype=np.float64)
    if vectors.ndim != 2 or not vectors.size or not np.isfinite(vectors).all():
        raise EvaluationError(
            f"embeddings must be finite and of shape (clips, dimension), not of {vectors.shape} "
            f"with {int((~np.isfinite(vectors)).sum())} values that are not finite"
        )
    speaker = _codes(speakers, len(vectors), "speakers")
    if (speaker < 0).any():
        raise EvaluationError(
            f"speakers: {int((speaker < 0).sum())} of {len(speaker)} clips have none; leave them "
            "out"
        )
    group = np.full(len(vectors), -1) if groups is None else _codes(groups, len(vectors), "groups")
    alone = group < 0
    group = np.where(alone, group.max() + 1 + np.cumsum(alone), group)

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    parts = [
        _judge(directions, speaker, group, slice(start, start + BLOCK))
        for start in range(0, len(vectors), BLOCK)
    ]
    right, chance = (np.concatenate(values) for values in zip(*parts, strict=True))
    judged = chance > 0
    each = pd.Series(right[judged]).groupby(np.asarray(speakers, dtype=object)[judged]).mean()
    if not judged.any():
        raise EvaluationError(
            "no speaker has clips in two groups: there is nothing to compare; leave groups out, or "
            "take clips of several sessions or sentences"
        )
    return Identifiability(
        accuracy=float(right[judged].mean()),
        chance=float(chance[judged].mean()),
        n_clips=int(judged.sum()),
        n_speakers=len(np.unique(speaker[judged])),
        left_out=int((~judged).sum()),
        by_speaker={str(name): float(share) for name, share in each.items()},
    )


def _judge(
    directions: NDArray[np.float64],
    speaker: NDArray[np.int64],
    group: NDArray[np.int64],
    rows: slice,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each clip of a block: the share of its nearest, and of its candidates, that are right."""
    candidate = group[rows, None] != group
    same = (speaker[rows, None] == speaker) & candidate
    similarity = np.where(candidate, directions[rows] @ directions.T, -np.inf)
    nearest = candidate & (similarity >= similarity.max(axis=1, keepdims=True) - TIE)
    return _share(same & nearest, nearest), _share(same, candidate)


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of each row's entries; 0 where there are none."""
    return part.sum(axis=1) / np.maximum(whole.sum(axis=1), 1)


def _codes(values: ArrayLike | Sequence[object], n: int, name: str) -> NDArray[np.int64]:
    """Values as whole numbers, -1 where one is missing."""
    column = np.asarray(values, dtype=object)
    if column.shape != (n,):
        raise EvaluationError(
            f"{name} must have one value for each of {n} clips, not shape {column.shape}"
        )
    return np.asarray(pd.factorize(column)[0], dtype=np.int64)


def identifiability_table(
    embeddings: Mapping[str, Mapping[str, ArrayLike]], tables: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """How well several encoders' embeddings tell the speakers of other sentences apart.

    Args:
        embeddings: By encoder, by set of clips: ``(n, d)``.
        tables: By set of clips: its manifest.

    Returns:
        A row a set of clips, a column an encoder, and ``chance``; nan where no clip can be judged.
    """
    rows = {}
    for name, table in tables.items():
        rows[name] = dict.fromkeys([*embeddings, "chance"], float("nan"))
        for encoder, its in embeddings.items():
            try:
                told = speaker_identifiability(its[name], table["speaker"], table["text_id"])
            except EvaluationError:
                continue
            rows[name] |= {encoder: told.accuracy, "chance": told.chance}
    return pd.DataFrame.from_dict(rows, orient="index")
