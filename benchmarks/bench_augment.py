"""Clips a second of the augmentations on the CPU, beside what a user would pick instead.

Both sides go from clips of different lengths, in memory, to augmented clips: ours in padded batches
of 64 clips of similar length (16 speakers × 4 utterances), the others clip by clip, which is how
they work. Each has one thread, which is all that audiomentations can use. They take turns in one
run, on the same clips; the best turn counts, in seconds of the processor, so that other work on the
machine hardly tells:

* noise: audiomentations `AddGaussianSNR`, torchaudio `add_noise`;
* speed: audiomentations has none; its `Resample` (librosa, soxr) does the same work, and its
  `TimeStretch` changes the tempo alone; torchaudio `Speed` knows a speed in advance;
* time mask: audiomentations `TimeMask` on waveforms, which is what it is for, and on the
  spectrogram as if bands were channels, which cannot fill in a mean and is told but not counted;
  torchaudio `TimeMasking`;
* frequency mask: torchaudio `FrequencyMasking` (audiomentations' `SpecFrequencyMask` cannot be
  imported in 0.43).

audiomentations is no part of the lock, as it asks for soxr below 1, an older resampler than the
course's. Where it is not installed, its rows are left out. Run::

    python benchmarks/bench_augment.py [--quick]
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torchaudio
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lowser_lib.audio import SAMPLE_RATE
from lowser_lib.augment import (
    FrequencyMasking,
    GaussianNoise,
    Mixup,
    SpecAugment,
    SpectralStretch,
    SpeedPerturbation,
    TimeMasking,
    TimeWarp,
    Transform,
    byol,
    contrastive,
)
from lowser_lib.views import log_mel, pad_mels

#: Seconds of the shortest and the longest clip: most of emotional speech lies between.
SECONDS = (1.5, 4.0)
BATCH = 64
#: Turns of the same work differ by so much; a smaller difference is none.
TOLERANCE = 0.1


class Clips(NamedTuple):
    """The same clips, as each side wants them."""

    waveforms: list[Tensor]
    mels: list[Tensor]
    batches: dict[str, list[tuple[Tensor, Tensor]]]


class Rival(NamedTuple):
    """What a user would pick instead of one of our transforms."""

    name: str
    run: Callable[[], object]
    counts: bool


def make_clips(count: int) -> Clips:
    """Noise of different lengths, sorted by length as batches of training are."""
    generator = torch.Generator().manual_seed(0)
    seconds = torch.empty(count).uniform_(*SECONDS, generator=generator)
    lengths = sorted((seconds * SAMPLE_RATE).long().tolist())
    waveforms = [0.1 * torch.randn(length, generator=generator) for length in lengths]
    mels = [log_mel(waveform) for waveform in waveforms]
    batches: dict[str, list[tuple[Tensor, Tensor]]] = {"waveform": [], "mel": []}
    for start in range(0, count, BATCH):
        part = waveforms[start : start + BATCH]
        padded = pad_sequence(part, batch_first=True)
        batches["waveform"].append((padded, torch.tensor([len(clip) for clip in part])))
        batches["mel"].append(pad_mels(mels[start : start + BATCH]))
    return Clips(waveforms, mels, batches)


def of_audiomentations(clips: Clips) -> dict[str, list[Rival]]:
    """Its transforms with our ranges, or nothing where it is not installed."""
    try:
        library: Any = importlib.import_module("audiomentations")
    except ModuleNotFoundError:
        print(
            "audiomentations is not installed: its rows are left out. To see them:\n"
            "  .venv/bin/python -m pip install --no-deps audiomentations numpy-minmax numpy-rms "
            "python-stretch"
        )
        return {}
    print(f"audiomentations {library.__version__}")
    waveforms = [clip.numpy() for clip in clips.waveforms]
    # Bands as if they were channels; contiguous, as a channel is in a sound file.
    mels = [np.ascontiguousarray(mel.numpy()) for mel in clips.mels]

    def each(transform: Any, inputs: list[np.ndarray]) -> Callable[[], object]:
        return lambda: [transform(one, SAMPLE_RATE) for one in inputs]

    noise = library.AddGaussianSNR(10.0, 30.0, p=1.0)
    slow, fast = round(SAMPLE_RATE / 1.1), round(SAMPLE_RATE / 0.9)
    resample = library.Resample(slow, fast, p=1.0)
    stretch = library.TimeStretch(0.9, 1.1, leave_length_unchanged=False, p=1.0)
    mask = library.TimeMask(0.0, 0.2, p=1.0)
    plain = library.TimeMask(0.0, 0.2, fade_duration=0.0, p=1.0)
    name = "audiomentations"
    return {
        "GaussianNoise": [Rival(f"{name} AddGaussianSNR", each(noise, waveforms), True)],
        "SpeedPerturbation": [
            Rival(f"{name} Resample", each(resample, waveforms), True),
            Rival(f"{name} TimeStretch", each(stretch, waveforms), True),
        ],
        "TimeMasking": [
            Rival(f"{name} TimeMask, of waveforms", each(mask, waveforms), True),
            Rival(f"{name} TimeMask, of mels, with zeros", each(plain, mels), False),
        ],
    }


def of_torchaudio(clips: Clips) -> dict[str, list[Rival]]:
    """Functions of torchaudio, a clip at a time, since they take one length a batch."""
    transforms = torchaudio.transforms
    masks = {
        "TimeMasking": transforms.TimeMasking(40, p=0.2),
        "FrequencyMasking": transforms.FrequencyMasking(16),
    }
    speed = transforms.Speed(SAMPLE_RATE, 1.1)

    def add_noise() -> object:
        return [
            torchaudio.functional.add_noise(clip, torch.randn_like(clip), 10 + 20 * torch.rand(()))
            for clip in clips.waveforms
        ]

    def masked(mask: Any) -> Callable[[], object]:
        return lambda: [mask(mel, mel.mean()) for mel in clips.mels]

    found = {
        name: [Rival(f"torchaudio {name}, with means", masked(mask), False)]
        for name, mask in masks.items()
    }
    found["GaussianNoise"] = [Rival("torchaudio add_noise", add_noise, False)]
    found["SpeedPerturbation"] = [
        Rival("torchaudio Speed(1.1)", lambda: [speed(clip) for clip in clips.waveforms], False)
    ]
    return found


def seconds(action: Callable[[], object]) -> float:
    """Processor seconds of one call."""
    began = time.process_time()
    action()
    return time.process_time() - began


def best_of(actions: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Shortest time of each action; all take turns, so that a busy machine slows all alike."""
    whole = sum(seconds(action) for action in actions)
    # What takes milliseconds is easily disturbed, and cheap to repeat.
    rounds = max(rounds, min(100, int(2 / max(whole, 1e-3))))
    times = [[seconds(action) for action in actions] for _ in range(rounds)]
    return [min(column) for column in zip(*times, strict=True)]


