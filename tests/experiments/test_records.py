"""Run records: what a notebook hands over, and what is read back."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest

from lowser_lib import files
from lowser_lib.errors import RunError
from lowser_lib.experiments import records


def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    calls: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(records, "_show", lambda text, metadata: calls.append((text, metadata)))
    return calls


def make_record(**changes: Any) -> records.RunRecord:
    values: dict[str, Any] = {
        "schema": records.SCHEMA,
        "chapter": "03",
        "name": "transfer",
        "profile": "fast",
        "seed": 0,
        "metrics": {"uar": 0.5},
        "config": {},
        "corpora": {"urdu": "ab"},
        "device": {"type": "cpu"},
        "versions": {"python": "3.11.0"},
        "commit": {"hash": None, "dirty": True},
        "seconds": 1.0,
        "finished": "2025-01-01T00:00:00+00:00",
    }
    return records.RunRecord(**{**values, **changes})


def test_record_shows_a_line_and_hides_the_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = shown(monkeypatch)

    class Data:
        hashes = {"urdu": "abc"}  # noqa: RUF012

    records.record("transfer", {"uar": 1 / 3}, {"epochs": 2}, data=Data())
    ((text, metadata),) = calls
    payload = metadata[records.METADATA_KEY]
    assert text == "recorded: transfer"
    assert payload["metrics"] == {"uar": 0.333333}
    assert payload["config"] == {"epochs": 2}
    assert payload["corpora"] == {"urdu": "abc"}
    assert payload["device"]["type"] in {"cpu", "cuda"}
    json.dumps(metadata, allow_nan=False)


@pytest.mark.parametrize("name", ["", "Transfer", "a b", "../up", "-a"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        records.record(name, {"uar": 1.0})


def test_empty_metrics_are_refused() -> None:
    with pytest.raises(ValueError, match="metrics"):
        records.record("transfer", {})


def test_plain_values() -> None:
    table = pd.DataFrame({"uar": [0.5, math.nan]}, index=pd.Index(["ur", "de"], name="language"))
    given = {
        "table": table,
        "series": pd.Series({"a": np.float32(0.1)}),
        "array": np.array([[1, 2], [3, 4]]),
        "tuple": (True, None, "word", 3),
        "scalar": np.int64(7),
        "infinite": math.inf,
        "tiny": 1.23456789e-9,
        "set": {"b", "a"},
        4: "key",
    }
    assert records.plain(given) == {
        "table": [{"language": "ur", "uar": 0.5}, {"language": "de", "uar": None}],
        "series": {"a": 0.1},
        "array": [[1, 2], [3, 4]],
        "tuple": [True, None, "word", 3],
        "scalar": 7,
        "infinite": None,
        "tiny": 1.23457e-09,
        "set": ["a", "b"],
        "4": "key",
    }


def test_data_classes_become_tables() -> None:
    assert records.plain(records.Payload("a", {"x": 1.0}))["metrics"] == {"x": 1.0}


def test_what_cannot_be_recorded_is_named() -> None:
    with pytest.raises(TypeError, match="object"):
        records.plain({"x": object()})


def test_round_trip(tmp_path: Path) -> None:
    record = make_record(metrics={"uar": None, "words": "größer"})
    path = record.save(tmp_path)
    assert path == tmp_path / "fast" / "03-transfer.json"
    assert records.load_record(tmp_path, "fast", "03-transfer") == record
    assert records.load_records(tmp_path, "fast") == [record]
    assert records.load_records(tmp_path, "open") == []
    assert [file.name for file in path.parent.iterdir()] == ["03-transfer.json"]


def test_missing_record_says_how_to_make_it(tmp_path: Path) -> None:
    make_record().save(tmp_path)
    with pytest.raises(RunError, match=r"holds 03-transfer.*--profile fast --chapters 04"):
        records.load_record(tmp_path, "fast", "04-contrast")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"schema": 99}, "layout 99"),
        ({"metrics": {}}, "layout None"),
        ({"schema": 1, "chapter": "03"}, "fields"),
    ],
)
def test_records_of_another_layout_are_refused(
    tmp_path: Path, content: dict[str, Any], words: str
) -> None:
    path = make_record().save(tmp_path)
    files.write_json(path, content, sealed=True)
    with pytest.raises(RunError, match=words):
        records.load_record(tmp_path, "fast", "03-transfer")


@pytest.mark.parametrize("content", ["[]", "1", '{"schema": 1, "chapter": "03"}'])
def test_records_without_a_checksum_are_refused(tmp_path: Path, content: str) -> None:
    path = make_record().save(tmp_path)
    path.write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match=r"03-transfer\.json .*no checksum .*run its chapter again"):
        records.load_record(tmp_path, "fast", "03-transfer")


def test_every_cut_of_a_record_is_noticed(tmp_path: Path) -> None:
    path = make_record(metrics={"uar": 0.625, "words": "größer", "none": None}).save(tmp_path)
    whole = path.read_bytes()
    for size in range(len(whole) - 1):  # without the last line end nothing is lost
        path.write_bytes(whole[:size])
        with pytest.raises(RunError, match=r"03-transfer\.json is damaged: .*its chapter again"):
            records.read(path)


def test_no_flipped_bit_gives_another_record(tmp_path: Path) -> None:
    record = make_record(metrics={"uar": 0.625, "f1": [1e-05, 0.0], "words": "größer"})
    path = record.save(tmp_path)
    whole = path.read_bytes()
    draw = np.random.default_rng(0)
    places = draw.choice(8 * len(whole), size=800, replace=False)
    refused = 0
    for place, bit in (divmod(int(place), 8) for place in places):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        try:
            read = records.read(path)
        except RunError as error:
            assert "run its chapter again" in str(error)
            refused += 1
        else:  # one blank for another, or e for E: the same values
            assert read == record
    assert refused > 780


def test_failed_write_leaves_the_old_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = make_record()
    record.save(tmp_path)

    def full(_self: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RunError, match="No space left"):
        make_record(seed=5).save(tmp_path)
    monkeypatch.undo()
    assert records.load_record(tmp_path, "fast", "03-transfer") == record
    assert len(list((tmp_path / "fast").iterdir())) == 1


def outputs(*names: str) -> Any:
    cells = []
    for name in names:
        payload = {"name": name, "metrics": {"uar": 0.5}}
        output = nbformat.v4.new_output(
            "display_data", {"text/plain": ""}, metadata={records.METADATA_KEY: payload}
        )
        cells.append(nbformat.v4.new_code_cell("", outputs=[output]))
    return nbformat.v4.new_notebook(cells=cells)


def test_collect_finds_payloads_in_order() -> None:
    assert [payload.name for payload in records.collect(outputs("b", "a"))] == ["b", "a"]


def test_two_records_of_one_name_are_refused() -> None:
    with pytest.raises(RunError, match="'a'"):
        list(records.collect(outputs("a", "a")))
