"""How long recorded sweeps would take on more workers: a table of *From a laptop to a cluster*.

Nothing is measured here. Every training that has left a record took its seconds on one core; they
are given, in the order of their sweep, to whichever worker is free first, as Dask does. Starting
workers and fetching speech, which take a minute once, are left out. The book puts the table into
its page; ``python book/cluster_simulation.py`` prints it.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from lowser_lib.experiments import paths, records
from lowser_lib.experiments.records import SWEEPS, RunRecord

MARK = "<!-- recorded sweeps on 1, 2, 8 and 64 workers -->"
WORKERS = (1, 2, 8, 64)
PROFILE = "open"


def trainings(runs: Iterable[RunRecord]) -> list[float]:
    """Seconds of each training; one that served several targets at once counts once."""
    kept = {(run.seed, run.seconds, run.finished): run.seconds for run in runs}
    return list(kept.values())


def finish(seconds: Sequence[float], workers: int) -> float:
    """When the last training ends, if each goes to the worker that is free first.

    Args:
        seconds: Of each training, in the order in which they are given out.
        workers: How many there are.
    """
    free = [0.0] * workers
    for duration in seconds:
        heapq.heappush(free, heapq.heappop(free) + duration)
    return max(free)


def limit(seconds: Sequence[float], workers: int) -> str:
    """What keeps the speed-up below the number of workers."""
    if workers == 1:
        return ""
    if max(seconds) >= sum(seconds) / workers:
        return "the longest training"
    end = finish(seconds, workers)
    return "the last trainings, while others idle" if end > 1.05 * sum(seconds) / workers else ""


def rows(name: str, seconds: Sequence[float]) -> list[str]:
    """One row of the table for each number of workers."""
    whole = sum(seconds)
    lines = []
    for workers in WORKERS:
        end = finish(seconds, workers)
        cells = (
            f"{name}, {len(seconds)} trainings" if workers == 1 else "",
            f"{workers}",
            f"{end / 60:.0f} min" if end > 90 else f"{end:.0f} s",
            f"{whole / end:.1f}",
            f"{100 * whole / (end * workers):.0f} %",
            limit(seconds, workers) or "—",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def table(results: Path | None = None, profile: str = PROFILE) -> str:
    """Markdown: the largest recorded sweep, and all sweeps of the profile given out at once.

    Args:
        results: Folder with one folder a profile; None takes the checkout's.
        profile: The profile.

    Raises:
        RunError: A record is damaged.
    """
    results = results or paths.results_root()
    names = sorted(path.name for path in (results / profile / SWEEPS).iterdir() if path.is_dir())
    sweeps = {name: trainings(records.load_records(results, profile, name)) for name in names}
    largest = max(sweeps, key=lambda name: sum(sweeps[name]))
    lines = ["| trainings | workers | time | speed-up | workers busy | limited by |",
             "|---|--:|--:|--:|--:|---|"]  # fmt: skip
    lines += rows(f"`{largest}`", sweeps[largest])
    lines += rows(f"all sweeps of `{profile}`", [s for part in sweeps.values() for s in part])
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
