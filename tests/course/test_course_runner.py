"""``lowser run``: reports, records, failures that are named, and going on where one stopped."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest

from lowser_lib.course import runner
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
    outcome = runner.run(settings, say=lines.append)

    # The failure is named, its partial notebook stays, and the next chapter runs.
    failed, done = outcome.chapters
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
    assert runner.load_report(settings.report_path) == outcome
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
from lowser_lib.experiments import profiles
from lowser_lib.experiments.records import record

profile = profiles.get(PROFILE)
record("tried", {"epochs": profile.epochs, "encoder": profile.encoder}, {})
"""


def test_a_trial_is_cut_down_and_its_records_lie_apart(
    settings: runner.RunSettings, write_notebook: Write
) -> None:
    write_notebook(settings.notebooks / "02_tries.ipynb", [TRYING])
    trying = change(settings, chapters=["2"], profile="paper-trial:nano")
    answer = runner.run(trying, say=lambda line: None)
    assert not answer.failed
    assert answer.profile == "paper-trial"
    assert runner.load_report(settings.report_path) == answer
    assert [file.parent.name for file in settings.results.rglob("*.json")] == ["paper-trial"]
    record = load_record(settings.results, "paper-trial", "02-tried")
    assert record.metrics == {"epochs": 1, "encoder": "nano"}
    assert record.profile == "paper-trial"

    # The run that counts takes nothing over from it.
    assert runner._earlier(change(trying, resume=True), lambda line: None) == answer
    counting = change(trying, profile="paper", resume=True)
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
    assert [(chapter["chapter"], chapter["status"]) for chapter in account["chapters"]] == [
        ("00", "ok"), ("01", "ok"),
    ]  # fmt: skip
    assert account["chapters"][1]["records"] == ["sum"]
    assert all(chapter["seconds"] > 0 for chapter in account["chapters"])
    assert set(account) == {"profile", "seed", "chapters", "device", "commit", "finished"}
    assert load_record(settings.results, "open", "01-sum").metrics["profile"] == "open"


def test_a_trial_is_refused_where_results_count(settings: runner.RunSettings) -> None:
    for folder in (paths.results_root(), paths.results_root() / "deeper"):
        with pytest.raises(RunError, match="a trial measures nothing"):
            runner.run(change(settings, profile="open-trial", results=folder))


DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "gone": lambda content: None,
    "empty": lambda content: b"",
    "cut to 100 bytes": lambda content: content[:100],
    "a flipped bit": lambda content: content[:-20] + bytes([content[-20] ^ 1]) + content[-19:],
}


@pytest.mark.parametrize("name", ["output/01_records.ipynb", "results/open/01-sum.json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_resume_keeps_only_what_is_as_it_was_left(
    settings: runner.RunSettings, tmp_path: Path, name: str, damage: str
) -> None:
    settings = change(settings, output=tmp_path / "output")
    contents = {"output/01_records.ipynb": b"n" * 200, "results/open/01-sum.json": b"r" * 200}
    for file, content in contents.items():
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_bytes(content)
    done = runner.ChapterResult(
        "01", "t", "01_records.ipynb", "abc", "ok", 1.0, metrics={"sum": {"value": 1}},
        written={
            "01_records.ipynb": hashlib.sha256(b"n" * 200).hexdigest(),
            "sum": hashlib.sha256(b"r" * 200).hexdigest(),
        },
    )  # fmt: skip
    kept = runner._kept(done, "abc", settings)
    assert kept is not None
    assert kept.resumed
    assert runner._kept(done, "other source", settings) is None
    assert runner._kept(replace(done, status="failed"), "abc", settings) is None
    changed = DAMAGES[damage](contents[name])
    (tmp_path / name).unlink() if changed is None else (tmp_path / name).write_bytes(changed)
    assert runner._kept(done, "abc", settings) is None


def test_half_a_notebook_of_a_later_run_is_run_again(
    settings: runner.RunSettings, tmp_path: Path, write_notebook: Write
) -> None:
    killed = tmp_path / "killed"
    cell = (
        f"import os, pathlib\nif pathlib.Path({str(killed)!r}).exists(): os.kill(os.getppid(), 9)"
    )
    write_notebook(settings.notebooks / "00_fails.ipynb", [RECORDING, cell, "print('end')"])
    call = (
        "import sys; from pathlib import Path; from lowser_lib.course import runner\n"
        "notebooks, output, results = map(Path, sys.argv[1:])\n"
        "runner.run(runner.RunSettings(notebooks, output, results, progress=False, chapters=['0']))"
    )
    folders = [str(path) for path in (settings.notebooks, settings.output, settings.results)]
    command = [sys.executable, "-c", call, *folders]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    killed.touch()
    assert subprocess.run(command, capture_output=True, timeout=300).returncode == -9
    killed.unlink()
    lines: list[str] = []
    again = change(settings, chapters=["0"], profile="fast", seed=0, resume=True)
    assert not runner.run(again, say=lines.append).failed
    assert "kept" not in lines[0]
    notebook = nbformat.read(str(settings.output / "00_fails.ipynb"), as_version=4)
    assert notebook.cells[-1].outputs[0].text == "end\n"
    assert "kept" in runner._line(runner.run(again, say=lines.append).chapters[0])


def test_a_full_disk_is_named_and_the_next_chapter_runs(
    settings: runner.RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from papermill.iorw import LocalHandler

    write = LocalHandler.write

    def full(self: LocalHandler, buffer: str, path: str) -> None:
        if "00_fails" in path:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, buffer, path)

    monkeypatch.setattr(LocalHandler, "write", full)
    failed, done = runner.run(settings, say=lambda line: None).chapters
    assert "No space left on device" in str(failed.failure)
    assert done.status == "ok"


def test_a_report_that_cannot_be_written_is_said_and_raised_at_the_end(
    settings: runner.RunSettings,
) -> None:
    settings.report_path.mkdir(parents=True)
    lines: list[str] = []
    with pytest.raises(RunError, match=r"report\.json: .*move away what has taken the name"):
        runner.run(settings, say=lines.append)
    assert [line for line in lines if "01_records.ipynb" in line and "[OK]" in line]


def test_kernels_start_without_a_warning(
    settings: runner.RunSettings, capfd: pytest.CaptureFixture[str]
) -> None:
    runner.run(change(settings, chapters=["1"]), say=lambda line: None)
    captured = capfd.readouterr()
    assert "eavesdropping" not in captured.out + captured.err


def test_resume_starts_anew_with_another_seed_or_a_damaged_report(
    settings: runner.RunSettings,
) -> None:
    lines: list[str] = []
    kept = runner.ChapterResult("01", "t", "01_records.ipynb", "abc", "ok", 1.0)
    runner.Report("open", 4).having(kept).save(settings.report_path)
    resuming = change(settings, resume=True)
    assert runner._earlier(resuming, lines.append).get("01") == kept
    assert runner._earlier(change(resuming, seed=5), lines.append).chapters == ()
    assert runner._earlier(change(resuming, profile="fast"), lines.append).chapters == ()
    settings.report_path.write_text('{"schema": 2, "prof', encoding="utf-8")
    assert runner._earlier(resuming, lines.append).chapters == ()
    assert "is damaged" in lines[0]


def test_a_dying_kernel_is_a_failure_of_its_chapter(
    settings: runner.RunSettings, write_notebook: Write
) -> None:
    write_notebook(settings.notebooks / "02_dies.ipynb", ["import os\nos._exit(1)"])
    outcome = runner.run(change(settings, chapters=["2"]), say=lambda line: None)
    (failure,) = [result.failure for result in outcome.failed]
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
