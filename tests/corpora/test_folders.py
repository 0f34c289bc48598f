"""What lies below a folder: links, circles, and what only looks like a sound."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from lowser_lib import corpora
from lowser_lib.corpora.folders import list_sounds, no_file, walk

Sound = Callable[..., Path]


def _faults(folder: Path) -> dict[str, str]:
    return {entry.path: entry.fault for entry in list_sounds(folder).faults}


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    (tmp_path / "disk/deep").mkdir(parents=True)
    (tmp_path / "disk/deep/a.wav").write_bytes(b"1")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/wav").symlink_to(tmp_path / "disk")
    (tmp_path / "corpus/b.wav").symlink_to(tmp_path / "disk/deep/a.wav")
    listing = list_sounds(tmp_path / "corpus")
    assert listing.sounds == ("b.wav", "wav/deep/a.wav")
    assert listing.faults == ()


def test_a_circle_of_links_ends_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "corpus/a/b").mkdir(parents=True)
    (tmp_path / "corpus/a/x.wav").touch()
    (tmp_path / "corpus/a/b/up").symlink_to(tmp_path / "corpus")
    (tmp_path / "corpus/a/b/top").symlink_to(tmp_path)
    (tmp_path / "corpus/self.wav").symlink_to(tmp_path / "corpus/self.wav")
    listing = list_sounds(tmp_path / "corpus")
    assert listing.sounds == ("a/x.wav",)
    assert set(_faults(tmp_path / "corpus")) == {"a/b/up", "a/b/top", "self.wav"}


def test_folders_that_link_to_each_other_are_read_once(tmp_path: Path) -> None:
    for name in "abcdefgh":
        (tmp_path / "corpus" / name).mkdir(parents=True)
        (tmp_path / "corpus" / name / f"{name}.wav").touch()
        for other in "abcdefgh":
            (tmp_path / "corpus" / name / f"to_{other}").symlink_to(tmp_path / "corpus" / other)
    assert len(list_sounds(tmp_path / "corpus").sounds) == 8
    assert len(list(walk(tmp_path / "corpus"))) == 8 + 64


def test_what_cannot_be_read_is_listed_with_its_kind(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "gone.mp3").symlink_to("../.git/annex/objects/x")
    (tmp_path / "voice.m4a").touch()
    (tmp_path / "voice.OPUS").touch()
    (tmp_path / "notes.txt").touch()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.wav"))
        faults = _faults(tmp_path)
    assert {path: fault.split(",")[0].split(";")[0] for path, fault in faults.items()} == {
        "folder.wav": "a folder",
        "pipe.wav": "a named pipe",
        "gone.mp3": "a link to something that is not there",
        "voice.m4a": "ends in .m4a",
        "voice.OPUS": "ends in .opus",
        "s.wav": "a socket",
    }
    assert all("ffmpeg" in faults[name] for name in ("voice.m4a", "voice.OPUS"))
    assert no_file(tmp_path / "pipe.wav") == "a named pipe, not a sound file"
    assert no_file(tmp_path / "voice.m4a") == no_file(tmp_path / "nowhere") == ""


def test_a_folder_that_may_not_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "a.wav").touch()
    scan = os.scandir

    def refuse(path: str) -> object:
        if str(path).rstrip("/").endswith("secret"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    listing = list_sounds(tmp_path)
    assert listing.sounds == ("a.wav",)
    assert [(entry.path, entry.passing) for entry in listing.faults] == [("secret", True)]
    assert "Permission denied" in listing.faults[0].fault


def test_a_name_that_is_not_utf8_costs_no_other_file(tmp_path: Path, sound: Sound) -> None:
    folder = tmp_path / "ravdess/Actor_01"
    good = sound(folder / "03-01-05-01-01-01-01.wav", seconds=0.6)
    odd = os.fsencode(folder) + b"/03-01-04-01-01-01-\xe4.wav"
    with open(odd, "wb") as file:  # noqa: PTH123 - a Path holds no bytes
        file.write(good.read_bytes())
    rows, exclusions = corpora.read("ravdess", tmp_path)
    assert [row.path for row in rows] == ["ravdess/Actor_01/03-01-05-01-01-01-01.wav"]
    assert [(e.path, e.reason) for e in exclusions] == [
        (
            "ravdess/Actor_01/03-01-04-01-01-01-\\xe4.wav",
            "the name is not UTF-8; give it another",
        )
    ]
