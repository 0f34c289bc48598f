"""``lowser sweep METHOD``: runs, records, what is kept, and what is refused."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.backend.reduction import dumps

from lowser_lib import files
from lowser_lib.course import cli
from lowser_lib.encoders import EncoderDimensions, WhisperEncoder
from lowser_lib.encoders.whisper import load_encoder, save_encoder
from lowser_lib.errors import ProfileError, RunError, TrainingError
from lowser_lib.evaluation import classification_metrics
from lowser_lib.experiments import engine, profiles, registry
from lowser_lib.experiments.engine import Run
from lowser_lib.experiments.records import (
    MATCHING,
    RunRecord,
    load_record,
    load_records,
    predictions,
)
from lowser_lib.experiments.registry import METHODS, Method, Trained
from lowser_lib.experiments.speech import Speech, macro_f1, speech_of
from lowser_lib.experiments.transfer import TransferSweep
from lowser_lib.methods.baseline import train_baseline
from lowser_lib.training import Execution, make_fabric, predict

WriteTable = Callable[[Path, str, int, tuple[str, ...]], None]
EMOTIONS = ("angry", "happy", "neutral", "sad")
QUICK = {
    "contrastive.steps": 2,
    "contrastive.projection": 8,
    "contrastive.speakers_per_batch": 4,
    "contrastive.clips_per_speaker": 2,
}


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, write_table: WriteTable) -> Iterator[Path]:
    """A profile ``tiny`` of toy corpora and a tiny encoder, beside the real ones."""
    # Workers of another test know the environment of then, and would be taken again.
    get_reusable_executor().shutdown(wait=True)
    folder = tmp_path_factory.mktemp("sweep")
    write_table(folder / "corpora" / "english", "en", 10, EMOTIONS)
    for language in ("ur", "de"):
        write_table(folder / "corpora" / f"target_{language}", language, 3, EMOTIONS)
        write_table(folder / "corpora" / f"voices_{language}", language, 4, ("",) * 5)
    encoder = WhisperEncoder.random(EncoderDimensions(80, 1500, 16, 2, 1), 0)
    save_encoder(encoder, folder / "tiny.pt")
    tiny = replace(
        profiles.FAST,
        name="tiny",
        sources=("table:english",),
        targets={one: f"table:target_{one}" for one in ("ur", "de")},
        unlabelled={one: (f"table:voices_{one}",) for one in ("ur", "de")},
        encoder=str(folder / "tiny.pt"),
        epochs=1,
        head_epochs=1,
        resamples=50,
        jobs=1,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOWSER_HOME", str(folder / "home"))
        patch.setenv("LOWSER_CORPORA", str(folder / "corpora"))
        patch.setattr(profiles, "PROFILES", {**profiles.PROFILES, "tiny": tiny})
        yield folder
    speech_of.cache_clear()


def settings(results: Path, method: str = "baseline", **options: Any) -> TransferSweep:
    given: dict[str, Any] = {"seeds": 2, "languages": ["ur"], **options}
    given["profile"] = profiles.get(given.get("profile", "tiny"))
    return TransferSweep(method=given.pop("method", method), results=results, **given)


def run(sweep: TransferSweep) -> tuple[list[RunRecord], list[str]]:
    lines: list[str] = []
    return engine.run(sweep, lines.append), lines


def read(results: Path, sweep: str, stem: str) -> RunRecord:
    return load_record(results, "tiny", f"sweeps/{sweep}/{stem}")


@pytest.fixture(scope="module")
def done(ground: Path) -> Path:
    """Results of both methods: seeds 0 and 1; both languages, the baseline's together."""
    results = ground / "results"
    run(settings(results, languages=["ur", "de"]))
    run(settings(results, "speaker_contrastive", changes=QUICK))
    return results


# --- what a run leaves -------------------------------------------------------------------------


def test_one_record_a_run(done: Path) -> None:
    found = sorted(file.relative_to(done).as_posix() for file in done.rglob("*") if file.is_file())
    assert found == [
        "tiny/sweeps/baseline/de-0.json",
        "tiny/sweeps/baseline/de-1.json",
        "tiny/sweeps/baseline/ur-0.json",
        "tiny/sweeps/baseline/ur-1.json",
        "tiny/sweeps/speaker_contrastive/ur-0.json",
        "tiny/sweeps/speaker_contrastive/ur-1.json",
    ]


