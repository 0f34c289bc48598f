"""``lowser sweep METHOD``: a method over seeds and target languages, tested without their labels.

    lowser sweep baseline --profile fast --seeds 5 --languages ur de bn
    lowser sweep byol --profile open --protocol english

A run is a target and a seed. A method that hears nothing of the target is trained once a seed for
all of them. A training that was stopped goes on from its last epoch.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch

from lowser_lib.encoders.heads import Encoder
from lowser_lib.encoders.whisper import fingerprint
from lowser_lib.errors import ProfileError
from lowser_lib.experiments import data, paths, records, registry, speech
from lowser_lib.experiments.engine import Run, Sweep, change, names_of
from lowser_lib.experiments.preparation import folder_name
from lowser_lib.experiments.profiles import Profile
from lowser_lib.experiments.records import MATCHING, SWEEPS, RunRecord
from lowser_lib.experiments.refit import refit
from lowser_lib.experiments.registry import Method, Trained
from lowser_lib.experiments.speech import Skew, Speech, score
from lowser_lib.manifest import emotion_codes
from lowser_lib.training import classify, embed, make_fabric, match_embeddings, precision_of


@dataclass(frozen=True, kw_only=True)
class TransferSweep(Sweep):
    """A method over seeds and targets.

    Attributes:
        method: Name of a method in :data:`lowser_lib.experiments.registry.METHODS`.
        languages: ISO 639-1 codes of targets; None takes all of the profile.
        protocol: What is learned from, one of :data:`lowser_lib.experiments.speech.PROTOCOLS`; None
            takes the profile's, or ``english`` where sources or a skew say what is learned from.
        skew: How the speech is skewed; None takes it as it is.
        sources: Names of labelled corpora in the place of the profile's; None takes those.
        targets: Names of corpora to be tested on in the place of the profile's; None takes those.
        deterministic: On a CUDA GPU, train so that a run repeats exactly.
    """

    method: str
    languages: Sequence[str] | None = None
    protocol: str | None = None
    skew: Skew | None = None
    sources: Sequence[str] | None = None
    targets: Sequence[str] | None = None
    deterministic: bool = False

    def __post_init__(self) -> None:
        """Refuse what makes no sweep."""
        super().__post_init__()
        if self.protocol is None:
            named = self.sources or self.skew is not None
            protocol = "english" if named else self.profile.protocol
            object.__setattr__(self, "protocol", protocol)
        if self.targets and self.languages:
            raise ProfileError("languages and targets both name what is tested on; give one")
        if self.sources and self.protocol != "english":
            raise ProfileError(f"protocol {self.protocol} chooses the sources; name none")
        if self.skew is not None and (self.sources or self.targets):
            raise ProfileError("skewed speech has a source and a target of its own; name neither")

    @property
    def chapter(self) -> str:
        """The chapter that teaches the method."""
        return registry.get(self.method).chapter

    @property
    def usual_name(self) -> str:
        """The method's name, and what sets the speech apart."""
        return self.named(self.method)

    def named(self, method: str) -> str:
        """What the sweep of a method on this speech is called unless it is given a name."""
        usual = self.skew is not None or self.sources or self.protocol == self.profile.protocol
        parts = [] if usual else [str(self.protocol)]
        parts += [] if self.skew is None else [self.skew.suffix]
        parts += [f"from-{folder_name(name)}" for name in self.sources or ()]
        unknown = [name for name in self.targets or () if name not in self.profile.labelled]
        parts += [f"to-{folder_name(name)}" for name in unknown]
        return "-".join([method, *parts])

    @cached_property
    def asked(self) -> Profile:
        """The profile with the sources and targets asked for, one target a language."""
        profile, targets = self.profile, dict(self.profile.targets)
        if self.targets:
            targets = {_language(name, profile): name for name in dict.fromkeys(self.targets)}
            if len(targets) < len(set(self.targets)):
                raise ProfileError("two targets are of one language; give each a sweep of its own")
        sources = tuple(dict.fromkeys(self.sources or profile.sources))
        if self.targets and self.protocol == "others":
            sources = profile.labelled  # less those of the target's language
        unlabelled = {
            language: names for language, names in profile.unlabelled.items() if language in targets
        }
        return replace(profile, sources=sources, targets=targets, unlabelled=unlabelled)

    def plan(self) -> list[Run]:
        """A run a target and seed."""
        method = registry.get(self.method)
        changed = change(method.settings(self.profile), self.changes)
        # What is off stands in no record: those from before there was a choice hold.
        switches = {"deterministic": True} if self.deterministic else {}
        heard = self.speech()
        known = list(speech.BALANCED) if self.skew and not self.languages else self.asked.targets
        nothing = f"profile {self.profile.name} has no target for language"
        languages = names_of(self.languages, list(known), nothing)
        for language in languages:
            heard.tested(language)
        runs = {
            (language, seed): run_of(method, heard, language, seed, changed, switches)
            for language in languages
            for seed in range(self.seeds)
        }
        return list(runs.values())

    def speech(self) -> Speech:
        """What the method sees."""
        unlabelled = registry.get(self.method).unlabelled
        return speech.speech_of(self.asked, unlabelled, str(self.protocol), self.skew)

    def trainings(self, missing: Sequence[Run]) -> list[tuple[Run, ...]]:
        """Seed by seed; the targets of a training that serves them all go together."""
        groups: dict[Any, list[Run]] = {}
        for run in sorted(missing, key=lambda run: run.seed):
            groups.setdefault(run.folder, []).append(run)
        return [tuple(group) for group in groups.values()]

    def prepare(self, missing: Sequence[Run]) -> None:
        """Compute spectrograms."""
        heard = self.speech()
        languages = dict.fromkeys(run.language for run in missing)
        sources = dict.fromkeys(heard.sources(language) for language in languages)
        for names in sources:
            heard.clips(heard.loaded.source(names))
        for language in languages:
            heard.clips(heard.target(language))

    def measure(self, runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
        """Train once, and test on each target."""
        heard = self.speech()
        trained = registry.get(self.method).train(heard, runs[0])
        return {run.stem: measure(heard, trained, run) for run in runs}

    def forget(self, runs: Sequence[Run]) -> None:
        """Delete what the training would have gone on from."""
        for state in runs[0].folder.glob("*.pt"):
            if not state.name.startswith("encoder-"):  # adapted encoders stay, to be looked at
                state.unlink()

    def line(self, record: RunRecord) -> str:
        """Macro-F1."""
        scores = record.metrics["transfer"]
        shown = (f"{name} {scores[name]['macro_f1']:.3f}" for name in MATCHING)
        return f"  macro-F1 by matching: {', '.join(shown)}"


def _language(corpus: str, profile: Profile) -> str:
    """The language that most clips of a corpus are in."""
    for language, name in profile.targets.items():
        if name == corpus:
            return language
    return str(data.load([corpus], jobs=profile.jobs).corpus(corpus)["language"].mode()[0])


def run_of(
    method: Method,
    heard: Speech,
    language: str,
    seed: int,
    settings: Mapping[str, Any],
    switches: Mapping[str, Any] | None = None,
) -> Run:
    """A run, with everything that it follows from.

    Args:
        method: What is trained.
        heard: On what.
        language: The target's.
        seed: Of the run.
        settings: The method's, data classes by name.
        switches: What is carried out otherwise than usual, by name.

    Raises:
        ProfileError: There is no unlabelled speech of the language, and the method needs some.
    """
    profile = heard.profile
    per_language = method.per_language or heard.protocol == "others"
    learned: list[str] = [*heard.sources(language)]
    if method.unlabelled:
        if language not in profile.unlabelled:
            raise ProfileError(
                f"{method.name} needs unlabelled speech, and profile {profile.name} has none in "
                f"{language!r}, only in {', '.join(profile.unlabelled)}"
            )
        learned += profile.unlabelled[language]
    hashes = {name: heard.loaded.hashes[name] for name in learned}
    config = {
        "encoder": profile.encoder,
        "encoder_sha256": fingerprint(heard.encoder),
        "precision": precision_of(make_fabric(precision=profile.precision)),
        "max_source_clips": profile.max_source_clips,
        "max_unlabelled_clips": profile.max_unlabelled_clips if method.unlabelled else None,
        "folds": speech.FOLDS,
        "validation": speech.VALIDATION,
        "unheard": speech.UNHEARD if method.unlabelled else None,
        **heard.settings,
        **settings,
        **(switches or {}),
    }
    trained_for = language if per_language else "all"
    parts = json.dumps([method.name, trained_for, records.plain(config), hashes], sort_keys=True)
    key = f"{trained_for}-{hashlib.sha256(parts.encode()).hexdigest()[:12]}-{seed}"
    target = heard.tested(language)
    config |= {
        "method": method.name,
        "language": language,
        "max_target_clips": profile.max_target_clips,
    }
    return Run(
        stem=f"{language}-{seed}",
        seed=seed,
        settings=settings,
        config=records.plain(config),
        corpora={**hashes, target: heard.loaded.hashes[target]},
        folder=paths.home() / SWEEPS / method.name / key,
    )


def measure(heard: Speech, trained: Trained, run: Run) -> dict[str, Any]:
    """Test a classifier on a target, and on the speakers of the sources that are held out.

    Returns:
        A record's measurements: ``transfer`` (by matching: accuracy, macro_f1, uar), ``held_out``
        (the same three), ``validation`` and ``epoch``, ``clips`` (truth and answers by speaker, a
        digit a clip), ``genders`` (by speaker), the method's own facts, and ``refit`` (by encoder,
        see :func:`.refit.refit`) where the profile asks for it.
    """
    fabric = make_fabric(precision=heard.profile.precision)
    model, history = trained.model, trained.history
    train, _, held_out = heard.learned(run.seed, run.language)

    def embedded(table: pd.DataFrame, encoder: Encoder = model.encoder) -> torch.Tensor:
        return embed(encoder, heard.clips(table), fabric=fabric)

    def answers(embeddings: torch.Tensor) -> np.ndarray:
        return np.asarray(classify(model, embeddings, fabric).argmax(axis=1))

    target = heard.target(run.language)
    known, plain = embedded(train), embedded(target)
    columns = {
        "truth": emotion_codes(target),
        "none": answers(plain),
        "embeddings": answers(match_embeddings(plain, known)),
    }
    by_speaker = {
        str(speaker): {name: "".join(map(str, column[rows])) for name, column in columns.items()}
        for speaker, rows in target.groupby("speaker").indices.items()
    }
    metrics = {
        "transfer": {name: score(columns["truth"], columns[name]) for name in MATCHING},
        "held_out": score(emotion_codes(held_out), answers(embedded(held_out))),
        "validation": max(history["score"]),
        "epoch": history.best_epoch,
        **trained.facts,
        "clips": by_speaker,
        "genders": dict(zip(target["speaker"], target["gender"], strict=True)),
    }
    if heard.profile.refit:
        pairs = {"fine-tuned": (known, plain)} | {
            name: (embedded(train, placed), embedded(target, placed))
            for name, encoder in trained.encoders.items()
            for placed in [copy.deepcopy(encoder).to(fabric.device)]
        }
        metrics["refit"] = {
            name: refit((learned, train), (tested, target), run.seed)
            for name, (learned, tested) in pairs.items()
        }
    return dict(records.plain(metrics))
