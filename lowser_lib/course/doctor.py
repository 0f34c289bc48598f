"""``lowser doctor``: is this machine ready for the course, and if not, what to do.

Each check answers with a :class:`Check`. What the course cannot do without (Python, packages, the
torch pair, disk, caches, the synthesiser) may fail; what it only makes use of (a GPU, real corpora)
is reported and never fails, unless it is set up wrongly.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from lowser_lib import files
from lowser_lib.errors import LowserError
from lowser_lib.experiments import paths

PYTHONS = ((3, 11), (3, 12))
"""Versions of Python that the lock resolves for."""

LOCK_NAME = "requirements.lock"

NEEDED_DISK = 2 * 1024**3
"""Free bytes that the fast profile may want for synthetic speech, features and outputs."""

SETUP_REMEDY = "run `make setup` in the checkout"

# Initialising finds the voices too; a library without its data loads and then stays mute.
SYNTHESISER_PROBE = """
import ctypes, espeakng_loader
library = ctypes.CDLL(espeakng_loader.get_library_path())
library.espeak_Info.restype = ctypes.c_char_p
rate = library.espeak_Initialize(2, 0, espeakng_loader.get_data_path().encode(), 0)
missing = [v for v in ("en", "ur", "de", "bn") if library.espeak_SetVoiceByName(v.encode()) != 0]
if rate <= 0 or missing:
    raise SystemExit(f"no voices for {missing}" if missing else "no voice data")
print(library.espeak_Info(None).decode())
"""


@dataclass(frozen=True, slots=True)
class Check:
    """The answer of one check.

    Attributes:
        name: What was looked at.
        ok: Whether the course can go on.
        detail: What was found, one line.
        remedy: What to do about it; empty where nothing is to be done.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        """One line, and a second one with the remedy where there is one."""
        line = f"[{'OK' if self.ok else 'FAIL'}]".ljust(7) + f"{self.name}: {self.detail}"
        return f"{line}\n       -> {self.remedy}" if self.remedy else line


def check_python(version: Sequence[int] = sys.version_info[:3]) -> Check:
    """Is Python one that the lock resolves for?

    Args:
        version: Major, minor and micro number.
    """
    supported = " or ".join(f"{major}.{minor}" for major, minor in PYTHONS)
    running = ".".join(str(part) for part in version)
    ok = tuple(version)[:2] in PYTHONS
    remedy = "" if ok else f"install Python {supported}, remove .venv, and {SETUP_REMEDY}"
    return Check("Python", ok, f"{running} (the course is tested with {supported})", remedy)


def read_lock(text: str) -> dict[str, str]:
    """Read the pins of a lock that apply to this machine.

    Args:
        text: Lines ``name==version``, with an environment marker or none; ``#`` starts a comment.

    Returns:
        Normalised package name to version.

    Raises:
        ValueError: A line is no exact pin.
    """
    pins: dict[str, str] = {}
    for line in text.splitlines():
        content = line.split("#")[0].strip()
        if not content:
            continue
        requirement = Requirement(content)
        specifiers = list(requirement.specifier)
        if len(specifiers) != 1 or specifiers[0].operator != "==":
            raise ValueError(f"not an exact pin in {LOCK_NAME}: {content!r}; run `make lock`")
        if requirement.marker is None or requirement.marker.evaluate():
            pins[canonicalize_name(requirement.name)] = specifiers[0].version
    return pins