def test_a_record_says_what_was_measured_on_what(done: Path) -> None:
    record = read(done, "speaker_contrastive", "ur-1")
    assert (record.chapter, record.profile, record.seed) == ("04", "tiny", 1)
    assert set(record.corpora) == {"table:english", "table:target_ur", "table:voices_ur"}
    assert record.config["contrastive"]["steps"] == 2
    assert record.device["threads"] == 1
    clips = predictions(record)
    assert len(clips["truth"]) == 12
    assert sorted(set(clips["speaker"])) == [f"target_ur/s{number}" for number in range(3)]
    for matching in MATCHING:
        again = classification_metrics(clips["truth"], clips[matching], list(range(4)))
        for name, value in again.items():
            assert record.metrics["transfer"][matching][name] == pytest.approx(value, abs=1e-6)
    told = record.metrics["identifiability"]
    assert set(told) == {"unheard sentences", "target corpus"}
    # One sentence of five is not heard, so nobody says two of them: not estimable.
    assert told["unheard sentences"] == {"before": None, "after": None}
    assert told["target corpus"]["before"]["n_clips"] == 12
    assert record.metrics["stage1"]["clips"] == 16
    assert record.metrics["stage1"]["batch"]["speakers"] == 4


def test_all_records_are_read_in_order(done: Path) -> None:
    runs = load_records(done, "tiny", "baseline")
    places = [(run.config["language"], run.seed) for run in runs]
    assert places == [("ur", 0), ("ur", 1), ("de", 0), ("de", 1)]
    assert load_records(done, "tiny", "byol") == []


def test_a_run_says_that_it_repeats_exactly_and_only_then(ground: Path) -> None:
    plain, exact = (
        settings(ground, seeds=1, deterministic=asked).plan()[0] for asked in (False, True)
    )
    assert "deterministic" not in plain.config
    assert exact.config == {**plain.config, "deterministic": True}
    assert exact.folder != plain.folder
    heard = settings(ground, seeds=1).speech()
    for run_, asked in ((plain, False), (exact, True)):
        assert registry.shared(heard, run_, "baseline")["execution"].deterministic is asked


def test_the_baseline_hears_nothing_unlabelled(done: Path) -> None:
    record = read(done, "baseline", "de-0")
    assert set(record.corpora) == {"table:english", "table:target_de"}
    assert "identifiability" not in record.metrics


def test_the_adapted_encoder_stays_and_states_of_runs_go(done: Path, ground: Path) -> None:
    kept = sorted((ground / "home" / "sweeps").rglob("*.pt"))
    assert [file.name.split("-")[0] for file in kept] == ["encoder", "encoder"]
    encoder = WhisperEncoder.load(ground / "tiny.pt")
    _, notes = load_encoder(kept[0], encoder)
    assert (notes["batch"]["speakers"], notes["batch"]["clips"]) == (4, 2)


def test_workers_and_turns_give_the_same(done: Path, ground: Path) -> None:
    side_by_side, _ = run(settings(ground / "parallel", languages=["ur", "de"], jobs=2))
    for record in side_by_side:
        stem = f"{record.config['language']}-{record.seed}"
        assert record.metrics == read(done, "baseline", stem).metrics
        assert record.device["threads"] == 1


def test_what_a_worker_is_given_can_be_sent(ground: Path, tmp_path: Path) -> None:
    sweep = settings(tmp_path, "speaker_contrastive", changes=QUICK)
    sent = (sweep, sweep.trainings(sweep.plan()))
    assert pickle.loads(dumps(sent)) == sent


