"""Take level, channel and voice back out of features, without looking at a label.

A microphone, a room or a line multiplies the spectrum, which *shifts* each band of a log-mel
spectrogram; noise and compression narrow it. Two corpora therefore differ in the mean and the
deviation of each feature before anybody has felt anything. :class:`Standardiser` takes that out of
measures and embeddings, one vector a clip, in one of the :data:`STEPS`: mean and variance
normalisation of the kind that speech recognition has long used (Viikki and Laurila 1998), by corpus
instead of by clip, because a clip's own mean holds part of what an emotion does.

A voice is a channel too, where a speaker's clips hold several emotions: the step ``speaker`` takes
it out. A speaker who is heard in one emotion alone has that emotion's mean, and loses it.
:func:`speaker_share` sees the difference without labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lowser_lib.errors import AudioError, EvaluationError, require

#: Smallest deviation that is divided by: a band above a line's cut-off hardly moves.
FLOOR = 1e-3

#: How many clips of its own a speaker needs for them to count as much as everybody's. Our choice:
#: with two clips a mean is mostly what was said, with twenty it is the voice.
PRIOR_CLIPS = 4.0

#: What :class:`Standardiser` can do to features.
STEPS = ("none", "corpus", "speaker")
#: Clips of a speaker that count as much as the corpus's mean, in the step ``speaker``. Our choice.
SPEAKER_PRIOR = 10.0
#: Share of the predicted emotion that speakers may explain before the rule leaves them in. Our
#: choice: acted corpora in which speakers show all emotions lie below .1, one in which nearly each
#: speaker shows a single one above .35, so that it could be moved far without another answer.
SHARE_LIMIT = 0.2


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of each feature over clips.

    Attributes:
        mean: ``(D,)`` float64.
        deviation: ``(D,)`` float64; 0 where a feature does not vary.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def of(cls, features: ArrayLike) -> Statistics:
        """Measure clips, ``(N, D)``."""
        matrix = np.asarray(features, dtype=np.float64)
        return cls(matrix.mean(axis=0), matrix.std(axis=0))

    @classmethod
    def average(cls, several: Sequence[Statistics]) -> Statistics:
        """What a corpus is like on average; each counts alike."""
        variances = [np.square(statistics.deviation) for statistics in several]
        means = [statistics.mean for statistics in several]
        return cls(np.mean(means, axis=0), np.sqrt(np.mean(variances, axis=0)))

    def scaled(self, differences: NDArray[np.float64]) -> NDArray[np.float64]:
        """Divide by the deviation; what does not vary becomes zero."""
        smallest = np.finfo(np.float64).eps * np.maximum(np.abs(self.mean), 1e-12)
        varies = self.deviation > 10 * smallest
        return differences * np.where(varies, 1 / np.where(varies, self.deviation, 1.0), 0.0)


class Standardiser:
    """A named step that needs no label, done to all clips alike, of sources and of a target.

    * ``none``: features stay as they are.
    * ``corpus``: less their corpus's mean, over its deviation.
    * ``speaker``: less their speaker's mean, shrunk towards the corpus's, over the corpus's
      deviation. Of a speaker with n clips the mean counts n / (n + prior).

    A corpus that was measured keeps what was measured. A new one is measured by the clips at hand,
    which should be all of it; a clip of no corpus (``""``) gets the average of the measured ones.
    A clip of an unknown speaker (``""``) gets its corpus's mean.

    Attributes:
        step: one of :data:`STEPS`.
        prior: clips of a speaker that count as much as the corpus.
        corpora: statistics by corpus.
    """

    def __init__(
        self,
        step: str = "corpus",
        prior: float = SPEAKER_PRIOR,
        corpora: Mapping[str, Statistics] | None = None,
    ) -> None:
        """Choose a step.

        Args:
            step: one of :data:`STEPS`.
            prior: at least 0.
            corpora: statistics that were measured before; None: none yet.

        Raises:
            ValueError: there is no such step, or ``prior`` is negative.
        """
        require(STEPS, step=step)
        require("[0, inf]", prior=prior)
        self.step, self.prior, self.corpora = step, prior, dict(corpora or {})

    def fit(self, features: ArrayLike, corpora: ArrayLike) -> Self:
        """Measure corpora by their clips; what was measured of them before is replaced.

        Args:
            features: ``(N, D)``, finite.
            corpora: ``(N,)`` names.

        Returns:
            The standardiser itself.

        Raises:
            EvaluationError: features and names do not go together, or a corpus has a single clip.
        """
        matrix, names = finite_matrix(features), _names(corpora, len(np.asarray(features)))
        if self.step != "none":
            self.corpora |= {name: _measured(matrix[names == name], name) for name in set(names)}
        return self

    def __call__(
        self, features: ArrayLike, corpora: ArrayLike, speakers: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Standardise clips.

        Args:
            features: ``(N, D)``, finite.
            corpora: ``(N,)`` names; ``""`` of no corpus.
            speakers: ``(N,)`` names; ``""`` where unknown. Needed for, and looked at in, the step
                ``speaker`` alone. Their means are taken over these clips.

        Returns:
            ``(N, D)`` float64.

        Raises:
            EvaluationError: as :meth:`fit`; or nothing was measured that a clip of no corpus could
                be given.
            ValueError: ``speakers`` are needed and missing.
        """
        matrix, names = finite_matrix(features), _names(corpora, len(np.asarray(features)))
        if self.step == "none":
            return matrix
        if self.step == "speaker" and speakers is None:
            raise ValueError("speakers must be given for the step 'speaker'")
        voices = _names(speakers, len(matrix)) if self.step == "speaker" else names
        result = np.empty_like(matrix)
        for name in sorted(set(names)):
            rows = np.flatnonzero(names == name)
            statistics = self._of(matrix[rows], name)
            means = np.repeat(statistics.mean[None], len(rows), axis=0)
            if self.step == "speaker":
                for voice in set(voices[rows]) - {""}:
                    its = voices[rows] == voice
                    share = its.sum() / (its.sum() + self.prior)
                    voice_mean = matrix[rows][its].mean(axis=0)
                    means[its] = share * voice_mean + (1 - share) * statistics.mean
            result[rows] = statistics.scaled(matrix[rows] - means)
        return result

    def _of(self, matrix: NDArray[np.float64], name: str) -> Statistics:
        if name in self.corpora:
            return self.corpora[name]
        if name:
            return _measured(matrix, name)
        if not self.corpora:
            raise EvaluationError("no corpus was measured: call fit first, or name the corpus")
        return Statistics.average(list(self.corpora.values()))


