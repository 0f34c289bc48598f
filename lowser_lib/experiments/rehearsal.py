"""Settings of a frozen encoder's head, chosen on the languages that are learned from.

Each language of the sources in turn plays the target: the honest imitation of transfer, since what
serves the next language best need not be what serves the next speaker best. No target is at hand
here, so none can be looked at.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lowser_lib import manifest
from lowser_lib.experiments.speech import macro_f1
from lowser_lib.methods.frozen import Embedded, FrozenConfig, train_frozen
from lowser_lib.methods.self_training import SelfTrainingConfig, train_self_training
from lowser_lib.methods.yardsticks import EgemapsSVM
from lowser_lib.views.standardisation import chosen_step, speaker_share


@dataclass(frozen=True)
class Grid:
    """What is chosen from, all our choice; the layer is chosen from all there are.

    Attributes:
        C: of the head.
        svm: price of an error of the support vector machine, for ``egemaps`` alone.
        priors: clips of a speaker that count as much as the corpus.
        limits: share of the predicted emotions that speakers may tell, of the rule.
        shares: of each predicted class that self-training takes.
        later: C of its heads after the first.
        rounds: of self-training; not chosen.
        weight: of what it takes; not chosen.
    """

    C: tuple[float, ...] = (0.0001, 0.0003, 0.001, 0.003, 0.01)
    svm: tuple[float, ...] = (0.3, 1.0, 3.0)
    priors: tuple[float, ...] = (5.0, 10.0, 20.0)
    limits: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.4)
    shares: tuple[float, ...] = (0.3, 0.5, 0.8)
    later: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03)
    rounds: int = 5
    weight: float = 1.0


class Chosen(NamedTuple):
    """What the sources choose.

    Attributes:
        layer: number of transformer blocks, 0 for what goes into the first.
        C: of the head.
        by_layer: the best C of each layer.
        prior: see :class:`Grid`, as ``limit`` and ``share``.
        limit: of the rule.
        share: of self-training.
        later: of self-training, as C of the head.
        svm: C of the support vector machine where it is better than the head; else None.
    """

    layer: int
    C: float
    by_layer: tuple[float, ...]
    prior: float
    limit: float
    share: float
    later: float
    svm: float | None

    def settings(self, step: str, grid: Grid) -> SelfTrainingConfig:
        """Settings of a head and of self-training after a step of standardisation."""
        head = FrozenConfig(self.C, step, self.prior, self.limit)
        return SelfTrainingConfig(grid.rounds, self.share, grid.weight, self.later, frozen=head)


class Clips(NamedTuple):
    """Clips with the states of all layers.

    Attributes:
        states: ``(N, L, D)``.
        known: what else is known of them; its features are those of layer 0.
        languages: ``(N,)`` codes.
    """

    states: NDArray[np.float64]
    known: Embedded
    languages: NDArray[np.object_]

    def layer(self, number: int) -> Embedded:
        """The clips after a layer."""
        return replace(self.known, features=self.states[:, number])

    def rows(self, chosen: NDArray[Any]) -> Clips:
        """Some of the clips, by a mask or by indices."""
        return Clips(self.states[chosen], self.known.rows(chosen), self.languages[chosen])

    @classmethod
    def joined(cls, parts: Sequence[Clips]) -> Clips:
        """The clips of several parts, in their order."""
        known = [part.known for part in parts]
        labels = np.concatenate([np.asarray(each.labels) for each in known])
        features, corpora, speakers = (
            np.concatenate([getattr(each, name) for each in known])
            for name in ("features", "corpora", "speakers")
        )
        languages = np.concatenate([part.languages for part in parts])
        states = np.concatenate([part.states for part in parts])
        return cls(states, Embedded.of(features, corpora, speakers, labels), languages)


class Rehearsal(NamedTuple):
    """One language of the sources in the target's part.

    Attributes:
        name: its code.
        sources: mask of the clips that are learned from.
        target: mask of those that are scored.
    """

    name: str
    sources: NDArray[np.bool_]
    target: NDArray[np.bool_]


def rehearsals(languages: NDArray[np.object_], validation: NDArray[np.bool_]) -> list[Rehearsal]:
    """Each language of the sources in turn; of a single one, its validation speakers.

    Args:
        languages: ``(N,)`` codes of source clips.
        validation: ``(N,)``, true of validation speakers' clips.
    """
    names = sorted(set(languages))
    if len(names) == 1:
        return [Rehearsal(names[0], ~validation, validation)]
    return [Rehearsal(name, languages != name, languages == name) for name in names]


def choose(
    clips: Clips, validation: NDArray[np.bool_], grid: Grid, svm: bool = False, seed: int = 0
) -> tuple[Chosen, dict[str, Any]]:
    """Choose all settings by source clips alone, one after the other.

    Layer and C together, after the step ``corpus``; the prior, after ``speaker``; the rule's limit,
    on languages as they are and thinned to one mood a speaker, whole and by halves of the speakers;
    self-training's share, after the rule, then the C of its later heads. What is best by the mean
    of macro-F1 over :func:`rehearsals` is taken.

    Args:
        clips: labelled clips of the sources.
        validation: ``(N,)``, true of validation speakers' clips.
        grid: what is chosen from.
        svm: whether a support vector machine is tried beside the head.
        seed: of the thinning and the halves.

    Returns:
        What is chosen, and the scores that it was chosen by, for the record.
    """
    parts = []
    for part in rehearsals(clips.languages, validation):
        target = clips.rows(part.target)
        # Measured by itself even where it is a part of a source corpus.
        corpora = np.array([f"{name} (target)" for name in target.known.corpora], dtype=object)
        known = replace(target.known, corpora=corpora)
        parts.append((part.name, clips.rows(part.sources), target._replace(known=known)))

    def mean(layer: int, config: FrozenConfig) -> float:
        scores = [_plain(s.layer(layer), t.layer(layer), config) for _, s, t in parts]
        return float(np.mean(scores))

    layers = range(clips.states.shape[1])
    by_C = [[mean(layer, FrozenConfig(C, "corpus")) for C in grid.C] for layer in layers]
    best = [int(np.argmax(row)) for row in by_C]
    layer = int(np.argmax([max(row) for row in by_C]))
    C = grid.C[best[layer]]
    by_prior = [mean(layer, FrozenConfig(C, "speaker", prior)) for prior in grid.priors]
    prior = grid.priors[int(np.argmax(by_prior))]
    pairs = [(name, s.layer(layer), t.layer(layer)) for name, s, t in parts]
    shown = _moods_shown(pairs, FrozenConfig(C, "corpus", prior), seed)
    by_limit = [
        float(np.mean([place[chosen_step(place["share"], limit)] for place in shown] or [0.0]))
        for limit in grid.limits
    ]
    equal = [i for i, value in enumerate(by_limit) if value >= max(by_limit) - 1e-12]
    # The middle of equals, and the lower of two: a voice wrongly taken out costs more, on the
    # sources too, than it brings where it is rightly taken out.
    limit = grid.limits[equal[(len(equal) - 1) // 2]]
    head = FrozenConfig(C, "rule", prior, limit)

    def trained(share: float, later: float) -> float:
        config = SelfTrainingConfig(grid.rounds, share, grid.weight, later, frozen=head)
        return float(np.mean([_trained(s, t, config) for _, s, t in pairs]))

    by_share = [trained(share, grid.later[len(grid.later) // 2]) for share in grid.shares]
    share = grid.shares[int(np.argmax(by_share))]
    by_later = [trained(share, later) for later in grid.later]
    later = grid.later[int(np.argmax(by_later))]
    facts: dict[str, Any] = {
        "played the target": [name for name, _, _ in parts],
        "layer and C": by_C,
        "prior": by_prior,
        "limit": by_limit,
        "moods": shown,
        "share": by_share,
        "later": by_later,
    }
    machine = None
    if svm:
        by_svm = [
            float(np.mean([_f1(t, svm_answers(s, t, "corpus", prior, C)) for _, s, t in pairs]))
            for C in grid.svm
        ]
        facts["svm"] = by_svm
        if max(by_svm) > max(by_C[layer]):
            machine = grid.svm[int(np.argmax(by_svm))]
    by_layer = tuple(grid.C[index] for index in best)
    return Chosen(layer, C, by_layer, prior, limit, share, later, machine), facts


def _f1(clips: Embedded, answers: NDArray[Any]) -> float:
    return macro_f1(np.asarray(clips.labels), answers)


def _plain(sources: Embedded, target: Embedded, config: FrozenConfig) -> float:
    fitted = train_frozen(sources, target.unlabelled(), config)
    return _f1(target, fitted.probabilities(target).argmax(axis=1))


def _trained(sources: Embedded, target: Embedded, config: SelfTrainingConfig) -> float:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="self-training ran away")
        done = train_self_training(sources, target.unlabelled(), config, watched=False)
    return _f1(target, done.model.probabilities(target).argmax(axis=1))


def svm_answers(
    sources: Embedded, target: Embedded, step: str, prior: float, C: float
) -> NDArray[np.int64]:
    """A support vector machine's answers after a step."""
    head = train_frozen(
        sources, target.unlabelled(), FrozenConfig(standardisation=step, prior=prior)
    )
    machine = EgemapsSVM("corpus", C)
    machine.fit(head.standardised(sources), np.asarray(sources.labels), sources.corpora)
    return np.asarray(machine.predict(head.standardised(target), target.corpora), dtype=np.int64)


