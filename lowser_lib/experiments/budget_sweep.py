"""``lowser sweep pairwise``: what pre-training without labels brings where labels are few.

    lowser sweep pairwise --profile open --corpora emodb urdu ravdess --seeds 3

A run is a corpus, a seed and a fold of its speakers. Encoders of all views are drawn once, and once
pre-trained on speech without labels: the fold's training speakers, other corpora, or both. Then
each view by itself, and all together, learn from 1, 2, 4, ... labels a class in five ways
(:data:`~lowser_lib.experiments.budget_sweep_run.ARMS`): ``scratch`` trains the encoders as drawn,
``pairwise`` the pre-trained ones, everything else being equal; ``untrained`` and ``probe`` train a
new layer on either, which stay as they are; ``svm`` has no encoder. Each run leaves a record,
``results/PROFILE/sweeps/NAME/CORPUS-FOLD-SEED.json``, and is not run again.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import joblib
from tqdm import tqdm

from lowser_lib import files
from lowser_lib.encoders.view_encoders import EncodersConfig
from lowser_lib.experiments import data, paths, profiles, records
from lowser_lib.experiments.budget_sweep_run import ProbeConfig, Run, measure
from lowser_lib.experiments.budget_sweep_speech import SpeechConfig, extract_views, known_views
from lowser_lib.experiments.preparation import folder_name
from lowser_lib.experiments.profiles import Profile
from lowser_lib.experiments.records import RunRecord
from lowser_lib.experiments.sweep import change
from lowser_lib.experiments.sweep_records import FOLDER, finished_at, new_record
from lowser_lib.methods.fine_tuning import FineTuneConfig
from lowser_lib.methods.pairwise import PairwiseConfig

#: The chapter that teaches the method.
CHAPTER = "07"


#: Labels a class; 0 stands for all of them. The paper's own budgets are not at hand.
BUDGETS = (1, 2, 4, 8, 16, 32, 0)


@dataclass(frozen=True)
class BudgetSweepSettings:
    """What a sweep over label budgets is asked to do.

    Attributes:
        results: Folder for records.
        profile: Name of a profile; gives corpora and the number of folds.
        corpora: Names of corpora; None takes all labelled ones of the profile.
        views: Names of views; None takes all whose weights are on this machine.
        budgets: Labels a class, 0 for all.
        seeds: How many seeds, counted from 0; each has other folds.
        jobs: Runs at a time; None takes the profile's number.
        changes: Settings that differ from the defaults, such as ``{"pairwise.temperature": 0.2}``.
        name: Name of the sweep, and of its folder.
        progress: Show a bar of runs on stderr.
    """

    results: Path
    profile: str = "fast"
    corpora: Sequence[str] | None = None
    views: Sequence[str] | None = None
    budgets: Sequence[int] = BUDGETS
    seeds: int = 3
    jobs: int | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    name: str = "pairwise"
    progress: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers that make no sweep."""
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, not {self.seeds}")
        if self.jobs is not None and self.jobs < 1:
            raise ValueError(f"jobs must be at least 1, not {self.jobs}")
        if not self.budgets or min(self.budgets) < 0:
            raise ValueError(f"budgets must be whole numbers from 0 (all), not {self.budgets!r}")


class Task(NamedTuple):
    """A run whose record is missing, and where it goes.

    Attributes:
        run: What to train.
        path: The record's file.
        config: What the record says of its settings.
        hashes: What it says of its speech.
    """

    run: Run
    path: Path
    config: dict[str, Any]
    hashes: dict[str, str]


