"""Notebook kernels that are the interpreter of the command itself.

Jupyter looks kernels up by name, and a ``python3`` installed by someone else in the user's folders
would win over the virtual environment's own. Here the name does not matter: whatever a notebook
asks for, it gets the Python that runs this module, with the same library.
"""

from __future__ import annotations

import sys
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from traitlets import Instance, default

from lowser_lib.experiments import paths


class ThisInterpreterSpecs(KernelSpecManager):
    """Answers every name with the running interpreter."""

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
        )


class ThisInterpreter(AsyncKernelManager):
    """A kernel manager for nbclient and papermill that starts the running interpreter."""

    kernel_spec_manager: Any = Instance(KernelSpecManager)

    @default("kernel_spec_manager")
    def _this_interpreter(self) -> KernelSpecManager:
        return ThisInterpreterSpecs()
