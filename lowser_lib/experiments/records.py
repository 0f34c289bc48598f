"""Run records: what a chapter measured, on what, with what.

A notebook calls :func:`record`; nothing is written then. The payload travels in the *metadata* of
the cell's output, which nbval does not compare, and :mod:`lowser_lib.course.runner` writes it to
``results/<profile>/<chapter>-<name>.json`` together with what the run itself knows (seed, library
versions, git commit, seconds). :func:`load_record` reads it back; the book's tables and the
sections on real speech do nothing else.
"""

from __future__ import annotations

import json
import math
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lowser_lib import __version__, files
from lowser_lib.errors import RunError

LIBRARIES = (
    "torch", "torchaudio", "openai-whisper", "lightning-fabric", "numpy", "pandas", "scipy",
    "scikit-learn", "librosa", "opensmile", "soundfile", "soxr", "espeakng-loader",
)  # fmt: skip
"""Libraries that numbers depend on; their versions go into every record."""


def versions() -> dict[str, str]:
    """Versions of Python, of the course, and of the libraries that numbers depend on."""
    found = {"python": ".".join(map(str, sys.version_info[:3])), "lowser": __version__}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_commit(folder: Path) -> dict[str, Any]:
    """State of the checkout that holds a folder.

    Args:
        folder: Any folder of it.

    Returns:
        ``hash`` (None outside a repository or before its first commit) and ``dirty``: whether
        tracked files other than the records themselves differ from it.
    """
    head = _git(folder, "rev-parse", "HEAD")
    if head is None:
        return {"hash": None, "dirty": True}
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no", "--",
                   ":/", ":(top,exclude)results")  # fmt: skip
    return {"hash": head, "dirty": changes != ""}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


SCHEMA = 1
"""Version of the layout of a record; a reader refuses any other."""


METADATA_KEY = "lowser"
"""Key of the payload in an output's metadata."""


DIGITS = 6
"""Significant digits of recorded numbers: more would be noise, and differ between machines."""


_NAME = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")


class HasHashes(Protocol):
    """What :func:`record` needs of :class:`lowser_lib.experiments.data.CourseData`."""

    @property
    def hashes(self) -> Mapping[str, str]:
        """Corpus name to the SHA-256 of its content."""


@dataclass(frozen=True)
class RunRecord:
    """One record as it lies in ``results/``.

    Attributes:
        schema: Layout version, :data:`SCHEMA`.
        chapter: Two digits.
        name: What was measured, in small letters.
        profile: The profile of the run.
        seed: The notebook's ``SEED``.
        metrics: What was measured; numbers, words, lists and tables of them. None stands for
            "not estimable".
        config: The settings that led to it.
        corpora: Corpus name to the SHA-256 of its content.
        device: ``type`` (cpu, cuda, ...), ``name`` and ``threads``.
        versions: Library name to version, Python included.
        commit: ``hash`` of the git commit (None outside a repository) and whether the checkout was
            ``dirty``.
        seconds: Time that the chapter took.
        finished: When, in UTC, ISO 8601.
    """

    schema: int
    chapter: str
    name: str
    profile: str
    seed: int
    metrics: dict[str, Any]
    config: dict[str, Any]
    corpora: dict[str, str]
    device: dict[str, Any]
    versions: dict[str, str]
    commit: dict[str, Any]
    seconds: float
    finished: str

    @property
    def stem(self) -> str:
        """Name of the record's file without its ending, such as ``03-transfer``."""
        return f"{self.chapter}-{self.name}"

    def save(self, results: Path) -> Path:
        """Write the record below a results folder, whole or not at all.

        Args:
            results: Folder with one folder a profile.

        Returns:
            The file written.

        Raises:
            RunError: The file cannot be written.
        """
        path = results / self.profile / f"{self.stem}.json"
        files.write_json(path, asdict(self))
        return path


@dataclass(frozen=True)
class Payload:
    """What a notebook knows of a record, on its way to the runner.

    Attributes:
        name: What was measured, in small letters.
        metrics: As in :class:`RunRecord`.
        config: As in :class:`RunRecord`.
        corpora: As in :class:`RunRecord`.
        device: As in :class:`RunRecord`.
    """

    name: str
    metrics: dict[str, Any]
    config: dict[str, Any] = field(default_factory=dict)
    corpora: dict[str, str] = field(default_factory=dict)
    device: dict[str, Any] = field(default_factory=dict)