def _moods_shown(
    pairs: Sequence[tuple[str, Embedded, Embedded]], config: FrozenConfig, seed: int
) -> list[dict[str, Any]]:
    """What the speaker's mean gains and costs where speakers show all their moods, and one each.

    Each is heard whole and by halves of its speakers: the rule has to hold with few of them, too.
    """
    shown: list[dict[str, Any]] = []
    for name, sources, target in pairs:
        generator = np.random.default_rng(seed)
        few = moods_kept(np.asarray(target.labels), target.speakers, 1, generator)
        situations = [
            (moods, part, its.rows(chosen))
            for moods, its in (("all", target), ("one", target.rows(few)))
            for half in [halved(its, seed)]
            for part, chosen in (("whole", half | ~half), ("half", half), ("other half", ~half))
        ]
        for moods, part, its in situations:
            if len(set(its.speakers) - {""}) < 2 or len(np.unique(np.asarray(its.labels))) < 2:
                continue  # nobody can say how much a single speaker tells
            corpus = train_frozen(sources, its.unlabelled(), config)
            answers = corpus.probabilities(its).argmax(axis=1)
            share = speaker_share(its.speakers, answers)
            if np.isnan(share):
                continue
            taken_out = _plain(sources, its, replace(config, standardisation="speaker"))
            place = {"language": name, "moods": moods, "part": part, "share": share}
            shown.append(place | {"corpus": _f1(its, answers), "speaker": taken_out})
    return shown


