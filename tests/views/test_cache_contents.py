"""What the cache holds, and clearing it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lowser_lib import files
from lowser_lib.course import cli
from lowser_lib.errors import CacheError
from lowser_lib.experiments import paths
from lowser_lib.views.cache import clear, contents, read_entries, write_shard


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    for folder, keys in (("mel/aa", "abc"), ("mel/bb", "d"), ("egemaps/cc", "e")):
        write_shard(tmp_path / folder, {key: np.full(88, ord(key), np.float32) for key in keys})
    write_shard(tmp_path / "mel/aa", {"z": np.zeros(3, np.float32)})
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    return tmp_path


def size_on_disk(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors"))


def test_contents_count_clips_shards_and_bytes(cache: Path) -> None:
    result = [(entry.view, entry.settings, entry.shards, entry.clips) for entry in contents(cache)]
    assert result == [("egemaps", "cc", 1, 1), ("mel", "aa", 2, 4), ("mel", "bb", 1, 1)]
    assert sum(entry.size for entry in contents(cache)) == size_on_disk(cache)
    assert contents(cache / "nowhere") == []


def test_leftovers_and_damage_are_counted_and_cleared(cache: Path) -> None:
    (cache / "mel/bb/.abc.0123456789abcdef0123456789abcdef.part").write_bytes(b"x" * 100)
    (cache / "mel/bb/cut.safetensors").write_bytes(b"\xff" * 9)
    (cache / "mel/bb/odd.safetensors").write_bytes(b"\x02" + b"\0" * 7 + b"[]")
    last = contents(cache)[-1]
    assert (last.shards, last.clips) == (3, 1)
    assert last.size == size_on_disk(cache / "mel/bb") + 100
    clear(cache)
    assert contents(cache) == []


def test_clearing_one_view_leaves_the_others(cache: Path) -> None:
    size = size_on_disk(cache / "mel")
    assert clear(cache, "mel") == size
    assert [entry.view for entry in contents(cache)] == ["egemaps"]
    assert read_entries(cache / "egemaps/cc", {"e"})["e"][0] == ord("e")
    assert not (cache / "mel").exists()
    with pytest.raises(CacheError, match="has no view 'mel'; it holds egemaps"):
        clear(cache, "mel")


def test_clearing_touches_nothing_but_the_caches_own_files(cache: Path) -> None:
    (cache / "mel/aa/readme").write_text("mine", encoding="utf-8")
    clear(cache)
    left = sorted(str(p.relative_to(cache)) for p in cache.rglob("*") if p.is_file())
    assert left == ["mel/aa/readme", "notes.txt"]
    assert clear(cache) == 0


def test_an_array_that_is_mapped_survives_the_clearing(cache: Path) -> None:
    mapped = read_entries(cache / "egemaps/cc", {"e"})["e"]
    clear(cache)
    assert (mapped == ord("e")).all()


def test_the_command_shows_and_clears(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(paths, "features", lambda: cache)
    assert cli.main(["cache"]) == 0
    shown = capsys.readouterr().out
    assert "mel" in shown and "egemaps" in shown and "6 clips" in shown
    assert cli.main(["cache", "clear", "mel"]) == 0
    assert "freed" in capsys.readouterr().out
    assert cli.main(["cache", "clear", "mel"]) == 2
    assert cli.main(["cache", "clear"]) == 0
    assert contents(cache) == []


def test_unfinished_files_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOWSER_HOME", str(tmp_path))
    assert cli.main(["cache"]) == 0
    assert "unfinished files" not in capsys.readouterr().out
    with files.folder_beside(tmp_path / "corpora" / "urdu_words") as part:
        (part / "a.wav").write_bytes(b"x" * 2**20)
        assert cli.main(["cache"]) == 0
    assert "1 unfinished files or folders, 1.0 MiB" in capsys.readouterr().out
