"""A box of 200 files as somebody may hand them over: each is used, listed or counted."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from lowser_lib import audio, corpora
from lowser_lib.corpora.folders import printable

N_GOOD = 120


def _tone(rate: int = 16_000, seconds: float = 0.8, channels: int = 1) -> np.ndarray:
    time = np.arange(round(rate * seconds)) / rate
    return np.stack([0.2 * np.sin(2 * np.pi * 220 * time)] * channels, axis=1)


def _encoded(kind: str, rate: int = 16_000, subtype: str | None = None) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, _tone(rate), rate, format=kind, subtype=subtype)
    return stream.getvalue()


def fill(folder: Path) -> tuple[set[str], set[str]]:
    """Fill a folder with 200 things; give the names of those that are sound, and of the others."""
    folder.mkdir(parents=True)
    kinds = [("WAV", "wav"), ("MP3", "mp3"), ("FLAC", "flac"), ("OGG", "ogg"), ("RF64", "wav"),
             ("WAVEX", "wav"), ("W64", "wav"), ("AIFF", "wav"), ("AU", "wav")]  # fmt: skip
    good: dict[str, bytes] = {}
    for number in range(N_GOOD):
        kind, ending = kinds[number % len(kinds)]
        good[f"good/{number:03d}.{ending}"] = _encoded(kind, (16_000, 24_000, 48_000)[number % 3])
    wav, mp3, flac, ogg = (_encoded(kind) for kind in ("WAV", "MP3", "FLAC", "OGG"))
    bad: dict[str, bytes] = {}
    for number in range(10):
        share = 0.1 + 0.08 * number
        for name, data in (("wav", wav), ("mp3", mp3), ("flac", flac), ("ogg", ogg)):
            bad[f"cut/{number}.{name}"] = data[: int(share * len(data))]
        bad[f"other/{number}.m4a"] = b"\0\0\0\x1cftypM4A " + bytes(400 + number)
    for number in range(5):
        bad[f"empty/{number}.wav"] = b""
        bad[f"page/{number}.mp3"] = b"<html>moved</html>" * (number + 9)
        bad[f"lfs/{number}.wav"] = b"version https://git-lfs.github.com/spec/v1\noid sha256:0"
    bad["raw/x.raw"] = b"\0\1" * 16_000
    for name, data in {**good, **bad}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    soundfile.write(folder / "empty/silent.wav", np.zeros(16_000), 16_000)
    soundfile.write(folder / "empty/nan.wav", np.full(16_000, np.nan), 16_000, subtype="FLOAT")
    soundfile.write(folder / "empty/huge.wav", 30_000 * _tone(), 16_000, subtype="FLOAT")
    odd = {"empty/silent.wav", "empty/nan.wav", "empty/huge.wav"}
    os.mkfifo(folder / "pipe.wav")
    (folder / "folder.wav").mkdir()
    (folder / "gone.wav").symlink_to("nowhere.wav")
    (folder / "circle.wav").symlink_to(folder / "circle.wav")
    (folder / "good/up").symlink_to(folder)
    with open(os.fsencode(folder) + b"/\xe4.wav", "wb") as file:  # noqa: PTH123
        file.write(wav)
    odd |= {"pipe.wav", "folder.wav", "gone.wav", "circle.wav", "good/up", "\\xe4.wav"}
    others = set(bad) | odd
    while len(good) + len(others) < 200:
        name = f"nameless/{len(others)}.wav"
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(wav)
        others.add(name)
    return set(good), others


def _table(folder: Path, names: set[str]) -> None:
    lines = ["path;speaker;gender;language;label;text_id"]
    lines += [f"{name};s{number % 7};f;de;angry;" for number, name in enumerate(sorted(names))]
    (folder / "corpus.csv").write_bytes("\r\n".join(lines).encode("utf-8-sig"))


def test_nothing_in_the_box_is_dropped_in_silence(tmp_path: Path) -> None:
    good, others = fill(tmp_path / "box")
    assert len(good) + len(others) == 200
    named = {name for name in others if "\\" not in name and not name.startswith("nameless")}
    _table(tmp_path / "box", good | named)
    check = audio.faulty_rows(tmp_path)
    report = corpora.verify("table:box", tmp_path, check=check)
    assert {row.path.removeprefix("box/") for row in report.rows} == good
    listed = {item.path.removeprefix("box/") for item in report.exclusions}
    assert listed == named
    notes = "\n".join(report.notes)
    counted = len(others) - len(named) - 1
    assert f"{counted} sound files that no line of corpus.csv names" in notes
    assert printable(os.fsdecode(b"\xe4.wav")) in notes
    assert all(item.reason and "\n" not in item.reason for item in report.exclusions)


def test_the_command_ends_without_a_traceback_and_agrees_with_prepare(tmp_path: Path) -> None:
    good, others = fill(tmp_path / "corpora/box")
    named = {name for name in others if "\\" not in name}
    _table(tmp_path / "corpora/box", good | named)
    environment = {
        **os.environ,
        "LOWSER_CORPORA": str(tmp_path / "corpora"),
        "LOWSER_HOME": str(tmp_path / "home"),
    }
    outputs = {}
    for action in ("verify", "prepare"):
        command = ["-m", "lowser_lib.course.cli", "corpora", action, "table:box"]
        outputs[action] = subprocess.run(
            [sys.executable, *command],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in outputs[action].stderr
    n_nameless = len({name for name in named if name.startswith("nameless")})
    usable = len(good) + n_nameless
    assert f"clips: {usable}\n" in outputs["verify"].stdout
    assert f"{usable} clips, {200 - 1 - usable} left out" in outputs["prepare"].stdout
