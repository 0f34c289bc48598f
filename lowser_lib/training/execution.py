"""Where a training computes, what it keeps and what it shows: all that is no part of the method."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from lightning_fabric import Fabric

from lowser_lib.errors import require

#: Precisions that the course is tested with.
PRECISIONS = ("32-true", "64-true", "bf16-mixed")

#: What chooses one of them: bf16 on a GPU that multiplies it, or on a processor that does, too.
CHOICES = ("auto", "bf16-if-fast")


def fast_bf16(device: str) -> bool:
    """Whether a kind of device multiplies bf16 natively, and not by way of float32."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = torch.cpu.get_capabilities()  # of x86 processors, and of ARM's
    return device == "cpu" and any(known.get(n) for n in ("avx512_bf16", "amx_bf16", "bf16"))


def make_fabric(device: str = "auto", precision: str = "auto") -> Fabric:
    """Choose where and how exactly to compute.

    Args:
        device: ``"cpu"``, ``"cuda"``, ``"mps"``, or ``"auto"``: a CUDA GPU if there is one.
        precision: one of :data:`PRECISIONS`; or ``"auto"``: bf16 on a GPU that multiplies it,
            otherwise float32; or ``"bf16-if-fast"``: bf16 on a processor that multiplies it, too.
            float64 costs about twice the time of float32 on a CPU; its results agree to many more
            digits between machines.

    Raises:
        ValueError: the precision is unknown.
    """
    require((*CHOICES, *PRECISIONS), precision=precision)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if precision in CHOICES:
        asked = device == "cuda" or precision == "bf16-if-fast"
        precision = "bf16-mixed" if asked and fast_bf16(device) else "32-true"
    return Fabric(
        accelerator=device,
        devices=1,
        precision=precision,  # type: ignore[arg-type]  # one of the literals, checked above
    )


def precision_of(fabric: Fabric) -> str:
    """The precision that was chosen, one of :data:`PRECISIONS`; what a record says."""
    return str(fabric.strategy.precision.precision)


@dataclass(frozen=True)
class Execution:
    """How a training is carried out; nothing here changes what is learned, but for rounding.

    Attributes:
        fabric: device and precision.
        checkpoint: file that is rewritten after each epoch; None: none.
        resume: go on from what was kept, if there is any; otherwise it is written anew.
        progress: show a bar on stderr.
        deterministic: on a CUDA GPU take algorithms that repeat exactly on the same card, some of
            which are slower; torch names the environment variable that cuBLAS needs for it. A CPU
            repeats anyway.
    """

    fabric: Fabric = field(default_factory=make_fabric)
    checkpoint: Path | None = None
    resume: bool = False
    progress: bool = False
    deterministic: bool = False


@contextmanager
def repeatable(execution: Execution) -> Iterator[None]:
    """Make torch repeat exactly on a CUDA GPU, where the execution asks for it."""
    before = torch.are_deterministic_algorithms_enabled()
    if execution.deterministic and execution.fabric.device.type == "cuda":
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def one_thread(fabric: Fabric) -> Iterator[None]:
    """Compute with one thread on a CPU, so that a method's weights are the same wherever it runs.

    PyTorch sums the gradients of a layer normalisation's weights thread by thread. The last digit
    depends on their number, and hundreds of steps make a large difference of a small one.
    """
    threads = torch.get_num_threads()
    if fabric.device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