def halved(clips: Embedded, seed: int) -> NDArray[np.bool_]:
    """Half of the speakers, drawn; where fewer than four are known, half of the clips."""
    generator = np.random.default_rng(seed)
    names = sorted(set(clips.speakers))
    if len(names) < 4:
        return np.asarray(generator.permutation(len(clips)) < len(clips) // 2)
    chosen = set(generator.permutation(names)[: len(names) // 2])
    return np.array([speaker in chosen for speaker in clips.speakers])


def moods_kept(
    labels: NDArray[np.int64],
    speakers: NDArray[np.object_],
    moods: int,
    generator: np.random.Generator,
) -> NDArray[np.bool_]:
    """Keep so many moods of each speaker, dealt out in turn so that all moods remain.

    Args:
        labels: ``(N,)`` class numbers.
        speakers: ``(N,)`` names.
        moods: at least 1.
        generator: shuffles the speakers.

    Returns:
        Mask ``(N,)``.
    """
    kept = np.zeros(len(labels), dtype=bool)
    number = len(manifest.EMOTIONS)
    for place, speaker in enumerate(generator.permutation(sorted(set(speakers)))):
        its = speakers == speaker
        turn = sorted(np.unique(labels[its]), key=lambda mood: (mood - place) % number)
        kept |= its & np.isin(labels, turn[:moods])
    return kept
