"""The environment checker, on machines that are well and on machines that are not."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from lowser_lib.course import doctor
from lowser_lib.experiments import profiles


@pytest.mark.parametrize(
    ("version", "ok"),
    [((3, 10, 9), False), ((3, 11, 0), True), ((3, 12, 1), True), ((3, 13, 0), False)],
)
def test_python_versions(version: tuple[int, int, int], ok: bool) -> None:
    check = doctor.check_python(version)
    assert check.ok is ok
    assert ".".join(map(str, version)) in check.detail
    assert bool(check.remedy) is not ok


def test_lock_is_read_with_its_markers() -> None:
    text = (
        "# a comment\n\n"
        "Some_Package==1.0\n"
        "elsewhere==2.0 ; sys_platform == 'no-such-system'\n"
        f"here==3.0 ; sys_platform == '{sys.platform}'  # why\n"
    )
    assert doctor.read_lock(text) == {"some-package": "1.0", "here": "3.0"}


@pytest.mark.parametrize("line", ["numpy>=2", "numpy", "numpy==1,==2"])
def test_lock_takes_exact_pins_only(line: str) -> None:
    with pytest.raises(ValueError, match="numpy"):
        doctor.read_lock(line)


def test_packages_as_locked(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("torch==2.11.0\nnumpy==2.4.6\n", encoding="utf-8")
    # A wheel for one CUDA version calls itself 2.11.0+cu130: the same release.
    versions = {"torch": "2.11.0+cu130", "numpy": "2.4.6"}
    check = doctor.check_packages(lock, versions.get)
    assert check.ok and "all 2" in check.detail


def test_packages_that_differ_are_named(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("torch==2.11.0\nnumpy==2.4.6\nscipy==1.17.1\n", encoding="utf-8")
    check = doctor.check_packages(lock, {"numpy": "2.4.5", "scipy": "1.17.1"}.get)
    assert not check.ok
    assert "2 of 3" in check.detail
    assert "torch missing (want 2.11.0)" in check.detail
    assert "numpy 2.4.5 (want 2.4.6)" in check.detail
    assert "make setup" in check.remedy


def test_damaged_lock_is_a_failed_check(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("<<<<<<< numpy\n", encoding="utf-8")
    check = doctor.check_packages(lock)
    assert not check.ok and str(lock) in check.detail


def test_without_lock_declared_ranges_count(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = ["torch==2.11.0", "numpy>=2.2", "ruff>=9; extra == 'dev'"]
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda name: declared)
    good = doctor.check_packages(None, {"torch": "2.11.0", "numpy": "2.4.6"}.get)
    bad = doctor.check_packages(None, {"torch": "2.11.0", "numpy": "1.26.0"}.get)
    assert good.ok and "no requirements.lock" in good.detail and "all 2" in good.detail
    assert not bad.ok and "numpy 1.26.0 (want >=2.2)" in bad.detail


def fake_import(**versions: str) -> object:
    """An import function that knows modules by their versions only."""

    def load(name: str) -> types.SimpleNamespace:
        if name not in versions:
            raise OSError(f"{name}: undefined symbol: aoti\nand more lines")
        return types.SimpleNamespace(__version__=versions[name])

    return load


@pytest.mark.parametrize(
    ("versions", "ok"),
    [
        ({"torch": "2.11.0+cpu", "torchaudio": "2.11.0"}, True),
        ({"torch": "2.11.0", "torchaudio": "2.10.0"}, False),
        ({"torch": "2.11.0"}, False),
    ],
)
def test_torch_pair(versions: dict[str, str], ok: bool) -> None:
    check = doctor.check_torch_pair(fake_import(**versions))  # type: ignore[arg-type]
    assert check.ok is ok
    assert "\n" not in check.detail


def test_gpu_never_fails() -> None:
    assert doctor.check_gpu().ok


def test_disk_is_measured_where_the_caches_will_be(tmp_path: Path) -> None:
    home = tmp_path / "not" / "made"
    assert doctor.check_disk(home, needed=1).ok
    check = doctor.check_disk(home, needed=2**62)
    assert not check.ok and "LOWSER_HOME" in check.remedy
    assert not home.exists()


def test_caches_are_sized_and_left_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "one.npy").write_bytes(bytes(3 * 1024**2))
    check = doctor.check_caches(tmp_path)
    assert check.ok and " 3 MiB" in check.detail
    assert [entry.name for entry in tmp_path.iterdir()] == ["features"]


def test_caches_not_made_yet(tmp_path: Path) -> None:
    home = tmp_path / "lowser"
    check = doctor.check_caches(home)
    assert check.ok and "not made yet" in check.detail and not home.exists()


def test_caches_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(doctor.tempfile, "NamedTemporaryFile", refuse)
    check = doctor.check_caches(tmp_path)
    assert not check.ok and "Read-only" in check.detail and "LOWSER_HOME" in check.remedy


def test_a_file_in_place_of_the_caches(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("", encoding="utf-8")
    assert not doctor.check_caches(tmp_path / "home").ok
    assert not doctor.check_caches(tmp_path / "home" / "below").ok


Patch = pytest.MonkeyPatch


def test_corpora_found_are_listed(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv("LOWSER_CORPORA", str(tmp_path))
    for name in ("urdu", "emodb", "holiday_pictures"):
        (tmp_path / name).mkdir()
    check = doctor.check_corpora()
    assert check.ok
    assert "urdu" in check.detail and "emodb" in check.detail
    assert "holiday" not in check.detail


def test_no_corpora_is_well_but_a_wrong_root_is_not(monkeypatch: Patch) -> None:
    monkeypatch.delenv("LOWSER_CORPORA", raising=False)
    assert doctor.check_corpora().ok
    monkeypatch.setenv("LOWSER_CORPORA", "/none")
    check = doctor.check_corpora()
    assert not check.ok and "/none" in check.detail and "LOWSER_CORPORA" in check.remedy


def test_missing_corpora_come_with_the_command_that_fetches_them(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    wanted = profiles.get("open").corpora
    monkeypatch.delenv("LOWSER_CORPORA", raising=False)
    nothing = doctor.missing_corpora("open")
    assert all(name in nothing for name in wanted)
    assert "download_corpora.py ravdess urdu emodb" in nothing
    assert "then set LOWSER_CORPORA" in nothing
    assert doctor.missing_corpora("fast") == "the fast profile has all it needs"
    monkeypatch.setenv("LOWSER_CORPORA", str(tmp_path))
    for name in wanted:
        (tmp_path / name).mkdir()
    assert doctor.missing_corpora("open") == "the open profile has all it needs"
    (tmp_path / "urdu").rmdir()
    command = f"`python data_scripts/download_corpora.py urdu --root {tmp_path}` fetches all"
    assert doctor.missing_corpora("open") == f"the open profile lacks urdu; {command}"
    assert "by hand: msp_podcast" in doctor.missing_corpora("paper")
    check = doctor.check_corpora()
    assert check.ok
    assert "lacks urdu" in check.detail


def test_synthesiser_loads() -> None:
    check = doctor.check_synthesiser()
    assert check.ok, check.detail


def test_synthesiser_that_crashes_is_a_failed_check() -> None:
    crash = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"]
    check = doctor.check_synthesiser(crash)
    assert not check.ok and "-11" in check.detail and check.remedy
    assert not doctor.check_synthesiser(["no-such-command-anywhere"]).ok


@pytest.mark.parametrize("ok", [True, False])
def test_main_prints_and_answers(
    ok: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = [
        doctor.Check("first", True, "fine"),
        doctor.Check("second", ok, "seen", "" if ok else "do this"),
    ]
    monkeypatch.setattr(doctor, "checks", lambda: result)
    assert doctor.main() == (0 if ok else 1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[OK]   first: fine"
    assert lines[1].startswith("[OK]   second" if ok else "[FAIL] second")
    assert ("do this" in lines[2]) is not ok


def test_all_checks_answer() -> None:
    names = [check.name for check in doctor.checks()]
    assert names[0] == "Python" and len(names) == len(set(names)) == 9
