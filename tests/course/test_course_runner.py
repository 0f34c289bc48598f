"""``lowser run``: reports, records, failures that are named, and going on where one stopped."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from lowser_lib.course import report, runner
from lowser_lib.errors import ProfileError, RunError
from lowser_lib.experiments import paths, records
from lowser_lib.experiments.chapters import find_chapters, source_hash, title
from lowser_lib.experiments.records import load_record

Write = Callable[..., Path]

RECORDING = """\
from lowser_lib.experiments.records import record

record("sum", {"value": 1 + SEED, "profile": PROFILE}, {"terms": 2})
"""
FAILING = """\

# the second code cell of the author
values = []
print("on the way")
values[3]
"""


@pytest.fixture
def settings(tmp_path: Path, write_notebook: Write) -> runner.RunSettings:
    """Two chapters, the first of which fails; folders with a brace and a blank in their names."""
    notebooks = tmp_path / "note {books}"
    write_notebook(notebooks / "00_fails.ipynb", [FAILING])
    write_notebook(notebooks / "01_records.ipynb", [RECORDING])
    return runner.RunSettings(
        notebooks=notebooks,
        output=tmp_path / "out {put}",
        results=tmp_path / "results",
        profile="open",
        seed=4,
        progress=False,
    )


def change(settings: runner.RunSettings, **changes: Any) -> runner.RunSettings:
    return runner.RunSettings(**{**settings.__dict__, **changes})


def test_run_reports_records_fails_and_resumes(
    settings: runner.RunSettings, write_notebook: Write
) -> None:
    lines: list[str] = []
    found = runner.run(settings, say=lines.append)

    # The failure is named, its partial notebook stays, and the next chapter runs.
    failed, done = found.chapters
    assert (failed.status, done.status) == ("failed", "ok")
    assert failed.failure is not None
    assert failed.failure.cell == 2
    assert failed.failure.first_line == "# the second code cell of the author"
    assert (failed.failure.error, failed.failure.message) == (
        "IndexError",
        "list index out of range",
    )
    assert "00_fails.ipynb" in lines[0]
    assert "code cell 2" in lines[0]
    assert "IndexError" in lines[0]
    partial = nbformat.read(str(settings.output / "00_fails.ipynb"), as_version=4)
    assert any("on the way" in str(cell.get("outputs")) for cell in partial.cells)

    # The record holds what the notebook measured and what the run knows.
    record = load_record(settings.results, "open", "01-sum")
    assert record.metrics == {"value": 5, "profile": "open"}
    assert record.config == {"terms": 2}
    assert (record.profile, record.seed, record.chapter) == ("open", 4, "01")
    assert {"python", "torch", "lowser"} <= set(record.versions)
    assert record.seconds > 0
    assert done.metrics == {"sum": record.metrics}
    assert [file.name for file in settings.results.rglob("*.json")] == ["01-sum.json"]

    # The report on disk is the report returned.
    assert report.load(settings.report_path) == found
    assert json.loads(settings.report_path.read_text(encoding="utf-8"))["profile"] == "open"

    # Resuming keeps the success and mends the failure once the notebook is mended.
    write_notebook(settings.notebooks / "00_fails.ipynb", ["print('mended')"])
    lines.clear()
    again = runner.run(change(settings, resume=True), say=lines.append)
    assert not again.failed
    assert [result.resumed for result in again.chapters] == [False, True]
    assert "kept from an earlier run" in lines[1]
    assert again.chapters[1].metrics == done.metrics


TRYING = """\
from lowser_lib.course import profiles
from lowser_lib.experiments.records import record