def speaker_share(speakers: ArrayLike, predicted: ArrayLike) -> float:
    """How much of the predicted emotions is told by who speaks, beyond chance.

    The mutual information of speaker and answer, less what is expected where the same numbers of
    clips and of answers meet by chance (Vinh et al. 2010), as a share of the answers' entropy less
    the same. No label is looked at.

    Args:
        speakers: ``(N,)`` names; clips of unknown ones (``""``) are passed over.
        predicted: ``(N,)`` answers.

    Returns:
        About 0 where speakers show everything alike, 1 where each has one emotion of their own;
        NaN where it cannot be told: fewer than two speakers, or a single answer.
    """
    from sklearn.metrics import mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

    voices, answers = _names(speakers, len(np.asarray(predicted))), np.asarray(predicted)
    voices, answers = voices[voices != ""], answers[voices != ""]
    if len(set(voices)) < 2 or len(np.unique(answers)) < 2:
        return float("nan")
    table = contingency_matrix(voices, answers, sparse=True)
    expected = expected_mutual_information(table, len(answers))
    shares = np.unique(answers, return_counts=True)[1] / len(answers)
    most = -float((shares * np.log(shares)).sum()) - expected
    information = mutual_info_score(None, None, contingency=table) - expected
    return float(information / most) if most > 1e-12 else float("nan")


def chosen_step(share: float, limit: float = SHARE_LIMIT) -> str:
    """The rule: take speakers out where they tell little of the predicted emotion.

    Args:
        share: as of :func:`speaker_share`.
        limit: of it.

    Returns:
        ``"speaker"`` up to the limit; ``"corpus"`` above it, and where nothing can be told.
    """
    return "speaker" if share <= limit else "corpus"


