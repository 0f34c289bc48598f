"""``lowser run``: every chapter through papermill, with a report and run records.

A chapter that fails is named with its cell and error, its partial notebook stays in the output
folder, and the next chapter runs. Records go to ``results/`` only from chapters that ran to their
end.

A trial (profile ``NAME-trial``) goes through the same cells with a few clips and steps, to see
within minutes that corpora, encoder and machine are fit for the run that takes days. What it
measures means nothing: its records carry the trial's name, which nothing reads, and are refused in
the checkout's ``results/``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lowser_lib import files
from lowser_lib.errors import RunError, require
from lowser_lib.experiments import paths, profiles, records
from lowser_lib.experiments.chapters import (
    Chapter,
    find_chapters,
    read_notebook,
    source_hash,
    title,
)
from lowser_lib.experiments.records import git_commit

REPORTS = "reports"
"""Folder, below a profile's results, of the accounts of whole runs."""


@dataclass(frozen=True)
class RunSettings:
    """What a run is asked to do.

    Attributes:
        notebooks: Folder of the notebooks.
        output: Folder for executed notebooks and ``report.json``.
        results: Folder for run records.
        profile: The notebooks' ``PROFILE``: a profile's name, ``NAME-trial`` or
            ``NAME-trial:ENCODER``.
        seed: The notebooks' ``SEED``, at least 0.
        chapters: Chapter numbers; None runs all.
        resume: Keep the successes of an earlier run of the same source, profile and seed.
        progress: Show progress bars on stderr.
    """

    notebooks: Path
    output: Path
    results: Path
    profile: str = "fast"
    seed: int = 0
    chapters: Sequence[str] | None = None
    resume: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        """Refuse a seed that no generator takes."""
        require("0..", seed=self.seed)

    @property
    def report_path(self) -> Path:
        """Where the report lies."""
        return self.output / "report.json"

    @property
    def recorded_as(self) -> str:
        """The profile's name in run records; that of a trial is one that nothing reads."""
        return profiles.get(self.profile).name

    @property
    def trial(self) -> bool:
        """Whether it is a trial."""
        return profiles.get(self.profile).is_trial


def run(settings: RunSettings, say: Callable[[str], None] = tqdm.write) -> Report:
    """Run chapters one after the other.

    A run of all chapters in which none fails also leaves ``PROFILE/reports/DEVICE.json`` among the
    results: what each chapter took, on a processor (``cpu``) or a GPU (``cuda``).

    Args:
        settings: What to run.
        say: Takes each line of the account; prints it between progress bars by default.

    Returns:
        The report, as it also lies in the output folder.

    Raises:
        ProfileError: The profile is unknown.
        RunError: A chapter number is unknown, the report or a record cannot be written, or a trial
            is to write into the checkout's ``results/``.
    """
    _keep_apart(settings)
    return _run(settings, say)


def _keep_apart(settings: RunSettings) -> None:
    """Refuse a trial's records among those that count."""
    project = paths.project_root()
    if not settings.trial or project is None:
        return
    kept, wanted = (project / "results").resolve(), settings.results.resolve()
    if wanted == kept or kept in wanted.parents:
        raise RunError(
            f"a trial measures nothing and may not write into {kept}; give another --results"
        )


def _run(settings: RunSettings, say: Callable[[str], None]) -> Report:
    """Run the chapters of settings that have been looked at."""
    chapters = find_chapters(settings.notebooks, settings.chapters)
    earlier = _earlier(settings, say)
    current, unsaved = earlier, None
    commit = git_commit(settings.notebooks)
    bar = tqdm(chapters, unit="chapter", desc=f"profile {settings.recorded_as}",
               disable=not settings.progress)  # fmt: skip
    for chapter in bar:
        bar.set_postfix_str(chapter.path.stem)
        notebook = read_notebook(chapter.path)
        kept = _kept(earlier.get(chapter.number), source_hash(notebook), settings)
        result = kept or run_chapter(chapter, notebook, settings, commit)
        current = current.having(result)
        say(_line(result))
        try:
            current.save(settings.report_path)
            unsaved = None
        except RunError as error:  # a full disk: the next chapter may still run
            unsaved = error
            say(f"       {error}")
    bar.close()
    if unsaved is not None:
        raise unsaved
    if settings.chapters is None and not settings.trial and not current.failed:
        _keep_in_short(current, settings, commit)
    return current


def _keep_in_short(whole: Report, settings: RunSettings, commit: dict[str, Any]) -> None:
    """Leave the account of a run of all chapters among the results, one file a kind of device."""
    import torch  # noqa: F401  # imported late: slow; records.device() asks it for a GPU

    device = records.device()
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    facts = {"device": device, "commit": commit, "finished": finished}
    path = settings.results / settings.profile / REPORTS / f"{device['type']}.json"
    files.write_json(path, {**whole.in_short(), **facts})


