"""Clips a second of the shipped `nano`, beside openai-whisper's own encoder with the same weights.

Batches of 32 clips of 2.5 s (noise; the time does not depend on what is in them), in one run:

* ours from spectrograms: what fine-tuning and probing pay for, since spectrograms are kept;
* ours from waveforms: a clip that is heard for the first time;
* openai-whisper from spectrograms, each clip padded to 30 s, as its encoder demands.

The sides take turns; the best turn of each counts. Run::

    python benchmarks/bench_nano.py [--quick] [--threads 2]

Exits with 1 where ours embeds fewer than 200 clips a second from spectrograms: the target is for
two cores with nothing else running.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

import torch
import whisper
from torch import Tensor

from lowser_lib.audio import SAMPLE_RATE
from lowser_lib.encoders import WhisperEncoder
from lowser_lib.views import log_mel, pad_mels

TARGET = 200.0
CLIPS = 32
SECONDS = 2.5
#: Clips of a padded batch: each takes twelve times the memory.
PADDED = 4


def spectrograms(clips: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """A padded batch, and the frames of each clip."""
    mel, lengths = pad_mels([log_mel(clip) for clip in clips])
    return mel, lengths


def sides(clips: Sequence[Tensor]) -> dict[str, tuple[int, Callable[[], object]]]:
    """By name: clips a call, and the call."""
    encoder = WhisperEncoder.load("nano").eval()
    mel, lengths = spectrograms(clips)
    padded = torch.stack([log_mel(whisper.pad_or_trim(clip)) for clip in clips[:PADDED]])
    return {
        "LowSER, from spectrograms": (len(clips), lambda: encoder.embed(mel, lengths)),
        "LowSER, from waveforms": (len(clips), lambda: encoder.embed(*spectrograms(clips))),
        "openai-whisper, padded to 30 s": (PADDED, lambda: encoder.encoder(padded)),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="few turns: about 5 s on 2 cores")
    parser.add_argument("--threads", type=int, default=None, help="default: torch's own choice")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)

    generator = torch.Generator().manual_seed(0)
    samples = round(SECONDS * SAMPLE_RATE)
    clips = [0.1 * torch.randn(samples, generator=generator) for _ in range(CLIPS)]
    best: dict[str, float] = {}
    with torch.inference_mode():
        timed = sides(clips)
        for turn in range(4 if options.quick else 21):
            for name, (count, call) in timed.items():
                began = time.perf_counter()
                call()
                rate = count / (time.perf_counter() - began)
                if turn:  # the first warms up
                    best[name] = max(rate, best.get(name, 0.0))

    slowest = best["openai-whisper, padded to 30 s"]
    print(f"clips of {SECONDS} s, {torch.get_num_threads()} threads, float32, CPU")
    print(f"{'':<34}{'clips/s':>10}{'ratio':>10}")
    for name, rate in best.items():
        print(f"{name:<34}{rate:>10.1f}{rate / slowest:>9.1f}x")
    if best["LowSER, from spectrograms"] < TARGET:
        sys.exit(f"bench_nano: below {TARGET:.0f} clips/s; was anything else running?")


if __name__ == "__main__":
    main()