def finite_matrix(features: ArrayLike) -> NDArray[np.float64]:
    """Make sure that features are a finite matrix with at least one row; float64.

    Raises:
        EvaluationError: they are not.
    """
    matrix = np.asarray(features, dtype=np.float64)
    if matrix.ndim != 2 or not matrix.size or not np.isfinite(matrix).all():
        raise EvaluationError(
            f"features must be a finite matrix (clips, features), not shape {matrix.shape} with "
            f"{int((~np.isfinite(matrix)).sum())} values that are not finite"
        )
    return matrix


def _names(names: ArrayLike | None, n: int) -> NDArray[Any]:
    given = np.asarray(names, dtype=object)
    if given.shape != (n,) or not all(isinstance(name, str) for name in given):
        missing = sum(not isinstance(name, str) for name in given.ravel())
        raise EvaluationError(
            f"corpora and speakers must name one for each of {n} clips, but have shape "
            f"{given.shape}, {missing} missing"
        )
    return given


def _measured(matrix: NDArray[np.float64], name: str) -> Statistics:
    if len(matrix) < 2:
        raise EvaluationError(
            f"one clip of corpus {name!r} cannot be standardised by itself: hand over the whole "
            "corpus at once, or standardise it by what was measured in training"
        )
    return Statistics.of(matrix)


def standardise_speakers(
    arrays: Sequence[np.ndarray],
    speakers: Sequence[str],
    reference: Sequence[bool] | np.ndarray,
    *,
    frames: bool = False,
    prior: float = PRIOR_CLIPS,
) -> list[np.ndarray]:
    """Give each speaker's features mean 0 and deviation 1, shrunk towards those of all speakers.

    Only for corpora whose speakers say everything in all emotions. A speaker who is heard in one
    emotion alone has that emotion's mean, and loses it here. Labels are not looked at, but some
    clips of each speaker are, also of those who are tested: a system that is used hears a voice for
    a while before it can do the same (Schuller et al. 2010, *Cross-corpus acoustic emotion
    recognition*, compare this with normalisation by corpus).

    Args:
        arrays: one a clip, of one shape ``(...)``; or spectrograms ``(n_mels, T)`` with
            ``frames``.
        speakers: ``(N,)``, who speaks in each clip.
        reference: ``(N,)``, true where a clip tells what all speakers are like; false for those of
            test speakers.
        frames: the last axis is time, over which statistics are taken besides.
        prior: clips of their own that count as much as everybody's, at least 0. A speaker of n
            clips has n / (n + prior) of their own mean and variance.

    Returns:
        float32 arrays of the same shapes.

    Raises:
        AudioError: there is no reference clip.
        ValueError: numbers do not agree, or ``prior`` is negative.
    """
    chosen = np.asarray(reference, dtype=bool)
    if not len(arrays) == len(speakers) == len(chosen):
        raise ValueError(
            f"there are {len(arrays)} arrays, {len(speakers)} speakers and {len(chosen)} marks; "
            "each clip needs one of each"
        )
    require("[0, inf]", prior=prior)
    if not chosen.any():
        raise AudioError("no reference clip: there is nothing to tell what speakers are like")
    rows = [np.asarray(array) if frames else np.asarray(array)[..., None] for array in arrays]
    all_mean, all_variance = _moments([row for row, mark in zip(rows, chosen, strict=True) if mark])
    by_speaker: dict[str, list[int]] = {}
    for index, speaker in enumerate(speakers):
        by_speaker.setdefault(speaker, []).append(index)
    changed_arrays: list[np.ndarray] = [np.empty(0)] * len(rows)
    for indices in by_speaker.values():
        mean, variance = _moments([rows[index] for index in indices])
        weight = len(indices) / (len(indices) + prior)
        mean = weight * mean + (1 - weight) * all_mean
        deviation = np.sqrt(weight * variance + (1 - weight) * all_variance)
        # What does not vary stays at zero, as in the encoders' own statistics.
        scale = np.where(deviation > FLOOR**2, 1 / np.maximum(deviation, FLOOR**2), 0.0)
        for index in indices:
            changed = (rows[index] - mean) * scale
            changed_arrays[index] = (changed if frames else changed[..., 0]).astype(np.float32)
    return changed_arrays


def _moments(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance over all observations, which are along the last axis; float64."""
    together = np.concatenate(rows, axis=-1).astype(np.float64)
    return together.mean(axis=-1, keepdims=True), together.var(axis=-1, keepdims=True)