def installed_version(name: str) -> str | None:
    """Version of an installed package, or None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_packages(
    lock: Path | None, version_of: Callable[[str], str | None] = installed_version
) -> Check:
    """Are the packages those that the course is tested with?

    Args:
        lock: The lock of the checkout. Without one, the ranges that the installed ``lowser``
            declares are checked, for a library that was installed by itself.
        version_of: Gives a package's installed version or None.
    """
    name = "packages"
    if lock is None or not lock.is_file():
        return _check_declared(name, version_of)
    try:
        pins = read_lock(lock.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return Check(name, False, f"{lock} cannot be read: {error}", "restore it: git checkout")
    wrong = []
    for package, wanted in pins.items():
        installed = version_of(package)
        if installed is None:
            wrong.append(f"{package} missing (want {wanted})")
        elif Version(installed).public != Version(wanted).public:
            wrong.append(f"{package} {installed} (want {wanted})")
    if not wrong:
        return Check(name, True, f"all {len(pins)} as in {LOCK_NAME}")
    detail = f"{len(wrong)} of {len(pins)} not as in {LOCK_NAME}: {_some(wrong)}"
    return Check(name, False, detail, SETUP_REMEDY)


def _check_declared(name: str, version_of: Callable[[str], str | None]) -> Check:
    """Check the ranges in the metadata of the installed package, extras left out."""
    try:
        declared = importlib.metadata.requires("lowser") or []
    except importlib.metadata.PackageNotFoundError:
        detail = f"no {LOCK_NAME} in sight, and lowser is not installed: nothing to compare with"
        return Check(name, False, detail, "run `lowser doctor` in a checkout, after `make setup`")
    wrong = []
    needed = [Requirement(line) for line in declared]
    needed = [each for each in needed if not each.marker or each.marker.evaluate({"extra": ""})]
    for requirement in needed:
        installed = version_of(requirement.name)
        if installed is None or not requirement.specifier.contains(installed, prereleases=True):
            wrong.append(
                f"{requirement.name} {installed or 'missing'} (want {requirement.specifier})"
            )
    detail = f"no {LOCK_NAME} in sight (not a checkout); "
    if wrong:
        detail += f"{len(wrong)} of {len(needed)} outside the declared ranges: {_some(wrong)}"
        return Check(name, False, detail, "run `pip install --upgrade lowser`")
    return Check(name, True, detail + f"all {len(needed)} within the declared ranges")


def _some(items: Sequence[str], limit: int = 8) -> str:
    """Join items for one line, and count those that do not fit."""
    rest = len(items) - limit
    return ", ".join(items[:limit]) + (f", and {rest} more" if rest > 0 else "")


def check_torch_pair(import_module: Callable[[str], object] = importlib.import_module) -> Check:
    """Do torch and torchaudio fit? torchaudio's binary is built against one torch only.

    Args:
        import_module: Imports a module by name.
    """
    name = "torch and torchaudio"
    try:
        versions = [
            str(vars(import_module(part))["__version__"]) for part in ("torch", "torchaudio")
        ]
    except Exception as error:  # a torn binary raises OSError, RuntimeError or ImportError
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Check(name, False, f"cannot be imported: {reason}", SETUP_REMEDY)
    ok = Version(versions[0]).public == Version(versions[1]).public
    detail = f"torch {versions[0]}, torchaudio {versions[1]}"
    return Check(name, ok, detail, "" if ok else f"the versions have to be equal; {SETUP_REMEDY}")


def check_gpu() -> Check:
    """Which accelerator is there? The fast profile needs none, so that this never fails."""
    try:
        import torch

        if torch.cuda.is_available():
            devices = [
                torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())
            ]
            device = ", ".join(
                f"{gpu.name} ({gpu.total_memory / 1024**3:.0f} GiB)" for gpu in devices
            )
        elif torch.backends.mps.is_available():
            device = "Apple GPU (mps)"
        else:
            device = "none; the fast and open profiles need none"
    except Exception as error:  # reported by check_torch_pair; a GPU is only informative
        device = f"cannot tell ({type(error).__name__})"
    return Check("GPU", True, device)


def _existing(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def check_disk(home: Path, needed: int = NEEDED_DISK) -> Check:
    """Is there room for what the course makes?

    Args:
        home: Folder of the caches; it need not exist yet.
        needed: Bytes that have to be free.
    """
    free = shutil.disk_usage(_existing(home)).free
    detail = f"{free / 1024**3:.1f} GiB free for {home}, {needed / 1024**3:.0f} GiB wanted"
    remedy = f"free some space, or set {paths.HOME_VARIABLE} to a folder on a larger disk"
    return Check("disk", free >= needed, detail, "" if free >= needed else remedy)


def check_caches(home: Path) -> Check:
    """Can the caches be written, and how large are they?

    Args:
        home: Folder of the caches. Where it does not exist yet, it is not made: the nearest folder
            above it has to allow writing.
    """
    remedy = f"make it writable, or set {paths.HOME_VARIABLE} to a folder of yours"
    place = _existing(home)
    if not place.is_dir():
        return Check("caches", False, f"{place} is a file, not a folder", remedy)
    if place != home:
        ok = os.access(place, os.W_OK)
        detail = f"{home}, not made yet" + ("" if ok else f"; {place} cannot be written")
        return Check("caches", ok, detail, "" if ok else remedy)
    try:
        with tempfile.NamedTemporaryFile(dir=home, prefix=".doctor-"):
            pass
    except OSError as error:
        return Check("caches", False, f"{home} cannot be written: {error.strerror}", remedy)
    return Check("caches", True, f"{home}, {files.size(home) / 1024**2:.0f} MiB, writable")


def check_corpora() -> Check:
    """Which real corpora are in place? None is needed; a root that does not exist is a mistake."""
    name = "real corpora"
    try:
        root = paths.corpora_root()
    except LowserError as error:
        remedy = f"correct or unset {paths.CORPORA_VARIABLE}"
        return Check(name, False, str(error), remedy)
    try:
        from lowser_lib import corpora  # here, since a missing package is to be reported above
    except ImportError as error:
        return Check(name, False, f"cannot be looked up: {error}", SETUP_REMEDY)
    if root is None:
        detail = f"{paths.CORPORA_VARIABLE} is not set; the fast profile makes its own speech"
    else:
        present = [corpus for corpus in corpora.names() if (root / corpus).is_dir()]
        detail = f"{root}: {', '.join(present) or 'none of those the course knows'}"
    return Check(name, True, f"{detail}; {missing_corpora('open')}")


def missing_corpora(profile: str) -> str:
    """Which corpora a profile lacks, which of them can be fetched, and by what command.

    Args:
        profile: Name of a profile.
    """
    from lowser_lib import corpora
    from lowser_lib.experiments import data, profiles

    root, missing = paths.corpora_root(), list(data.missing(profiles.get(profile).corpora))
    if not missing:
        return f"the {profile} profile has all it needs"
    parts = [f"the {profile} profile lacks {', '.join(missing)}"]
    if fetched := [name for name in missing if corpora.get(name).card.downloadable]:
        command = f"python data_scripts/download_corpora.py {' '.join(fetched)} --root"
        which = "all" if fetched == missing else ", ".join(fetched)
        parts.append(f"`{command} {root or 'FOLDER'}` fetches {which}")
        if root is None:
            parts[-1] += f" (then set {paths.CORPORA_VARIABLE} to FOLDER)"
    if by_hand := [name for name in missing if name not in fetched]:
        parts.append(f"by hand: {', '.join(by_hand)} (`lowser corpora list` says where)")
    return "; ".join(parts)


def check_encoders(folder: Path) -> Check:
    """Which Whisper encoders are in place? None is needed; a damaged file is said to be so.

    Args:
        folder: Where checkpoints are kept; it need not exist.
    """
    name = "Whisper encoders"
    try:
        from lowser_lib.encoders import checkpoints  # a missing package is reported above
    except ImportError as error:
        return Check(name, False, f"cannot be looked up: {error}", SETUP_REMEDY)
    held = checkpoints.held(folder)
    names = checkpoints.known_names()
    known = [f"{encoder} ({file})" for encoder, file in held.items() if encoder in names]
    other = [f"{file}: {why}" for file, why in held.items() if file not in names]
    listed = ", ".join(known) or "nano alone, which comes with the course"
    return Check(name, True, f"{folder}: {'; '.join([listed, *other])}")


def check_synthesiser(command: Sequence[str] | None = None) -> Check:
    """Does eSpeak NG load and find the voices of the four languages?

    It runs in a process of its own, since a library that does not fit may end the process.

    Args:
        command: What to run instead; exit code 0 and the version on standard output mean good.
    """
    name = "speech synthesiser"
    try:
        answer = subprocess.run(
            command or [sys.executable, "-c", SYNTHESISER_PROBE],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check(name, False, f"eSpeak NG does not answer: {error}", SETUP_REMEDY)
    if answer.returncode == 0:
        return Check(name, True, f"eSpeak NG {answer.stdout.strip()}")
    lines = answer.stderr.strip().splitlines()
    reason = lines[-1] if lines else f"exit code {answer.returncode}"
    return Check(name, False, f"eSpeak NG does not load: {reason}", SETUP_REMEDY)


def checks() -> list[Check]:
    """Look at this machine, from what everything needs to what only some chapters use."""
    root = paths.project_root()
    home = paths.home()
    return [
        check_python(),
        check_packages(root / LOCK_NAME if root else None),
        check_torch_pair(),
        check_gpu(),
        check_disk(home),
        check_caches(home),
        check_corpora(),
        check_encoders(paths.checkpoints()),
        check_synthesiser(),
    ]


def main() -> int:
    """Print one ``[OK]`` or ``[FAIL]`` line a check, and what to do.

    Returns:
        0 where all is well, 1 where a check failed.
    """
    results = checks()
    for check in results:
        print(check)
    failed = sum(not check.ok for check in results)
    print(f"{failed} of {len(results)} checks failed." if failed else "Ready: try `make course`.")
    return 1 if failed else 0
