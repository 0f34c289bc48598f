"""Time and memory of NT-Xent, beside lightly and pytorch-metric-learning.

4,096 embeddings of 128 numbers in float32, four clips a speaker; the loss and its gradient, in one
run on one machine:

* ours: ``nt_xent`` in both forms;
* lightly: ``NTXentLoss``, which knows two views only: 2,048 pairs;
* pytorch-metric-learning: ``SupConLoss``. Its ``NTXentLoss``, which is our ``"exclude"``, holds a
  number for each positive pair and each negative pair: 206 GB here.

Each side lives in a process of its own. Memory is how far its peak rises above what the process
held before the first call. The sides then take turns, so that a busy machine slows all of them
alike, and the shortest time counts. A side whose package is missing is left out, and said to be.
Run::

    python benchmarks/bench_nt_xent.py [--rounds 7] [--threads 2]

Exits with 1 where ours takes more than half of lightly's time or memory.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import multiprocessing as mp
import resource
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

CLIPS, DIMENSION, EACH, TEMPERATURE = 4096, 128, 4, 0.07
REFERENCE = "lightly NTXentLoss"
TARGET = 0.5


class Side(NamedTuple):
    """One column of the comparison.

    Attributes:
        package: what has to be installed.
        computes: in words.
        build: gives the loss as a function of the embeddings ``(CLIPS, DIMENSION)``.
    """

    package: str
    computes: str
    build: Callable[[], Callable[[Tensor], Tensor]]


def build_ours(form: str) -> Callable[[Tensor], Tensor]:
    """Ours, in one of its forms."""
    from lowser_lib.losses import nt_xent

    labels = torch.arange(CLIPS) // EACH
    return lambda x: nt_xent(x, labels, TEMPERATURE, form)  # type: ignore[arg-type]


def build_lightly() -> Callable[[Tensor], Tensor]:
    """Lightly's loss of two views: the first half of the embeddings and the second."""
    loss: Any = importlib.import_module("lightly.loss").NTXentLoss(TEMPERATURE)
    return lambda x: loss(x[: CLIPS // 2], x[CLIPS // 2 :])


def build_metric_learning() -> Callable[[Tensor], Tensor]:
    """The SupCon loss of pytorch-metric-learning."""
    losses: Any = importlib.import_module("pytorch_metric_learning.losses")
    loss, labels = losses.SupConLoss(TEMPERATURE), torch.arange(CLIPS) // EACH
    return lambda x: loss(x, labels)


SIDES = {
    "LowSER, exclude": Side("lowser_lib", "4 a speaker", lambda: build_ours("exclude")),
    "LowSER, include": Side("lowser_lib", "4 a speaker", lambda: build_ours("include")),
    REFERENCE: Side("lightly", "two views", build_lightly),
    "pytorch-metric-learning SupConLoss": Side(
        "pytorch_metric_learning", "4 a speaker", build_metric_learning
    ),
}


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


def serve(name: str, threads: int, orders: Connection) -> None:
    """One side's process: tell memory and loss of a first call, then seconds, a call an order."""
    torch.set_num_threads(threads)
    loss = SIDES[name].build()
    random = torch.Generator().manual_seed(0)
    x = torch.randn(CLIPS, DIMENSION, generator=random).requires_grad_()
    # What torch sets up once (its threads, a matrix library) belongs to no side.
    (torch.randn(512, 512).requires_grad_() @ torch.randn(512, 512)).sum().backward()

    reset_peak_memory()
    before = peak_memory()
    value = loss(x)
    value.backward()
    orders.send((peak_memory() - before, float(value.detach())))
    while orders.recv():
        x.grad = None
        start = time.perf_counter()
        loss(x).backward()
        orders.send(time.perf_counter() - start)


def compare(names: Sequence[str], rounds: int, threads: int) -> dict[str, tuple[float, float]]:
    """Shortest time (s) and memory (MiB) of each side, taken in turns."""
    context = mp.get_context("spawn")
    lines: dict[str, Connection] = {}
    memory: dict[str, float] = {}
    spent: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        here, there = context.Pipe()
        context.Process(target=serve, args=(name, threads, there), daemon=True).start()
        lines[name] = here
        there.close()  # so that a process that fails is noticed here
        try:
            memory[name], value = here.recv()
        except EOFError:
            sys.exit(f"bench_nt_xent: {name} failed; its own message stands above")
        print(f"{name:<36}{SIDES[name].computes:<14}loss {value:.6f}")
    for _ in range(rounds):
        for name, line in lines.items():
            line.send(True)
            spent[name].append(line.recv())
    for line in lines.values():
        line.send(False)
    return {name: (min(spent[name]), memory[name]) for name in names}


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print the table, and tell by the exit status whether the target is reached."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="timed calls of each side")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args(arguments)

    print(f"{CLIPS:,} × {DIMENSION} float32, loss and gradient, {options.threads} threads, CPU")
    names = [name for name in SIDES if importlib.util.find_spec(SIDES[name].package)]
    for name in [name for name in SIDES if name not in names]:
        print(f"LEFT OUT: {name}; the package {SIDES[name].package} is not installed")
    found = compare(names, options.rounds, options.threads)

    print(f"\n{'':<36}{'seconds':>9}{'MiB':>7}   of {REFERENCE}'s time and memory")
    reference = found.get(REFERENCE)
    for name, (seconds, held) in found.items():
        line = f"{name:<36}{seconds:>9.3f}{held:>7.0f}"
        if reference is not None:
            line += f"{seconds / reference[0]:>9.2f}{held / reference[1]:>8.2f}"
        print(line)
    if reference is None:
        print(f"\nno verdict: {REFERENCE} is left out")
        return 0
    shares = [found[name][i] / reference[i] for name in names[:2] for i in (0, 1)]
    reached = max(shares) <= TARGET
    print(
        f"\n{'reached' if reached else 'MISSED'}: at most {max(shares):.2f} of the time and memory "
        f"of {REFERENCE}; the target is {TARGET:g}"
    )
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
