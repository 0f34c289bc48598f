"""Runs on a Dask cluster: the records of this machine, workers that are lost, what is refused."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import pytest
from distributed import Client, LocalCluster

from lowser_lib import files
from lowser_lib.encoders import EncoderDimensions, WhisperEncoder
from lowser_lib.encoders.whisper import save_encoder
from lowser_lib.errors import ProfileError, RunError
from lowser_lib.experiments import engine, profiles, records
from lowser_lib.experiments.engine import Run, Sweep
from lowser_lib.experiments.transfer import TransferSweep

# Workers know nothing of the tests' modules.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

STEPS = 12


@dataclass(frozen=True, kw_only=True)
class Stepping(Sweep):
    """Runs of several steps, each of which is written down and kept, as a training's epochs are.

    Attributes:
        shared: A folder that all workers see.
        pause: Seconds of a step.
        deadly: Seed of the run that ends whatever process it is in.
    """

    shared: Path
    pause: float = 0.0
    deadly: int | None = None

    chapter = "99"
    usual_name = "stepping"

    def plan(self) -> list[Run]:
        return [
            Run(f"run-{seed}", seed, {}, {}, {}, self.shared / f"{seed}")
            for seed in range(self.seeds)
        ]

    def measure(self, runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
        (run,) = runs
        if run.seed == self.deadly:
            os._exit(9)
        kept = run.folder.with_suffix(".kept")
        state = [int(word) for word in kept.read_text().split()] if kept.is_file() else []
        while len(state) < STEPS:
            with (self.shared / "log").open("a") as log:
                log.write(f"{run.seed} {len(state)} {os.getpid()} {threading.get_ident()}\n")
            time.sleep(self.pause)
            state.append((state[-1] if state else run.seed) * 31 % 1009 + 1)
            files.write_text(kept, " ".join(map(str, state)))
        return {run.stem: {"last": state[-1]}}


def stepping(folder: Path, **options: Any) -> Stepping:
    shared = folder / "shared"
    shared.mkdir(parents=True, exist_ok=True)
    return Stepping(results=folder / "results", shared=shared, **options)


def metrics(sweep: Sweep) -> dict[str, Any]:
    return {each.name: each.metrics for each in engine.run(sweep, lambda line: None)}


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOWSER_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    """A scheduler and a worker in threads of this process."""
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as made:
        yield made


def test_a_cluster_gives_what_this_machine_gives(own_home: Path, cluster: LocalCluster) -> None:
    here = metrics(stepping(own_home / "here", jobs=1, seeds=3))
    there = stepping(own_home / "there", cluster=cluster.scheduler_address, seeds=3)
    assert metrics(there) == here
    # Although there is but one worker: joblib would have stayed here.
    log = (there.shared / "log").read_text().splitlines()
    assert len(log) == 3 * STEPS
    assert {int(line.split()[3]) for line in log}.isdisjoint({threading.get_ident()})
    assert list((own_home / "home").iterdir()) == []  # the probe of the shared disk is gone
    cluster.close()
    assert metrics(there) == here  # nothing is missing, nobody is asked


def test_no_scheduler_is_said(own_home: Path) -> None:
    with pytest.raises(
        RunError, match=r"no Dask scheduler at tcp://127\.0\.0\.1:9 .*--cluster out"
    ):
        metrics(stepping(own_home, cluster="tcp://127.0.0.1:9"))


def test_jobs_are_for_this_machine(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="a cluster runs one at a time a worker"):
        stepping(tmp_path, cluster="tcp://127.0.0.1:9", jobs=2)


def test_workers_with_several_threads_are_refused(own_home: Path) -> None:
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        pytest.raises(RunError, match=r"has 2 threads, .*--nthreads 1"),
    ):
        metrics(stepping(own_home, cluster=cluster.scheduler_address))


def test_a_scheduler_without_workers_is_refused(own_home: Path) -> None:
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster,
        pytest.raises(RunError, match="has no worker: start some"),
    ):
        metrics(stepping(own_home, cluster=cluster.scheduler_address))


@pytest.mark.parametrize(
    ("name", "value"), [("torch", "2.9.1"), ("lowser", "0.0.1"), ("LOWSER_HOME", "/elsewhere")]
)
def test_other_packages_and_folders_are_named(
    own_home: Path, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    facts, ours = engine.facts(), threading.get_ident()

    def told() -> dict[str, str]:
        # A worker answers in another thread than the one that asks.
        return facts if threading.get_ident() == ours else {**facts, name: value}

    monkeypatch.setattr(engine, "facts", told)
    with pytest.raises(RunError, match=rf"something else: {name} is {value}, here {facts[name]}"):
        metrics(stepping(own_home, cluster=cluster.scheduler_address))


# --- a scheduler and two workers, each a process of its own --------------------------------------


class Cluster:
    """``dask scheduler`` and two ``dask worker``, as the book's page starts them."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "scheduler.json"
        self._log = (folder / "cluster.log").open("w")
        self._processes: list[subprocess.Popen[bytes]] = []
        self._start("scheduler", "--port", "0", "--no-dashboard")
        for _ in range(2):
            self._start("worker", "--nthreads", "1", "--no-dashboard")
        for _ in range(1200):
            if self._file.is_file():
                break
            time.sleep(0.1)
        with Client(scheduler_file=str(self._file), set_as_default=False) as client:
            client.wait_for_workers(2, timeout=300)
            self.address = str(client.scheduler.address)

    def _start(self, what: str, *options: str) -> None:
        command = [sys.executable, "-m", "dask", what, "--scheduler-file", str(self._file)]
        # A run may be lost more often than by chance: ten kills may hit one.
        environment = {**os.environ, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "20"}
        self._processes.append(
            subprocess.Popen(
                [*command, *options], env=environment, stdout=self._log, stderr=self._log
            )
        )

    def close(self) -> None:
        """End all of them, workers first."""
        for process in reversed(self._processes):
            process.send_signal(signal.SIGINT)
        for process in self._processes:
            process.wait(60)
        self._log.close()