def run_chapter(
    chapter: Chapter, notebook: Any, settings: RunSettings, commit: dict[str, Any]
) -> ChapterResult:
    """Run one chapter and write its records.

    Args:
        chapter: Which.
        notebook: Its notebook, as read.
        settings: What is being run.
        commit: State of the checkout, from :func:`git_commit`.

    Returns:
        Its result; failures are reported in it, not raised.

    Raises:
        RunError: The output folder cannot be made.
    """
    output = settings.output / chapter.path.name
    result = ChapterResult(
        chapter=chapter.number,
        title=title(notebook, chapter.path.stem),
        notebook=chapter.path.name,
        source=source_hash(notebook),
        status="ok",
        seconds=0.0,
    )
    started = time.perf_counter()
    failure = _execute(chapter, output, settings)
    seconds = round(time.perf_counter() - started, 1)
    payloads: list[records.Payload] = []
    written: dict[str, str] = {}
    try:
        payloads = list(records.collect(read_notebook(output)))
        if failure is None:
            for payload in payloads:
                record = records.new_record(
                    **asdict(payload),
                    chapter=chapter.number,
                    profile=settings.recorded_as,
                    seed=settings.seed,
                    commit=commit,
                    seconds=seconds,
                )
                record.save(settings.results)
            names = [payload.name for payload in payloads]
            written = _written(chapter.number, chapter.path.name, names, settings)
    except (RunError, OSError) as error:
        failure = failure or Failure(None, "", type(error).__name__, str(error))
    return replace(
        result,
        status="failed" if failure else "ok",
        seconds=seconds,
        metrics={payload.name: payload.metrics for payload in payloads},
        written=written,
        failure=failure,
    )


def _written(
    chapter: str, notebook: str, names: Sequence[str], settings: RunSettings
) -> dict[str, str]:
    """SHA-256 of what a chapter has left: its notebook, and its records by their names."""
    folder = settings.results / settings.recorded_as
    paths_of = {name: folder / f"{chapter}-{name}.json" for name in names}
    paths_of[notebook] = settings.output / notebook
    return {name: files.sha256(path) for name, path in paths_of.items()}


def _execute(chapter: Chapter, output: Path, settings: RunSettings) -> Failure | None:
    """Execute a chapter into ``output``; say where it failed, if it did."""
    import papermill  # imported late: slow, and most commands do not need it

    from lowser_lib.course.refresh import ThisInterpreter

    with files.writing(output.parent):
        output.parent.mkdir(parents=True, exist_ok=True)
    bar = {"desc": chapter.number, "leave": False} if settings.progress else False
    try:
        papermill.execute_notebook(
            _literal(chapter.path),
            _literal(output),
            parameters={"PROFILE": settings.profile, "SEED": settings.seed},
            kernel_name="python3",
            language="python",
            progress_bar=bar,
            cwd=str(chapter.path.parent.absolute()),
            kernel_manager_class=ThisInterpreter,
        )
    except papermill.PapermillExecutionError as error:
        return _failure(output, error.ename, error.evalue)
    except Exception as error:  # a dead kernel, a full disk: the next chapter may still run
        return _failure(output, type(error).__name__, str(error))
    return None


def _literal(path: Path) -> str:
    """A path for papermill, which would otherwise fill in what stands in braces."""
    return str(path.absolute()).replace("{", "{{").replace("}", "}}")


def _failure(output: Path, error: str, message: str) -> Failure:
    """Find the cell at which a partial notebook stopped."""
    last, first_line = None, ""
    number = 0
    try:
        cells = read_notebook(output).cells
    except RunError:  # there is none, or the disk was full: the error says so
        cells = []
    for cell in cells:
        tags = cell.metadata.get("tags", [])
        # Cells that papermill put in are no cells of the source; a reader counts without them.
        if "injected-parameters" in tags or "papermill-error-cell-tag" in tags:
            continue
        if cell.cell_type != "code":
            continue
        number += 1
        state = cell.metadata.get("papermill", {})
        if not state.get("start_time"):
            continue
        last = number
        first_line = next((line for line in cell.source.splitlines() if line.strip()), "")
        if state.get("exception"):
            break
    short = next((line for line in message.splitlines() if line.strip()), "").strip()
    return Failure(last, first_line.strip(), error, short)


def _earlier(settings: RunSettings, say: Callable[[str], None]) -> Report:
    """The report to go on from: an earlier one of the same profile and seed, or an empty one."""
    fresh = Report(settings.recorded_as, settings.seed)
    if not settings.resume or not settings.report_path.is_file():
        return fresh
    try:
        earlier = load_report(settings.report_path)
    except RunError as error:
        say(f"starting anew: {error}")
        return fresh
    return earlier if earlier.of(()) == fresh else fresh


