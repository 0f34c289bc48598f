"""Training steps on the device at hand, beside the same clips padded to 30 s: part of ``make gpu``.

The baseline learns from made-up clips of 2 to 8 s, at the size of small.en with random weights: in
bf16 on a GPU that multiplies it, in float32 and much smaller where there is no GPU, to see that all
of it runs. Measured in one run: the rate at which the device multiplies large matrices, clips a
second of both sides and the share of that rate that they reach, the share of the time in which the
device waits for the loader, and the peak of its memory. Run::

    python benchmarks/bench_gpu.py [--device auto] [--output FILE]
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim import AdamW
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from lowser_lib import files
from lowser_lib.encoders import EncoderDimensions, WhisperEncoder
from lowser_lib.experiments import records
from lowser_lib.methods.baseline import Baseline, BaselineConfig, EmotionClassifier
from lowser_lib.sampling import Batch, ClipDataset, LengthBucketSampler
from lowser_lib.training import Step, make_fabric, precision_of

FRAMES = (200, 800)
"""Shortest and longest clip, in frames of 10 ms."""

PADDED = 3000
"""Frames of 30 s, Whisper's own window."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        encoder: Sizes of the model.
        clips: Made-up clips.
        batch: Clips a step.
        steps: Steps that are timed, after ``warm`` others.
        warm: Steps before, in which kernels are chosen and memory is taken.
        matrix: Side of the matrices that tell the device's rate.
    """

    encoder: EncoderDimensions
    clips: int
    batch: int
    steps: int
    warm: int
    matrix: int


CARD = Sizes(EncoderDimensions(80, 1500, 768, 12, 12), 1024, 32, 24, 4, 8192)
PROCESSOR = Sizes(EncoderDimensions(80, 1500, 32, 2, 2), 16, 4, 3, 1, 256)


@dataclass(frozen=True)
class Side:
    """What was measured of one way to lay out the clips.

    Attributes:
        clips_per_second: Clips learned from, waiting included.
        flops_per_clip: Operations of a step, forward and backward, by torch's own count.
        share: Of the device's matrix rate that the steps reach, waiting left out.
        waiting: Share of the time in which the device waits for the loader.
        peak: Largest memory taken on the device, bytes; None on a processor.
    """

    clips_per_second: float
    flops_per_clip: float
    share: float
    waiting: float
    peak: int | None


def wait(device: torch.device) -> None:
    """Let the device finish what it was told, so that a clock tells its time."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(action: Callable[[], object], device: torch.device) -> float:
    """Time of one call, to its end on the device."""
    wait(device)
    begun = time.perf_counter()
    action()
    wait(device)
    return time.perf_counter() - begun


def matrix_rate(fabric: Fabric, size: int) -> float:
    """Operations a second of large matrix products, in the precision that trainings use."""
    dtype = torch.bfloat16 if precision_of(fabric) == "bf16-mixed" else torch.float32
    left = torch.randn(size, size, device=fabric.device).to(dtype)

    def multiply() -> Tensor:
        return left @ left

    multiply()
    return 2 * size**3 / min(seconds(multiply, fabric.device) for _ in range(5))


def made_up(sizes: Sizes, padded: bool) -> ClipDataset:
    """Noise in place of spectrograms; the same for both sides but for the padding."""
    draw = torch.Generator().manual_seed(0)
    lengths = torch.randint(*FRAMES, (sizes.clips,), generator=draw).tolist()
    bands = sizes.encoder.n_mels
    mels = [torch.randn(bands, length, generator=draw) for length in lengths]
    if padded:
        mels = [torch.nn.functional.pad(mel, (0, PADDED - mel.shape[1])) for mel in mels]
    return ClipDataset(mels, torch.arange(sizes.clips) % 4)