@pytest.fixture(scope="module")
def ground(
    tmp_path_factory: pytest.TempPathFactory, write_table: Callable[..., None]
) -> Iterator[Path]:
    """Two small corpora and a home, which the workers know from the environment."""
    folder = tmp_path_factory.mktemp("cluster")
    emotions = ("angry", "happy", "neutral", "sad")
    write_table(folder / "corpora" / "english", "en", 10, emotions)
    write_table(folder / "corpora" / "german", "de", 3, emotions)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOWSER_HOME", str(folder / "home"))
        patch.setenv("LOWSER_CORPORA", str(folder / "corpora"))
        yield folder


@pytest.fixture(scope="module")
def two_workers(ground: Path) -> Iterator[Cluster]:
    made = Cluster(ground)
    yield made
    made.close()


@pytest.mark.slow
def test_a_real_sweep_is_the_same_bit_for_bit(ground: Path, two_workers: Cluster) -> None:
    encoder = WhisperEncoder.random(EncoderDimensions(80, 1500, 16, 2, 1), 0)
    save_encoder(encoder, ground / "tiny.pt")
    tiny = replace(
        profiles.FAST,
        sources=("table:english",),
        targets={"de": "table:german"},
        encoder=str(ground / "tiny.pt"),
        epochs=2,
        head_epochs=1,
        jobs=1,
    )
    sweep = TransferSweep(method="baseline", results=ground / "here", profile=tiny, seeds=3)
    here = engine.run(sweep, lambda line: None)
    away = replace(sweep, results=ground / "away", cluster=two_workers.address)
    there = engine.run(away, lambda line: None)
    timed: dict[str, Any] = {"seconds": 0.0, "finished": "", "commit": {}}
    assert [replace(each, **timed) for each in there] == [replace(each, **timed) for each in here]
    read = [records.read(path) for path in sorted((ground / "away").rglob("*.json"))]
    assert read == there


@pytest.mark.slow
def test_ten_workers_killed_cost_the_step_that_they_were_at(
    ground: Path, two_workers: Cluster
) -> None:
    here = metrics(stepping(ground / "steps-here", jobs=1, seeds=10))
    sweep = stepping(ground / "steps", cluster=two_workers.address, seeds=10, pause=0.5)
    log, draw, killed = sweep.shared / "log", random.Random(0), 0
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(metrics(sweep)))
    thread.start()
    seen = 0
    while thread.is_alive() and killed < 10:
        time.sleep(draw.uniform(0.5, 2.5))
        lines = log.read_text().splitlines() if log.is_file() else []
        if len(lines) > seen:
            os.kill(int(lines[-1].split()[2]), signal.SIGKILL)
            seen, killed = len(lines), killed + 1
    thread.join(600)
    assert killed == 10
    assert found == [here]
    steps = Counter(tuple(line.split()[:2]) for line in log.read_text().splitlines())
    assert set(steps) == {(f"{seed}", f"{step}") for seed in range(10) for step in range(STEPS)}
    # A kill may hit a worker between two runs: then nothing was lost.
    assert sum(steps.values()) - len(steps) <= killed


@pytest.mark.slow
def test_a_run_that_loses_all_its_workers_is_named(own_home: Path) -> None:
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        pytest.raises(RunError, match=r"every worker was lost that stepping-run-1 was given to"),
    ):
        metrics(stepping(own_home, cluster=cluster.scheduler_address, seeds=2, deadly=1))