def run(settings: BudgetSweepSettings, say: Callable[[str], None] = tqdm.write) -> list[RunRecord]:
    """Run what is missing of a sweep.

    Args:
        settings: What to run.
        say: Takes each line of the account; prints it by default.

    Returns:
        The records of all runs asked for, by corpus, seed and fold.

    Raises:
        ProfileError: The profile, a view or a setting is unknown, or speech is missing.
        RunError: A record is damaged or of another sweep, or cannot be written.
        SplitError: A corpus has too few speakers for the profile's folds.
    """
    profile = profiles.get(settings.profile)
    tasks = _tasks(profile, settings)
    done = {task.path: finished_at(task.path, task.config, task.hashes) for task in tasks}
    missing = [task for task in tasks if done[task.path] is None]
    if len(missing) < len(tasks):
        say(f"{len(tasks) - len(missing)} of {len(tasks)} runs are finished already")
    if missing:  # once, so that no two workers extract the same
        heard = (name for task in missing for name in (task.run.corpus, *task.run.others))
        for corpus in dict.fromkeys(heard):
            extract_views(corpus, missing[0].run.views, jobs=settings.jobs or profile.jobs)
    commit = records.git_commit(Path(__file__).parent)
    jobs = min(settings.jobs or profile.jobs, max(1, len(missing)))
    work = (joblib.delayed(_work)(task) for task in missing)
    with warnings.catch_warnings():
        # A process that has grown in a training is replaced by a new one: nothing is lost.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        results = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(work)
        hidden = not settings.progress
        for task, metrics, seconds in tqdm(results, total=len(missing), unit="run", disable=hidden):
            record = _record(settings, task, metrics, seconds, commit)
            files.write_json(task.path, asdict(record))
            done[task.path] = record
            say(f"[OK]   {record.name}  {seconds:.0f} s")
    return [record for record in done.values() if record is not None]


def read_all(results: Path, profile: str, name: str = "pairwise") -> list[RunRecord]:
    """Read whatever records a sweep has left; an empty list where there are none.

    Raises:
        RunError: A record is damaged.
    """
    stems = sorted(path.stem for path in (results / profile / FOLDER / name).glob("*-*-*.json"))
    return [records.load_record(results, profile, f"{FOLDER}/{name}/{stem}") for stem in stems]


def _tasks(profile: Profile, settings: BudgetSweepSettings) -> list[Task]:
    """All runs asked for, whether finished or not."""
    corpora = tuple(dict.fromkeys(settings.corpora or profile.labelled))
    views = tuple(settings.views or known_views())
    changed = change(
        {
            "speech": SpeechConfig(),
            "encoders": EncodersConfig(),
            "pairwise": PairwiseConfig(),
            "augmentation": PairwiseConfig().augmentation,  # by itself, to be changed by parts
            "tuning": FineTuneConfig(),
            "probing": ProbeConfig(),
        },
        settings.changes,
    )
    augmentation = changed.pop("augmentation")
    changed["pairwise"] = replace(changed["pairwise"], augmentation=augmentation)
    configs = {name: asdict(value) for name, value in changed.items()}
    mixed = changed["speech"].pretrained_on != "target"
    every = tuple(dict.fromkeys((*corpora, *profile.corpora))) if mixed else corpora
    hashes = data.load(every, jobs=settings.jobs or profile.jobs).hashes
    folder = settings.results / profile.name / FOLDER / settings.name
    tasks = []
    for corpus, seed, fold in product(corpora, range(settings.seeds), range(profile.folds)):
        others = tuple(name for name in every if name != corpus) if mixed else ()
        budgets = tuple(settings.budgets)
        one = Run(corpus, others, seed, fold, profile.folds, views, budgets, **changed)
        config = {
            "corpus": corpus,
            "others": list(others),
            "fold": fold,
            "folds": profile.folds,
            "views": list(views),
            "budgets": list(budgets),
            **configs,
        }
        path = folder / f"{folder_name(corpus)}-{fold}-{seed}.json"
        # As it reads when it comes back from a file: tuples are lists.
        heard = {name: hashes[name] for name in (corpus, *others)}
        tasks.append(Task(one, path, json.loads(json.dumps(config)), heard))
    return tasks


def _work(task: Task) -> tuple[Task, dict[str, Any], float]:
    metrics, seconds = measure(task.run, paths.features())
    return task, metrics, seconds


def _record(
    settings: BudgetSweepSettings,
    task: Task,
    metrics: dict[str, Any],
    seconds: float,
    commit: dict[str, Any],
) -> RunRecord:
    return new_record(
        chapter=CHAPTER,
        name=f"{settings.name}-{task.path.stem}",
        profile=settings.profile,
        seed=task.run.seed,
        metrics=metrics,
        config=task.config,
        corpora=task.hashes,
        device={**records.device("cpu"), "threads": 1},  # as measure() computes
        commit=commit,
        seconds=seconds,
    )
