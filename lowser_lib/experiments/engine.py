"""The engine of ``lowser sweep``: it plans what is missing, runs it, and keeps one record a run.

A :class:`Sweep` says which runs there are and how one is measured; transfer, label budgets and
leaning words are its kinds. Runs go to worker processes, each with one thread, or to a Dask
cluster. Every run that is finished leaves ``results/PROFILE/sweeps/NAME/RUN.json`` and is not run
again. A record that is damaged, or comes from other settings, code or speech, is refused: nothing
is overwritten, and nothing is averaged that does not belong together.
"""

from __future__ import annotations

import math
import time
import types
import typing
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import joblib
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from lowser_lib import __version__, files
from lowser_lib.errors import ProfileError, RunError
from lowser_lib.experiments import paths, profiles, records
from lowser_lib.experiments.profiles import Profile
from lowser_lib.experiments.records import SWEEPS, RunRecord


@dataclass(frozen=True)
class Run:
    """One run: what is trained and tested, and what its record says of that.

    Attributes:
        stem: Name of the record's file, such as ``ur-0``.
        seed: Of everything that is drawn, at least 0.
        settings: Data classes by name.
        config: All that it follows from but seed and speech, as it reads when it comes back from a
            file; what tells runs apart is in it, such as ``language`` or ``fold``.
        corpora: The speech: corpus to the SHA-256 of its content.
        folder: Keeps what a training that was stopped goes on from; it belongs to these settings.
    """

    stem: str
    seed: int
    settings: Mapping[str, Any]
    config: Mapping[str, Any]
    corpora: Mapping[str, str]
    folder: Path = Path()

    @property
    def language(self) -> str:
        """Code of the target language; of transfer alone."""
        return str(self.config["language"])


