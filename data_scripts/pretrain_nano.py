"""Pre-train the small encoders: speech recognition on synthetic English, streamed as it is spoken.

    python data_scripts/pretrain_nano.py --output build/nano            # hours on two cores
    python data_scripts/pretrain_nano.py --output build/nano --resume   # after an interruption
    python data_scripts/pretrain_nano.py --output build/nano --resume --rounds 60  # end elsewhere
    python data_scripts/pretrain_nano.py --output build/nano --ship     # put it into the package

The encoder learns to tell the phonemes of a clip (connectionist temporal classification, Graves et
al. 2006) and, with a small weight, the manner in which it was spoken: the settings of rate, pitch,
range, tilt and so on that the synthesizer was given. The second task is our choice: recognition
alone teaches an encoder to hear *past* the manner of speaking, which is what emotion is made of.

Training goes in rounds. A round is made of new clips, a pure function of (seed, round); while the
encoder learns from one, other processes speak the next. ``--resume`` goes on after the last round;
with other ``--rounds`` the rate falls to zero at the new end, and the card says so.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor

from lowser_lib.audio import SAMPLE_RATE
from pretraining.recognition import HEARINGS, Recogniser, error_rate, masked
from pretraining.shipping import SPLITS, TEST_BLOCKS, commit, ship
from pretraining.stream import Clips, make_block, stream

CHECK_EVERY = 5


@dataclass(frozen=True)
class Settings:
    """What fixes a pre-training run.

    Attributes:
        encoder: ``nano`` or ``wav2vec2_nano``.
        width: of a state.
        layers: transformer blocks.
        seed: of speech, weights and order.
        rounds: how many rounds of new speech.
        blocks: blocks a round; each is one voice.
        clips: clips a block.
        passes: how often a round's clips are used.
        batch: clips a step.
        learning_rate: peak, after a warm-up of a twentieth of all steps; falls as a cosine.
        weight_decay: of AdamW.
        manner_weight: weight of the second task; 0: recognition alone.
    """

    encoder: str
    width: int
    layers: int
    seed: int
    rounds: int
    blocks: int
    clips: int
    passes: int
    batch: int
    learning_rate: float
    weight_decay: float
    manner_weight: float

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.rounds * self.passes * math.ceil(self.blocks * self.clips / self.batch)

    def build(self) -> Recogniser:
        """Return the untrained model."""
        hearing = HEARINGS[self.encoder](self.width, self.layers, self.seed)
        return Recogniser(hearing, self.seed)


class Run:
    """A pre-training run: model, optimiser, and what has been done so far."""

    def __init__(self, settings: Settings, output: Path, device: str) -> None:
        self.settings, self.output = settings, output
        self.fabric = Fabric(
            accelerator=device,
            devices=1,
            precision="bf16-mixed" if device == "cuda" else "32-true",
        )
        self.model = settings.build()
        optimizer = torch.optim.AdamW(
            self.model.parameters(),
            settings.learning_rate,
            weight_decay=settings.weight_decay,
            betas=(0.9, 0.98),
        )
        self.wrapped, self.optimizer = self.fabric.setup(self.model, optimizer)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self._share_of_rate)
        self.done = 0
        self.commit = commit()
        #: How many rounds were planned for before: ``[done, planned]`` for each change of mind.
        self.plans: list[list[int]] = []

    def _share_of_rate(self, step: int) -> float:
        rising = (step + 1) / max(1, self.settings.steps // 20)
        return min(rising, 0.5 * (1 + math.cos(math.pi * min(step / self.settings.steps, 1.0))))

    @property
    def checkpoint(self) -> Path:
        """File of the last finished round."""
        return self.output / "checkpoint.pt"

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        part = self.checkpoint.with_suffix(".part")
        names = ("model", "optimizer", "scheduler")
        states = {name: getattr(self, name).state_dict() for name in names}
        facts = {"done": self.done, "settings": asdict(self.settings), "commit": self.commit}
        torch.save({**states, **facts, "plans": self.plans}, part)
        part.replace(self.checkpoint)

    def load(self) -> None:
        """Go back to the checkpoint; the number of rounds may be another than then.

        Raises:
            SystemExit: there is none, it belongs to other settings, or has more rounds behind it.
        """
        if not self.checkpoint.is_file():
            sys.exit(f"{self.checkpoint}: no checkpoint to resume; leave out --resume")
        state = torch.load(self.checkpoint, weights_only=True, map_location=self.fabric.device)
        settings, planned = asdict(self.settings), state["settings"]["rounds"]
        if {**state["settings"], "rounds": settings["rounds"]} != settings:
            sys.exit(f"{self.checkpoint}: made with other settings: {state['settings']}")
        if state["done"] > settings["rounds"]:
            sys.exit(f"{self.checkpoint}: {state['done']} rounds are done: --rounds must be more")
        self.plans = state.get("plans", [])
        if planned != settings["rounds"]:
            self.plans = [*self.plans, [state["done"], planned]]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.done, self.commit = state["done"], state["commit"]

    def losses(
        self, clips: Clips, chosen: list[int], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the recognition loss and the manner loss of one batch."""
        inputs, lengths = self.model.hearing.pad([clips.inputs[index] for index in chosen])
        inputs, lengths = self.fabric.to_device((masked(inputs, generator), lengths))
        truths = [clips.phonemes[index] for index in chosen]
        scores, counts, manner = self.wrapped(inputs, lengths)
        recognition = F.ctc_loss(
            scores.float().transpose(0, 1),
            self.fabric.to_device(torch.cat(truths)),
            counts,
            self.fabric.to_device(torch.tensor([len(truth) for truth in truths])),
            zero_infinity=True,
        )
        told = self.fabric.to_device(clips.manner[chosen])
        return recognition, F.mse_loss(manner.float(), told)

    def learn(self, clips: Clips) -> tuple[float, float]:
        """Run one round; returns the mean of both losses."""
        settings = self.settings
        # The order of a round is a function of its number, so that a resumed run repeats nothing.
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + self.done)
        seen = []
        for _ in range(settings.passes):
            for chosen in clips.batches(settings.batch, generator):
                recognition, manner = self.losses(clips, chosen, generator)
                self.optimizer.zero_grad()
                self.fabric.backward(recognition + settings.manner_weight * manner)
                self.fabric.clip_gradients(self.wrapped, self.optimizer, max_norm=1.0)
                self.optimizer.step()
                self.scheduler.step()
                seen.append((recognition.item(), manner.item()))
        self.done += 1
        return tuple(np.mean(seen, axis=0).tolist())

    def report(self, line: dict[str, float]) -> None:
        """Add a line to ``log.jsonl`` and show it."""
        with (self.output / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        print(line, file=sys.stderr, flush=True)

    def hours(self) -> float:
        """Length of all clips of the stream, estimated from its first blocks."""
        settings = self.settings
        spoken = [make_block(settings.seed, "train", n, settings.clips) for n in range(TEST_BLOCKS)]
        seconds = sum(len(wave) for block in spoken for wave in block.waveforms) / SAMPLE_RATE
        return round(seconds * settings.rounds * settings.blocks / TEST_BLOCKS / 3600, 1)

    def test(self, split: str, blocks: int, clean: bool = False) -> float:
        """Phoneme error rate on a split that training never hears."""
        settings = self.settings
        spoken = [
            make_block(settings.seed, split, n, settings.clips, clean=clean) for n in range(blocks)
        ]
        clips = Clips.from_blocks(spoken, self.model.hearing)
        return error_rate(self.model, clips.inputs, clips.phonemes, settings.batch)


def train(run: Run, workers: int) -> None:
    """Go through the rounds that are left; a checkpoint and a line of the log after each."""
    settings, begun = run.settings, time.monotonic()
    rounds = range(run.done, settings.rounds)
    hearing = run.model.hearing
    for clips in stream(settings.seed, rounds, settings.blocks, settings.clips, hearing, workers):
        recognition, manner = run.learn(clips)
        run.save()
        line: dict[str, float] = {"round": run.done}
        line |= {"seconds": round(time.monotonic() - begun)}
        line |= {"recognition": round(recognition, 4), "manner": round(manner, 4)}
        if run.done % CHECK_EVERY == 0:
            line["error_rate"] = round(run.test("unseen_voices", 1), 4)
        run.report(line)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of checkpoint and log")
    parser.add_argument("--encoder", choices=tuple(HEARINGS), default="nano")
    parser.add_argument("--width", type=int, default=160)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=80)
    parser.add_argument("--blocks", type=int, default=8, help="voices a round")
    parser.add_argument("--clips", type=int, default=128, help="clips a voice and round")
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--manner-weight", type=float, default=0.3)
    parser.add_argument("--workers", type=int, default=1, help="processes that speak")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cpu", "cuda"), default=device)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument("--ship", action="store_true", help="put the finished encoder in place")
    return parser.parse_args(arguments)


def main() -> None:
    """Train, test on unseen voices and words, and put the encoder into the package if asked."""
    arguments = vars(parse())
    output: Path = arguments.pop("output")
    workers, device = arguments.pop("workers"), arguments.pop("device")
    resume, shipping = arguments.pop("resume"), arguments.pop("ship")
    output.mkdir(parents=True, exist_ok=True)
    run = Run(Settings(**arguments), output, device)
    if resume or shipping:
        run.load()
    train(run, workers)
    rates = {
        f"{split}{', clean' * clean}": round(run.test(split, TEST_BLOCKS, clean), 4)
        for split in SPLITS
        for clean in (False, True)
    }
    run.report(rates)
    if shipping:
        facts = {"plans": run.plans, "hours": run.hours(), "commit": run.commit}
        ship(run.model.hearing, asdict(run.settings), rates, facts)


if __name__ == "__main__":
    main()