def train(encoder: WhisperEncoder, sizes: Sizes, padded: bool, fabric: Fabric, rate: float) -> Side:
    """Train for a few steps on clips of their own length, or on the same padded to 30 s."""
    clips = made_up(sizes, padded)
    draw = torch.Generator().manual_seed(0)
    sampler = LengthBucketSampler(clips.lengths, sizes.batch, draw)
    loader = DataLoader(clips, batch_sampler=sampler, collate_fn=clips.collate)
    classifier = EmotionClassifier(copy.deepcopy(encoder), generator=draw)
    recipe = Baseline(classifier, BaselineConfig(encoder_learning_rate=1e-5))
    model, optimizer = fabric.setup(recipe, AdamW(recipe.parameter_groups()))
    if fabric.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(fabric.device)

    def step(batch: Batch) -> None:
        losses = model(fabric.to_device(batch), Step(0, 1, draw))
        fabric.backward(losses["loss"])
        optimizer.step()
        optimizer.zero_grad()

    recipe.train()
    timed, waited, worked = [], 0.0, 0.0
    batches = iter(loader)
    for number in range(sizes.warm + sizes.steps):
        begun = time.perf_counter()
        try:
            batch = next(batches)
        except StopIteration:
            batches = iter(loader)
            batch = next(batches)
        fetched = time.perf_counter() - begun
        if number < sizes.warm:
            step(batch)
            continue
        worked += seconds(partial(step, batch), fabric.device)
        waited += fetched
        timed.append(batch)
    # The same batches once more, since counting takes time.
    with FlopCounterMode(display=False) as counter:
        for batch in timed:
            step(batch)
    learned, operations = sum(len(batch.labels) for batch in timed), counter.get_total_flops()
    cuda = fabric.device.type == "cuda"
    return Side(
        clips_per_second=learned / (waited + worked),
        flops_per_clip=operations / learned,
        share=operations / worked / rate,
        waiting=waited / (waited + worked),
        peak=torch.cuda.max_memory_allocated(fabric.device) if cuda else None,
    )


def measure(device: str = "auto") -> dict[str, object]:
    """Measure both sides; plain values."""
    fabric = make_fabric(device)
    sizes = CARD if fabric.device.type == "cuda" else PROCESSOR
    encoder = WhisperEncoder.random(sizes.encoder, 0)
    rate = matrix_rate(fabric, sizes.matrix)
    sides = {
        name: asdict(train(encoder, sizes, padded, fabric, rate))
        for name, padded in (("own length", False), ("padded to 30 s", True))
    }
    return {
        "device": records.device(fabric.device.type),
        "precision": precision_of(fabric),
        "matrix_rate": rate,
        "sizes": asdict(sizes),
        "sides": sides,
        "versions": records.versions(),
        "commit": records.git_commit(Path(__file__).parent),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark, print it, and write it down."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n")[0])
    parser.add_argument("--device", default="auto", help="cuda or cpu; default: a GPU if any")
    parser.add_argument("--output", type=Path, help="file for the figures, JSON")
    options = parser.parse_args(arguments)
    found = measure(options.device)
    device, sides = found["device"], found["sides"]
    assert isinstance(device, dict) and isinstance(sides, dict)
    if device["type"] != "cuda":
        print("No CUDA device: everything runs, and the figures mean nothing.")
    print(f"{device['name']}, {found['precision']}: {found['matrix_rate']:.3g} operations a second")
    print(f"{'':<16}{'clips/s':>10}{'share':>8}{'waiting':>9}{'memory':>11}")
    for name, side in sides.items():
        memory = "-" if side["peak"] is None else f"{side['peak'] / 2**30:.1f} GiB"
        print(
            f"{name:<16}{side['clips_per_second']:>10.1f}{side['share']:>8.0%}"
            f"{side['waiting']:>9.0%}{memory:>11}"
        )
    own, padded = (side["clips_per_second"] for side in sides.values())
    print(f"Clips of their own length: {own / padded:.1f} times as many a second.")
    if options.output:
        files.write_json(options.output, records.plain(found))
        print(f"{options.output} written")


if __name__ == "__main__":
    main()
