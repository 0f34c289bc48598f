"""NT-Xent over several processes: the loss and the gradients of one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lowser_lib.losses import OtherPositives, nt_xent

PROCESSES = 2
#: Six clips a process; some labels are in both, one is in one alone.
LABELS = torch.tensor([0, 1, 1, 2, 2, 2, 0, 1, 2, 3, 3, 0])
FORMS: tuple[OtherPositives, ...] = ("exclude", "include")


def make_parts() -> tuple[nn.Linear, Tensor]:
    random = torch.Generator().manual_seed(0)
    model = nn.Linear(5, 4, dtype=torch.float64)
    nn.init.normal_(model.weight, generator=random)
    nn.init.normal_(model.bias, generator=random)
    return model, torch.randn(len(LABELS), 5, generator=random, dtype=torch.float64)


def message_of(embeddings: Tensor, labels: Tensor) -> str:
    with pytest.raises(ValueError) as caught:
        nt_xent(embeddings, labels)
    return str(caught.value)


def work(rank: int, folder: str) -> None:
    """What each process does; it leaves its findings in a file."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES
    )
    model, x = make_parts()
    parallel = nn.parallel.DistributedDataParallel(model)
    size = len(x) // PROCESSES
    mine, labels = x[rank * size : (rank + 1) * size], LABELS[rank * size : (rank + 1) * size]

    found: dict[str, Any] = {}
    for form in FORMS:
        loss = nt_xent(parallel(mine), labels, 0.2, form)
        model.zero_grad()
        loss.backward()
        gradients = {name: p.grad.clone() for name, p in model.named_parameters()}  # type: ignore[union-attr]
        found[form] = {"loss": loss.detach(), **gradients}
    found["alone"] = nt_xent(mine[1:6], torch.tensor([0, 0, 1, 1, 1]), gather=False)
    found["unequal"] = message_of(mine[: size - rank], labels[: size - rank])
    found["single"] = message_of(mine, torch.where(labels == 3, 3 + torch.arange(size), labels))
    torch.save(found, Path(folder) / f"rank{rank}.pt")
    torch.distributed.destroy_process_group()


START = """
import sys
sys.path.insert(0, sys.argv[1])
import torch.multiprocessing as mp
import test_nt_xent_processes as test
mp.start_processes(test.work, (sys.argv[2],), nprocs=test.PROCESSES, start_method="fork")
"""


def test_two_processes_have_the_loss_and_gradients_of_one(tmp_path: Path) -> None:
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning",
         "-c", START, str(here), str(tmp_path)],
        cwd=here.parents[1], timeout=300, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]

    model, x = make_parts()
    for form in FORMS:
        model.zero_grad()
        loss = nt_xent(model(x), LABELS, 0.2, form)
        loss.backward()
        for theirs in ranks:
            torch.testing.assert_close(theirs[form]["loss"], loss.detach(), atol=1e-12, rtol=0)
            for name, parameter in model.named_parameters():
                torch.testing.assert_close(
                    theirs[form][name], parameter.grad, atol=1e-12, rtol=1e-9
                )

    for rank, theirs in enumerate(ranks):
        local = nt_xent(x[6 * rank + 1 : 6 * rank + 6], torch.tensor([0, 0, 1, 1, 1]))
        torch.testing.assert_close(theirs["alone"], local)
        # All processes raise, and say the same: none waits for another.
        assert "the same shape in every process, not (6, 5), (5, 5)" in theirs["unequal"]
        assert "2 of 12 anchors have no positive: 9 (label 6), 10 (label 7)" in theirs["single"]
