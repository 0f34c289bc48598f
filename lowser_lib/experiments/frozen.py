"""``lowser sweep frozen``: what a frozen encoder hears in a language without labels.

    lowser sweep frozen --profile open --encoder tiny.en --seeds 5
    lowser sweep frozen --profile open --encoder egemaps --protocol english

A run is a target and a seed. Clips are averaged states of a frozen encoder (``tiny.en``, ``base``,
``nano``, a file, or ``random``: tiny.en's shape, never trained) or the 88 measures ``egemaps``.
Standardisation, step by step, is crossed with self-training. Everything that has to be chosen is
chosen on the *sources*: each of their languages in turn plays the target. The target's labels are
read once, to score answers that are there already.

    lowser sweep thinned --profile open --encoder tiny.en --seeds 3

shows where the speaker's mean and self-training break, on purpose. Acted corpora are balanced by
design, each actor in every emotion. That is taken from a target, step by step: one emotion crowds
the others out; each speaker shows fewer moods; a speaker is heard in few clips.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lowser_lib import manifest
from lowser_lib.encoders import EncoderDimensions, WhisperEncoder
from lowser_lib.experiments import paths, records, speech
from lowser_lib.experiments.engine import Run, Sweep, change, names_of
from lowser_lib.experiments.features import make_view
from lowser_lib.experiments.profiles import Profile
from lowser_lib.experiments.records import RunRecord
from lowser_lib.experiments.rehearsal import (
    Chosen,
    Clips,
    Grid,
    choose,
    halved,
    moods_kept,
    svm_answers,
)
from lowser_lib.experiments.speech import Speech, score
from lowser_lib.methods.frozen import Embedded, Frozen, FrozenConfig, train_frozen
from lowser_lib.methods.self_training import train_self_training
from lowser_lib.views import View
from lowser_lib.views.cache import extract_all
from lowser_lib.views.standardisation import STEPS, chosen_step, speaker_share
from lowser_lib.views.whisper import WhisperView

FORMS = ("plain", "transductive", "inductive")
"""Without self-training; with it on the clips that are tested; with it on the other half of the
target's speakers, the halves exchanged, so that all are tested."""

RANDOM = EncoderDimensions(80, 1500, 384, 6, 4)
"""The shape of tiny.en, for weights that were never trained."""

EGEMAPS = "egemaps"


# --- answers for a target, whose labels nobody reads ----------------------------------------------


class Answers(NamedTuple):
    """All answers for one target.

    Attributes:
        of: step and form to class numbers ``(N,)``; ``rule`` is among the steps.
        rule: what the rule saw and chose: of all clips, and of each half of the speakers.
        monitor: of self-training on all clips, by step.
    """

    of: dict[tuple[str, str], NDArray[np.int64]]
    rule: list[dict[str, Any]]
    monitor: dict[str, dict[str, Any]]


def crossed(
    sources: Embedded,
    target: Embedded,
    chosen: Chosen,
    grid: Grid,
    half: NDArray[np.bool_] | None = None,
    steps: Sequence[str] = STEPS,
) -> Answers:
    """Answer with every step of standardisation, with and without self-training.

    Args:
        sources: labelled clips.
        target: clips to be answered for; labels are taken off before anything else.
        chosen: settings.
        grid: settings that are not chosen.
        half: ``(N,)`` of the target: who is heard first, and tested second; None leaves the form
            ``inductive`` out.
        steps: ``corpus`` and ``speaker`` among them: the rule is one of these.
    """
    target = target.unlabelled()
    of: dict[tuple[str, str], NDArray[np.int64]] = {}
    monitor: dict[str, dict[str, Any]] = {}
    inductive = np.zeros((len(steps) + 1, len(target)), dtype=np.int64)
    rule = []
    halves = [] if half is None else [half, ~half]
    for heard in [np.ones(len(target), dtype=bool), *halves]:
        first = {}
        for number, step in enumerate(steps):
            with warnings.catch_warnings():
                # The monitor is recorded, what it says included.
                warnings.filterwarnings("ignore", message="self-training ran away")
                done = train_self_training(
                    sources,
                    target.rows(heard),
                    chosen.settings(step, grid),
                    watched=bool(heard.all()),
                )
            first[step] = done.first.probabilities(target.rows(heard)).argmax(axis=1)
            if heard.all():
                of[step, "plain"] = first[step]
                of[step, "transductive"] = done.model.probabilities(target).argmax(axis=1)
                rounds = [seen._asdict() for seen in done.rounds]
                monitor[step] = {"rounds": [rounds[0], rounds[-1]], "ran_away": done.ran_away}
            else:
                rest = done.model.probabilities(target.rows(~heard))
                inductive[number, ~heard] = rest.argmax(axis=1)
        share = speaker_share(target.speakers[heard], first["corpus"])
        step = chosen_step(share, chosen.limit)
        rule.append({"heard": int(heard.sum()), "share": share, "step": step})
        if heard.all():
            of |= {("rule", form): of[step, form] for form in FORMS[:2]}
            monitor["rule"] = {"step": step, "ran_away": monitor[step]["ran_away"]}
        else:
            inductive[-1, ~heard] = inductive[list(steps).index(step), ~heard]
    if halves:
        of |= {(step, FORMS[2]): inductive[i] for i, step in enumerate([*steps, "rule"])}
    return Answers(of, rule, monitor)


