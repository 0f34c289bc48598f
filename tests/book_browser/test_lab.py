"""``make lab``: students' copies, no pop-up, and nothing changed in the repository afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = "00_start_here.ipynb"
TOKEN = "for-this-test-only"
PATIENCE = 180_000
"""Milliseconds: a first kernel on a busy machine takes its time."""


def state() -> tuple[str, str]:
    """What git says of the repository, and the hash of its chapters."""
    command = ["git", "status", "--porcelain"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    chapters = sorted((ROOT / "notebooks").glob("*.ipynb"))
    return told, hashlib.sha256(b"".join(path.read_bytes() for path in chapters)).hexdigest()


def lab_command(work: Path, options: str) -> list[str]:
    # The environment is here already, or this test would not run: its stamp counts as new.
    made = [f"WORK={work}", f"LAB_OPTIONS={options}", "-o", ".venv/.package-stamp", "-s"]
    return ["make", *made, "lab"]


@contextlib.contextmanager
def lab(work: Path) -> Iterator[str]:
    """Start the lab as ``make lab`` does, without opening a window; give its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = f"--no-browser --allow-root --ServerApp.port={port} --IdentityProvider.token={TOKEN}"
    log = (work.parent / "lab.log").open("w")
    process = subprocess.Popen(
        lab_command(work, options), cwd=ROOT, stdout=log, stderr=log, start_new_session=True
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/api?token={TOKEN}", timeout=5).close()
                break
            assert process.poll() is None, (work.parent / "lab.log").read_text()[-2000:]
            time.sleep(1)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
        log.close()


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_cells_run_saved_and_closed_leave_the_repository_clean(
    chromium: Browser, tmp_path: Path
) -> None:
    work, before = tmp_path / "work", state()
    work.mkdir()
    (work / "01_data_preparation.ipynb").write_text("what a student wrote")
    with lab(work) as address:
        context = chromium.new_context(viewport={"width": 1400, "height": 900})
        context.set_default_timeout(PATIENCE)
        outside: list[str] = []
        context.on(
            "request",
            lambda request: (
                outside.append(request.url)
                if not request.url.startswith((address, "data:", "blob:", "ws:"))
                else None
            ),
        )
        page = context.new_page()
        page.goto(f"{address}/lab/tree/{CHAPTER}?token={TOKEN}")
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        page.locator(
            ".jp-NotebookPanel .jp-Notebook-ExecutionIndicator[data-status=idle]"
        ).wait_for()
        assert page.locator(".Toastify__toast", has_text="news").count() == 0
        page.wait_for_timeout(2000)
        assert page.locator(".jp-mod-dirty").count() == 0, "opening alone marks it as unsaved"
        page.locator(".jp-CodeCell").first.click()
        for _ in range(2):
            page.keyboard.press("Shift+Enter")
        prompts = page.locator(".jp-CodeCell .jp-InputPrompt")
        page.wait_for_function(
            "() => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]"
            ".slice(0, 2).every((prompt) => /\\[\\d+\\]/.test(prompt.textContent))",
            timeout=PATIENCE,
        )
        assert prompts.count() > 2
        page.keyboard.press("Control+s")
        page.wait_for_timeout(3000)
        page.screenshot(path=str(tmp_path / "lab.png"))
        assert page.locator(".Toastify__toast", has_text="news").count() == 0
        context.close()
        assert not outside, outside
    assert state() == before
    saved = nbformat.read(str(work / CHAPTER), as_version=4)
    assert not [
        output
        for cell in saved.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stderr" and output.text.strip()
    ]
    assert (work / "01_data_preparation.ipynb").read_text() == "what a student wrote"


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_what_lies_in_work_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / CHAPTER).write_text("mine")
    command = [*lab_command(tmp_path, "--version"), f"BIN={ROOT / '.venv' / 'bin'}"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / CHAPTER).read_text() == "mine"
    assert len(list(tmp_path.glob("*.ipynb"))) == 10
