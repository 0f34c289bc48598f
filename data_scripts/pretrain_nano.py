"""Pre-train ``nano``: speech recognition on synthetic English, streamed as it is spoken.

    python data_scripts/pretrain_nano.py --output build/nano            # hours on two cores
    python data_scripts/pretrain_nano.py --output build/nano --resume   # after an interruption
    python data_scripts/pretrain_nano.py --output build/nano --ship     # put it into the package

The encoder learns to tell the phonemes of a clip (connectionist temporal classification, Graves et
al. 2006) and, with a small weight, the manner in which it was spoken: the settings of rate, pitch,
range, tilt and so on that the synthesizer was given. The second task is our choice: recognition
alone teaches an encoder to hear *past* the manner of speaking, which is what emotion is made of.

Training goes in rounds. A round is made of new clips, a pure function of (seed, round); while the
encoder learns from one, other processes speak the next. ``--resume`` goes on after the last round.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from lowser_lib.encoders import EncoderDimensions, WhisperEncoder
from lowser_lib.errors import SynthesisError
from lowser_lib.views.mel import log_mel, pad_mels
from pretraining.speech import PROSODY, SYMBOLS, Block

ROOT = Path(__file__).resolve().parent.parent
ATTEMPTS = 3
TEST_SPLITS = ("unseen_voices", "unseen_words", "unseen_both")


@dataclass(frozen=True)
class Settings:
    """What fixes a pre-training run.

    Attributes:
        seed: of speech, weights and order.
        rounds: how many rounds of new speech.
        blocks: blocks a round; each is one voice.
        clips: clips a block.
        passes: how often a round's clips are used.
        batch: clips a step.
        learning_rate: peak, after the warm-up of a twentieth of all steps; falls as a cosine.
        weight_decay: of AdamW.
        manner_weight: weight of the second task; 0: recognition alone.
        dimensions: the encoder's sizes.
    """

    seed: int
    rounds: int
    blocks: int
    clips: int
    passes: int
    batch: int
    learning_rate: float
    weight_decay: float
    manner_weight: float
    dimensions: EncoderDimensions

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.rounds * self.passes * math.ceil(self.blocks * self.clips / self.batch)


class Recogniser(nn.Module):
    """An encoder with two heads: phonemes by frame, manner by clip."""

    def __init__(self, encoder: WhisperEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.phonemes = nn.Linear(encoder.dimension, 1 + len(SYMBOLS))
        self.manner = nn.Linear(encoder.dimension, len(PROSODY))

    def forward(self, mel: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log-probabilities ``(B, T', symbols + 1)``, state counts ``(B,)`` and manner ``(B, 8)``."""
        states = self.encoder(mel, lengths)
        counts = (lengths + 1) // 2
        pooled = states.sum(dim=1) / counts[:, None]
        return self.phonemes(states).log_softmax(dim=-1), counts, self.manner(pooled)