def compare(clips: Clips, rounds: int) -> list[str] | None:
    """Time every transform of ours and its rivals, and print a table.

    Returns:
        Names of the audiomentations transforms that are faster than ours; None: it is missing.
    """
    rivals = of_audiomentations(clips)
    present = bool(rivals)
    for name, others in of_torchaudio(clips).items():
        rivals.setdefault(name, []).extend(others)
    generator = torch.Generator().manual_seed(1)
    lost = []
    print(f"\n{'':<48}{'clips/s':>10}{'ours is':>10}")
    ours: list[Transform] = [GaussianNoise(), SpeedPerturbation(), TimeMasking()]
    ours += [FrequencyMasking(), SpectralStretch(), TimeWarp(), SpecAugment(), Mixup()]
    for transform in ours:
        name, batches = type(transform).__name__, clips.batches[transform.domain]

        def mine(
            transform: Transform = transform, batches: list[tuple[Tensor, Tensor]] = batches
        ) -> object:
            return [transform(*batch, generator) for batch in batches]

        others = rivals.get(name, [])
        own, *times = best_of([mine, *(rival.run for rival in others)], rounds)
        print(f"{'LowSER ' + name:<48}{len(clips.mels) / own:>10.0f}")
        for rival, taken in zip(others, times, strict=True):
            print(f"  {rival.name:<46}{len(clips.mels) / taken:>10.0f}{taken / own:>9.1f}x")
            if rival.counts and taken < (1 - TOLERANCE) * own:
                lost.append(rival.name)
    return lost if present else None


def time_presets(clips: Clips, rounds: int) -> None:
    """Clips a second of the presets, with and without the spectrograms between."""

    def to_mel(waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        pairs = zip(waveforms, lengths.tolist(), strict=True)
        return pad_mels([log_mel(waveform[:length]) for waveform, length in pairs])

    generator = torch.Generator().manual_seed(1)
    batches, count = clips.batches["waveform"], len(clips.mels)
    plain = best_of([lambda: [to_mel(*batch) for batch in batches]], rounds)[0]
    print(f"\n{'spectrograms alone':<48}{count / plain:>10.0f}")
    for preset in (contrastive(), byol()):
        name = "contrastive" if len(preset) == 7 else "byol"
        whole = best_of(
            [lambda preset=preset: [preset(*batch, generator, to_mel) for batch in batches]],  # type: ignore[misc]
            rounds,
        )[0]
        print(f"{name + ', spectrograms included':<48}{count / whole:>10.0f}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="few clips: a few seconds")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # audiomentations announces its own changes

    clips = make_clips((2 if options.quick else 8) * BATCH)
    rounds = 2 if options.quick else 3
    print(
        f"{len(clips.mels)} clips of {SECONDS[0]} to {SECONDS[1]} s, batches of {BATCH}; "
        f"one thread, float32, CPU; best of {rounds} turns or more"
    )
    lost = compare(clips, rounds)
    time_presets(clips, rounds)
    if lost:
        sys.exit(f"bench_augment: ours is slower than {', '.join(lost)}; was anything running?")
    compared = "[--] target not checked" if lost is None else "[OK] target reached"
    print(f"{compared}: no slower than audiomentations")


if __name__ == "__main__":
    main()