@dataclass(frozen=True, kw_only=True)
class Sweep(ABC):
    """What a sweep is asked to do.

    Attributes:
        seeds: How many seeds, counted from 0.
        jobs: Runs at a time; None takes the profile's number. On a GPU runs take turns, on a
            cluster each worker has one.
        changes: Settings that differ from the profile's, such as
            ``{"contrastive.temperature": 0.1}``; give such a sweep a name of its own.
        name: Name of the sweep, and of its folder; None takes the kind's.
        cluster: Address of a Dask scheduler that takes the runs; None computes here.
    """

    results: Path
    profile: Profile = profiles.FAST
    seeds: int = 5
    jobs: int | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    progress: bool = False
    cluster: str | None = None

    device: ClassVar[str | None] = None
    """``"cpu"`` where a kind computes there alone."""

    def __post_init__(self) -> None:
        """Refuse what makes no sweep."""
        for name in ("seeds", "jobs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if self.cluster is not None and self.jobs is not None:
            raise ProfileError("jobs is for this machine: a cluster runs one at a time a worker")
        if self.name is not None and not records.NAME.fullmatch(self.name):
            raise ProfileError(f"name {self.name!r} must be small letters, digits, hyphens")

    @property
    @abstractmethod
    def chapter(self) -> str:
        """The chapter that teaches what is measured, two digits."""

    @property
    @abstractmethod
    def usual_name(self) -> str:
        """What it is called unless it is given a name."""

    @abstractmethod
    def plan(self) -> list[Run]:
        """All runs asked for, whether finished or not."""

    @abstractmethod
    def measure(self, runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
        """Train once and test; metrics by the runs' stems. In a process of its own, perhaps."""

    def trainings(self, missing: Sequence[Run]) -> list[tuple[Run, ...]]:
        """Runs that one training serves go together; here each by itself."""
        return [(run,) for run in missing]

    def prepare(self, missing: Sequence[Run]) -> None:
        """Compute what no two workers should compute at once, such as spectrograms."""
        del missing

    def forget(self, runs: Sequence[Run]) -> None:
        """Delete what a training leaves that is recorded now."""
        del runs

    def line(self, record: RunRecord) -> str:
        """What the account says of a run that is done."""
        del record
        return ""

    @property
    def called(self) -> str:
        """The sweep's name."""
        return self.name or self.usual_name

    def path(self, run: Run) -> Path:
        """File of a run's record."""
        return self.results / self.profile.name / SWEEPS / self.called / f"{run.stem}.json"


class Measured(NamedTuple):
    """What a worker hands back.

    Attributes:
        runs: What was asked for.
        metrics: By the runs' stems.
        device: What computed.
        seconds: Time that all of it took.
    """

    runs: tuple[Run, ...]
    metrics: dict[str, dict[str, Any]]
    device: dict[str, Any]
    seconds: float


def run(sweep: Sweep, say: Callable[[str], None] = tqdm.write) -> list[RunRecord]:
    """Run what is missing of a sweep.

    Args:
        sweep: What to run.
        say: Takes each line of the account; prints it by default.

    Returns:
        The records of all runs asked for, in the order of the plan.

    Raises:
        ProfileError: Something asked for is unknown, or speech is missing.
        RunError: A record is damaged or of another sweep, or cannot be written; a worker was
            killed; there is no such cluster.
        SplitError: A corpus has too few speakers or sentences.
        TrainingError: A training diverges. Runs that were finished before stay.
    """
    runs = sweep.plan()
    done = {run.stem: finished(sweep.path(run), run) for run in runs}
    missing = [run for run in runs if done[run.stem] is None]
    if len(missing) < len(runs):
        say(f"{len(runs) - len(missing)} of {len(runs)} runs are finished already")
    commit = records.git_commit(Path(__file__).parent)
    for measured in _results(sweep, missing):
        for run in measured.runs:
            record = records.new_record(
                chapter=sweep.chapter,
                name=f"{sweep.called}-{run.stem}",
                profile=sweep.profile.name,
                seed=run.seed,
                metrics=measured.metrics[run.stem],
                config=dict(run.config),
                corpora=dict(run.corpora),
                device=measured.device,
                commit=commit,
                seconds=measured.seconds,
            )
            record.write(sweep.path(run))
            done[run.stem] = record
            say(f"[OK]   {record.name}  {record.seconds:.0f} s{sweep.line(record)}")
        sweep.forget(measured.runs)
    return [record for record in done.values() if record is not None]


def finished(path: Path, run: Run) -> RunRecord | None:
    """The record of a finished run; None where there is none yet.

    Args:
        path: The record's file.
        run: What it has to stand for.

    Raises:
        RunError: It is damaged, or comes from other settings, code or speech.
    """
    if not path.is_file():
        return None
    record = records.read(path)
    for what, kept, wanted in (
        ("settings", record.config, run.config),
        ("code", {"lowser": record.versions.get("lowser")}, {"lowser": __version__}),
        ("speech", record.corpora, run.corpora),
    ):
        differing = [key for key in sorted({**kept, **wanted}) if kept.get(key) != wanted.get(key)]
        if differing:
            raise RunError(
                f"{path} comes from other {what} ({', '.join(differing)}); move the folder away, "
                "or write to another with --results or --name"
            )
    return record


def _results(sweep: Sweep, missing: Sequence[Run]) -> Iterator[Measured]:
    """Train in worker processes, in turns, or on a cluster; hand out each result as it comes."""
    groups = sweep.trainings(missing)
    gpu = sweep.device != "cpu" and torch.cuda.is_available()
    jobs = 1 if gpu else min(sweep.jobs or sweep.profile.jobs, max(1, len(groups)))
    if sweep.cluster is None:
        if groups and jobs > 1:
            sweep.prepare(missing)
        results = _in_processes(sweep, groups, jobs)
    else:
        results = _on_cluster(sweep, groups, sweep.cluster, partial(sweep.prepare, missing))
    yield from tqdm(results, total=len(groups), unit="training", disable=not sweep.progress)


def _in_processes(sweep: Sweep, groups: Sequence[tuple[Run, ...]], jobs: int) -> Iterator[Measured]:
    """Train in worker processes of this machine, or in turns."""
    waiting = {group[0].stem: group for group in groups}
    with warnings.catch_warnings():
        # A process that has grown in a training is replaced by a new one: nothing is lost.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        work = (joblib.delayed(_work)(sweep, group) for group in groups)
        try:
            for measured in joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(work):
                del waiting[measured.runs[0].stem]
                yield measured
        except TerminatedWorkerError as error:
            running = [f"{sweep.called}-{stem}" for stem in list(waiting)[:jobs]]
            raise RunError(
                f"a worker was killed while {' and '.join(running)} ran, most often for want of "
                "memory: close other programs or take fewer --jobs, and run the command again; "
                "what was finished stays"
            ) from error


def _on_cluster(
    sweep: Sweep,
    groups: Sequence[tuple[Run, ...]],
    address: str,
    prepare: Callable[[], None],
) -> Iterator[Measured]:
    """Train on the workers of a Dask scheduler, one training at a time on each.

    Dask's own futures and not joblib's backend, which trains on this machine where the cluster has
    a single worker. A run whose worker is lost goes to another one, from its last checkpoint.
    """
    if not groups:
        return
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError as error:
        raise RunError("--cluster needs Dask: pip install 'lowser[cluster]'") from error
    try:
        client = Client(address, timeout="5s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise RunError(
            f"there is no Dask scheduler at {address} ({error or type(error).__name__}): start "
            "one, or leave --cluster out"
        ) from error
    with client:
        _check_workers(client, address)
        prepare()
        futures = {client.submit(_work, sweep, group, pure=False): group for group in groups}
        for future in as_completed(list(futures), loop=client.loop):
            group = futures.pop(future)
            try:
                yield future.result()
            except KilledWorker as error:
                raise RunError(
                    f"every worker was lost that {sweep.called}-{group[0].stem} was given to, most "
                    "often for want of memory: look into the workers' logs, give them more, and "
                    "run the command again; what was finished stays"
                ) from error


def _check_workers(client: Any, address: str) -> None:
    """Refuse workers that would measure something else, or where two runs would share a device.

    Raises:
        RunError: There is no worker; or one has other packages, other folders or several threads.
    """
    remedy = "see the book's page From a laptop to a cluster"
    threads = client.ncores()
    if not threads:
        raise RunError(f"the Dask scheduler at {address} has no worker: start some; {remedy}")
    for worker, count in sorted(threads.items()):
        if count != 1:
            raise RunError(
                f"worker {worker} has {count} threads, which would share a device: start it with "
                f"--nthreads 1; {remedy}"
            )
    here = facts()
    with files.folder_beside(paths.home() / "cluster") as probe:
        try:
            there = client.run(facts)
            shared = client.run(probe.is_dir)
        except Exception as error:  # whatever a worker raises that has other packages than we
            raise RunError(f"workers at {address} cannot be used: {error!r}; {remedy}") from error
    for worker, found in sorted(there.items()):
        differing = [name for name, value in here.items() if found.get(name) != value]
        if differing:
            told = "; ".join(f"{n} is {found.get(n)}, here {here[n]}" for n in differing)
            raise RunError(f"worker {worker} would measure something else: {told}; {remedy}")
    for worker, seen in sorted(shared.items()):
        if not seen:
            raise RunError(
                f"worker {worker} does not see what lies in {paths.home()} here: LOWSER_HOME must "
                f"be on a disk that all machines share; {remedy}"
            )


def facts() -> dict[str, str]:
    """What has to be the same on a worker, so that its records are those of this machine."""
    import distributed

    return {
        **records.versions(),
        "distributed": distributed.__version__,
        "LOWSER_HOME": str(paths.home()),
        "LOWSER_CORPORA": str(paths.corpora_root()),
    }


def _work(sweep: Sweep, runs: tuple[Run, ...]) -> Measured:
    """Measure, perhaps in a process of its own; with one thread, except on a GPU."""
    threads, begun = torch.get_num_threads(), time.monotonic()
    if sweep.device == "cpu" or not torch.cuda.is_available():
        torch.set_num_threads(1)
    try:
        metrics = sweep.measure(runs)
        seconds = time.monotonic() - begun
        return Measured(runs, metrics, records.device(sweep.device), seconds)
    finally:
        torch.set_num_threads(threads)


def change(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Replace single settings.

    Args:
        settings: Data classes by name.
        changes: ``"name.field"`` to the new value.

    Raises:
        ProfileError: There is no such setting, or a value is of another kind or out of range.
    """
    changed = dict(settings)
    for key, value in changes.items():
        part, _, name = key.partition(".")
        if part not in changed or name not in {each.name for each in fields(changed[part])}:
            known = [f"{part}.{each.name}" for part in settings for each in fields(settings[part])]
            raise ProfileError(f"unknown setting {key!r}; choose from {', '.join(known)}")
        hint = typing.get_type_hints(type(changed[part]))[name]
        if not _fits(value, hint):
            kind = getattr(hint, "__name__", str(hint))
            raise ProfileError(f"setting {key}={value!r} cannot be used: it takes {kind}")
        try:
            changed[part] = replace(changed[part], **{name: value})
        except (ValueError, TypeError) as error:
            raise ProfileError(f"setting {key}={value!r} cannot be used: {error}") from error
    return changed


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a kind; what is no plain value is left to the settings themselves."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return any(_fits(value, part) for part in typing.get_args(hint))
    if hint in (None, types.NoneType):
        return value is None
    if hint is float:
        return type(value) in (int, float) and not math.isnan(value)
    return type(value) is hint if hint in (int, bool, str) else True


def names_of(wanted: Sequence[str] | None, known: Sequence[str], what: str) -> tuple[str, ...]:
    """Names asked for, each once; all that are known where none is.

    Raises:
        ProfileError: One is unknown; the message lists the known.
    """
    names = tuple(dict.fromkeys(wanted or known))
    for name in names:
        if name not in known:
            raise ProfileError(f"{what} {name!r}, only for {', '.join(known)}")
    return names