def record(
    name: str,
    metrics: Mapping[str, Any],
    config: Mapping[str, Any] | None = None,
    data: HasHashes | None = None,
) -> None:
    """Hand what was measured to the runner, and show one line that says so.

    Args:
        name: Small letters, digits and hyphens, unique within the chapter.
        metrics: Numbers, words, and lists, tables or data frames of them. Numbers are kept to
            six significant digits; what is not finite becomes None, "not estimable".
        config: Settings worth keeping, likewise.
        data: The course data used, for the hashes of its corpora.

    Raises:
        ValueError: The name does not fit, or there are no metrics.
        TypeError: A value cannot be recorded.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"name {name!r} must be small letters, digits and hyphens")
    if not metrics:
        raise ValueError("metrics is empty; record at least one number")
    payload = Payload(
        name=name,
        metrics=plain(dict(metrics)),
        config=plain(dict(config or {})),
        corpora=dict(data.hashes) if data is not None else {},
        device=device(),
    )
    _show(f"recorded: {name}", {METADATA_KEY: asdict(payload)})


def _show(text: str, metadata: dict[str, Any]) -> None:
    from IPython.display import display

    display({"text/plain": text}, raw=True, metadata=metadata)


def plain(value: Any) -> Any:
    """Turn a value into what JSON can hold, with rounded numbers.

    Args:
        value: None, a truth value, number, word, path-free container, array, data class or pandas
            object. A data frame becomes a list of rows, its index included when it has a name; a
            data class, its fields, without those marked as a ``switch`` that are at their default.

    Returns:
        Plain dicts, lists, strings, numbers, truth values and None.

    Raises:
        TypeError: A value of another kind.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "__dataclass_fields__"):
        settings = value.__dataclass_fields__.values()
        return {
            one.name: plain(getattr(value, one.name)) for one in settings if not _off(one, value)
        }
    if hasattr(value, "detach"):  # a tensor
        return plain(value.detach().cpu().numpy())
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if hasattr(value, "to_frame") or hasattr(value, "iterrows"):
        return _plain_pandas(value)
    if isinstance(value, Sequence | set | frozenset):
        items = sorted(value) if isinstance(value, set | frozenset) else value
        return [plain(item) for item in items]
    raise TypeError(f"a value of type {type(value).__name__} cannot be recorded: {value!r}")


def _off(setting: Any, value: Any) -> bool:
    """Whether a setting is a switch that is off: records from before there was one hold as ever."""
    return bool(setting.metadata.get("switch")) and getattr(value, setting.name) == setting.default


def _plain_pandas(value: Any) -> Any:
    if hasattr(value, "to_frame"):  # a series
        return plain(value.to_dict())
    named = any(name is not None for name in value.index.names)
    table = value.reset_index() if named else value
    return [plain(row) for row in table.to_dict("records")]


def device(kind: str | None = None) -> dict[str, Any]:
    """Describe what computes here.

    Args:
        kind: The type of the device that was computed on; None takes a GPU where torch has found
            one, else the processor.
    """
    # Looked up, not imported: a notebook that has not loaded torch has not computed with it.
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch is not None else 1
    if torch is not None and kind != "cpu" and torch.cuda.is_available():
        return {"type": "cuda", "name": torch.cuda.get_device_name(), "threads": threads}
    name = platform.processor() or platform.machine()
    return {"type": "cpu", "name": name, "threads": threads}


def collect(notebook: Any) -> Iterator[Payload]:
    """Find the payloads in an executed notebook, in cell order.

    Args:
        notebook: A notebook node of nbformat 4.

    Raises:
        RunError: Two records of the notebook share a name.
    """
    seen: set[str] = set()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            content = output.get("metadata", {}).get(METADATA_KEY)
            if content is None:
                continue
            payload = Payload(**json.loads(json.dumps(content)))
            if payload.name in seen:
                raise RunError(f"two records are named {payload.name!r}; rename one of them")
            seen.add(payload.name)
            yield payload


def load_record(results: Path, profile: str, name: str) -> RunRecord:
    """Read one record back.

    Args:
        results: Folder with one folder a profile, usually
            :func:`lowser_lib.experiments.paths.results_root`.
        profile: The profile of the run.
        name: Chapter and name, such as ``03-transfer``.

    Raises:
        RunError: The record is missing, damaged, or of another layout.
    """
    path = results / profile / f"{name}.json"
    if not path.is_file():
        known = sorted(file.stem for file in (results / profile).glob("*.json"))
        held = f"it holds {', '.join(known)}" if known else "it holds no records"
        raise RunError(
            f"no record {name!r} in {path.parent} ({held}); "
            f"make it with: lowser run --profile {profile} --chapters {name[:2]}"
        )
    return _parse(path)


def load_records(results: Path, profile: str) -> list[RunRecord]:
    """Read all records of a profile, sorted by file name; an empty list where there are none.

    Args:
        results: Folder with one folder a profile.
        profile: The profile of the runs.

    Raises:
        RunError: A record is damaged or of another layout.
    """
    return [_parse(path) for path in sorted((results / profile).glob("*.json"))]


def _parse(path: Path) -> RunRecord:
    remedy = "delete it and run its chapter again"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RunError(f"{path} is damaged ({error}); {remedy}") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else None
        raise RunError(f"{path} has layout {found!r}, this version reads {SCHEMA}; {remedy}")
    expected = set(RunRecord.__dataclass_fields__)
    if set(content) != expected:
        odd = ", ".join(sorted(set(content) ^ expected))
        raise RunError(f"{path} has missing or unknown fields: {odd}; {remedy}")
    return RunRecord(**content)
