"""What chapters and sweeps measured on recordings of people, for a chapter to tell."""

from __future__ import annotations

from typing import Any

from lowser_lib.experiments import paths
from lowser_lib.experiments.records import RunRecord, load_record, load_records


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


def swept(name: str, profile: str = "open") -> list[RunRecord]:
    """Read the records of a sweep; where there is none, say so.

    Args:
        name: Of the sweep, such as ``frozen-tiny-en``.
        profile: The profile of the runs.

    Raises:
        RunError: A record is damaged or of another layout.
    """
    runs = load_records(paths.results_root(), profile, name)
    if not runs:
        print(f"No records yet of the sweep {name} in the profile {profile}.")
    return runs
