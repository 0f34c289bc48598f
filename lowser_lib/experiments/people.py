"""What a chapter measured on recordings of people, for the same chapter to tell."""

from __future__ import annotations

from typing import Any

from lowser_lib.experiments import paths
from lowser_lib.experiments.records import load_record


def measured(name: str, profile: str = "open") -> dict[str, Any] | None:
    """Read the metrics of a chapter's record; where there is none, say how to make it.

    Args:
        name: Chapter and name, such as ``03-transfer``.
        profile: The profile of the run.

    Returns:
        The record's metrics, or None where the results folder has no such record.

    Raises:
        RunError: The record is damaged or of another layout.
    """
    if not (paths.results_root() / profile / f"{name}.json").is_file():
        print(f"No record yet: lowser run --profile {profile} --chapters {name[:2]} makes it.")
        return None
    return load_record(paths.results_root(), profile, name).metrics
