"""The process that makes sound: one speaker at a time, each in a fresh child process.

Run by :mod:`.pool` with one line of JSON per speaker on standard input and one line back on
standard output. This module and what it imports stay light (numpy, scipy.signal): a worker starts
in a fraction of a second whatever its caller has loaded.

eSpeak NG keeps its state in globals and was seen to crash after some thousand changes of voice. So
a worker never opens it: for each speaker it forks a child, which starts in milliseconds with a
clean state, makes the clips, writes them and ends. A crash ends only the child, and the worker
reports it. Where there is no ``fork`` (Windows) the worker itself makes one speaker and ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import wave
from pathlib import Path

import numpy as np

from lowser_lib.corpora.synthetic import channel as line
from lowser_lib.corpora.synthetic.espeak import Synthesizer, open_synthesizer
from lowser_lib.corpora.synthetic.plan import Batch, Clip
from lowser_lib.corpora.synthetic.seeding import generator
from lowser_lib.corpora.synthetic.sentences import UNLABELLED

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
        clip.words,
        rate=clip.rate,
        pitches=clip.pitches,
        pitch_range=clip.pitch_range,
        gap=clip.gap,
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
        said = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code != 0 or not said:
        return {"crashed": f"signal {-code}" if code < 0 else f"exit status {code}"}
    return json.loads(said)


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


if __name__ == "__main__":
    main()
