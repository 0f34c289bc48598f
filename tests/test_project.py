"""The project's own rules: one set of versions, one import order, a README that is true."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import lowser_lib
from lowser_lib.course import doctor

ROOT = Path(__file__).resolve().parents[1]

# Data flows down this list; a module imports only from those above it, as in CONTRIBUTING.md.
ORDER = (
    "files",
    "corpora",
    "manifest",
    "splits",
    "skews",
    "audio",
    "augment",
    "views",
    "sampling",
    "encoders",
    "losses",
    "training",
    "methods",
    "evaluation",
    "plots",
    "experiments",
    "course",
)

LIBRARY = sorted((ROOT / "lowser_lib").rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHAPTERS = [f"{number:02d}" for number in range(10)]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def lock() -> dict[str, str]:
    return doctor.read_lock(read("requirements.lock"))


def declared() -> list[Requirement]:
    """Everything that pyproject.toml asks for, extras included."""
    project = tomllib.loads(read("pyproject.toml"))["project"]
    lines = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        lines += extra
    outcome = [Requirement(line) for line in lines]
    return [result for result in outcome if canonicalize_name(result.name) != "lowser"]


def pinned_for_conda() -> dict[str, str]:
    """What environment.yml pins by itself, beside the lock."""
    listed = yaml.safe_load(read("environment.yml"))["dependencies"]
    pip = next(entry["pip"] for entry in listed if isinstance(entry, dict))
    outcome = [Requirement(line) for line in pip if not line.startswith("-")]
    return {
        canonicalize_name(result.name): str(result.specifier).removeprefix("==")
        for result in outcome
    }


# One set of versions


def test_lock_meets_what_is_declared() -> None:
    wrong = [
        f"{requirement} but {lock().get(canonicalize_name(requirement.name), 'not locked')}"
        for requirement in declared()
        if not requirement.specifier.contains(lock().get(canonicalize_name(requirement.name), "0"))
    ]
    assert not wrong


def test_lock_gives_one_version_for_both_pythons() -> None:
    lines = [line for line in read("requirements.lock").splitlines() if "==" in line]
    names = [canonicalize_name(Requirement(line).name) for line in lines]
    assert sorted(names) == sorted(set(names))
    assert {"numpy", "scipy", "torch"} <= set(names)


def test_environment_pins_what_is_declared_at_the_locked_versions() -> None:
    pins = pinned_for_conda()
    assert set(pins) == {canonicalize_name(requirement.name) for requirement in declared()}
    assert pins == {name: lock()[name] for name in pins}


def test_environment_takes_the_lock_and_a_supported_python() -> None:
    listed = yaml.safe_load(read("environment.yml"))["dependencies"]
    pip = next(entry["pip"] for entry in listed if isinstance(entry, dict))
    assert "-r requirements.lock" in pip and "-e ." in pip
    python = next(entry for entry in listed if str(entry).startswith("python="))
    assert tuple(int(part) for part in python.split("=")[1].split(".")) in doctor.PYTHONS


def test_torch_and_torchaudio_are_a_pair() -> None:
    assert lock()["torch"] == lock()["torchaudio"] == "2.11.0"


def test_supported_pythons_are_the_same_everywhere() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    specifier = Requirement(f"python{project['requires-python']}").specifier
    allowed = tuple((3, minor) for minor in range(8, 20) if specifier.contains(f"3.{minor}.0"))
    assert allowed == doctor.PYTHONS


def test_version_is_the_same_everywhere() -> None:
    assert yaml.safe_load(read("CITATION.cff"))["version"] == lowser_lib.__version__


# One import order


def part(module: str) -> str | None:
    """The part of the library that a dotted name lies in; None for the package itself."""
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 else None


def imported(path: Path) -> Iterator[str]:
    """Dotted names below lowser_lib that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            # `from lowser_lib import audio` names the part among what is imported.
            names = (alias.name for alias in node.names)
            yield from (
                (f"{module}.{name}" for name in names) if module == "lowser_lib" else [module]
            )


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_up_the_list(path: Path) -> None:
    kept = part(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for module in imported(path):
        if module.split(".")[0] != "lowser_lib":
            continue
        other = part(module)
        if other in (None, "errors", "__version__"):
            continue
        assert other in ORDER, f"{other} has no place in the order"
        if kept not in ("__init__", None):
            assert kept in ORDER, f"{kept} has no place in the order; errors imports nothing"
            assert ORDER.index(other) <= ORDER.index(kept), f"{kept} may not import {other}"


def test_the_import_rule_would_notice(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        "def late():\n    from lowser_lib import plots\n    from lowser_lib.training import fit\n",
        encoding="utf-8",
    )
    assert [part(name) for name in imported(file)] == ["plots", "training"]


# One house: what lies where, and one address for each name


def chapter_of(number: str) -> Path | None:
    return next((path for path in NOTEBOOKS if path.name.startswith(number)), None)


def code_of(path: Path) -> str:
    """The code of a file; of a notebook, all its code cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def from_imports(code: str) -> Iterator[tuple[str, str]]:
    """Module and name of each ``from lowser_lib… import name``."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lowser_lib"):
            yield from ((str(node.module), alias.name) for alias in node.names)


