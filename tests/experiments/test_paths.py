"""Where things lie, and who may ask the environment."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from lowser_lib.errors import ProfileError
from lowser_lib.experiments import paths


def test_home_is_what_is_set_and_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOWSER_HOME", "cache")
    assert paths.home() == tmp_path / "cache"
    assert paths.made_corpora() == tmp_path / "cache" / "corpora"


def test_home_defaults_to_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOWSER_HOME", raising=False)
    assert paths.home().is_absolute()
    assert paths.home().name == "lowser"


def test_corpora_root_is_none_when_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOWSER_CORPORA", " ")
    assert paths.corpora_root() is None


def test_corpora_root_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOWSER_CORPORA", str(tmp_path / "nowhere"))
    with pytest.raises(ProfileError, match="nowhere"):
        paths.corpora_root()


def test_project_root_holds_the_notebooks() -> None:
    root = paths.project_root()
    assert root is not None
    assert (root / "notebooks").is_dir()
    assert paths.results_root() == root / "results"


def test_kernels_get_absolute_folders_and_this_library(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "speech").mkdir()
    monkeypatch.setenv("PYTHONPATH", f"mine{os.pathsep}")
    monkeypatch.setenv("LOWSER_HOME", "cache")
    monkeypatch.setenv("LOWSER_CORPORA", "speech")
    variables = paths.kernel_environment()
    library = str(Path(paths.__file__).resolve().parents[2])
    assert variables["PYTHONPATH"].split(os.pathsep) == [library, str(tmp_path / "mine")]
    assert variables["LOWSER_HOME"] == str(tmp_path / "cache")
    assert variables["LOWSER_CORPORA"] == str(tmp_path / "speech")


def test_only_paths_reads_the_environment() -> None:
    library = Path(paths.__file__).resolve().parents[1]
    reading = re.compile(r"environ(?:\[|\.get\b)|\bgetenv\b|in os\.environ")
    readers = {
        file.relative_to(library).as_posix()
        for file in library.rglob("*.py")
        if reading.search(file.read_text(encoding="utf-8"))
    }
    assert readers == {"files.py", "experiments/paths.py"}  # files: the home alone
