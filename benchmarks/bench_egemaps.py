"""eGeMAPS-88 in two processes beside one, and read from the cache beside extracted.

The clips are made up: pulses and noise, 200 of them, 2 to 4 s. Run as
``python benchmarks/bench_egemaps.py``; exits with 1 where two processes on two cores are less than
1.8 times as fast as one, or a warm read is less than 50 times as fast as a cold extraction.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from lowser_lib.audio import SAMPLE_RATE
from lowser_lib.views.cache import extract_all
from lowser_lib.views.egemaps import EgemapsView

CLIPS = 200
LEAST_PARALLEL, LEAST_WARM = 1.8, 50.0


def write_clips(folder: Path) -> pd.DataFrame:
    """Voiced clips of different pitch and length, and a manifest of them."""
    random = np.random.default_rng(0)
    names = [f"clip_{number:03d}.wav" for number in range(CLIPS)]
    for name in names:
        samples = int(random.uniform(2, 4) * SAMPLE_RATE)
        pitch = random.uniform(90, 250) * (1 + 0.1 * np.sin(np.arange(samples) / 3000))
        pulses = np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE) ** 15
        sound = 0.3 * pulses + 0.01 * random.normal(size=samples)
        soundfile.write(folder / name, sound.astype(np.float32), SAMPLE_RATE)
    return pd.DataFrame({"path": names})


def timed(manifest: pd.DataFrame, folder: Path, cache: Path | None, jobs: int) -> float:
    """Seconds to have the view of all clips."""
    begun = time.perf_counter()
    extract_all(EgemapsView(), manifest, [folder], cache, jobs=jobs)
    return time.perf_counter() - begun


def main() -> int:
    """Time all four and print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name), Path(name) / "cache"
        manifest = write_clips(folder)
        warm_up = manifest[:32]
        for jobs in (1, 2):  # processes have to start, and openSMILE to be loaded, once
            timed(warm_up, folder, None, jobs)
        one, two = (timed(manifest, folder, None, jobs) for jobs in (1, 2))
        cold, warm = (timed(manifest, folder, cache, 1) for _ in range(2))
    print(f"eGeMAPS-88 of {CLIPS} clips; {os.cpu_count()} cores")
    print(f"one process      {one:7.2f} s")
    print(f"two processes    {two:7.2f} s  {one / two:6.1f} x")
    print(f"cold, one        {cold:7.2f} s")
    print(f"from the cache   {warm:7.3f} s  {cold / warm:6.1f} x")
    slow = one / two < LEAST_PARALLEL and (os.cpu_count() or 1) > 1
    if slow:
        print(f"two processes are less than {LEAST_PARALLEL} x one", file=sys.stderr)
    if cold / warm < LEAST_WARM:
        print(f"the cache is less than {LEAST_WARM:g} x an extraction", file=sys.stderr)
    return int(slow or cold / warm < LEAST_WARM)


if __name__ == "__main__":
    sys.exit(main())
