"""The processes that make sound: they may crash, their work may not be lost.

A worker is a plain subprocess that reads a line of JSON a speaker on standard input and writes one
back. Unlike the processes of ``multiprocessing`` it imports neither the caller's main module nor
its libraries, so that it starts equally fast and safely from a script, a Jupyter kernel, pytest, or
a process with torch loaded; this module and what it imports stay light (numpy, scipy.signal). Each
worker is looked after by one thread, which starts it again when it has died.

eSpeak NG keeps its state in globals and was seen to crash after some thousand changes of voice. So
a worker never opens it: for each speaker it forks a child, which starts in milliseconds with a
clean state, makes the clips, writes them and ends. A crash ends only the child, and the worker
reports it. Where there is no ``fork`` (Windows) the worker itself makes one speaker and ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import wave
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import lowser_lib
from lowser_lib.corpora.synthetic import channel as line
from lowser_lib.corpora.synthetic.plan import Batch, Clip, generator
from lowser_lib.corpora.synthetic.sentences import UNLABELLED
from lowser_lib.corpora.synthetic.voices import Synthesizer, open_synthesizer
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
        request = json.dumps({"batch": task.batch.to_json(), "folder": str(task.folder)})
        reply = ""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(request + "\n")
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


# --- in the worker

TIME_LIMIT = 120
"""Seconds after which a child that makes one speaker's clips counts as stuck and is ended."""

BABBLE_SECONDS = 7.0
"""Length of the other people's talk that a talk show's clips are cut from."""


def make_batch(batch: Batch, folder: Path) -> int:
    """Make and write the clips of one speaker; to be called once in a process.

    Args:
        batch: what to make.
        folder: the corpus folder, in which ``audio/`` exists.

    Returns:
        Number of clips written.
    """
    speaker = batch.speaker
    rng = generator(batch.seed, batch.corpus, speaker.name, "sound")
    synthesizer = open_synthesizer(speaker.voice, int(rng.integers(1, 2**31)))
    room = line.room_response(batch.channel, rng) if batch.channel.reverberation else None
    babble = _babble(synthesizer, batch, rng) if batch.channel.babble > -100.0 else None
    for clip in batch.clips:
        clip_rng = generator(batch.seed, batch.corpus, clip.path, "sound")
        samples = _speak(synthesizer, clip, clip_rng)
        samples = line.transmit(samples, batch.channel, room=room, babble=babble, rng=clip_rng)
        write_wave(folder / clip.path, samples)
    return len(batch.clips)


def _speak(synthesizer: Synthesizer, clip: Clip, rng: np.random.Generator) -> np.ndarray:
    """The clip as it leaves the mouth, at its level, with a little silence on both ends."""
    raw = synthesizer.speak(
        clip.words, rate=clip.rate, pitches=clip.pitches, pitch_range=clip.pitch_range, gap=clip.gap
    )
    samples = line.trim(line.resample(raw, synthesizer.sample_rate, clip.tract))
    samples = line.voice_quality(
        samples, tilt=clip.tilt, breath=clip.breath, shimmer=clip.shimmer, rng=rng
    )
    samples *= line.ratio(line.REFERENCE_LEVEL + clip.level) / line.root_mean_square(samples)
    before, after = rng.integers(line.SAMPLE_RATE // 25, line.SAMPLE_RATE // 6, size=2)
    return np.pad(samples, (int(before), int(after)))


def _babble(synthesizer: Synthesizer, batch: Batch, rng: np.random.Generator) -> np.ndarray:
    """Six people talking at once, at unit level: the voice at other pitches, tracts and tempos."""
    length = int(BABBLE_SECONDS * line.SAMPLE_RATE)
    total = np.zeros(length)
    sentences = UNLABELLED[batch.speaker.language]
    for talker in range(6):
        sentence = sentences[int(rng.integers(len(sentences)))]
        words = f"{sentence.text}.".split()
        raw = synthesizer.speak(
            words,
            rate=int(rng.integers(130, 200)),
            pitches=[20 + 10 * talker] * len(words),
            pitch_range=50,
            gap=1,
        )
        voice = line.resample(raw, synthesizer.sample_rate, float(rng.uniform(0.88, 1.15)))
        total += np.roll(np.resize(voice, length), int(rng.integers(length)))
    return total / line.root_mean_square(total)


def write_wave(path: Path, samples: np.ndarray) -> None:
    """Write 16 kHz, 16-bit, mono, with a header that holds nothing but the format.

    Args:
        path: file to write.
        samples: shape (n,), within ±1.
    """
    integers = np.round(samples * 32767.0).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(line.SAMPLE_RATE)
        file.writeframes(integers.tobytes())


def _answer(task: dict) -> dict[str, object]:
    """Make a batch and say how it went: ``made``, or ``error`` and whether the disk is to blame."""
    try:
        return {"made": make_batch(Batch.from_json(task["batch"]), Path(task["folder"]))}
    except Exception as error:  # whatever it is, the caller must hear of it
        message = f"{type(error).__name__}: {error}"[:1000]
        return {"error": message, "disk": isinstance(error, OSError)}


def _answer_in_child(task: dict) -> dict[str, object]:
    """As :func:`_answer`, in a child process; ``crashed`` says how it died, if it did."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(receiving)
            signal.alarm(TIME_LIMIT)
            os.write(sending, json.dumps(_answer(task)).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(sending)
    with os.fdopen(receiving, "rb") as pipe:
        reply = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code != 0 or not reply:
        return {"crashed": f"signal {-code}" if code < 0 else f"exit status {code}"}
    return json.loads(reply)


def main() -> None:
    """Answer tasks, one a line, until standard input ends."""
    forks = hasattr(os, "fork")
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    # Whatever a library prints must not get between the replies.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for text in sys.stdin:
        task = json.loads(text)
        reply = _answer_in_child(task) if forks else {**_answer(task), "ends": True}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
        if not forks:
            break
