"""The engine: what is planned, run, kept, refused and read, with a sweep that only counts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import cloudpickle  # type: ignore[import-untyped]
import pytest
import torch

from lowser_lib import __version__, files
from lowser_lib.errors import ProfileError, RunError
from lowser_lib.experiments import engine, records
from lowser_lib.experiments.engine import Run, Sweep
from lowser_lib.experiments.records import load_records

# Workers know nothing of the tests' modules.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@dataclass(frozen=True)
class Sizes:
    """Settings of a sweep that only counts."""

    width: int = 3
    rate: float = 0.5
    fast: bool = field(default=False, metadata={"switch": True})
    steps: int | None = None


@dataclass(frozen=True, kw_only=True)
class Counting(Sweep):
    """Two arms over seeds; a run measures its seed times its width."""

    deadly: int | None = None

    chapter = "99"
    usual_name = "counting"
    measured: ClassVar[list[str]] = []

    def plan(self) -> list[Run]:
        settings = engine.change({"sizes": Sizes()}, self.changes)
        return [
            Run(f"{arm}-{seed}", seed, settings, records.plain({"arm": arm, **settings}),
                {"speech": "a" * 64})
            for arm in ("slow", "fast")
            for seed in range(self.seeds)
        ]  # fmt: skip

    def measure(self, runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
        (run,) = runs
        if run.seed == self.deadly:
            os._exit(9)
        self.measured.append(run.stem)
        size = run.settings["sizes"].width
        return {run.stem: {"product": run.seed * size, "threads": torch.get_num_threads()}}

    def line(self, record: records.RunRecord) -> str:
        return f"  product {record.metrics['product']}"


@pytest.fixture(autouse=True)
def measured() -> Iterator[list[str]]:
    Counting.measured.clear()
    yield Counting.measured


def counting(results: Path, **options: Any) -> Counting:
    return Counting(results=results, **{"seeds": 2, "jobs": 1, **options})


def run(sweep: Sweep) -> tuple[list[records.RunRecord], list[str]]:
    lines: list[str] = []
    return engine.run(sweep, lines.append), lines


def test_a_record_a_run_with_what_it_measured(tmp_path: Path) -> None:
    done, lines = run(counting(tmp_path, changes={"sizes.width": 7}))
    products = {record.name: record.metrics["product"] for record in done}
    assert products == {
        "counting-slow-0": 0, "counting-slow-1": 7, "counting-fast-0": 0, "counting-fast-1": 7,
    }  # fmt: skip
    assert lines[1].startswith("[OK]   counting-slow-1  0 s  product 7")
    for record in done:
        assert (record.chapter, record.profile) == ("99", "fast")
        assert record.config["sizes"] == {"width": 7, "rate": 0.5, "steps": None}
        assert record.corpora == {"speech": "a" * 64}
        assert record.metrics["threads"] == record.device["threads"] == 1
    folder = tmp_path / "fast" / "sweeps" / "counting"
    assert sorted(path.name for path in folder.iterdir()) == [
        "fast-0.json", "fast-1.json", "slow-0.json", "slow-1.json",
    ]  # fmt: skip
    assert sorted(load_records(tmp_path, "fast", "counting"), key=lambda each: each.name) == sorted(
        done, key=lambda each: each.name
    )


def test_only_what_is_missing_is_run(tmp_path: Path, measured: list[str]) -> None:
    first, _ = run(counting(tmp_path))
    assert run(counting(tmp_path)) == (first, ["4 of 4 runs are finished already"])
    (tmp_path / "fast" / "sweeps" / "counting" / "slow-1.json").unlink()
    run(counting(tmp_path, seeds=3))
    assert measured[4:] == ["slow-1", "slow-2", "fast-2"]


def test_seeds_are_counted_up_and_languages_in_the_profiles_order(tmp_path: Path) -> None:
    run(counting(tmp_path, seeds=11, name="many"))
    folder = tmp_path / "fast" / "sweeps" / "many"
    for language in ("bn", "ur"):
        (folder / "slow-0.json").rename(folder / f"{language}-0.json")
        (folder / "fast-0.json").rename(folder / f"{language}-1.json")
        (folder / f"slow-{'1' if language == 'bn' else '2'}.json").rename(folder / "slow-0.json")
        (folder / f"fast-{'1' if language == 'bn' else '2'}.json").rename(folder / "fast-0.json")
    names = [record.name.removeprefix("many-") for record in load_records(tmp_path, "fast", "many")]
    assert names[:4] == ["slow-1", "fast-1", "slow-0", "fast-0"]  # ur-0, ur-1, bn-0, bn-1
    assert names[4:] == [
        *("fast-2", *(f"fast-{seed}" for seed in range(3, 11))),
        *("slow-2", *(f"slow-{seed}" for seed in range(3, 11))),
    ]


@pytest.mark.parametrize(
    ("where", "key", "value", "message"),
    [
        ("config", "protocol", "others", r"other settings \(protocol\)"),
        ("config", "skew", {"male": 0.9}, r"other settings \(skew\)"),
        ("corpora", "speech", "b" * 64, r"other speech \(speech\)"),
        ("corpora", "more", "a" * 64, r"other speech \(more\)"),
        ("versions", "lowser", "0.0.1", r"other code \(lowser\)"),
    ],
)
def test_what_the_record_alone_has_tells_it_apart(
    tmp_path: Path, where: str, key: str, value: object, message: str
) -> None:
    run(counting(tmp_path))
    path = tmp_path / "fast" / "sweeps" / "counting" / "fast-1.json"
    content = files.read_json(path, RunError, "", sealed=True)
    assert content["versions"]["lowser"] == __version__
    content[where][key] = value
    files.write_json(path, content, sealed=True)
    with pytest.raises(RunError, match=rf"fast-1\.json comes from {message}"):
        run(counting(tmp_path))
    assert files.read_json(path, RunError, "", sealed=True) == content


def test_a_switch_that_is_on_is_no_setting_that_is_off(tmp_path: Path) -> None:
    done, _ = run(counting(tmp_path, changes={"sizes.fast": True}))
    assert done[0].config["sizes"]["fast"] is True
    with pytest.raises(RunError, match=r"other settings \(sizes\)"):
        run(counting(tmp_path))
    run(counting(tmp_path, name="off"))
    with pytest.raises(RunError, match=r"other settings \(sizes\)"):
        run(counting(tmp_path, name="off", changes={"sizes.fast": True}))


def test_a_sweeps_damaged_record_asks_for_the_sweep(tmp_path: Path) -> None:
    run(counting(tmp_path))
    (tmp_path / "fast" / "sweeps" / "counting" / "fast-0.json").write_text("{")
    with pytest.raises(RunError, match=r"fast-0.json is damaged: .*run the sweep again"):
        run(counting(tmp_path))


def test_workers_give_what_turns_give(tmp_path: Path) -> None:
    alone, _ = run(counting(tmp_path / "alone"))
    together, _ = run(counting(tmp_path / "together", jobs=2))
    assert [each.metrics for each in together] == [each.metrics for each in alone]


def test_a_worker_that_is_killed_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"killed while counting-\S+ .*fewer --jobs"):
        run(counting(tmp_path, jobs=2, deadly=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes.width": float("nan")}, "sizes.width=nan cannot be used: it takes int"),
        ({"sizes.width": 2.5}, "sizes.width=2.5 cannot be used: it takes int"),
        ({"sizes.width": True}, "sizes.width=True cannot be used: it takes int"),
        ({"sizes.rate": float("nan")}, "sizes.rate=nan cannot be used: it takes float"),
        ({"sizes.rate": "x"}, "sizes.rate='x' cannot be used: it takes float"),
        ({"sizes.fast": 1}, "sizes.fast=1 cannot be used: it takes bool"),
        ({"sizes.steps": 1.5}, r"sizes.steps=1.5 cannot be used: it takes int \| None"),
        ({"sizes.length": 1}, "unknown setting 'sizes.length'; choose from sizes.width"),
        ({"width": 1}, "unknown setting 'width'"),
    ],
)
def test_settings_of_another_kind_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ProfileError, match=message):
        run(counting(tmp_path, changes=changes))


def test_settings_that_fit_are_taken() -> None:
    changes = {"sizes.rate": 1, "sizes.steps": None, "sizes.width": 0}
    assert engine.change({"sizes": Sizes(steps=3)}, changes) == {"sizes": Sizes(0, 1, steps=None)}
    assert engine.change({"sizes": Sizes()}, {"sizes.rate": float("inf")})


def test_numbers_and_names_that_make_no_sweep_are_refused(tmp_path: Path) -> None:
    for name in ("seeds", "jobs"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
            counting(tmp_path, **{name: 0})
    with pytest.raises(ProfileError, match="must be small letters, digits, hyphens"):
        counting(tmp_path, name="../x")
    assert replace(counting(tmp_path), name="x").called == "x"