def _kept(result: ChapterResult | None, source: str, settings: RunSettings) -> ChapterResult | None:
    """An earlier success, if notebook and records are still what it left, byte for byte.

    A later run that was killed in the chapter has left half a notebook, and no report of it.
    """
    if result is None or result.status != "ok" or result.source != source:
        return None
    try:
        written = _written(result.chapter, result.notebook, list(result.metrics), settings)
    except OSError:
        return None
    return replace(result, resumed=True) if written == result.written else None


def _line(result: ChapterResult) -> str:
    """One line of the account."""
    mark = "[FAIL]" if result.failure else "[OK]  "
    when = "kept from an earlier run" if result.resumed else f"{result.seconds:.1f} s"
    line = f"{mark} {result.notebook}  {when}"
    return f"{line}\n       {result.failure}" if result.failure else line


SCHEMA = 2
"""Version of the layout of ``report.json``."""


@dataclass(frozen=True)
class Failure:
    """Where and why a chapter stopped.

    Attributes:
        cell: Number of the code cell in the source notebook, from 1, as JupyterLab counts when the
            notebook is run from the top; None when the kernel did not get as far as a cell.
        first_line: First line of the cell.
        error: Name of the error.
        message: Its message.
    """

    cell: int | None
    first_line: str
    error: str
    message: str

    def __str__(self) -> str:
        """One line for the terminal."""
        place = f"code cell {self.cell} ({self.first_line})" if self.cell else "outside its cells"
        return f"{place}: {self.error}: {self.message}"


@dataclass(frozen=True)
class ChapterResult:
    """What became of one chapter.

    Attributes:
        chapter: Two digits.
        title: The notebook's title.
        notebook: File name of the notebook.
        source: SHA-256 of its cells, outputs aside.
        status: ``ok`` or ``failed``.
        seconds: Time that it took.
        resumed: Whether an earlier run's success was kept.
        metrics: Record name to recorded metrics.
        written: SHA-256 of what a success left: its notebook, and its records by their names.
        failure: Where and why it stopped, or None.
    """

    chapter: str
    title: str
    notebook: str
    source: str
    status: str
    seconds: float
    resumed: bool = False
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    failure: Failure | None = None


@dataclass(frozen=True)
class Report:
    """The report of one run.

    Attributes:
        profile: The profile of the run.
        seed: The notebooks' ``SEED``.
        chapters: Results in chapter order.
        schema: Layout version.
    """

    profile: str
    seed: int
    chapters: tuple[ChapterResult, ...] = ()
    schema: int = SCHEMA

    @property
    def failed(self) -> tuple[ChapterResult, ...]:
        """The chapters that failed."""
        return tuple(result for result in self.chapters if result.status != "ok")

    def get(self, chapter: str) -> ChapterResult | None:
        """The result of a chapter, or None."""
        return next((result for result in self.chapters if result.chapter == chapter), None)

    def having(self, result: ChapterResult) -> Report:
        """This report with one chapter's result put in, or replaced."""
        others = [old for old in self.chapters if old.chapter != result.chapter]
        return self.of([*others, result])

    def of(self, results: Iterable[ChapterResult]) -> Report:
        """This report with other results, sorted by chapter."""
        chapters = tuple(sorted(results, key=lambda result: result.chapter))
        return replace(self, chapters=chapters)

    def in_short(self) -> dict[str, Any]:
        """What of it is worth keeping beside the records: each chapter's seconds and records."""
        chapters = [
            {
                "chapter": result.chapter,
                "title": result.title,
                "status": result.status,
                "seconds": result.seconds,
                "records": sorted(result.metrics),
            }
            for result in self.chapters
        ]
        return {"profile": self.profile, "seed": self.seed, "chapters": chapters}

    def save(self, path: Path) -> None:
        """Write the report, whole or not at all.

        Args:
            path: The file, usually ``report.json`` in the output folder.

        Raises:
            RunError: The file cannot be written.
        """
        files.write_json(path, asdict(self), sealed=True)


def load_report(path: Path) -> Report:
    """Read a report back.

    Raises:
        RunError: It is missing, damaged, or of another layout.
    """
    remedy = "run again without --resume to make it anew"
    try:
        content = files.read_json(path, RunError, remedy, sealed=True)
        if content["schema"] != SCHEMA:
            raise ValueError(f"layout {content['schema']!r}, this version reads {SCHEMA}")
        chapters = []
        for entry in content["chapters"]:
            failure = entry.pop("failure")
            chapters.append(ChapterResult(**entry, failure=Failure(**failure) if failure else None))
        return Report(content["profile"], content["seed"], tuple(chapters))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} cannot be read ({error}); {remedy}") from error
