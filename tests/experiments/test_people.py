"""A chapter reads its own record of people, and says how to make one that is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from lowser_lib.errors import RunError
from lowser_lib.experiments import paths, people


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "results_root", lambda: tmp_path)
    (tmp_path / "open").mkdir()
    return tmp_path


def test_the_committed_record_is_read() -> None:
    metrics = people.measured("00-loudness")
    assert metrics is not None
    assert {"language", "clips", "UAR"} <= set(metrics["transfer"][0])


def test_a_missing_record_is_asked_for(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert people.measured("02-effects") is None
    assert "lowser run --profile open --chapters 02" in capsys.readouterr().out


def test_a_damaged_record_is_refused(results: Path) -> None:
    (results / "open" / "02-effects.json").write_text("{", encoding="utf-8")
    with pytest.raises(RunError, match="02-effects"):
        people.measured("02-effects")