profile = profiles.get(PROFILE)
record("tried", {"epochs": profile.epochs, "encoder": profile.encoder}, {})
"""


def test_a_trial_is_cut_down_and_its_records_lie_apart(
    settings: runner.RunSettings, write_notebook: Write
) -> None:
    write_notebook(settings.notebooks / "02_tries.ipynb", [TRYING])
    trying = change(settings, chapters=["2"], trial=True, encoder="nano", profile="paper")
    found = runner.run(trying, say=lambda line: None)
    assert not found.failed
    assert found.trial
    assert report.load(settings.report_path) == found
    assert [file.parent.name for file in settings.results.rglob("*.json")] == ["paper-trial"]
    record = load_record(settings.results, "paper-trial", "02-tried")
    assert record.metrics == {"epochs": 1, "encoder": "nano"}
    assert record.profile == "paper-trial"

    # The run that counts takes nothing over from it.
    assert runner._earlier(change(trying, resume=True), lambda line: None) == found
    counting = change(trying, trial=False, encoder=None, resume=True)
    assert runner._earlier(counting, lambda line: None).chapters == ()
    again = runner.run(counting, say=lambda line: None)
    assert not again.chapters[0].resumed
    assert load_record(settings.results, "paper", "02-tried").metrics["encoder"] == "small.en"


def test_only_a_whole_run_leaves_its_minutes_among_the_results(
    settings: runner.RunSettings, write_notebook: Write
) -> None:
    kept = settings.results / "open" / "reports" / "cpu.json"
    runner.run(settings, say=lambda line: None)  # a chapter fails
    write_notebook(settings.notebooks / "00_fails.ipynb", ["mended = True"])
    runner.run(change(settings, chapters=["00"], resume=True), say=lambda line: None)
    assert not kept.exists()
    runner.run(change(settings, resume=True), say=lambda line: None)
    account = json.loads(kept.read_text())
    assert (account["profile"], account["seed"]) == ("open", 4)
    assert [(one["chapter"], one["status"]) for one in account["chapters"]] == [
        ("00", "ok"), ("01", "ok"),
    ]  # fmt: skip
    assert account["chapters"][1]["records"] == ["sum"]
    assert all(one["seconds"] > 0 for one in account["chapters"])
    assert set(account) == {"profile", "seed", "chapters", "device", "commit", "finished"}
    assert load_record(settings.results, "open", "01-sum").metrics["profile"] == "open"


def test_a_trial_is_refused_where_results_count(settings: runner.RunSettings) -> None:
    for folder in (paths.results_root(), paths.results_root() / "deeper"):
        with pytest.raises(RunError, match="a trial measures nothing"):
            runner.run(change(settings, trial=True, results=folder))
    with pytest.raises(ValueError, match="needs trial=True"):
        change(settings, encoder="nano")


def test_resume_runs_again_what_changed(settings: runner.RunSettings) -> None:
    result = report.ChapterResult("01", "t", "01_records.ipynb", "abc", "ok", 1.0,
                                  metrics={"sum": {"value": 1}})  # fmt: skip
    assert runner._kept(result, "abc", settings) is None  # no notebook in the output folder
    (settings.output).mkdir()
    (settings.output / "01_records.ipynb").write_text("{}", encoding="utf-8")
    assert runner._kept(result, "abc", settings) is None  # no record in the results folder
    record = settings.results / "open" / "01-sum.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}", encoding="utf-8")
    kept = runner._kept(result, "abc", settings)
    assert kept is not None
    assert kept.resumed
    assert runner._kept(result, "other source", settings) is None


def test_resume_starts_anew_with_another_seed_or_a_damaged_report(
    settings: runner.RunSettings,
) -> None:
    lines: list[str] = []
    kept = report.ChapterResult("01", "t", "01_records.ipynb", "abc", "ok", 1.0)
    report.Report("open", 4).having(kept).save(settings.report_path)
    resuming = change(settings, resume=True)
    assert runner._earlier(resuming, lines.append).get("01") == kept
    assert runner._earlier(change(resuming, seed=5), lines.append).chapters == ()
    assert runner._earlier(change(resuming, profile="fast"), lines.append).chapters == ()
    settings.report_path.write_text('{"schema": 1, "prof', encoding="utf-8")
    assert runner._earlier(resuming, lines.append).chapters == ()
    assert "cannot be read" in lines[0]


def test_a_dying_kernel_is_a_failure_of_its_chapter(
    settings: runner.RunSettings, write_notebook: Write
) -> None:
    write_notebook(settings.notebooks / "02_dies.ipynb", ["import os\nos._exit(1)"])
    found = runner.run(change(settings, chapters=["2"]), say=lambda line: None)
    (failure,) = [result.failure for result in found.failed]
    assert failure is not None
    assert failure.cell == 2
    assert failure.first_line == "import os"
    assert "Kernel" in failure.error


def test_wrong_names_are_told_first(settings: runner.RunSettings) -> None:
    with pytest.raises(ProfileError, match="'quick'"):
        runner.run(change(settings, profile="quick"))
    with pytest.raises(RunError, match=r"no chapter 07; there are 00, 01"):
        runner.run(change(settings, chapters=["7", "01"]))
    with pytest.raises(ValueError, match="-1"):
        change(settings, seed=-1)
    assert not settings.output.exists()


def test_unwritable_output_is_named(settings: runner.RunSettings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(RunError, match="file"):
        runner.run(change(settings, output=tmp_path / "file" / "out"), say=lambda line: None)


def test_chapters_of_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no notebooks"):
        find_chapters(tmp_path)


def test_source_hash_sees_sources_and_tags_but_no_outputs() -> None:
    def notebook(
        source: str = "1", tags: tuple[str, ...] = (), outputs: tuple[Any, ...] = ()
    ) -> Any:
        cell = nbformat.v4.new_code_cell(
            source, metadata={"tags": list(tags)}, outputs=list(outputs)
        )
        return nbformat.v4.new_notebook(cells=[cell])

    shown = nbformat.v4.new_output("stream", text="1")
    assert source_hash(notebook()) == source_hash(notebook(outputs=(shown,)))
    assert source_hash(notebook()) != source_hash(notebook("2"))
    assert source_hash(notebook()) != source_hash(notebook(tags=("parameters",)))
    assert title(notebook(), "default") == "default"


def test_git_state_of_a_checkout(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        name = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *name, *arguments], cwd=tmp_path, check=True, capture_output=True)

    assert records.git_commit(tmp_path)["hash"] is None
    git("init")
    assert records.git_commit(tmp_path) == {"hash": None, "dirty": True}
    for name in ("code.py", "results/fast/01.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1", encoding="utf-8")
    git("add", ".")
    git("commit", "-m", "first")
    state = records.git_commit(tmp_path)
    assert len(state["hash"]) == 40
    assert state["dirty"] is False
    (tmp_path / "results/fast/01.json").write_text("2", encoding="utf-8")
    assert records.git_commit(tmp_path / "results")["dirty"] is False
    (tmp_path / "code.py").write_text("2", encoding="utf-8")
    assert records.git_commit(tmp_path)["dirty"] is True
