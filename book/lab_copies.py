"""Copy the chapters to where students write: ``make lab`` calls it.

What lies there is left alone. A copy says of its kernel what the kernel itself will say: JupyterLab
writes that into a notebook on opening it, and marks it as unsaved where it was not there before.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import nbformat
from ipykernel.ipkernel import IPythonKernel
from jupyter_client.kernelspec import KernelSpecManager

from lowser_lib import files

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
KERNEL = "python3"


def copy_chapters(work: Path, notebooks: Path = NOTEBOOKS) -> None:
    """Put a copy of each chapter into a folder, unless one is there, and the drawings anew.

    Args:
        work: The students' folder; made where it is missing.
        notebooks: The chapters.
    """
    work.mkdir(parents=True, exist_ok=True)
    shutil.copytree(notebooks / "images", work / "images", dirs_exist_ok=True)
    spec = KernelSpecManager().get_kernel_spec(KERNEL)
    for chapter in sorted(notebooks.glob("*.ipynb")):
        if (work / chapter.name).exists():
            continue
        notebook = nbformat.read(str(chapter), as_version=4)
        notebook.metadata["language_info"] = dict(IPythonKernel.language_info)
        notebook.metadata["kernelspec"] = {
            "display_name": spec.display_name, "language": spec.language, "name": KERNEL,
        }  # fmt: skip
        files.write_text(work / chapter.name, nbformat.writes(notebook) + "\n")


if __name__ == "__main__":
    copy_chapters(Path(sys.argv[1]))
