"""The cache of views: found again by content, whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import soundfile
from numpy.typing import NDArray

from lowser_lib import files
from lowser_lib.course import cli
from lowser_lib.errors import AudioError, CacheError
from lowser_lib.experiments import paths
from lowser_lib.views import View, cache
from lowser_lib.views.cache import (
    clear,
    contents,
    extract_all,
    read_entries,
    view_folder,
    write_shard,
)


class FirstSamples:
    """A quick view: the first samples of a clip as a column; counts what it is asked."""

    name = "first_samples"

    def __init__(self, count: int = 4) -> None:
        self.settings: Mapping[str, object] = {"count": count}
        self.count = count
        self.calls = 0

    def extract(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        self.calls += 1
        if len(waveform) < 100:
            raise AudioError("too short for this view")
        return waveform[: self.count, None]


def write_clip(file: Path, seed: int, samples: int = 1600) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, samples)
    soundfile.write(file, noise, 16000, subtype="PCM_16")


@pytest.fixture
def manifest(tmp_path: Path) -> pd.DataFrame:
    paths = [f"corpus/clip{number}.wav" for number in range(5)]
    for number, path in enumerate(paths):
        write_clip(tmp_path / "corpora" / path, number)
    return pd.DataFrame({"path": paths})


@pytest.fixture
def roots(tmp_path: Path) -> list[Path]:
    return [tmp_path / "elsewhere", tmp_path / "corpora"]


def same(first: list[NDArray[np.float32]], second: list[NDArray[np.float32]]) -> bool:
    return len(first) == len(second) and all(map(np.array_equal, first, second))


def shards(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))


def test_is_a_view() -> None:
    assert isinstance(FirstSamples(), View)


def test_in_manifest_order_and_equal_to_extracting_by_hand(
    manifest: pd.DataFrame, roots: list[Path], tmp_path: Path
) -> None:
    shuffled = manifest.iloc[[3, 0, 4, 1, 2]]
    by_hand = [soundfile.read(roots[1] / path)[0][:4, None] for path in shuffled["path"]]
    for cache_dir in (None, tmp_path / "cache"):
        arrays = extract_all(FirstSamples(), shuffled, roots, cache_dir)
        assert same(arrays, by_hand)
        assert all(array.dtype == np.float32 for array in arrays)


def test_second_time_reads_the_cache(
    manifest: pd.DataFrame, roots: list[Path], tmp_path: Path
) -> None:
    view = FirstSamples()
    cold = extract_all(view, manifest, roots, tmp_path / "cache")
    assert view.calls == 5
    warm = extract_all(view, manifest, roots, tmp_path / "cache")
    assert view.calls == 5
    assert same(cold, warm)
    write_clip(roots[1] / "corpus/clip9.wav", 9)
    more = pd.DataFrame({"path": [*manifest["path"], "corpus/clip9.wav"]})
    extract_all(view, more, roots, tmp_path / "cache")
    assert view.calls == 6


def test_content_and_settings_are_the_key(
    manifest: pd.DataFrame, roots: list[Path], tmp_path: Path
) -> None:
    view = FirstSamples()
    extract_all(view, manifest, roots, tmp_path / "cache")
    # Another name, the same sound: found.
    (roots[1] / "corpus").rename(roots[1] / "renamed")
    moved = manifest.assign(path=manifest["path"].str.replace("corpus/", "renamed/"))
    extract_all(view, moved, roots, tmp_path / "cache")
    assert view.calls == 5
    # The same name, another sound: extracted.
    write_clip(roots[1] / moved["path"][0], seed=77)
    extract_all(view, moved, roots, tmp_path / "cache")
    assert view.calls == 6
    other = FirstSamples(count=3)
    assert extract_all(other, moved, roots, tmp_path / "cache")[0].shape == (3, 1)
    assert other.calls == 5


@pytest.mark.parametrize("constant", ["DECODING", "FORMAT", "SAMPLE_RATE"])
def test_how_files_are_decoded_and_written_is_part_of_the_key(
    constant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = view_folder(FirstSamples(), tmp_path)
    monkeypatch.setattr(cache, constant, getattr(cache, constant) + 1)
    assert view_folder(FirstSamples(), tmp_path) != before


def test_rows_with_the_same_sound_share_an_entry_but_no_memory(
    manifest: pd.DataFrame, roots: list[Path], tmp_path: Path
) -> None:
    view = FirstSamples()
    twice = manifest.iloc[[0, 0]]
    for _ in range(2):  # cold, then warm
        first, second = extract_all(view, twice, roots, tmp_path / "cache")
        first += 1  # neither the other row nor the file sees it
        assert not np.array_equal(first, second)
    assert view.calls == 1


def test_processes_give_the_same_as_one(roots: list[Path], tmp_path: Path) -> None:
    paths = [f"corpus/{number}.wav" for number in range(20)]
    for number, path in enumerate(paths):
        write_clip(roots[1] / path, number, samples=160)
    manifest = pd.DataFrame({"path": paths})
    alone = extract_all(FirstSamples(), manifest, roots, None)
    # The test's own view cannot be imported by a worker, which threads do not ask for.
    with joblib.parallel_config(backend="threading"):
        together = extract_all(FirstSamples(), manifest, roots, tmp_path / "cache", jobs=2)
    assert same(alone, together)


@pytest.mark.filterwarnings("error")
def test_a_process_that_is_replaced_is_no_news(
    manifest: pd.DataFrame, roots: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Replacing(joblib.Parallel):
        def __call__(self, tasks: Any) -> Any:
            warnings.warn(
                "A worker stopped while some jobs were given to the executor.", stacklevel=2
            )
            return super().__call__(tasks)

    monkeypatch.setattr(cache.joblib, "Parallel", Replacing)
    assert len(extract_all(FirstSamples(), manifest, roots, None)) == len(manifest)


def test_shards_are_cut(
    manifest: pd.DataFrame, roots: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "SHARD_CLIPS", 2)
    arrays = extract_all(FirstSamples(), manifest, roots, tmp_path / "cache")
    assert len(shards(tmp_path / "cache")) == 3
    assert same(arrays, extract_all(FirstSamples(), manifest, roots, None))


def test_bad_clip_is_named_and_the_work_before_it_is_kept(
    manifest: pd.DataFrame, roots: list[Path], tmp_path: Path
) -> None:
    write_clip(roots[1] / "corpus/clip3.wav", 3, samples=50)
    view = FirstSamples()
    with pytest.raises(AudioError, match=r"clip3\.wav: too short for this view"):
        extract_all(view, manifest, roots, tmp_path / "cache")
    view.calls = 0
    extract_all(view, manifest.drop(index=3), roots, tmp_path / "cache")
    assert view.calls == 1  # clips 0 to 2 were kept


def test_missing_file_is_named(manifest: pd.DataFrame, roots: list[Path]) -> None:
    with pytest.raises(AudioError, match=r"nobody\.wav"):
        extract_all(FirstSamples(), pd.DataFrame({"path": ["nobody.wav"]}), roots, None)


def damage_value(shard: Path) -> None:
    content = bytearray(shard.read_bytes())
    content[-1] ^= 0x10
    shard.write_bytes(content)


def damage_header(shard: Path) -> None:
    shard.write_bytes(shard.read_bytes().replace(b'"dtype":"F32"', b'"dtype":"I32"'))


def cut_short(shard: Path) -> None:
    shard.write_bytes(shard.read_bytes()[:-30])


def cut_in_header(shard: Path) -> None:
    shard.write_bytes(shard.read_bytes()[:100])


def empty(shard: Path) -> None:
    shard.write_bytes(b"")


def overwrite(shard: Path) -> None:
    shard.write_bytes(b"\x04\0\0\0\0\0\0\0null and something else")


@pytest.mark.parametrize(
    "damage", [damage_value, damage_header, cut_short, cut_in_header, empty, overwrite]
)
def test_damaged_shard_is_made_anew(
    damage: object, manifest: pd.DataFrame, roots: list[Path], tmp_path: Path
) -> None:
    assert callable(damage)
    cold = extract_all(FirstSamples(), manifest, roots, tmp_path / "cache")
    expected = [array.copy() for array in cold]
    (shard,) = shards(tmp_path / "cache")
    damage(shard)
    view = FirstSamples()
    with pytest.warns(UserWarning, match="damaged shard"):
        again = extract_all(view, manifest, roots, tmp_path / "cache")
    assert view.calls == 5
    assert same(again, expected)
    warm = extract_all(view, manifest, roots, tmp_path / "cache")
    assert view.calls == 5
    assert same(warm, expected)


def test_full_disk_is_reported_and_leaves_nothing_behind(
    manifest: pd.DataFrame, roots: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    view = FirstSamples()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(CacheError, match="No space left on device") as caught:
            extract_all(view, manifest, roots, tmp_path / "cache")
    folder = view_folder(view, tmp_path / "cache")
    assert str(folder) in str(caught.value)
    assert list(folder.iterdir()) == []
    # With space again, all is extracted, and kept.
    extract_all(view, manifest, roots, tmp_path / "cache")
    extract_all(view, manifest, roots, tmp_path / "cache")
    assert view.calls == 10


def test_full_disk_in_mid_cache_keeps_the_shards_before(
    manifest: pd.DataFrame, roots: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []

    def full_from_the_second_on(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache, "SHARD_CLIPS", 2)
    view = FirstSamples()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_from_the_second_on)
        with pytest.raises(CacheError):
            extract_all(view, manifest, roots, tmp_path / "cache")
    assert len(written) == 2
    view.calls = 0
    arrays = extract_all(view, manifest, roots, tmp_path / "cache")
    assert view.calls == 3
    assert same(arrays, extract_all(FirstSamples(), manifest, roots, None))


def test_folder_that_is_a_file(manifest: pd.DataFrame, roots: list[Path], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(CacheError, match="cache"):
        extract_all(FirstSamples(), manifest, roots, tmp_path / "cache")


KILLED = """
import os, sys
from pathlib import Path
from typing import Any
import numpy as np
from lowser_lib.views import cache
os.fsync = lambda descriptor: os.kill(os.getpid(), 9)
cache.write_shard(Path(sys.argv[1]), {"a": np.zeros(1000, np.float32)})
"""


def test_kill_in_mid_write_leaves_no_entry(tmp_path: Path) -> None:
    folder = tmp_path / "view"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
    assert killed.returncode == -9
    (leftover,) = folder.iterdir()
    assert leftover.stat().st_size > 4000
    assert read_entries(folder, {"a"}) == {}
    write_shard(folder, {"a": np.ones(3, np.float32)})
    assert read_entries(folder, {"a"})["a"].tolist() == [1, 1, 1]
    assert leftover.exists()  # it might belong to a writer still at work
    os.utime(leftover, (time.time() - 90_000,) * 2)
    write_shard(folder, {"b": np.ones(3, np.float32)})
    assert not leftover.exists()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int16", "int32", "int64"])
def test_shapes_and_types_come_back(dtype: str, tmp_path: Path) -> None:
    entries = {
        "vector": np.arange(88).astype(dtype),
        "matrix": np.arange(12).astype(dtype).reshape(3, 4),
        "empty": np.zeros((0, 4), dtype=dtype),
    }
    write_shard(tmp_path, entries)
    for key, array in read_entries(tmp_path, set(entries)).items():
        np.testing.assert_array_equal(array, entries.pop(key), strict=True)
    assert entries == {}


def test_other_types_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="complex64"):
        write_shard(tmp_path, {"a": np.zeros(3, np.complex64)})
    assert list(tmp_path.iterdir()) == []


def test_settings_must_be_json(tmp_path: Path) -> None:
    view = FirstSamples()
    view.settings = {"layer": object()}
    with pytest.raises(ValueError, match="first_samples"):
        view_folder(view, tmp_path)


def test_jobs_must_be_positive(manifest: pd.DataFrame, roots: list[Path]) -> None:
    with pytest.raises(ValueError, match="jobs"):
        extract_all(FirstSamples(), manifest, roots, None, jobs=0)


def test_empty_manifest(roots: list[Path], tmp_path: Path) -> None:
    assert extract_all(FirstSamples(), pd.DataFrame({"path": []}), roots, tmp_path) == []


# What the cache holds, and clearing it


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    for folder, keys in (("mel/aa", "abc"), ("mel/bb", "d"), ("egemaps/cc", "e")):
        write_shard(tmp_path / folder, {key: np.full(88, ord(key), np.float32) for key in keys})
    write_shard(tmp_path / "mel/aa", {"z": np.zeros(3, np.float32)})
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    return tmp_path


def size_on_disk(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors"))


def test_contents_count_clips_shards_and_bytes(filled: Path) -> None:
    result = [(entry.view, entry.settings, entry.shards, entry.clips) for entry in contents(filled)]
    assert result == [("egemaps", "cc", 1, 1), ("mel", "aa", 2, 4), ("mel", "bb", 1, 1)]
    assert sum(entry.size for entry in contents(filled)) == size_on_disk(filled)
    assert contents(filled / "nowhere") == []


def test_leftovers_and_damage_are_counted_and_cleared(filled: Path) -> None:
    (filled / "mel/bb/.abc.0123456789abcdef0123456789abcdef.part").write_bytes(b"x" * 100)
    (filled / "mel/bb/cut.safetensors").write_bytes(b"\xff" * 9)
    (filled / "mel/bb/odd.safetensors").write_bytes(b"\x02" + b"\0" * 7 + b"[]")
    last = contents(filled)[-1]
    assert (last.shards, last.clips) == (3, 1)
    assert last.size == size_on_disk(filled / "mel/bb") + 100
    clear(filled)
    assert contents(filled) == []


def test_clearing_one_view_leaves_the_others(filled: Path) -> None:
    size = size_on_disk(filled / "mel")
    assert clear(filled, "mel") == size
    assert [entry.view for entry in contents(filled)] == ["egemaps"]
    assert read_entries(filled / "egemaps/cc", {"e"})["e"][0] == ord("e")
    assert not (filled / "mel").exists()
    with pytest.raises(CacheError, match="has no view 'mel'; it holds egemaps"):
        clear(filled, "mel")


def test_clearing_touches_nothing_but_the_caches_own_files(filled: Path) -> None:
    (filled / "mel/aa/readme").write_text("mine", encoding="utf-8")
    clear(filled)
    left = sorted(str(p.relative_to(filled)) for p in filled.rglob("*") if p.is_file())
    assert left == ["mel/aa/readme", "notes.txt"]
    assert clear(filled) == 0


def test_an_array_that_is_mapped_survives_the_clearing(filled: Path) -> None:
    mapped = read_entries(filled / "egemaps/cc", {"e"})["e"]
    clear(filled)
    assert (mapped == ord("e")).all()


def test_the_command_shows_and_clears(
    filled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(paths, "features", lambda: filled)
    assert cli.main(["cache"]) == 0
    shown = capsys.readouterr().out
    assert "mel" in shown and "egemaps" in shown and "6 clips" in shown
    assert cli.main(["cache", "clear", "mel"]) == 0
    assert "freed" in capsys.readouterr().out
    assert cli.main(["cache", "clear", "mel"]) == 2
    assert cli.main(["cache", "clear"]) == 0
    assert contents(filled) == []


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
