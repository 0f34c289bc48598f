"""The command line: what it prints, and how it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lowser_lib.course import cli, runner
from lowser_lib.experiments import paths, registry

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def own_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One corpus ``table:mine`` of two clips, the second of which is damaged."""
    monkeypatch.setenv("LOWSER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LOWSER_CORPORA", str(tmp_path / "corpora"))
    folder = tmp_path / "corpora" / "mine"
    folder.mkdir(parents=True)
    sound = 0.1 * np.random.default_rng(0).standard_normal(16_000)
    soundfile.write(folder / "a.wav", sound, 16_000)
    (folder / "b.wav").write_bytes(b"RIFF")
    table = "path,speaker,gender,language,label,text_id\na.wav,s,female,de,angry,\n"
    (folder / "corpus.csv").write_text(f"{table}b.wav,s,female,de,sad,\n", encoding="utf-8")
    return folder


def test_help_needs_no_heavy_library() -> None:
    code = "import sys; from lowser_lib.course import cli; cli.build_parser(); " \
           "print(sorted({'torch', 'pandas', 'numpy'} & set(sys.modules)))"  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=paths.kernel_environment(),
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", [[], ["run"], ["doctor"], ["corpora"], ["refresh"]])
def test_every_command_explains_itself(command: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--help"])
    assert ended.value.code == 0
    assert "usage: lowser" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [["run", "--profile", "quick"], ["run", "--chapters", "77"], ["corpora", "list", "nothing"]],
)
def test_errors_are_a_message_and_status_2(
    arguments: list[str], own_corpus: Path, capsys: Capture
) -> None:
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("lowser: ")
    assert "Traceback" not in captured.err


def test_a_trial_writes_nothing_among_the_results(
    own_corpus: Path, capsys: Capture, tmp_path: Path
) -> None:
    assert cli.main(["run", "--encoder", "nano"]) == 2
    assert "--trial" in capsys.readouterr().err
    inside = paths.results_root() / "somewhere"
    output = str(tmp_path / "out")
    assert cli.main(["run", "--trial", "--output", output, "--results", str(inside)]) == 2
    assert "a trial measures nothing" in capsys.readouterr().err
    assert not inside.exists()


def test_a_trial_is_a_profile_of_its_own(
    own_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    asked: list[runner.RunSettings] = []

    def run(settings: runner.RunSettings) -> runner.Report:
        asked.append(settings)
        return runner.Report(settings.profile, 0)

    monkeypatch.setattr(runner, "run", run)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.pt").touch()
    assert cli.main(["run", "--profile", "open", "--trial", "--encoder", "mine.pt"]) == 0
    # What is missing is said before anything starts, with the command that gets it.
    text = capsys.readouterr().err
    assert "[MISS] corpus 'ravdess' is not in" in text
    assert "data_scripts/download_corpora.py ravdess --root" in text
    assert cli.main(["run", "--trial"]) == 0
    assert capsys.readouterr().err == ""
    assert [settings.profile for settings in asked] == [
        f"open-trial:{tmp_path / 'mine.pt'}", "fast-trial",
    ]  # fmt: skip
    assert asked[0].output.name == "open-trial"


REFUSED = [
    (["baseline", "--corpora", "table:mine"], "--corpora", "lexical, pairwise"),
    (["baseline", "--views", "mel"], "--views", "pairwise"),
    (["byol", "--budgets", "1"], "--budgets", "pairwise"),
    (["pairwise", "--male", "0.8"], "--male", "baseline, byol, speaker_contrastive"),
    (["lexical", "--labels", "en"], "--labels", "baseline"),
    (["lexical", "--languages", "ur"], "--languages", "pairwise"),
    (["lexical", "--protocol", "others"], "--protocol", "baseline"),
    (["pairwise", "--source", "ravdess"], "--source", "baseline"),
    (["frozen", "--deterministic"], "--deterministic", "baseline"),
    (["baseline", "--cluster", "tcp://a:1", "--jobs", "2"], "jobs", "a cluster"),
    (["baseline", "--labels", "en"], "--labels", "--male"),
    (["pairwise", "--languages", "ur", "--corpora", "emodb"], "--languages", "--corpora"),
    (["lexical", "--corpora", "emodb", "ravdess"], "one corpus", "--corpora"),
]


@pytest.mark.parametrize(("arguments", "option", "takers"), REFUSED)
def test_options_that_a_sweep_does_not_use_are_refused(
    arguments: list[str], option: str, takers: str, capsys: Capture
) -> None:
    assert cli.main(["sweep", *arguments]) == 2
    message = capsys.readouterr().err
    assert option in message and takers in message


def test_the_methods_of_a_sweep_are_those_of_the_registry(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        cli.main(["sweep", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"one of {', '.join([*registry.METHODS, 'pairwise', 'lexical'])}" in shown
    with pytest.raises(SystemExit) as ended:
        cli.main(["sweep", "magic"])
    assert ended.value.code == 2
    assert "'baseline'" in capsys.readouterr().err


@pytest.mark.parametrize("seed", ["-1", "x"])
def test_bad_seeds_are_refused(seed: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "--seed", seed])
    assert ended.value.code == 2
    assert "--seed" in capsys.readouterr().err


def test_corpora_list(own_corpus: Path, capsys: Capture) -> None:
    assert cli.main(["corpora", "list"]) == 0
    out = capsys.readouterr().out
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "in place" in lines["table:mine"]
    assert "to ask for" in lines["iemocap"]
    assert "on demand" in lines["synthetic_urdu"]
    assert str(own_corpus.parent) in out


def test_corpora_list_of_one_shows_its_card(own_corpus: Path, capsys: Capture) -> None:
    assert cli.main(["corpora", "list", "emodb"]) == 0
    out = capsys.readouterr().out
    for word in ("licence:", "citation:", "where:", "layout:", "state:"):
        assert word in out


def test_corpora_verify_tells_what_is_damaged(own_corpus: Path, capsys: Capture) -> None:
    assert cli.main(["corpora", "verify", "table:mine"]) == 1
    out = capsys.readouterr().out
    assert "mine/b.wav" in out
    assert "clips: 1" in out


def test_corpora_verify_of_a_missing_one(own_corpus: Path, capsys: Capture) -> None:
    assert cli.main(["corpora", "verify", "urdu"]) == 1
    assert "urdu" in capsys.readouterr().err


def test_corpora_prepare(own_corpus: Path, capsys: Capture) -> None:
    assert cli.main(["corpora", "prepare", "table:mine", "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert "[OK]   table:mine: 1 clips, 1 left out" in out
    assert "mine/b.wav" in out
    assert list((paths.home() / "manifests").glob("mine-*.parquet"))


def test_refresh_check_names_the_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "00_a.ipynb").write_text("{", encoding="utf-8")
    monkeypatch.setattr(paths, "require_project_root", lambda: tmp_path)
    assert cli.main(["refresh", "--check"]) == 1
    assert "[FAIL] 00_a.ipynb" in capsys.readouterr().out


def test_settings_of_a_sweep_add_up_however_they_are_given() -> None:
    once = ["sweep", "baseline", "--set", "a.b=1", "c.d=x"]
    again = ["sweep", "baseline", "--set", "a.b=1", "--set", "c.d=x"]
    parse = cli.build_parser().parse_args
    assert parse(once).changes == parse(again).changes == [("a.b", 1), ("c.d", "x")]
    assert parse(["sweep", "baseline"]).changes == []