TAUGHT = ("corpora", "manifest", "splits", "skews", "audio", "augment", "views", "sampling",
          "encoders", "losses", "training", "methods", "evaluation")  # fmt: skip


@pytest.mark.parametrize("number", CHAPTERS)
def test_contributors_are_told_what_a_chapter_uses(number: str) -> None:
    path = chapter_of(number)
    assert path is not None
    used = set()
    for module, name in from_imports(code_of(path)):
        pieces = [*module.split("."), name][1:]
        used.add(".".join(pieces[:2]) if pieces[0] == "methods" else pieces[0])
    used = {part for part in used if part.split(".")[0] in TAUGHT}
    row = re.search(rf"^\| {number} \| (.*) \|$", read("CONTRIBUTING.md"), re.MULTILINE)
    assert row is not None, f"add chapter {number} to the table in CONTRIBUTING.md"
    ordered = sorted(used, key=lambda item: (ORDER.index(item.split(".")[0]), item))
    wanted = ", ".join(f"`{item}`" for item in ordered)
    assert row[1] == wanted, f"in CONTRIBUTING.md, write: | {number} | {wanted} |"


def test_nothing_lies_loose_at_the_root_of_the_library() -> None:
    loose = {path.stem for path in (ROOT / "lowser_lib").glob("*.py")}
    assert loose == {"__init__", "errors", "files", "manifest", "splits", "skews", "audio"}


@cache
def exported() -> dict[tuple[str, str], str]:
    """Module and name of what a package offers at its own address -> the package."""
    offered = {}
    for path in LIBRARY:
        if path.name == "__init__.py":
            package = ".".join(path.parent.relative_to(ROOT).parts)
            for module, name in from_imports(path.read_text(encoding="utf-8")):
                if module.startswith(f"{package}."):
                    offered[module, name] = package
    return offered


USERS = [
    *LIBRARY,
    *NOTEBOOKS,
    *sorted(
        path
        for folder in ("data_scripts", "benchmarks", "book")
        for path in (ROOT / folder).rglob("*.py")
    ),
]


