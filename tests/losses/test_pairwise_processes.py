"""The pairwise loss over two processes: the loss and the gradients of one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lowser_lib.losses import pairwise_nt_xent

PROCESSES = 2
CLIPS = 8


class Projections(nn.Module):
    """One linear map a view."""

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.maps = nn.ModuleList(nn.Linear(5, 4, dtype=torch.float64) for _ in range(3))
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=random)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [one(x[:, number]) for number, one in enumerate(self.maps)]


def make_parts() -> tuple[Projections, Tensor]:
    random = torch.Generator().manual_seed(1)
    return Projections(), torch.randn(CLIPS, 3, 5, generator=random, dtype=torch.float64)


def work(rank: int, folder: str) -> None:
    """What each process does; it leaves its findings in a file."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES
    )
    model, x = make_parts()
    parallel = nn.parallel.DistributedDataParallel(model)
    mine = x[rank * CLIPS // PROCESSES : (rank + 1) * CLIPS // PROCESSES]
    found = {}
    for within in (True, False):
        loss = pairwise_nt_xent(parallel(mine), 0.2, within)
        model.zero_grad()
        loss.backward()
        gradients = {name: p.grad.clone() for name, p in model.named_parameters()}  # type: ignore[union-attr]
        found[str(within)] = {"loss": loss.detach(), **gradients}
    torch.save(found, Path(folder) / f"rank{rank}.pt")
    torch.distributed.destroy_process_group()


START = """
import sys
sys.path.insert(0, sys.argv[1])
import torch.multiprocessing as mp
import test_pairwise_processes as test
mp.start_processes(test.work, (sys.argv[2],), nprocs=test.PROCESSES, start_method="fork")
"""


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    folder, here = tmp_path_factory.mktemp("ranks"), Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", START, str(here), str(folder)],
        cwd=here.parents[1], timeout=300, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(PROCESSES)]


@pytest.mark.parametrize("within", [True, False])
def test_two_processes_have_the_loss_and_gradients_of_one(
    ranks: list[dict[str, dict[str, Tensor]]], within: bool
) -> None:
    model, x = make_parts()
    loss = pairwise_nt_xent(model(x), 0.2, within)
    loss.backward()
    for rank in ranks:
        torch.testing.assert_close(rank[str(within)]["loss"], loss.detach())
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(rank[str(within)][name], parameter.grad)