def test_threads_are_left_as_they_were(ground: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run(settings(ground / "threads", seeds=1))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_switches_for_groups_are_told_where_they_are_on(done: Path, tmp_path: Path) -> None:
    plain = read(done, "speaker_contrastive", "ur-0")
    assert plain.metrics["genders"] == {
        "target_ur/s0": "female", "target_ur/s1": "male", "target_ur/s2": "female",
    }  # fmt: skip
    # Records from before there was such a switch say the same, and are not refused.
    assert "balance_genders" not in plain.config["contrastive"]
    assert "balance_groups" not in plain.config["baseline"]
    changes = {**QUICK, "contrastive.balance_genders": True, "baseline.balance_groups": "loss"}
    (record,), _ = run(settings(tmp_path, "speaker_contrastive", seeds=1, changes=changes))
    assert record.config["contrastive"]["balance_genders"] is True
    assert record.config["baseline"]["balance_groups"] == "loss"
    with pytest.raises(RunError, match="other settings"):
        run(settings(tmp_path, "speaker_contrastive", seeds=1, changes=QUICK))
    with pytest.raises(ValueError, match="balance_groups must be 'none', not 'sampling'"):
        run(settings(tmp_path, "byol", seeds=1, changes={"baseline.balance_groups": "sampling"}))


# --- what is kept, and what is refused ---------------------------------------------------------


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Methods ``counted`` (once a seed) and ``counted_each``, which do nothing but count."""
    trained: list[Run] = []

    def train(speech: Speech, run: Run) -> Trained:
        trained.append(run)
        if run.seed == 3:
            raise TrainingError("diverged")
        return METHODS["baseline"].train(speech, run)

    for name, each in (("counted", False), ("counted_each", True)):
        method = Method(name, "03", train, registry.baseline_settings, each, False)
        monkeypatch.setitem(METHODS, name, method)
    return trained


def test_a_method_is_added_by_registering_it(
    ground: Path, tmp_path: Path, counted: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "METHODS", {})
    new = replace(METHODS["counted"], name="new")
    registry.register(new)
    with pytest.raises(ValueError, match="there is a method 'new' already"):
        registry.register(new)
    run(settings(tmp_path, "new", seeds=1))
    assert (tmp_path / "tiny" / "sweeps" / "new" / "ur-0.json").is_file()


def test_only_what_is_missing_is_run(ground: Path, tmp_path: Path, counted: list[Run]) -> None:
    languages = ["ur", "de"]
    first, _ = run(settings(tmp_path, "counted", languages=languages))
    assert [(run.seed, run.language) for run in counted] == [(0, "ur"), (1, "ur")]
    again, lines = run(settings(tmp_path, "counted", languages=languages))
    assert len(counted) == 2
    assert again == first
    assert lines == ["4 of 4 runs are finished already"]
    (tmp_path / "tiny" / "sweeps" / "counted" / "de-1.json").unlink()
    run(settings(tmp_path, "counted", languages=languages, seeds=3))
    assert [(run.seed, run.language) for run in counted[2:]] == [(1, "de"), (2, "ur")]


def test_a_method_may_train_for_each_language(
    ground: Path, tmp_path: Path, counted: list[Run]
) -> None:
    run(settings(tmp_path, "counted_each", languages=["ur", "de"], seeds=1))
    assert [(run.seed, run.language) for run in counted] == [(0, "ur"), (0, "de")]
    assert len({run.folder for run in counted}) == 2


def test_what_was_finished_before_a_failure_stays(
    ground: Path, tmp_path: Path, counted: list[Run]
) -> None:
    with pytest.raises(TrainingError, match="diverged"):
        run(settings(tmp_path, "counted", seeds=5))
    kept = sorted(file.stem for file in (tmp_path / "tiny" / "sweeps" / "counted").iterdir())
    assert kept == [f"ur-{seed}" for seed in range(3)]


@pytest.mark.parametrize("damage", ["cut", "emptied", "other", "short", "no scores"])
def test_a_damaged_record_is_refused(done: Path, tmp_path: Path, damage: str) -> None:
    good = done / "tiny" / "sweeps" / "baseline" / "ur-0.json"
    content = files.read_json(good, RunError, "", sealed=True)
    if damage == "short":
        speaker = next(iter(content["metrics"]["clips"].values()))
        speaker["none"] = speaker["none"][:-1]
    elif damage == "no scores":
        del content["metrics"]["transfer"]
    text = {"cut": good.read_text(encoding="utf-8")[:-40], "emptied": "", "other": "[]"}
    path = tmp_path / "tiny" / "sweeps" / "baseline" / "ur-0.json"
    files.write_json(path, content, sealed=True)
    if damage in text:
        path.write_text(text[damage], encoding="utf-8")
    written = path.read_text(encoding="utf-8")
    with pytest.raises(RunError, match=r"ur-0\.json .*run the sweep again"):
        run(settings(tmp_path))
    assert path.read_text(encoding="utf-8") == written


def test_a_half_written_file_is_no_record(ground: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny" / "sweeps" / "baseline"
    folder.mkdir(parents=True)
    (folder / "tmpabc.part").write_text('{"schema": 1', encoding="utf-8")
    _, lines = run(settings(tmp_path, seeds=1))
    assert lines[0].startswith("[OK]   baseline-ur-0")


def test_records_of_other_settings_and_other_speech_are_refused(
    done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunError, match=r"ur-0\.json comes from other settings \(baseline\)"):
        run(settings(done, changes={"baseline.dropout": 0.1}))
    with pytest.raises(RunError, match=r"other settings \(contrastive\)"):
        run(settings(done, "speaker_contrastive"))
    speech = speech_of(profiles.get("tiny"), False, "english", None)
    with monkeypatch.context() as patch:
        patch.setitem(dict_of(speech.loaded.hashes), "table:english", "0" * 64)
        with pytest.raises(RunError, match=r"comes from other speech \(table:english\)"):
            run(settings(done))
    other = WhisperEncoder.random(EncoderDimensions(80, 1500, 16, 2, 1), 1)
    monkeypatch.setattr(speech, "encoder", other)
    with pytest.raises(RunError, match=r"other settings \(encoder_sha256\)"):
        run(settings(done))


def dict_of(mapping: Any) -> dict[str, str]:
    assert isinstance(mapping, dict)
    return mapping


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "unknown method 'magic'; choose one of baseline"),
        ({"profile": "quick"}, "unknown profile 'quick'"),
        ({"languages": ["fr"]}, "no target for language 'fr', only for ur, de"),
        ({"changes": {"baseline.width": 3}}, "unknown setting 'baseline.width'; choose from"),
        ({"changes": {"dropout": 3}}, "unknown setting 'dropout'"),
        ({"changes": {"baseline.dropout": 3}}, r"setting baseline.dropout=3 cannot be used"),
        ({"changes": {"training.epochs": "x"}}, r"setting training.epochs='x' cannot be used"),
        ({"changes": {"training.epochs": math.nan}}, "training.epochs=nan .* it takes int"),
        ({"changes": {"training.batch_size": 2.5}}, "training.batch_size=2.5 .* it takes int"),
        ({"changes": {"baseline.dropout": math.nan}}, "baseline.dropout=nan .* takes float"),
        ({"changes": {"training.epochs": True}}, "training.epochs=True .* it takes int"),
        ({"protocol": "all"}, "protocol must be one of english, others, not 'all'"),
        ({"name": "../x"}, "must be small letters, digits, hyphens"),
    ],
)
def test_what_is_unknown_is_named(
    options: dict[str, Any], message: str, ground: Path, tmp_path: Path
) -> None:
    with pytest.raises(ProfileError, match=message):
        run(settings(tmp_path, **options))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["seeds", "jobs"])
def test_numbers_out_of_range_are_refused(option: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{option} must be at least 1, not 0"):
        settings(tmp_path, **{option: 0})  # type: ignore[arg-type]


# --- the command -------------------------------------------------------------------------------


def test_the_command_runs_and_compares(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["sweep", "speaker_contrastive", "--profile", "tiny", "--seeds", "2",
               "--languages", "ur", "--results", str(done), "--set"]  # fmt: skip
    assert cli.main([*command, *(f"{name}={value}" for name, value in QUICK.items())]) == 0
    out = capsys.readouterr().out
    assert "2 of 2 runs are finished already" in out
    assert "difference, over seeds" in out
    assert cli.main(command[:-1]) == 2  # without the changes these are other settings
    assert "comes from other settings" in capsys.readouterr().err


def test_a_setting_without_a_value_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["sweep", "baseline", "--set", "baseline.dropout"])
    assert ended.value.code == 2
    assert "SETTING=VALUE" in capsys.readouterr().err


# --- protocols, and corpora in the place of the profile's --------------------------------------


def test_leaving_one_language_out_learns_from_all_others(ground: Path, tmp_path: Path) -> None:
    sweep = settings(tmp_path, languages=["ur", "de"], seeds=1, protocol="others")
    assert sweep.called == "baseline-others"
    heard = sweep.speech()
    assert heard.sources("ur") == ("table:english", "table:target_de")
    assert heard.sources("de") == ("table:english", "table:target_ur")
    for language, other in (("ur", "de"), ("de", "ur")):
        parts = heard.split(0, language)
        learned = {name for part in parts for name in part["corpus"]}
        assert learned == {"english", f"target_{other}"}
        assert not set(heard.target(language)["speaker"]) & {
            speaker for part in parts for speaker in part["speaker"]
        }
    done, _ = run(sweep)
    for record in done:
        assert record.config["protocol"] == "others"
        assert len(record.corpora) == 3
    assert len({each.folder for each in sweep.plan()}) == 2  # a training a target
    with pytest.raises(RunError, match=r"other settings \(protocol\)"):
        run(settings(tmp_path, seeds=1, name="baseline-others"))


def test_other_corpora_are_learned_from_and_tested_on(
    ground: Path, tmp_path: Path, write_table: WriteTable
) -> None:
    write_table(ground / "corpora" / "mine", "bn", 5, EMOTIONS)
    write_table(ground / "corpora" / "yours", "fr", 2, EMOTIONS)
    options: dict[str, Any] = {
        "languages": None,
        "sources": ["table:mine"],
        "targets": ["table:yours"],
    }
    sweep = settings(tmp_path, seeds=1, **options)
    assert sweep.called == "baseline-from-mine-to-yours"
    (record,), _ = run(sweep)
    assert record.config["language"] == "fr"
    assert set(record.corpora) == {"table:mine", "table:yours"}
    assert sorted(set(predictions(record)["speaker"])) == ["yours/s0", "yours/s1"]
    with pytest.raises(ProfileError, match=r"needs unlabelled speech, .* none in 'fr'"):
        run(settings(tmp_path, "speaker_contrastive", seeds=1, **options))
    others = settings(tmp_path, targets=["table:yours"], languages=None, protocol="others")
    assert others.speech().sources("fr") == ("table:english", "table:target_ur", "table:target_de")
    with pytest.raises(ProfileError, match="give one"):
        settings(tmp_path, targets=["table:english"])
    with pytest.raises(ProfileError, match="others chooses the sources"):
        settings(tmp_path, sources=["table:english"], protocol="others")


def test_a_trainings_folder_follows_from_its_speech(
    ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = settings(tmp_path, seeds=1)
    (before,) = sweep.plan()
    hashes = dict_of(sweep.speech().loaded.hashes)
    monkeypatch.setitem(hashes, "table:target_ur", "0" * 64)
    assert sweep.plan()[0].folder == before.folder  # tested on, not learned from
    monkeypatch.setitem(hashes, "table:english", "0" * 64)
    assert sweep.plan()[0].folder != before.folder


def test_a_records_numbers_are_those_of_the_method(done: Path) -> None:
    sweep = settings(done)
    heard, record = sweep.speech(), read(done, "baseline", "ur-1")
    given = METHODS["baseline"].settings(profiles.get("tiny"))
    train, validation, held_out = heard.split(1, "ur")
    model, history = train_baseline(
        heard.encoder, heard.clips(train), heard.clips(validation), metric=macro_f1,
        generator=torch.Generator().manual_seed(1), settings=given["baseline"],
        training=given["training"], execution=Execution(make_fabric(precision="32-true")),
        groups=train["gender"].to_numpy(dtype=str),
    )  # fmt: skip
    target = heard.target("ur")
    for table, scores in (
        (held_out, record.metrics["held_out"]),
        (target, record.metrics["transfer"]["none"]),
    ):
        clips = heard.clips(table)
        answers = predict(model, clips).argmax(axis=1)
        again = classification_metrics(clips.labels.numpy(), answers, list(range(4)))
        assert scores == pytest.approx(again, abs=1e-6)
    assert record.metrics["validation"] == pytest.approx(max(history["score"]), abs=1e-6)
    assert record.metrics["epoch"] == history.best_epoch
