"""The stream of training clips: spoken by other processes while the encoder learns."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lowser_lib.errors import SynthesisError
from pretraining.recognition import Hearing
from pretraining.speech import Block

SCRIPTS = Path(__file__).resolve().parent.parent
#: How often a block is tried before its failure is reported. The synthesizer crashes now and then,
#: some blocks at every attempt; so each attempt after the second speaks another block instead.
ATTEMPTS = 5
#: Added to the number of a block for each substitute; no stream is as long.
SUBSTITUTE = 10_000_000


def make_block(seed: int, split: str, number: int, clips: int, *, clean: bool = False) -> Block:
    """Let a process of its own speak a block; a crash is retried, then another block is spoken.

    Args:
        seed: of the whole stream.
        split: one of :data:`pretraining.speech.SPLITS`.
        number: which block.
        clips: how many clips.
        clean: without background, room, line and equaliser.

    Raises:
        SynthesisError: it failed :data:`ATTEMPTS` times.
    """
    search = os.pathsep.join([str(SCRIPTS.parent), str(SCRIPTS)])
    environment = {**os.environ, "PYTHONPATH": search, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "block.npz"
        command = [sys.executable, "-m", "pretraining.speech", "--split", split]
        for name, value in (("seed", seed), ("clips", clips), ("output", path)):
            command += [f"--{name}", str(value)]
        command += ["--clean"] * clean
        for attempt in range(ATTEMPTS):
            chosen = number + SUBSTITUTE * max(0, attempt - 1)
            done = subprocess.run(
                [*command, "--number", str(chosen)],
                env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode == 0:
                return Block.load(path)
    raise SynthesisError(
        f"block {number} of {split} failed {ATTEMPTS} times (exit status {done.returncode}); "
        f"its last words: {done.stderr[-500:]}"
    )


@dataclass
class Clips:
    """Clips ready for training.

    Attributes:
        inputs: what the encoder hears, float16, time last, one tensor a clip.
        phonemes: targets, one int64 tensor a clip.
        manner: ``(clips, 8)``, float32.
    """

    inputs: list[Tensor]
    phonemes: list[Tensor]
    manner: Tensor

    @classmethod
    def from_blocks(cls, blocks: list[Block], hearing: Hearing) -> Clips:
        """Compute what the encoder hears of each clip."""
        waveforms = [torch.from_numpy(wave) for block in blocks for wave in block.waveforms]
        phonemes = [row.astype(np.int64) for block in blocks for row in block.phonemes]
        return cls(
            inputs=[hearing.input_of(waveform).half() for waveform in waveforms],
            phonemes=[torch.from_numpy(row) for row in phonemes],
            manner=torch.from_numpy(np.concatenate([block.prosody for block in blocks])),
        )

    def __len__(self) -> int:
        return len(self.inputs)

    def batches(self, size: int, generator: torch.Generator) -> Iterator[list[int]]:
        """Yield batches of clips of similar length, in random order."""
        lengths = torch.tensor([clip.shape[-1] for clip in self.inputs], dtype=torch.float32)
        # A tenth of noise on the lengths, so that the second pass has other batches.
        order = (lengths * (1 + 0.1 * torch.rand(len(self), generator=generator))).argsort()
        groups = order.split(size)
        for index in torch.randperm(len(groups), generator=generator).tolist():
            yield groups[index].tolist()


def stream(
    seed: int, rounds: range, blocks: int, clips: int, hearing: Hearing, workers: int
) -> Iterator[Clips]:
    """Yield the clips of one round after another, the next being spoken in the background.

    Args:
        seed: of the stream.
        rounds: numbers of the rounds to yield.
        blocks: voices a round.
        clips: clips a voice.
        hearing: the encoder's ear.
        workers: processes that speak at the same time.
    """
    with ThreadPoolExecutor(workers) as pool:

        def order(number: int) -> list[Future[Block]]:
            numbers = range(number * blocks, (number + 1) * blocks)
            return [pool.submit(make_block, seed, "train", block, clips) for block in numbers]

        waiting = order(rounds[0]) if rounds else []
        for number in rounds:
            spoken = [future.result() for future in waiting]
            waiting = order(number + 1) if number + 1 in rounds else []
            yield Clips.from_blocks(spoken, hearing)
