"""Tables at the size of MSP-Podcast and more: 100,000 made-up rows.

Validating and splitting them has to take less than 10 s and 1 GiB. Folds are timed, and compared
for evenness, beside scikit-learn's ``StratifiedGroupKFold``, which a user would pick instead.
Run as ``python benchmarks/bench_manifest.py``; exits with 1 when over either limit.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from lowser_lib import manifest, splits
from lowser_lib.corpora import EMOTIONS

N_ROWS = 100_000
N_SPEAKERS = 2_000
N_FOLDS = 5
COMPARED = ("speaker_folds", "StratifiedGroupKFold")  # the two that do the same
MOST_SECONDS = 10.0
MOST_MEMORY = 1024.0  # MiB


def make_manifest(n_rows: int = N_ROWS, n_speakers: int = N_SPEAKERS) -> pd.DataFrame:
    """Rows of speakers who differ in size (Pareto) and in what they express (Dirichlet)."""
    generator = np.random.default_rng(0)
    sizes = generator.pareto(1.2, n_speakers) + 0.2
    speaker = generator.choice(n_speakers, n_rows, p=sizes / sizes.sum())
    habits = generator.dirichlet([2.0] * len(EMOTIONS), n_speakers).cumsum(axis=1)
    emotion = (habits[speaker] < generator.random((n_rows, 1))).sum(axis=1).clip(max=3)
    return pd.DataFrame(
        {
            "utterance_id": [f"made/clip_{number:06d}" for number in range(n_rows)],
            "corpus": "made",
            "path": [f"made/clip_{number:06d}.wav" for number in range(n_rows)],
            "language": "en",
            "speaker": [f"made/S{number:04d}" for number in speaker],
            "gender": np.where(speaker % 2 == 0, "female", "male"),
            "emotion": np.array(EMOTIONS)[emotion],
            "raw_label": np.array(["A", "H", "N", "S"])[emotion],
            "text_id": None,
            "duration": generator.uniform(0.5, 12.0, n_rows),
            "sample_rate": 16000,
        }
    )


def scikit_learn_folds(rows: pd.DataFrame, seed: int = 0) -> list[pd.DataFrame]:
    """Test parts of scikit-learn's folds by speaker."""
    folds = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=seed)
    parts = folds.split(rows, rows["emotion"], rows["speaker"])
    return [rows.iloc[test] for _, test in parts]


def our_folds(rows: pd.DataFrame, seed: int = 0) -> list[pd.DataFrame]:
    """Test parts of the library's folds."""
    return [test for _, test in splits.speaker_folds(rows, N_FOLDS, seed)]


def unevenness(folds: Sequence[pd.DataFrame]) -> float:
    """Largest distance, in percentage points, of a fold's share of a class from 1 / folds."""
    counts = np.array([fold["emotion"].value_counts().reindex(EMOTIONS) for fold in folds])
    return float(100 * np.abs(counts / counts.sum(axis=0) - 1 / len(folds)).max())


def reset_peak_memory() -> None:
    """Start a new high-water mark; a no-op where the system has none to reset (only Linux has)."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def peak_memory() -> float:
    """Most memory (MiB) that this process held at once since :func:`reset_peak_memory`."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def measure(step: Callable[[], object]) -> tuple[float, float]:
    """Seconds that a step takes, and the most memory (MiB) that the process holds meanwhile."""
    reset_peak_memory()
    start = time.perf_counter()
    step()
    return time.perf_counter() - start, peak_memory()


def main() -> int:
    """Time each step, print the table, and tell by the exit status whether the limits hold."""
    rows = make_manifest()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "manifest.parquet"
        steps: dict[str, Callable[[], object]] = {
            "validate": lambda: manifest.validate(rows),
            "save": lambda: manifest.save(rows, file),
            "load": lambda: manifest.load(file),
            "label_budget, 32 a class": lambda: splits.label_budget(rows, 32, seed=0),
            "speaker_folds": lambda: our_folds(rows),
            "StratifiedGroupKFold": lambda: scikit_learn_folds(rows),
        }
        found = {name: measure(step) for name, step in steps.items()}

    print(f"{len(rows):,} rows, {rows['speaker'].nunique():,} speakers, {N_FOLDS} folds; memory is")
    print("the most that the process holds, libraries and the rows themselves included\n")
    reference = found["StratifiedGroupKFold"][0]
    print(f"{'step':<26}{'seconds':>9}{'MiB':>7}   time / StratifiedGroupKFold's")
    for name, (spent, held) in found.items():
        ratio = f"{spent / reference:>10.2f}" if name in COMPARED else ""
        print(f"{name:<26}{spent:>9.2f}{held:>7.0f}{ratio}")
    off = [f"{unevenness(folds(rows)):.3f}" for folds in (our_folds, scikit_learn_folds)]
    print(f"\nlargest distance of a fold's share of a class from 1/{N_FOLDS}, in points:")
    print(f"{off[0]} speaker_folds, {off[1]} StratifiedGroupKFold")

    spent = found["validate"][0] + found["speaker_folds"][0]
    held = max(found["validate"][1], found["speaker_folds"][1])
    kept = spent < MOST_SECONDS and held < MOST_MEMORY
    print(
        f"\n{'reached' if kept else 'MISSED'}: validate and split in {spent:.2f} s and {held:.0f} "
        f"MiB; the target is below {MOST_SECONDS:g} s and {MOST_MEMORY:g} MiB"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
