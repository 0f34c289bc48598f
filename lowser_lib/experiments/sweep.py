"""``lowser sweep``: a method over seeds and languages, one record a run.

    lowser sweep baseline --profile fast --seeds 5 --languages ur de bn
    lowser sweep speaker_contrastive --profile fast --seeds 5 --languages ur de bn

Runs go to worker processes, each with one thread. Every run that is finished leaves a record,
``results/PROFILE/sweeps/NAME/LANGUAGE-SEED.json``, and is not run again; one that was stopped goes
on from its last epoch. A record that is damaged, or comes from other settings or other speech, is
refused: nothing is overwritten, and nothing is averaged that does not belong together.
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import torch
from tqdm import tqdm

from lowser_lib import files
from lowser_lib.errors import ProfileError
from lowser_lib.experiments import paths, profiles, records, sweep_methods
from lowser_lib.experiments.profiles import Profile
from lowser_lib.experiments.records import RunRecord
from lowser_lib.experiments.skewed_speech import CORPORA, Skew, speech_of
from lowser_lib.experiments.sweep_methods import Method, Run, Speech
from lowser_lib.experiments.sweep_records import (
    FOLDER,
    MATCHING,
    Plan,
    finished,
    measure,
    new_record,
    plan_of,
    record_path,
)

_NAME = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")


@dataclass(frozen=True)
class SweepSettings:
    """What a sweep is asked to do.

    Attributes:
        method: Name of a method in :data:`lowser_lib.experiments.sweep_methods.METHODS`.
        results: Folder for records.
        profile: Name of a profile.
        seeds: How many seeds, counted from 0.
        languages: ISO 639-1 codes of targets; None takes all of the profile.
        jobs: Runs at a time; None takes the profile's number. On a GPU runs take turns.
        changes: Settings that differ from the profile's, such as
            ``{"contrastive.temperature": 0.1}``; give such a sweep a name of its own.
        skew: How the speech is skewed; None takes it as it is.
        name: Name of the sweep, and of its folder; None takes the method's, and what the skew adds.
        progress: Show a bar of trainings on stderr.
    """

    method: str
    results: Path
    profile: str = "fast"
    seeds: int = 5
    languages: Sequence[str] | None = None
    jobs: int | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    skew: Skew | None = None
    name: str | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers that make no sweep."""
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, not {self.seeds}")
        if self.jobs is not None and self.jobs < 1:
            raise ValueError(f"jobs must be at least 1, not {self.jobs}")
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise ProfileError(f"name {self.name!r} must be small letters, digits, hyphens")

    @property
    def called(self) -> str:
        """The sweep's name."""
        return self.name or self.named(self.method)

    def named(self, method: str) -> str:
        """What the sweep of a method on this speech is called unless it is given a name."""
        return method if self.skew is None else f"{method}-{self.skew.suffix}"


class Task(NamedTuple):
    """One training, and the languages it is tested on.

    Attributes:
        run: The training; its language is the first of them.
        languages: Those whose records are missing.
    """

    run: Run
    languages: tuple[str, ...]


class Tested(NamedTuple):
    """What a worker hands back: a record's measurements by language.

    Attributes:
        task: What was asked for.
        metrics: By language.
        device: What computed.
        seconds: Time that all of it took.
    """

    task: Task
    metrics: dict[str, dict[str, Any]]
    device: dict[str, Any]
    seconds: float


def run(settings: SweepSettings, say: Callable[[str], None] = tqdm.write) -> list[RunRecord]:
    """Run what is missing of a sweep.

    Args:
        settings: What to run.
        say: Takes each line of the account; prints it by default.

    Returns:
        The records of all runs asked for, by language and seed.

    Raises:
        ProfileError: The method, the profile, a language or a setting is unknown, or speech is
            missing.
        RunError: A record is damaged or of another sweep, or cannot be written.
        TrainingError: A training diverges, or has too little speech. Runs that were finished
            before stay.
    """
    method, profile = sweep_methods.get(settings.method), profiles.get(settings.profile)
    chosen = settings.languages or (list(CORPORA) if settings.skew else None)
    languages = _languages(profile, chosen)
    changed = change(method.settings(profile), settings.changes)
    speech = speech_of(profile, method.unlabelled, settings.skew)
    plans = {one: plan_of(method, speech, one, changed) for one in languages}
    place = (settings.results, profile.name, settings.called)
    done = {
        (language, seed): finished(*place, language, seed, plans[language])
        for language in languages
        for seed in range(settings.seeds)
    }
    tasks = list(_tasks(method, changed, plans, done))
    kept = sum(record is not None for record in done.values())
    if kept:
        say(f"{kept} of {len(done)} runs are finished already")

    commit = records.git_commit(Path(__file__).parent)
    for tested in _trainings(method, speech, tasks, settings):
        for language in tested.metrics:
            record = _record(settings, method, tested, language, plans[language], commit)
            files.write_json(record_path(*place, language, record.seed), asdict(record))
            done[language, record.seed] = record
            say(_line(record))
        for state in tested.task.run.folder.glob("*.pt"):
            if not state.name.startswith("encoder-"):  # adapted encoders stay, to be looked at
                state.unlink()
    return [record for record in done.values() if record is not None]