def make_block(settings: Settings, split: str, number: int) -> Block:
    """Let a process of its own speak a block; a crash of the synthesizer is retried.

    Raises:
        SynthesisError: it failed :data:`ATTEMPTS` times.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "data_scripts")]),
        "OMP_NUM_THREADS": "1",
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "block.npz"
        command = [
            sys.executable,
            "-m",
            "pretraining.speech",
            "--seed",
            str(settings.seed),
            "--number",
            str(number),
            "--clips",
            str(settings.clips),
            "--split",
            split,
            "--output",
            str(path),
        ]
        for _ in range(ATTEMPTS):
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                return Block.load(path)
        raise SynthesisError(
            f"block {number} of {split} failed {ATTEMPTS} times (exit status {done.returncode}): {done.stderr[-500:]}"
        )


@dataclass
class Clips:
    """Clips ready for training: ``mels`` as float16 ``(80, T)``, targets, manner ``(N, 8)``."""

    mels: list[Tensor]
    phonemes: list[Tensor]
    manner: Tensor

    @classmethod
    def from_blocks(cls, blocks: list[Block]) -> Clips:
        """Compute the log-mel spectrograms of all clips."""
        return cls(
            mels=[
                log_mel(torch.from_numpy(wave)).half()
                for block in blocks
                for wave in block.waveforms
            ],
            phonemes=[
                torch.from_numpy(row.astype(np.int64)) for block in blocks for row in block.phonemes
            ],
            manner=torch.from_numpy(np.concatenate([block.prosody for block in blocks])),
        )

    def batches(self, size: int, generator: torch.Generator) -> Iterator[list[int]]:
        """Batches of clips of similar length, in random order."""
        noisy = [
            mel.shape[1] * (1 + 0.1 * float(torch.rand((), generator=generator)))
            for mel in self.mels
        ]
        order = np.argsort(noisy)
        groups = [order[start : start + size].tolist() for start in range(0, len(order), size)]
        for index in torch.randperm(len(groups), generator=generator):
            yield groups[int(index)]


def stream(settings: Settings, first: int, workers: int) -> Iterator[Clips]:
    """Yield the clips of one round after another, the next ones being spoken in the background."""
    with ThreadPoolExecutor(workers) as pool:

        def order(number: int) -> list[Future[Block]]:
            blocks = range(number * settings.blocks, (number + 1) * settings.blocks)
            return [pool.submit(make_block, settings, "train", block) for block in blocks]

        waiting = order(first)
        for number in range(first, settings.rounds):
            blocks = [future.result() for future in waiting]
            waiting = order(number + 1) if number + 1 < settings.rounds else []
            yield Clips.from_blocks(blocks)


def masked(mel: Tensor, generator: torch.Generator) -> Tensor:
    """Hide two bands and two stretches of time (SpecAugment, Park et al. 2019) by the clips' mean."""
    mel = mel.clone()
    bands, frames = mel.shape[1:]
    mean = mel.mean(dim=(1, 2), keepdim=True)
    for axis, size, widest in ((1, bands, 12), (2, frames, 12)) * 2:
        width = torch.randint(0, widest + 1, (len(mel), 1), generator=generator)
        start = (torch.rand(len(mel), 1, generator=generator) * (size - width).clamp(min=1)).long()
        places = torch.arange(size)[None]
        hidden = (places >= start) & (places < start + width)
        mel = torch.where(
            (hidden[:, :, None] if axis == 1 else hidden[:, None, :]).to(mel.device), mean, mel
        )
    return mel


