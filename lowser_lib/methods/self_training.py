"""Self-training: what a model is surest of in a language without labels, it learns as if labelled.

Scudder 1965; Lee 2013 (*Pseudo-label*). In each round the more confident half of every predicted
class of the target joins the sources, weighted so that all of it counts as much as they do, and the
head is fitted again. Taking a half of *each class* keeps an easy class from crowding the others
out. Nobody sees a label of the target; so nobody sees either when the answers drift off, but for
the signs that :class:`Round` watches.

*Transductive*: the clips that are tested are heard, unlabelled. *Inductive*: other speakers'
clips of the target are heard. The two are different claims, and :func:`train_self_training` serves
both: what is heard is what it is given.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lowser_lib.errors import TrainingError, require
from lowser_lib.methods.frozen import Embedded, Frozen, FrozenConfig, Head, fit_head, train_frozen
from lowser_lib.sampling import UNLABELLED


@dataclass(frozen=True)
class SelfTrainingConfig:
    """Settings, all our choice on source languages.

    Attributes:
        rounds: how often answers are taken and the head is fitted again, at least 0.
        share: of each predicted class that is taken, in (0, 1].
        weight: of all that is taken together, against all sources together, above 0.
        C: of the heads after the first; see :class:`~lowser_lib.methods.frozen.FrozenConfig`.
        least_agreement: with the first answers; below it, it has run away.
        most_share: of a single class; above it, where the first answers had less, it has run away.
        frozen: settings of the first head and of the standardisation.
    """

    rounds: int = 5
    share: float = 0.5
    weight: float = 1.0
    C: float = 0.01
    least_agreement: float = 0.5
    most_share: float = 0.7
    frozen: FrozenConfig = field(default_factory=FrozenConfig)

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        require("0..", rounds=self.rounds)
        require("(0, 1]", share=self.share)
        require("(0, inf)", weight=self.weight, C=self.C)
        require("[0, 1]", least_agreement=self.least_agreement, most_share=self.most_share)


class Round(NamedTuple):
    """What can be seen of a round without labels.

    Attributes:
        shares: ``(n_classes,)`` of the heard clips' answers, sum 1.
        agreement: share of heard clips answered as before the first round.
        taken: heard clips that were learned from in this round.
        confidence: mean probability of the answer, over half of the heard clips, from which a
            second head learned as the first does from all.
        held_back: the same over the other half, from which that head took nothing. Where it falls
            behind ``confidence``, the head believes what it was told, not what it hears.
    """

    shares: NDArray[np.float64]
    agreement: float
    taken: int
    confidence: float
    held_back: float


class SelfTrained(NamedTuple):
    """What self-training leaves.

    Attributes:
        model: the last head, with the standardisation.
        first: the head before the first round.
        rounds: one a round; the first entry is before any.
        ran_away: why the answers are not to be trusted; empty: nothing was seen.
    """

    model: Frozen
    first: Frozen
    rounds: list[Round]
    ran_away: str


def train_self_training(
    sources: Embedded,
    heard: Embedded,
    config: SelfTrainingConfig | None = None,
    n_classes: int = 4,
    watched: bool = True,
) -> SelfTrained:
    """Fit a head on labelled sources and on its own answers for clips of the target.

    Args:
        sources: labelled clips.
        heard: clips of the target; their labels are not read.
        config: the settings; None takes the defaults.
        n_classes: number of classes.
        watched: whether a second head is fitted, which takes nothing from half of the clips; it
            costs as much as the first. Without it ``confidence`` and ``held_back`` stay those of
            the head before the first round.

    Returns:
        Heads and what was seen of the rounds; where the answers ran away, a warning, too.

    Raises:
        TrainingError: fewer than two classes have a clip, or nothing is heard.
        EvaluationError: a corpus has a single clip.
    """
    config = config or SelfTrainingConfig()
    if not len(heard):
        raise TrainingError("no clip of the target is heard: self-training has nothing to take")
    first = train_frozen(sources, heard, config.frozen, n_classes)
    labels = np.asarray(sources.labels)
    known = first.standardised(sources)[labels != UNLABELLED]
    labels = labels[labels != UNLABELLED]
    clips = first.standardised(heard)
    half = _half(heard)
    head = watcher = first.head
    begun = head.probabilities(clips).argmax(axis=1)
    rounds = [_seen(head, watcher, clips, half, begun, 0)]
    for _ in range(config.rounds):
        taken = _surest(head.probabilities(clips), config.share)
        head = _refit(head, known, labels, clips[taken], config, n_classes)
        if watched:
            mine = half[_surest(watcher.probabilities(clips[half]), config.share)]
            watcher = _refit(watcher, known, labels, clips[mine], config, n_classes)
        rounds.append(_seen(head, watcher, clips, half, begun, len(taken)))
    ran_away = _ran_away(rounds, config)
    if ran_away:
        warnings.warn(f"self-training ran away: {ran_away}", stacklevel=2)
    return SelfTrained(first._replace(head=head), first, rounds, ran_away)


def _surest(probabilities: NDArray[np.float64], share: float) -> NDArray[np.int64]:
    """Indices of the most confident clips of each predicted class, at least one a class."""
    answers, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    taken = []
    for answer in np.unique(answers):
        its = np.flatnonzero(answers == answer)
        best = its[np.argsort(-confidence[its], kind="stable")]
        taken.append(best[: int(np.ceil(share * len(its)))])
    return np.sort(np.concatenate(taken))


def _refit(
    head: Head,
    known: NDArray[np.float64],
    labels: NDArray[np.int64],
    taken: NDArray[np.float64],
    config: SelfTrainingConfig,
    n_classes: int,
) -> Head:
    """Fit on the sources and on what the head answers for the clips that were taken."""
    answers = head.probabilities(taken).argmax(axis=1)
    each = config.weight * len(known) / len(taken)
    weights = np.concatenate([np.ones(len(known)), np.full(len(taken), each)])
    features, classes = np.concatenate([known, taken]), np.concatenate([labels, answers])
    return fit_head(features, classes, config.C, n_classes, weights)


def _half(clips: Embedded) -> NDArray[np.int64]:
    """Every second speaker's clips; of two speakers or fewer, every second clip."""
    speakers = sorted(set(clips.speakers))
    if len(speakers) > 2:
        return np.flatnonzero(np.isin(clips.speakers.astype(str), [str(s) for s in speakers[::2]]))
    return np.arange(0, len(clips), 2)


def _seen(
    head: Head,
    watcher: Head,
    clips: NDArray[np.float64],
    half: NDArray[np.int64],
    begun: NDArray[np.int64],
    taken: int,
) -> Round:
    answers = head.probabilities(clips).argmax(axis=1)
    shares = np.bincount(answers, minlength=len(head.biases)) / len(answers)
    confidence = watcher.probabilities(clips).max(axis=1)
    other = np.setdiff1d(np.arange(len(clips)), half)
    held_back = float(confidence[other].mean()) if len(other) else float("nan")
    agreement = float((answers == begun).mean())
    return Round(shares, agreement, taken, float(confidence[half].mean()), held_back)


def _ran_away(rounds: list[Round], config: SelfTrainingConfig) -> str:
    first, last = rounds[0], rounds[-1]
    if last.agreement < config.least_agreement:
        return (
            f"it agrees with its first answers on {last.agreement:.0%} of the clips; take the "
            "first head, or fewer rounds"
        )
    largest = int(last.shares.argmax())
    if last.shares[largest] > config.most_share >= first.shares.max():
        return (
            f"one class has {last.shares[largest]:.0%} of the answers, and had "
            f"{first.shares[largest]:.0%}; take the first head, or fewer rounds"
        )
    return ""