@pytest.mark.parametrize("path", USERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_name_has_one_address_and_private_ones_have_none(path: Path) -> None:
    share = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    wrong = []
    for module, name in from_imports(code_of(path)):
        package = exported().get((module, name))
        if package is not None and not f"{share}.".startswith(f"{package}."):
            wrong.append(f"{name} comes from {package}, not from {module}")
        if name.startswith("_") and not name.startswith("__"):
            wrong.append(f"{name} is private to {module}")
    assert not wrong


# Nothing global


def dotted(node: ast.expr) -> str:
    """``a.b.c`` of an attribute chain, or an empty string."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}".lstrip(".")
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_reads_a_global(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {dotted(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    modules = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert "random" not in modules, "draw from a generator that is handed in"
    allowed = {"default_rng", "Generator", "SeedSequence", "PCG64", "Philox", "BitGenerator"}
    drawn = {name.split(".")[2] for name in names if re.match(r"(np|numpy)\.random\.", name)}
    assert drawn <= allowed, "draw from a numpy.random.Generator"


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_checkpoints_are_loaded_as_weights_only(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and dotted(node.func) == "torch.load":
            given = {word.arg: word.value for word in node.keywords}
            value = given.get("weights_only")
            assert isinstance(value, ast.Constant) and value.value is True


# No paths of one machine, no addresses in code cells


@cache
def project_files() -> tuple[Path, ...]:
    """Files that are tracked, or would be; the test skips where this is no checkout."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        [git, "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    result = (ROOT / line for line in listed.splitlines())
    return tuple(path for path in result if path.is_file())


MACHINE_PATH = re.compile(r"(?<![\w.:/-])/(?:home|Users|root|work)/(?!me/)[\w.-]+/")


def test_machine_paths_are_recognised() -> None:
    assert MACHINE_PATH.search("open('" + "/home" + "/ada/speech.wav')")
    assert not MACHINE_PATH.search("https://example.org/home/page/x")


def test_no_file_holds_a_path_of_one_machine() -> None:
    wrong = []
    for path in project_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        wrong += [f"{path.relative_to(ROOT)}: {hit}" for hit in MACHINE_PATH.findall(text)]
    assert not wrong


def test_no_recorded_speech_is_tracked() -> None:
    speech = {".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".zip"}
    assert not [path.name for path in project_files() if path.suffix.lower() in speech]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_code_cells_hold_no_address_and_no_absolute_path(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            assert not re.search(r"https?://|ftp://", source)
            assert not re.search(r"""["']/\w+/""", source)


# A README that is true, and commands that exist


def test_import_order_is_told_to_contributors() -> None:
    block = read("CONTRIBUTING.md").split("## What lies where")[1].split("```")[1]
    assert tuple(re.findall(r"\w+", block)) == ORDER


def chapter_rows() -> dict[str, str]:
    """Rows of the README's chapter table by chapter number."""
    rows = re.findall(r"^\| (\d\d) \|.*$", read("README.md"), flags=re.MULTILINE)
    lines = read("README.md").splitlines()
    return {
        number: next(line for line in lines if line.startswith(f"| {number} |")) for number in rows
    }


def test_chapter_table_is_complete() -> None:
    assert list(chapter_rows()) == CHAPTERS


@pytest.mark.parametrize("number", CHAPTERS)
def test_chapter_table_tells_what_is_there(number: str) -> None:
    row = chapter_rows()[number]
    files = [path.name for path in NOTEBOOKS if path.name.startswith(number)]
    linked = re.findall(r"\(notebooks/([^)]+)\)", row)
    assert linked == files
    assert ("planned" in row) is (not files)


def markdown_files() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *(ROOT / "book").glob("*.md")])


@pytest.mark.parametrize("path", markdown_files(), ids=lambda path: path.name)
def test_links_lead_to_files(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8"))
    local = [target for target in targets if not re.match(r"\w+:", target)]
    # The book's source has the notebooks beside its pages only while it is built.
    places = {target: path.parent / target for target in local}
    missing = [
        target
        for target, place in places.items()
        if not place.exists() and not (path.parent.name == "book" and (ROOT / target).exists())
    ]
    assert not missing


@pytest.mark.parametrize(
    "target", ["setup", "course", "test", "nbval", "lab", "book", "gpu", "bench", "lint", "clean"]
)
def test_make_knows_its_targets(target: str) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("no make on this machine")
    plan = [make, "--dry-run", "--no-print-directory", target]
    answer = subprocess.run(plan, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


def test_ci_calls_lint_and_tests() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    text = script.read_text(encoding="utf-8")
    assert "make lint" in text and "make test" in text
    subprocess.run(["bash", "-n", str(script)], check=True)


# Launchers


STUB = """\
#!/usr/bin/env bash
# Writes down what pip is told, and the list that it is given.
case "$1" in
  -c) echo "$STUB_FOLDER" ;;
  *)
    echo "$*" >> "$STUB_FOLDER/calls"
    while [ $# -gt 0 ]; do [ "$1" = -r ] && cat "$2" > "$STUB_FOLDER/list"; shift; done ;;
esac
"""


def test_a_launcher_gets_the_lock_without_what_needs_a_gpu(tmp_path: Path) -> None:
    base = yaml.safe_load(read(".binder/environment.yml"))["dependencies"]
    assert base == ["python=3.12", "pip"]
    script = ROOT / ".binder" / "postBuild"
    assert script.stat().st_mode & 0o111
    stub = tmp_path / "python"
    stub.write_text(STUB)
    stub.chmod(0o755)
    told = {**os.environ, "PYTHON": str(stub), "STUB_FOLDER": str(tmp_path)}
    subprocess.run([script], env=told, check=True, cwd=tmp_path)
    calls = (tmp_path / "calls").read_text().splitlines()
    first = [word for word in calls[0].split() if "==" in word]
    assert {canonicalize_name(Requirement(word).name) for word in first} == {"setuptools", "wheel"}
    assert "download.pytorch.org/whl/cpu" in calls[1]
    assert calls[2].endswith("--no-build-isolation -e .")
    lines = [line for line in (tmp_path / "list").read_text().splitlines() if "==" in line]
    left_out = lock().keys() - {canonicalize_name(Requirement(line).name) for line in lines}
    assert left_out and all(name.startswith(("nvidia-", "cuda-", "triton")) for name in left_out)
    assert (tmp_path / "etc/jupyter/labconfig/default_setting_overrides.json").is_file()


@pytest.mark.slow
def test_a_launcher_builds_the_package_in_an_environment_of_its_own(tmp_path: Path) -> None:
    # No network: what the lock names is found in this environment's folder, the rest is built.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    python = tmp_path / "env" / "bin" / "python"
    (site,) = (tmp_path / "env").glob("lib/python3.*/site-packages")
    (site / "here.pth").write_text(sysconfig.get_path("purelib"))
    checkout = tmp_path / "checkout"
    skipped = shutil.ignore_patterns(".git", ".venv", "build", "results", "_build", "__pycache__")
    shutil.copytree(ROOT, checkout, ignore=skipped)
    told = {**os.environ, "PYTHON": str(python), "PIP_NO_INDEX": "1"}
    told.pop("PYTHONPATH", None)
    subprocess.run([checkout / ".binder" / "postBuild"], env=told, check=True, cwd=tmp_path)
    command = [str(python.with_name("lowser")), "--version"]
    answer = subprocess.run(command, env=told, check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == f"lowser {lowser_lib.__version__}"
    place = [str(python), "-c", "import lowser_lib; print(lowser_lib.__file__)"]
    answer = subprocess.run(place, env=told, check=True, capture_output=True, text=True, cwd="/")
    assert Path(answer.stdout.strip()).is_relative_to(checkout)
