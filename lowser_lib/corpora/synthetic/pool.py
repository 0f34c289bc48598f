"""Worker processes for synthesis: they may crash, their work may not be lost.

Workers are plain subprocesses that talk JSON over pipes (:mod:`.worker`). Unlike the processes of
``multiprocessing`` they import neither the caller's main module nor its libraries, so they start
equally fast and safely from a script, a Jupyter kernel, pytest, or a process with torch loaded.
Each is looked after by one thread, which starts it again when it has died.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import lowser_lib
from lowser_lib.corpora.synthetic.plan import Batch
from lowser_lib.errors import SynthesisError

ATTEMPTS = 3
"""How often the work of a crashed process is tried in all."""

# One thread of arithmetic a worker: the workers themselves share out the cores, and a process
# without other threads may fork.
_START = """
import os, sys
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
sys.path.insert(0, sys.argv[1])
from lowser_lib.corpora.synthetic.worker import main
main()
"""


@dataclass(frozen=True)
class Task:
    """A batch and the folder, with ``audio/`` in it, that it is written to."""

    batch: Batch
    folder: Path

    @property
    def name(self) -> str:
        """Corpus and speaker, for messages."""
        return f"{self.batch.corpus}, speaker {self.batch.speaker.name}"


class Worker:
    """One worker process, started when it is first needed and again after it has died."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self.process: subprocess.Popen[str] | None = None
        self._complaints = tempfile.TemporaryFile(mode="w+", errors="replace")  # noqa: SIM115

    def ask(self, task: Task) -> dict:
        """Have a task done.

        Returns:
            The worker's reply; ``{"crashed": how}`` when it, or its child, died over it.
        """
        if self.process is None:
            self.process = self._start()
        assert self.process.stdin is not None and self.process.stdout is not None
        line = json.dumps({"batch": task.batch.to_json(), "folder": str(task.folder)})
        reply = ""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            reply = self.process.stdout.readline()
        try:
            answer: dict = json.loads(reply)
        except json.JSONDecodeError:  # nothing, or half a line
            answer = {"crashed": self._bury()}
        if answer.get("ends"):
            self._bury()
        return answer

    def close(self) -> None:
        """End the process, at once."""
        if self.process is not None:
            self.process.kill()
            self._bury()
        self._complaints.close()

    def _start(self) -> subprocess.Popen[str]:
        root = Path(lowser_lib.__file__).resolve().parent.parent
        return subprocess.Popen(
            [sys.executable, "-c", _START, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            encoding="utf-8",
            # An interrupt from the keyboard reaches the caller only, who then ends the workers.
            start_new_session=True,
        )

    def _bury(self) -> str:
        """Wait for the end of the process and tell how it ended."""
        process, self.process = self.process, None
        assert process is not None and process.stdin is not None and process.stdout is not None
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        code = process.wait()
        self._complaints.seek(0)
        last = self._complaints.read()[-300:].strip().splitlines()[-1:]
        how = f"worker ended by signal {-code}" if code < 0 else f"worker ended with status {code}"
        return ": ".join([how, *last])


def run_tasks(
    tasks: Sequence[Task],
    jobs: int,
    done: Callable[[Task], None],
    make_worker: Callable[[], Worker] = Worker,
) -> None:
    """Have all tasks done by worker processes.

    Args:
        tasks: what to do.
        jobs: number of processes at a time, at least 1.
        done: called after each task, from several threads but never from two at once.
        make_worker: makes a worker; another one in tests.

    Raises:
        SynthesisError: a task was tried :data:`ATTEMPTS` times and crashed each time, was refused
            by the synthesizer, or could not be written.
    """
    waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
    for task in sorted(tasks, key=lambda task: -len(task.batch.clips)):  # longest first
        waiting.put(task)
    turn = threading.Lock()
    workers = [make_worker() for _ in range(max(1, min(jobs, len(tasks))))]
    stop = threading.Event()

    def serve(worker: Worker) -> None:
        while not stop.is_set():
            try:
                task = waiting.get_nowait()
            except queue.Empty:
                return
            _do(worker, task, stop)
            with turn:
                done(task)

    with ThreadPoolExecutor(len(workers), thread_name_prefix="synthesis") as threads:
        services: list[Future[None]] = [threads.submit(serve, worker) for worker in workers]
        try:
            wait(services, return_when=FIRST_EXCEPTION)
        finally:
            # On an error or interrupt: the others stop after the speaker they are at.
            stop.set()
            wait(services)
            for worker in workers:
                worker.close()
    for service in services:
        service.result()


def _do(worker: Worker, task: Task, stop: threading.Event) -> None:
    """One task, tried again after a crash."""
    crashes: list[str] = []
    while len(crashes) < ATTEMPTS and not stop.is_set():
        answer = worker.ask(task)
        if "made" in answer:
            return
        if "error" in answer and answer.get("disk"):
            raise SynthesisError(
                f"cannot write to {task.folder.parent} ({answer['error']}); free space there or "
                f"check its permissions, then try again"
            )
        if "error" in answer:
            raise SynthesisError(f"{task.name}: {answer['error']}")
        crashes.append(str(answer.get("crashed")))
    if crashes and not stop.is_set():
        raise SynthesisError(
            f"{task.name}: speech synthesis crashed {len(crashes)} times ({'; '.join(crashes)}); "
            f"try again, or with jobs=1; if it persists, reinstall espeakng-loader"
        )