def _trainings(
    method: Method, speech: Speech, tasks: Sequence[Task], settings: SweepSettings
) -> Iterator[Tested]:
    """Train in worker processes, or in turns, and hand out each result as it comes."""
    gpu = torch.cuda.is_available()
    jobs = 1 if gpu else min(settings.jobs or speech.profile.jobs, max(1, len(tasks)))
    if jobs > 1:  # let no two workers compute the same spectrograms
        languages = dict.fromkeys(language for task in tasks for language in task.languages)
        for table in (speech.source, *map(speech.target, languages)):
            speech.clips(table)
    work = (
        joblib.delayed(_work)(method, speech.profile, settings.skew, task, gpu) for task in tasks
    )
    with warnings.catch_warnings():
        # A process that has grown in a training is replaced by a new one: nothing is lost.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        results = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(work)
        hidden = not settings.progress
        yield from tqdm(results, total=len(tasks), unit="training", disable=hidden)


def change(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Replace single settings.

    Args:
        settings: Data classes by name.
        changes: ``"name.field"`` to the new value.

    Raises:
        ProfileError: There is no such setting, or a value is out of range.
    """
    changed = dict(settings)
    for key, value in changes.items():
        part, _, name = key.partition(".")
        if part not in changed or name not in {one.name for one in fields(changed[part])}:
            known = [f"{part}.{one.name}" for part in settings for one in fields(settings[part])]
            raise ProfileError(f"unknown setting {key!r}; choose from {', '.join(known)}")
        try:
            changed[part] = replace(changed[part], **{name: value})
        except (ValueError, TypeError) as error:
            raise ProfileError(f"setting {key}={value!r} cannot be used: {error}") from error
    return changed


def _languages(profile: Profile, chosen: Sequence[str] | None) -> tuple[str, ...]:
    """The languages asked for, each once, if the profile has them."""
    languages = tuple(dict.fromkeys(chosen)) if chosen else tuple(profile.targets)
    for language in languages:
        if language not in profile.targets:
            raise ProfileError(
                f"profile {profile.name} has no target for language {language!r}, only for "
                f"{', '.join(profile.targets)}"
            )
    return languages


def _tasks(
    method: Method,
    settings: Mapping[str, Any],
    plans: Mapping[str, Plan],
    done: Mapping[tuple[str, int], RunRecord | None],
) -> Iterator[Task]:
    """Trainings for the records that are missing, seed by seed."""
    missing = [key for key, record in done.items() if record is None]
    for seed in sorted({seed for _, seed in missing}):
        languages = tuple(language for language, one in missing if one == seed)
        groups = [(language,) for language in languages] if method.per_language else [languages]
        for group in groups:
            folder = paths.home() / FOLDER / method.name / f"{plans[group[0]].training}-{seed}"
            yield Task(Run(seed, group[0], settings, folder), group)


def _record(
    settings: SweepSettings,
    method: Method,
    tested: Tested,
    language: str,
    plan: Plan,
    commit: dict[str, Any],
) -> RunRecord:
    seed = tested.task.run.seed
    return new_record(
        chapter=method.chapter,
        name=f"{settings.called}-{language}-{seed}",
        profile=settings.profile,
        seed=seed,
        metrics=tested.metrics[language],
        config=plan.config,
        corpora=plan.corpora,
        device=tested.device,
        commit=commit,
        seconds=tested.seconds,
    )


def _line(record: RunRecord) -> str:
    """One line of the account."""
    scores = ", ".join(
        f"{matching} {record.metrics['transfer'][matching]['macro_f1']:.3f}"
        for matching in MATCHING
    )
    return f"[OK]   {record.name}  {record.seconds:.0f} s  macro-F1 by matching: {scores}"


def _work(method: Method, profile: Profile, skew: Skew | None, task: Task, gpu: bool) -> Tested:
    """Train once and test, perhaps in a process of its own; with one thread, except on a GPU."""
    threads = torch.get_num_threads()
    if not gpu:
        torch.set_num_threads(1)
    begun = time.monotonic()
    try:
        speech = speech_of(profile, method.unlabelled, skew)
        trained = method.train(speech, task.run)
        metrics = {
            language: measure(speech, trained, task.run.seed, language)
            for language in task.languages
        }
        return Tested(task, metrics, records.device(), time.monotonic() - begun)
    finally:
        torch.set_num_threads(threads)
