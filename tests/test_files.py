"""Files: whole or not there, whatever happens; damage is noticed; leftovers go."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings, strategies as st

from lowser_lib import files
from lowser_lib.errors import CacheError, CheckpointError, RunError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abcö"), inner),
)  # fmt: skip


def test_a_text_is_written_as_it_is_and_as_readable_as_any_other(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.txt"
    files.write_text(path, "größer\n")
    assert path.read_bytes() == "größer\n".encode()
    other = tmp_path / "other"
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode
    assert list(path.parent.iterdir()) == [path]


def test_what_was_there_stays_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    with (
        pytest.raises(CacheError, match=r"a\.txt: No space left on device; free some space"),
        files.whole_file(path, CacheError) as part,
    ):
        part.write_text("ne")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(part))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_that_is_not_of_writing_is_let_through(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), files.whole_file(tmp_path / "a") as part:
        part.touch()
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(errno.EROFS, "allow writing there"), (errno.EACCES, "allow writing there"),
     (errno.EDQUOT, "free some space there"), (errno.EIO, "look at the disk")],
)  # fmt: skip
def test_cause_and_remedy_are_named(tmp_path: Path, code: int, remedy: str) -> None:
    with (
        pytest.raises(RunError, match=f"{os.strerror(code)}; {remedy}, or set X$"),
        files.writing(tmp_path, elsewhere="set X"),
    ):
        raise OSError(code, os.strerror(code))


def test_a_file_where_a_folder_belongs_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(RunError, match=rf"\({tmp_path}/taken\); move away what has taken the name"):
        files.write_text(tmp_path / "taken" / "a.txt", "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunError, match="folder: Is a directory; move away what has taken the name"):
        files.write_text(tmp_path / "folder", "x")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_that_torch_hides_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = os.statvfs_result((1, 1, 0, 0, 0, 0, 0, 0, 0, 0))
    monkeypatch.setattr("shutil.os.statvfs", lambda _: full)
    with (
        pytest.raises(RunError, match="No space left on device; free some space"),
        files.whole_file(tmp_path / "a"),
    ):
        torch.save({"a": torch.ones(9)}, "/dev/full")


# JSON


@given(content=st.dictionaries(st.text("abc"), JSON))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_json_comes_back_with_a_seal_and_without(tmp_path: Path, content: dict) -> None:
    for sealed in (True, False):
        files.write_json(tmp_path / "a.json", content, sealed=sealed)
        assert files.read_json(tmp_path / "a.json", RunError, "") == content


def test_every_damage_to_sealed_json_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    content = {"uar": 0.625, "labels": ["sad", "happy"], "none": None}
    files.write_json(path, content, sealed=True)
    whole = path.read_bytes()
    for place in range(len(whole)):
        for damaged in (
            whole[:place],
            whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :],
        ):
            path.write_bytes(damaged)
            try:
                read = files.read_json(path, RunError, "make it again")
            except RunError as error:
                assert "make it again" in str(error)
            else:  # a damaged name of the seal shows in the keys, a damaged blank nowhere
                assert read == content or set(read) != set(content)


def test_json_of_other_programs_needs_no_seal_and_numbers_must_be_finite(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"sha256": "of something else"}))
    assert files.read_json(tmp_path / "a.json", RunError, "") == {"sha256": "of something else"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "b.json", {"x": float("nan")}, sealed=True)
    assert not (tmp_path / "b.json").exists()
    with pytest.raises(RunError, match=r"b\.json cannot be read: No such file.*; run it"):
        files.read_json(tmp_path / "b.json", RunError, "run it")


# Tensors and hashes


def test_tensors_come_back_and_damage_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensors = {"w": torch.arange(12.0).reshape(3, 4).T, "b": torch.ones(2, dtype=torch.int64)}
    files.write_safetensors(path, tensors, CheckpointError, {"made": "here"})
    read = files.read_safetensors(path, CheckpointError, "", files.sha256(path))
    assert {name: value.tolist() for name, value in read.items()} == {
        name: value.tolist() for name, value in tensors.items()
    }
    assert safetensors.torch.load_file(path).keys() == tensors.keys()
    with pytest.raises(CheckpointError, match=r"not the weights that a\.json announces; again"):
        files.read_safetensors(path, CheckpointError, "again", "0" * 64)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        files.read_safetensors(path, CheckpointError, "")
    with pytest.raises(CheckpointError, match="cannot be read"):
        files.read_safetensors(tmp_path, CheckpointError, "")


def test_a_hash_by_hand(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4, B.1
    assert files.sha256(tmp_path / "a") == expected


# Folders and leftovers


def test_a_folder_beside_is_removed_unless_it_is_renamed(tmp_path: Path) -> None:
    target = tmp_path / "corpora" / "urdu"
    with files.folder_beside(target) as part:
        (part / "a.wav").touch()
        assert files.leftovers(target.parent) == [part]
    assert list(target.parent.iterdir()) == []
    with files.folder_beside(target) as part:
        (part / "a.wav").touch()
        part.rename(target)
    assert [path.name for path in target.iterdir()] == ["a.wav"]


def test_old_leftovers_go_and_nothing_else_does(tmp_path: Path) -> None:
    kept = [tmp_path / name for name in (".mine.part", "a.0123456789abcdef0123456789abcdef.part")]
    for path in kept:
        path.touch()
    with files.folder_beside(tmp_path / "x") as part:
        old_file = part.with_name(part.name.replace(".x.", ".y."))
        old_folder = part.with_name(part.name.replace(".x.", ".z."))
        busy = part.with_name(part.name.replace(".x.", ".busy."))
        old_file.touch()
        for folder in (old_folder, busy):
            folder.mkdir()
            (folder / "clip.wav").touch()
        yesterday = time.time() - files.STALE_AFTER - 60
        for path in (*kept, old_file, old_folder / "clip.wav", old_folder, busy):
            os.utime(path, (yesterday, yesterday))
        files.write_text(tmp_path / "new", "")
        assert sorted(tmp_path.iterdir()) == sorted([*kept, part, busy, tmp_path / "new"])
    assert files.leftovers(tmp_path / "nowhere") == []


def test_leftovers_are_found_below_a_folder_and_weighed(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    with files.folder_beside(tmp_path / "deep" / "x") as part:
        (part / "audio").mkdir()
        (part / "audio" / "a.wav").write_bytes(b"x" * 100)
        nested = part / part.name.replace(".x.", ".inner.")
        nested.write_bytes(b"x" * 11)
        assert files.all_leftovers(tmp_path) == [part]
        assert files.size(part) == 111
        assert files.size(nested) == 11
    assert files.all_leftovers(tmp_path) == []
    assert files.size(tmp_path / "nowhere") == 0
