"""Notebook kernels that are the interpreter of the command itself.

Jupyter looks kernels up by name, and a ``python3`` installed by someone else in the user's folders
would win over the virtual environment's own. Here the name does not matter: whatever a notebook
asks for, it gets the Python that runs this module, with the same library.
"""

from __future__ import annotations

import sys
from typing import Any

import zmq
from ipykernel.kernelapp import IPKernelApp
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from traitlets import Instance, default

from lowser_lib.experiments import paths

_ENCRYPTS = hasattr(IPKernelApp, "curve_secretkey") and bool(zmq.has("curve"))


class ThisInterpreterSpecs(KernelSpecManager):
    """Answers every name with the running interpreter."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Describe the kernel: this interpreter, whatever the name."""
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
