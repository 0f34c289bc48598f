"""``lowser sweep thinned``: where the speaker's mean and self-training break, on purpose.

    lowser sweep thinned --profile open --encoder tiny.en --seeds 3

Acted corpora are balanced by design, each actor in every emotion. Here that is taken from a target,
step by step, and what a frozen encoder answers is scored each time: one emotion crowds the others
out; each speaker shows fewer moods; a speaker is heard in few clips. Settings come from sources, as
in ``lowser sweep frozen``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lowser_lib import manifest
from lowser_lib.experiments import records
from lowser_lib.experiments.engine import Run
from lowser_lib.experiments.frozen import FrozenSweep, by_speaker, crossed
from lowser_lib.experiments.records import RunRecord
from lowser_lib.experiments.rehearsal import Clips, moods_kept
from lowser_lib.experiments.speech import score

LARGEST = (0.25, 0.4, 0.55, 0.7)
"""Shares of the largest class; the three others share the rest equally."""

MOODS = (4, 2, 1)
"""Moods that a speaker shows; of all of them as many clips."""

GROUPS = (16, 8, 4, 2, 1)
"""Clips that a voice is heard in: a speaker's clips are dealt out to as many voices as it takes."""

SHOWN = ("class", "moods", "clips")
"""What is thinned."""


class Situation(NamedTuple):
    """A target, thinned.

    Attributes:
        what: one of :data:`SHOWN`.
        degree: of :data:`LARGEST`, :data:`MOODS` or :data:`GROUPS`.
        rows: indices of the clips that are left.
        speakers: ``(len(rows),)`` whom each is said to be of.
    """

    what: str
    degree: float
    rows: NDArray[np.int64]
    speakers: NDArray[np.object_]


def situations(
    labels: NDArray[np.int64], speakers: NDArray[np.object_], seed: int
) -> Iterator[Situation]:
    """All situations of a target.

    Args:
        labels: ``(N,)`` class numbers; all classes occur.
        speakers: ``(N,)`` names.
        seed: chooses the largest class, the moods and the clips.
    """
    generator = np.random.default_rng(seed)
    number = len(manifest.EMOTIONS)
    shuffled = generator.permutation(len(labels))
    largest = seed % number
    of_class = [shuffled[labels[shuffled] == label] for label in range(number)]
    # As many clips at every degree, so that nothing else changes with it.
    total = min(
        min(len(of_class[label]) / _share(degree, label == largest) for label in range(number))
        for degree in LARGEST
    )
    for degree in LARGEST:
        counts = [int(total * _share(degree, label == largest)) for label in range(number)]
        rows = np.sort(np.concatenate([c[:n] for c, n in zip(of_class, counts, strict=True)]))
        yield Situation(SHOWN[0], degree, rows, speakers[rows])
    masks = {moods: moods_kept(labels, speakers, moods, _again(seed)) for moods in MOODS}
    fewest = {name: min((mask & (speakers == name)).sum() for mask in masks.values())
              for name in set(speakers)}  # fmt: skip
    for moods, mask in masks.items():
        rows = np.sort(
            np.concatenate(
                [
                    _evenly(shuffled[(mask & (speakers == name))[shuffled]], labels, count)
                    for name, count in sorted(fewest.items())
                ]
            )
        )
        yield Situation(SHOWN[1], moods, rows, speakers[rows])
    for size in GROUPS:
        voices = speakers.copy()
        for name in set(speakers):
            its = shuffled[(speakers == name)[shuffled]]
            voices[its] = [f"{name}/{place // size}" for place in range(len(its))]
        yield Situation(SHOWN[2], size, np.arange(len(labels)), voices)


def _share(degree: float, is_largest: bool) -> float:
    return degree if is_largest else (1 - degree) / (len(manifest.EMOTIONS) - 1)


def _again(seed: int) -> np.random.Generator:
    """The same moods first, whatever the number of moods."""
    return np.random.default_rng([seed, 1])


def _evenly(rows: NDArray[np.int64], labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """So many of a speaker's clips, of each mood alike as far as there are any."""
    turn = np.zeros(len(rows), dtype=np.int64)
    for label in np.unique(labels[rows]):
        its = labels[rows] == label
        turn[its] = np.arange(its.sum())
    return rows[np.argsort(turn, kind="stable")[:count]]


@dataclass(frozen=True, kw_only=True)
class ThinnedSweep(FrozenSweep):
    """A frozen encoder over targets that are thinned; a seed thins them otherwise.

    The targets are those of the profile with two speakers or more who are all heard in all four
    emotions, unless others are named.
    """

    kind = "thinned"

    def tested(self) -> tuple[str, ...]:
        """Codes of the targets."""
        if self.languages:
            return super().tested()
        return tuple(language for language in self.profile.targets if self._crossed(language))

    def _crossed(self, language: str) -> bool:
        table = self.speech().target(language)
        moods = table.groupby("speaker")["emotion"].nunique()
        return len(moods) > 1 and bool((moods == len(manifest.EMOTIONS)).all())

    def measure(self, runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
        """Choose on sources, learn from them, and test on each thinned target."""
        (run,) = runs
        sources, held_out, chosen, _ = self.chosen(run)
        table = self.speech().target(run.config["target"])
        target = self.clips(table).layer(chosen.layer)
        learned = Clips.joined([sources, held_out]).layer(chosen.layer)
        truth = manifest.emotion_codes(table)
        names = table["speaker"].to_numpy(dtype=object)
        results = []
        for each in situations(truth, names, run.seed):
            clips = replace(target.rows(each.rows), speakers=each.speakers)
            grid = run.settings["grid"]
            answers = crossed(learned, clips, chosen, grid, steps=("corpus", "speaker"))
            columns = {
                " ".join(key): column for key, column in answers.of.items() if key[0] != "rule"
            }
            its = truth[each.rows]
            results.append(
                {
                    "what": each.what,
                    "degree": each.degree,
                    **answers.rule[0],
                    "ran_away": {k: seen["ran_away"] for k, seen in answers.monitor.items()},
                    "scores": {name: score(its, column) for name, column in columns.items()},
                    "clips": by_speaker(table["speaker"].iloc[each.rows], its, columns),
                }
            )
        metrics = {"chosen": chosen._asdict(), "situations": results}
        return {run.stem: dict(records.plain(metrics))}

    def line(self, record: RunRecord) -> str:
        """What the rule chooses."""
        shown = (
            f"{each['what']} {each['degree']:g}: {each['step']}"
            for each in record.metrics["situations"]
        )
        return f"  the rule, {', '.join(shown)}"
