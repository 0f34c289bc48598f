"""Run records: what a chapter measured, on what, with what.

A notebook calls :func:`record`; nothing is written then. The payload travels in the *metadata* of
the cell's output, which nbval does not compare, and :mod:`lowser_lib.course.runner` writes it to
``results/<profile>/<chapter>-<name>.json`` together with what the run itself knows (seed, library
versions, git commit, seconds). :mod:`lowser_lib.experiments.engine` writes one record a run of a
sweep, ``results/<profile>/sweeps/<sweep>/<run>.json``. :func:`load_record` and
:func:`load_records` read them back; the book's tables and the sections on real speech do nothing
else.
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
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lowser_lib import __version__, files
from lowser_lib.errors import RunError
from lowser_lib.experiments import profiles

LIBRARIES = (
    "torch", "torchaudio", "openai-whisper", "lightning-fabric", "numpy", "pandas", "scipy",
    "scikit-learn", "librosa", "opensmile", "soundfile", "soxr", "espeakng-loader",
)  # fmt: skip
"""Libraries that numbers depend on; their versions go into every record."""


def versions() -> dict[str, str]:
    """Versions of Python, of the course, and of the libraries that numbers depend on."""
    known = {"python": ".".join(map(str, sys.version_info[:3])), "lowser": __version__}
    for name in LIBRARIES:
        try:
            known[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return known


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


SWEEPS = "sweeps"
"""Below a profile's results, where the records of sweeps lie."""


MATCHING = ("none", "embeddings")
"""In runs of transfer: the target's embeddings as they are, or matched to the source's."""


METADATA_KEY = "lowser"
"""Key of the payload in an output's metadata."""


DIGITS = 6
"""Significant digits of recorded numbers: more would be noise, and differ between machines."""


NAME = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
"""What records and sweeps may be called: they name files."""


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
        self.write(path)
        return path

    def write(self, path: Path) -> None:
        """Write the record to a file, with its checksum, whole or not at all.

        Args:
            path: The file.

        Raises:
            RunError: The file cannot be written.
        """
        files.write_json(path, asdict(self), sealed=True)


@dataclass(frozen=True)
class Payload:
    """What a notebook knows of a record, on its way to the runner; see :class:`RunRecord`."""

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
    if not NAME.fullmatch(name):
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
        kept = [setting.name for setting in settings if not _off(setting, value)]
        return {name: plain(getattr(value, name)) for name in kept}
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


def new_record(*, seconds: float, **fields: Any) -> RunRecord:
    """The record of a run that ends now, by this version.

    Args:
        seconds: Time that it took.
        **fields: The fields of a :class:`RunRecord` that follow from the run: ``chapter``,
            ``name``, ``profile``, ``seed``, ``metrics``, ``config``, ``corpora``, ``device`` and
            ``commit``.
    """
    return RunRecord(
        schema=SCHEMA,
        versions=versions(),
        seconds=round(seconds, 1),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        **fields,
    )


def load_record(results: Path, profile: str, name: str) -> RunRecord:
    """Read one record back.

    Args:
        results: Folder with one folder a profile, usually
            :func:`lowser_lib.experiments.paths.results_root`.
        profile: The profile of the run.
        name: Chapter and name, such as ``03-transfer``; of a sweep ``sweeps/baseline/ur-0``.

    Raises:
        RunError: The record is missing, damaged, or of another layout.
    """
    path = results / profile / f"{name}.json"
    if path.is_file():
        return read(path)
    known = sorted(file.stem for file in path.parent.glob("*.json"))
    held = f"it holds {', '.join(known)}" if known else "it holds no records"
    command = f"run --profile {profile} --chapters {name[:2]}"
    if name.startswith(SWEEPS):
        command = f"sweep METHOD --profile {profile}"
    raise RunError(f"no record {name!r} in {path.parent} ({held}); make it with: lowser {command}")


def load_records(results: Path, profile: str, sweep: str | None = None) -> list[RunRecord]:
    """Read the records of a profile's chapters, or whatever one of its sweeps has left.

    Args:
        results: Folder with one folder a profile.
        profile: The profile of the runs.
        sweep: Name of a sweep; None takes the chapters.

    Returns:
        Records by file name, numbers counted up; of a sweep the profile's languages in their order.
        Empty where there are none.

    Raises:
        ProfileError: There is no such profile.
        RunError: A record is damaged, of another layout, or not the record of a sweep.
    """
    if sweep is None:
        return [read(path) for path in sorted((results / profile).glob("*.json"))]
    languages = list(profiles.get(profile).targets)

    def order(path: Path) -> tuple[int, list[tuple[bool, int, str]]]:
        parts = path.stem.split("-")
        known = languages.index(parts[0]) if parts[0] in languages else len(languages)
        return known, [
            (part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts
        ]

    paths = (results / profile / SWEEPS / sweep).glob("*-*.json")
    return [read(path) for path in sorted(paths, key=order)]


def read(path: Path) -> RunRecord:
    """Read a record's file.

    Raises:
        RunError: It is damaged, has no checksum or one that does not fit, is of another layout, or
            not the record of a sweep where one should be.
    """
    of_sweep = path.parent.parent.name == SWEEPS
    remedy = f"delete it and run {'the sweep' if of_sweep else 'its chapter'} again"
    content = files.read_json(path, RunError, remedy, sealed=True)
    if content.get("schema") != SCHEMA:
        layout = content.get("schema")
        raise RunError(f"{path} has layout {layout!r}, this version reads {SCHEMA}; {remedy}")
    expected = set(RunRecord.__dataclass_fields__)
    if set(content) != expected:
        odd = ", ".join(sorted(set(content) ^ expected))
        raise RunError(f"{path} has missing or unknown fields: {odd}; {remedy}")
    record = RunRecord(**content)
    try:
        if of_sweep and "language" in record.config:  # a run of transfer
            for matching in MATCHING:
                float(record.metrics["transfer"][matching]["macro_f1"])
            predictions(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is not the record of a sweep ({error!r}); {remedy}") from error
    return record


def predictions(record: RunRecord) -> dict[str, np.ndarray]:
    """Truth and answers of a run of transfer, clip by clip.

    Returns:
        ``speaker``, ``truth`` and each of :data:`MATCHING`, shape (n,); classes as numbers.

    Raises:
        ValueError: The numbers of clips do not agree.
    """
    columns: dict[str, list[Any]] = {name: [] for name in ("speaker", "truth", *MATCHING)}
    for speaker, answers in record.metrics["clips"].items():
        columns["speaker"] += [speaker] * len(answers["truth"])
        for name in ("truth", *MATCHING):
            columns[name] += [int(digit) for digit in answers[name]]
    if len({len(column) for column in columns.values()}) > 1:
        raise ValueError("truth and answers have different numbers of clips")
    return {name: np.array(column) for name, column in columns.items()}