def batch_loss(
    model: nn.Module,
    clips: Clips,
    chosen: list[int],
    settings: Settings,
    fabric: Fabric,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Return the recognition loss and the manner loss of one batch."""
    mel, lengths = pad_mels([clips.mels[index].float() for index in chosen])
    mel = masked(mel, generator)
    targets = [clips.phonemes[index] for index in chosen]
    mel, lengths = fabric.to_device(mel), fabric.to_device(lengths)
    log_probabilities, counts, manner = model(mel, lengths)
    recognition = F.ctc_loss(
        log_probabilities.float().transpose(0, 1),
        torch.cat(targets).to(mel.device),
        counts,
        torch.tensor([len(target) for target in targets], device=mel.device),
        zero_infinity=True,
    )
    return recognition, F.mse_loss(manner.float(), clips.manner[chosen].to(mel.device))


def edit_distance(first: list[int], second: list[int]) -> int:
    """Fewest insertions, deletions and substitutions between two sequences."""
    row = list(range(len(second) + 1))
    for i, left in enumerate(first, 1):
        previous, row[0] = row[0], i
        for j, right in enumerate(second, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (left != right))
    return row[-1]


@torch.inference_mode()
def error_rate(model: Recogniser, clips: Clips, batch: int) -> float:
    """Phoneme error rate of the best path, edits divided by phonemes."""
    model.eval()
    edits = total = 0
    device = model.phonemes.weight.device
    for start in range(0, len(clips.mels), batch):
        mel, lengths = pad_mels([mel.float() for mel in clips.mels[start : start + batch]])
        log_probabilities, counts, _ = model(mel.to(device), lengths.to(device))
        for best, count, target in zip(
            log_probabilities.argmax(-1).cpu(), counts, clips.phonemes[start:], strict=False
        ):
            found = torch.unique_consecutive(best[:count])
            edits += edit_distance(found[found > 0].tolist(), target.tolist())
            total += len(target)
    model.train()
    return edits / total


def test_clips(settings: Settings, split: str, blocks: int) -> Clips:
    """Clips of a test split, always the same for a seed."""
    return Clips.from_blocks([make_block(settings, split, number) for number in range(blocks)])


def save(path: Path, content: dict[str, object]) -> None:
    """Write a checkpoint whole or not at all."""
    part = path.with_suffix(".part")
    torch.save(content, part)
    part.replace(path)


def train(settings: Settings, output: Path, workers: int, device: str, resume: bool) -> Recogniser:
    """Run the rounds that are left; a checkpoint and a line of ``log.jsonl`` after each."""
    fabric = Fabric(
        accelerator=device, devices=1, precision="bf16-mixed" if device == "cuda" else "32-true"
    )
    torch.manual_seed(settings.seed)
    model = Recogniser(
        WhisperEncoder.random(settings.dimensions, settings.seed, freeze=("positions",))
    )
    optimizer = torch.optim.AdamW(
        model.parameters(),
        settings.learning_rate,
        weight_decay=settings.weight_decay,
        betas=(0.9, 0.98),
    )
    warm_up = settings.steps // 20
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(
            (step + 1) / warm_up, 0.5 * (1 + math.cos(math.pi * min(step / settings.steps, 1)))
        ),
    )
    checkpoint, first, state = output / "checkpoint.pt", 0, None
    if resume and checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        first = state["round"]
    wrapped, optimizer = fabric.setup(model, optimizer)
    if state is not None:
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
    development = test_clips(settings, "unseen_voices", 1)
    begun = time.monotonic()
    for number, clips in enumerate(stream(settings, first, workers), first):
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + number)
        losses = []
        for _ in range(settings.passes):
            for chosen in clips.batches(settings.batch, generator):
                recognition, manner = batch_loss(
                    wrapped, clips, chosen, settings, fabric, generator
                )
                optimizer.zero_grad()
                fabric.backward(recognition + settings.manner_weight * manner)
                fabric.clip_gradients(wrapped, optimizer, max_norm=1.0)
                optimizer.step()
                scheduler.step()
                losses.append((recognition.item(), manner.item()))
        line = {
            "round": number + 1,
            "of": settings.rounds,
            "seconds": round(time.monotonic() - begun),
            "recognition": round(float(np.mean([loss[0] for loss in losses])), 4),
            "manner": round(float(np.mean([loss[1] for loss in losses])), 4),
        }
        if (number + 1) % 5 == 0:
            line["error_rate"] = round(error_rate(model, development, settings.batch), 4)
        with (output / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        print(line, file=sys.stderr, flush=True)
        save(
            checkpoint,
            {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "scheduler": scheduler.state_dict(),
                "round": number + 1,
                "settings": asdict(settings),
            },
        )
    return model


def main() -> None:
    """Read the command line, train, test, and put the encoder into the package where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for checkpoint and log")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=80)
    parser.add_argument("--blocks", type=int, default=8, help="voices a round")
    parser.add_argument("--clips", type=int, default=128, help="clips a voice and round")
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--manner-weight", type=float, default=0.3)
    parser.add_argument("--width", type=int, default=160)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1, help="processes that speak")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    settings = Settings(
        seed=arguments.seed,
        rounds=arguments.rounds,
        blocks=arguments.blocks,
        clips=arguments.clips,
        passes=arguments.passes,
        batch=arguments.batch,
        learning_rate=arguments.learning_rate,
        weight_decay=0.05,
        manner_weight=arguments.manner_weight,
        dimensions=EncoderDimensions(80, 1500, arguments.width, 4, arguments.layers),
    )
    arguments.output.mkdir(parents=True, exist_ok=True)
    model = train(settings, arguments.output, arguments.workers, arguments.device, arguments.resume)
    rates = {
        split: round(error_rate(model, test_clips(settings, split, 8), settings.batch), 4)
        for split in TEST_SPLITS
    }
    (arguments.output / "test.json").write_text(
        json.dumps(rates, indent=1) + "\n", encoding="utf-8"
    )
    print(rates, file=sys.stderr)


if __name__ == "__main__":
    main()
