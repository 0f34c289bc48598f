"""Fixtures that every test may use."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import nbformat
import numpy as np
import pytest
import soundfile
import torch

Cell = str | tuple[str, Sequence[str]]

# What trains, starts kernels or builds pages comes last: most mistakes show in the first minute.
LAST = ("data_scripts", "methods", "training", "experiments", "course", "notebooks", "test_book.py")

# An example that fails is shown as it was drawn: making it smaller took minutes, where each try
# makes a table. Drawn anew each time, as ever; how long one takes is no matter of tests.
hypothesis.settings.register_profile(
    "lowser",
    deadline=None,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.reuse, hypothesis.Phase.generate],
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("lowser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slowest tests last; within a folder the order stays."""

    def rank(item: pytest.Item) -> tuple[int, bool]:
        parts = item.path.relative_to(item.config.rootpath).parts
        place = max((LAST.index(part) + 1 for part in parts if part in LAST), default=0)
        return place, item.get_closest_marker("slow") is not None

    items.sort(key=rank)


@pytest.fixture(scope="session")
def corpora_root() -> Path:
    """Root of the real corpora; the test skips, visibly, where there are none."""
    folder = os.environ.get("LOWSER_CORPORA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("real speech: set LOWSER_CORPORA to the folder of the unpacked corpora")
    return Path(folder)


@pytest.fixture(scope="session")
def whisper_weights() -> Path:
    """Folder with the encoders of Whisper tiny.en and base; the test skips, visibly, without."""
    from lowser_lib.encoders import checkpoints
    from lowser_lib.files import home

    folder = home() / "checkpoints"
    if not {"tiny.en", "base"} <= checkpoints.held(folder).keys():
        pytest.skip("Whisper's weights: put tiny.en and base into LOWSER_HOME/checkpoints")
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Tiny products are slower on many threads than on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def notebook_of(cells: Sequence[Cell]) -> Any:
    """A notebook of code cells, each a source or a source with tags; ``#`` begins markdown."""
    made = []
    for cell in cells:
        source, tags = (cell, ()) if isinstance(cell, str) else cell
        if source.startswith("# "):
            made.append(nbformat.v4.new_markdown_cell(source))
        else:
            made.append(nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)}))
    return nbformat.v4.new_notebook(cells=made)


@pytest.fixture
def write_notebook() -> Callable[[Path, Sequence[Cell]], Path]:
    """Write a notebook with a title and a parameters cell in front of the given cells."""

    def write(path: Path, cells: Sequence[Cell]) -> Path:
        front: list[Cell] = ["# 99 · A test", ('PROFILE = "fast"\nSEED = 0', ["parameters"])]
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook_of([*front, *cells]), str(path))
        return path

    return write


@pytest.fixture(scope="session")
def write_table() -> Callable[[Path, str, int, Sequence[str]], None]:
    """Write a corpus in table format: each speaker says a sentence once for each label.

    Speakers take turns at being women and men; each has a tone of their own.
    """

    def write(folder: Path, language: str, speakers: int, labels: Sequence[str]) -> None:
        (folder / "audio").mkdir(parents=True)
        random = np.random.default_rng(len(folder.name))
        rows = []
        for speaker in range(speakers):
            for number, label in enumerate(labels):
                path = f"audio/{speaker}_{number}.wav"
                tone = np.sin(np.arange(9600) * (0.1 + 0.03 * speaker))
                sound = 0.05 * random.standard_normal(9600) + 0.05 * (1 + number) * tone
                soundfile.write(folder / path, sound, 16_000)
                gender = ("female", "male")[speaker % 2]
                rows.append((path, f"s{speaker}", gender, language, label, f"t{number}"))
        with (folder / "corpus.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("path", "speaker", "gender", "language", "label", "text_id"))
            writer.writerows(rows)

    return write
