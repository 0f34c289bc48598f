"""``lowser refresh``: run the committed notebooks in place and store outputs that do not drift.

Outputs are committed so that the course can be read without running it, and so that nbval can
compare. What would differ from run to run is taken out: times, papermill's notes, record payloads,
interpreter versions, random cell ids.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import zmq
from ipykernel.kernelapp import IPKernelApp
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from traitlets import Instance, default

from lowser_lib import files
from lowser_lib.errors import RunError
from lowser_lib.experiments import paths
from lowser_lib.experiments.chapters import Chapter, read_notebook
from lowser_lib.experiments.records import METADATA_KEY

MAX_BYTES = 600_000
"""Largest notebook file; larger ones are slow to open and to review."""

_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

_DRIFTING = {
    "a memory address": re.compile(r"\b0x[0-9a-fA-F]{6,}\b"),
    "a progress bar": re.compile(r"\d+%\|.*\|| ?\d(?:it|clip|file)s?/s\b"),
    "an absolute path": re.compile(r"(?<![\w/.<])/(?:home|Users|root|tmp|var|mnt|work)/\w"),
}


def refresh(chapter: Chapter) -> None:
    """Execute a notebook from the top in a fresh kernel and store it in place.

    It is executed on the processor, whatever cards there are: stored outputs are compared on other
    machines. The file changes only when every cell ran; it is replaced whole.

    Raises:
        RunError: A cell failed, or the outputs are not fit to be committed.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    notebook = read_notebook(chapter.path)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        kernel_manager_class=OnProcessor,
        resources={"metadata": {"path": str(chapter.path.parent.absolute())}},
        timeout=None,
        record_timing=False,
        coalesce_streams=True,
    )
    try:
        client.execute()
    except (CellExecutionError, DeadKernelError) as error:
        raise RunError(f"{chapter.path.name} is left as it was: {error}") from error
    normalise(notebook)
    text = nbformat.writes(notebook).rstrip("\n") + "\n"
    problems = list(output_problems(notebook)) + list(size_problems(len(text.encode("utf-8"))))
    if problems:
        raise RunError(f"{chapter.path.name} is left as it was: {'; '.join(problems)}")
    files.write_text(chapter.path, text)


def normalise(notebook: Any) -> None:
    """Take out of a notebook node, in place, what differs from run to run or machine to machine.

    Cell ids become a function of the cells' content, so that notebooks made by a script and
    notebooks edited by hand give small differences alike.
    """
    kept = {key: notebook.metadata[key] for key in notebook.metadata if key in {"title", "authors"}}
    notebook.metadata = nbformat.from_dict({**kept, **_METADATA})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: Counter[str] = Counter()
    count = 0
    for cell in notebook.cells:
        identity = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        cell["id"] = f"{identity}-{seen[identity]}" if seen[identity] else identity
        seen[identity] += 1
        for key in ("papermill", "execution", "ExecuteTime", "collapsed", "scrolled", "trusted"):
            cell.metadata.pop(key, None)
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]
        if cell.cell_type != "code":
            continue
        if cell.source.strip():
            count += 1
            cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
            if "metadata" in output:
                output.metadata.pop(METADATA_KEY, None)


def check(path: Path) -> list[str]:
    """List what keeps a committed notebook from being fit: nothing, when all is well.

    Returns:
        One line a problem: not run from top to bottom, error or stderr output, drifting output,
        papermill's notes, or too large.

    Raises:
        RunError: The file is no notebook.
    """
    notebook = read_notebook(path)
    return [
        *order_problems(notebook),
        *output_problems(notebook),
        *size_problems(path.stat().st_size),
    ]


def order_problems(notebook: Any) -> Iterator[str]:
    """Yield a line where code cells were not run once each, from the top, in a fresh kernel."""
    counts = [
        cell.execution_count
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.source.strip()
    ]
    for number, count in enumerate(counts, start=1):
        if count != number:
            shown = "not run" if count is None else f"run as number {count}"
            yield f"code cell {number} was {shown}; run: lowser refresh"
            return


def output_problems(notebook: Any) -> Iterator[str]:
    """Yield a line for each stored output that a reader should not see or that would drift."""
    if "papermill" in notebook.metadata:
        yield "the notebook holds papermill's notes; run: lowser refresh"
    number = 0
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        number += 1
        if "papermill" in cell.metadata or "execution" in cell.metadata:
            yield f"code cell {number} holds papermill's notes or times; run: lowser refresh"
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"code cell {number} stopped with {output.ename}"
            elif output.output_type == "stream" and output.name == "stderr":
                yield f"code cell {number} wrote to stderr: {output.text.strip()[:80]!r}"
            text = _text(output)
            for what, pattern in _DRIFTING.items():
                match = pattern.search(text)
                if match:
                    yield f"code cell {number} shows {what}: {match[0]!r}"


def size_problems(size: int) -> Iterator[str]:
    """Yield a line where a notebook of so many bytes is too large."""
    if size > MAX_BYTES:
        yield (
            f"{size / 1000:.0f} KB is more than {MAX_BYTES // 1000} KB; use fewer or shorter "
            f"sounds and smaller figures"
        )


def _text(output: Any) -> str:
    """All that an output says in words, sounds and pictures aside."""
    if output.output_type == "stream":
        return str(output.text)
    data = output.get("data", {})
    words = [str(content) for kind, content in data.items() if kind.startswith("text/")]
    return re.sub(r"data:[a-z]+/[^\"']*", "", "\n".join(words))


_ENCRYPTS = hasattr(IPKernelApp, "curve_secretkey") and bool(zmq.has("curve"))


class ThisInterpreterSpecs(KernelSpecManager):
    """Answers every name with the running interpreter.

    Jupyter looks kernels up by name, and a ``python3`` installed by someone else in the user's
    folders would win over the virtual environment's own.
    """

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Describe the kernel: this interpreter, whatever the name.

        Args:
            kernel_name: Ignored.
        """
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name="Python 3",
            language="python",
            env=paths.kernel_environment(),
            # Without it newer kernels warn, at each start, that somebody might listen in.
            metadata={"supported_encryption": "curve"} if _ENCRYPTS else {},
        )


class ThisInterpreter(AsyncKernelManager):
    """A kernel manager for nbclient and papermill that starts the running interpreter."""

    kernel_spec_manager: Any = Instance(KernelSpecManager)

    @default("kernel_spec_manager")
    def _this_interpreter(self) -> KernelSpecManager:
        return ThisInterpreterSpecs()

    @default("transport_encryption")
    def _encrypted_where_the_kernel_can(self) -> str:
        return "auto" if _ENCRYPTS else "disabled"


class ProcessorSpecs(ThisInterpreterSpecs):
    """The running interpreter without a GPU in sight."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Describe the kernel, which finds no CUDA device."""
        spec = super().get_kernel_spec(kernel_name)
        spec.env = {**spec.env, "CUDA_VISIBLE_DEVICES": ""}
        return spec


class OnProcessor(ThisInterpreter):
    """The running interpreter on the processor: what it prints does not depend on a card."""

    @default("kernel_spec_manager")
    def _this_interpreter(self) -> KernelSpecManager:
        return ProcessorSpecs()
