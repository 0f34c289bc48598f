"""How ``pytest --nbval notebooks`` compares: with this interpreter, and without sounds' bytes.

Figures are left out by nbval itself (image/png). Whatever is printed, and every table, is compared.
"""

from __future__ import annotations

from pathlib import Path

import pytest

SANITIZE = Path(__file__).resolve().parent.parent / "tests" / "nbval_sanitize.cfg"


def pytest_configure(config: pytest.Config) -> None:
    """Set nbval's options here, so that they hold from whichever folder pytest is started."""
    options = config.option
    if not getattr(options, "nbval", False):
        return
    if options.nbval_sanitize_with is None:
        options.nbval_sanitize_with = str(SANITIZE)
    if options.nbval_kernel_name is None:
        options.nbval_current_env = True
