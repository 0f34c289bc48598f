"""Whether somebody is watching: progress bars are for people, not for stored notebooks."""

from __future__ import annotations

import sys


def watched() -> bool:
    """Tell whether progress shown now would be seen by a person.

    In JupyterLab a cell may ask its reader for input; under papermill, nbval and ``lowser refresh``
    it may not. That is how a notebook tells the two apart, so that its stored output never holds a
    half-drawn progress bar.
    """
    shell = sys.modules.get("IPython")
    session = shell.get_ipython() if shell is not None else None
    kernel = getattr(session, "kernel", None)
    if kernel is not None:
        return bool(getattr(kernel, "_allow_stdin", False))
    return sys.stderr.isatty()
