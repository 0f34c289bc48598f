"""What ``make gpu`` runs, tried on the processor; and a device that has no float64."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import bench_gpu

ROOT = Path(__file__).resolve().parents[1]


def test_make_gpu_runs_doctor_steps_tests_and_chapters() -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("no make on this machine")
    plan = [make, "--dry-run", "--no-print-directory", "-o", ".venv/.package-stamp", "gpu"]
    lines = subprocess.run(plan, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    places = [lines.index(part) for part in ("doctor", "bench_gpu.py", "pytest", "lowser run")]
    assert places == sorted(places)
    for test in lines[places[2] : places[3]].replace("\\", "").split()[2:-1]:
        if test.startswith("tests/"):
            assert (ROOT / test).is_file()


@pytest.mark.parametrize("target", ["test", "nbval"])
def test_make_test_computes_on_the_processor(target: str, tmp_path: Path) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("no make on this machine")
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "[$CUDA_VISIBLE_DEVICES]"\n')
    python.chmod(0o755)
    plan = [make, "-s", "-o", ".venv/.package-stamp", f"BIN={tmp_path}", target]
    told = {**os.environ, "CUDA_VISIBLE_DEVICES": "0"}
    shown = subprocess.run(plan, cwd=ROOT, env=told, capture_output=True, text=True, check=True)
    assert set(shown.stdout.split()) == {"[]"}


def test_steps_are_measured_and_written_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench_gpu.main(["--device", "cpu", "--output", str(tmp_path / "steps.json")])
    shown = capsys.readouterr().out
    assert "No CUDA device" in shown and "times as many a second" in shown
    found = json.loads((tmp_path / "steps.json").read_text(encoding="utf-8"))
    assert found["device"]["type"] == "cpu"
    assert found["precision"] == "32-true"
    own, padded = found["sides"]["own length"], found["sides"]["padded to 30 s"]
    # 3000 frames in place of 500 on average; attention grows faster than length.
    assert padded["flops_per_clip"] > 3 * own["flops_per_clip"]
    for side in (own, padded):
        assert side["clips_per_second"] > 0
        assert 0 <= side["waiting"] < 1
        assert side["peak"] is None
    assert found["matrix_rate"] > 0