# --- the sweep ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class FrozenSweep(Sweep):
    """A frozen encoder over targets and seeds; a seed holds other source speakers out.

    Attributes:
        encoder: ``random``, ``egemaps``, or what an encoder is loaded by; None takes the profile's.
        languages: Codes of targets; None takes all of the profile, and English where English is no
            source: with the protocol ``others`` its first source is a target, too.
        protocol: One of :data:`lowser_lib.experiments.speech.PROTOCOLS`.
    """

    encoder: str | None = None
    languages: Sequence[str] | None = None
    protocol: str = "others"

    kind = "frozen"
    chapter = "05"
    device = "cpu"

    @property
    def usual_name(self) -> str:
        """What is swept, the protocol where it is not ``others``, and the encoder."""
        encoder = (self.encoder or self.profile.encoder).rsplit("/", 1)[-1].lower()
        name = "-".join("".join(c if c.isalnum() else " " for c in encoder).split())
        return "-".join([self.kind, *([] if self.protocol == "others" else [self.protocol]), name])

    @cached_property
    def asked(self) -> Profile:
        """The profile, with English among the targets of the protocol ``others``."""
        if self.protocol != "others":
            return self.profile
        return replace(
            self.profile, targets={**self.profile.targets, "en": self.profile.sources[0]}
        )

    def speech(self) -> Speech:
        """What is learned from and tested on."""
        return speech.speech_of(self.asked, False, self.protocol, None)

    def view(self) -> View:
        """What clips are heard through."""
        return view_of(self.encoder or self.profile.encoder)

    def tested(self) -> tuple[str, ...]:
        """Codes of the targets."""
        nothing = f"profile {self.profile.name} has no target for language"
        return names_of(self.languages, list(self.asked.targets), nothing)

    def plan(self) -> list[Run]:
        """A run a target and seed."""
        heard, view = self.speech(), self.view()
        settings = change({"grid": Grid()}, self.changes)
        runs = []
        for language in self.tested():
            names = (*heard.sources(language), heard.tested(language))
            config = {
                "kind": self.kind,
                "target": language,
                "encoder": self.encoder or self.profile.encoder,
                "view": dict(view.settings),
                "protocol": self.protocol,
                "max_source_clips": self.profile.max_source_clips,
                "max_target_clips": self.profile.max_target_clips,
                "folds": speech.FOLDS,
                "validation": speech.VALIDATION,
                "learned": "all source speakers",
                **settings,
            }
            hashes = {name: heard.loaded.hashes[name] for name in names}
            runs += [
                Run(f"{language}-{seed}", seed, settings, records.plain(config), hashes)
                for seed in range(self.seeds)
            ]
        return runs

    def prepare(self, missing: Sequence[Run]) -> None:
        """Compute embeddings."""
        heard = self.speech()
        for language in dict.fromkeys(run.config["target"] for run in missing):
            self.clips(heard.loaded.source(heard.sources(language)))
            self.clips(heard.target(language))

    def clips(self, table: pd.DataFrame) -> Clips:
        """The clips of a manifest through the view."""
        roots, jobs = self.speech().loaded.roots, self.profile.jobs
        arrays = extract_all(self.view(), table, roots, paths.features(), jobs=jobs)
        states = np.stack(arrays).astype(np.float64)
        states = states.reshape(len(table), -1, states.shape[-1])
        languages = table["language"].to_numpy(dtype=object)
        return Clips(states, Embedded.of_manifest(states[:, 0], table), languages)

    def chosen(self, run: Run) -> tuple[Clips, Clips, Chosen, dict[str, Any]]:
        """Source clips to choose by and held out, what is chosen, and by what scores."""
        parts = self.speech().split(run.seed, run.config["target"])
        train, validation, held_out = (self.clips(part) for part in parts)
        sources = Clips.joined([train, validation])
        mask = np.arange(len(sources.languages)) >= len(train.languages)
        svm = run.config["encoder"] == EGEMAPS
        return sources, held_out, *choose(sources, mask, run.settings["grid"], svm, run.seed)

    def measure(self, runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
        """Choose on sources, learn from them, and test."""
        (run,) = runs
        sources, held_out, chosen, choice = self.chosen(run)
        table = self.speech().target(run.config["target"])
        clips = self.clips(table)
        target, grid = clips.layer(chosen.layer), run.settings["grid"]
        known = train_frozen(
            sources.layer(chosen.layer), None, chosen.settings("corpus", grid).frozen
        )
        # What is chosen is learned with by all: who was held out has no part in the target.
        everybody = Clips.joined([sources, held_out])
        learned = everybody.layer(chosen.layer)
        # Measures in Hz beside others in dB are nothing that a head could weigh as they are.
        steps = STEPS[1:] if run.config["encoder"] == EGEMAPS else STEPS
        answers = crossed(learned, target, chosen, grid, halved(target, run.seed), steps)
        columns = {" ".join(key): column for key, column in answers.of.items()}
        for step in STEPS[1:]:
            for layer, C in enumerate(chosen.by_layer):
                config = FrozenConfig(C, step, chosen.prior)
                head = train_frozen(everybody.layer(layer), clips.layer(layer).unlabelled(), config)
                its = head.probabilities(clips.layer(layer)).argmax(axis=1)
                columns[f"{step} layer {layer}"] = its
            if run.config["encoder"] == EGEMAPS:
                C = chosen.svm or grid.svm[int(np.argmax(choice["svm"]))]
                columns[f"{step} svm"] = svm_answers(learned, target, step, chosen.prior, C)
        truth = manifest.emotion_codes(table)
        metrics = {
            "scores": {name: score(truth, column) for name, column in columns.items()},
            "rule": answers.rule,
            "monitor": answers.monitor,
            "chosen": chosen._asdict(),
            "choice": choice,
            "held_out": _held_out(known, held_out.layer(chosen.layer)),
            "learned from": {"clips": len(learned), "speakers": len(set(learned.speakers))},
            "clips": by_speaker(table["speaker"], truth, columns),
            "genders": dict(zip(table["speaker"], table["gender"], strict=True)),
        }
        return {run.stem: dict(records.plain(metrics))}

    def line(self, record: RunRecord) -> str:
        """Macro-F1 of the recipe that the rule chooses."""
        scores = record.metrics["scores"]
        shown = (f"{form} {scores[f'rule {form}']['macro_f1']:.3f}" for form in FORMS)
        return f"  macro-F1 after the rule: {', '.join(shown)}"


def _held_out(fitted: Frozen, clips: Embedded) -> dict[str, float] | None:
    """The score on source speakers who are held out, where there are any."""
    if not len(clips):
        return None
    return score(np.asarray(clips.labels), fitted.probabilities(clips).argmax(axis=1))


def by_speaker(
    speakers: pd.Series, truth: NDArray[Any], columns: Mapping[str, NDArray[Any]]
) -> dict[str, dict[str, str]]:
    """Truth and answers by speaker, a digit a clip."""
    everything, names = {"truth": truth, **columns}, speakers.to_numpy(dtype=str)
    return {
        speaker: {
            name: "".join(map(str, column[names == speaker])) for name, column in everything.items()
        }
        for speaker in sorted(set(names))
    }


@cache
def view_of(encoder: str) -> View:
    """What clips are heard through: all layers of an encoder, averaged over time, or measures.

    Args:
        encoder: See :class:`FrozenSweep`.

    Raises:
        CheckpointError: There is no such encoder.
    """
    if encoder == EGEMAPS:
        return make_view(EGEMAPS)
    if encoder == "random":
        model = WhisperEncoder.random(RANDOM, 0)
    else:
        model = WhisperEncoder.load(encoder, download_root=paths.checkpoints())
    return WhisperView(model.eval(), "mix", pooled=True)


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
