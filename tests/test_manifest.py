"""The manifest: label merge, schema, length filter, Parquet, cross tables."""

from __future__ import annotations

import errno
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from lowser_lib import corpora, manifest
from lowser_lib.corpora.base import EMOTIONS, Exclusion, Row
from lowser_lib.errors import CorpusError, ManifestError


def make_row(number: int, **changes: Any) -> Row:
    row = Row(
        utterance_id=f"urdu/clip_{number:03d}",
        corpus="urdu",
        path=f"urdu/clip_{number:03d}.wav",
        language="ur",
        speaker=f"urdu/S{number % 3}",
        gender=("female", "male", "unknown")[number % 3],
        emotion=EMOTIONS[number % 4],
        raw_label="AHNS"[number % 4],
        text_id=None,
        duration=2.0,
        sample_rate=16000,
    )
    return replace(row, **changes)


@pytest.fixture
def good() -> pd.DataFrame:
    return manifest.from_rows(make_row(number) for number in range(12))


def broken(good: pd.DataFrame, column: str, *values: Any) -> pd.DataFrame:
    """The good manifest, with other values in the first rows of a column."""
    table = good.astype({column: object})
    for number, value in enumerate(values):
        table.loc[number, column] = value
    return table


# --- from rows ---------------------------------------------------------------------------------


def test_columns_are_the_fields_of_a_row() -> None:
    assert tuple(field.name for field in fields(Row)) == manifest.COLUMNS


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("angry", "angry"),
        ("anger", "angry"),
        ("happiness", "happy"),
        ("excited", "happy"),
        ("Excitement", "happy"),
        (" sadness ", "sad"),
        ("NEUTRAL", "neutral"),
        ("fearful", None),
        ("calm", None),
        ("", None),
        (None, None),
    ],
)
def test_words_become_classes(word: str | None, expected: str | None) -> None:
    assert manifest.class_of(word) == expected


def test_from_rows_sorts_numbers_and_types() -> None:
    table = manifest.from_rows([make_row(number) for number in (5, 0, 3)])
    assert list(table.columns) == list(manifest.COLUMNS)
    assert table["utterance_id"].tolist() == ["urdu/clip_000", "urdu/clip_003", "urdu/clip_005"]
    assert table.index.tolist() == [0, 1, 2]
    types = table.dtypes.astype(str)
    assert (types[list(manifest.COLUMNS[:-2])] == "str").all()
    assert types["duration"] == "float64"
    assert types["sample_rate"] == "int64"


def test_from_rows_merges_excited_and_keeps_the_raw_label() -> None:
    rows = [
        make_row(0, emotion="excited", raw_label="exc"),
        make_row(1, emotion="fearful", raw_label="fea"),
        make_row(2, emotion=None, raw_label=""),
    ]
    table = manifest.from_rows(rows)
    assert table["emotion"][0] == "happy"
    assert table["emotion"].isna().tolist() == [False, True, True]
    assert table["raw_label"].tolist()[:2] == ["exc", "fea"]
    assert pd.isna(table["raw_label"][2])


def test_an_unlabelled_corpus_makes_a_manifest() -> None:
    table = manifest.from_rows(make_row(n, emotion=None, raw_label=None) for n in range(3))
    assert table["emotion"].isna().all()
    assert str(table["emotion"].dtype) == "str"


def test_no_rows_is_an_error() -> None:
    with pytest.raises(ManifestError, match="empty"):
        manifest.from_rows([])


# --- validate ----------------------------------------------------------------------------------


def test_validate_keeps_index_and_further_columns_and_leaves_its_argument_alone(
    good: pd.DataFrame,
) -> None:
    table = good[good.columns[::-1]].set_index(pd.Index(range(100, 112)))
    table.insert(0, "note", "x")
    before = table.copy(deep=True)
    valid = manifest.validate(table)
    assert list(valid.columns) == [*manifest.COLUMNS, "note"]
    assert valid.index.tolist() == table.index.tolist()
    pd.testing.assert_frame_equal(table, before)


BREACHES: list[tuple[str, tuple[Any, ...], str]] = [
    ("utterance_id", ("urdu/clip_005",), "more than once.*'urdu/clip_005'"),
    ("utterance_id", ("emodb/x", "clip"), "2 rows: does not begin.*'emodb/x', 'clip'"),
    ("utterance_id", (None,), "no value.*empty"),
    ("path", ("/data/a.wav",), "not a path below.*'/data/a.wav'.*relative to the root"),
    ("path", ("C:/a.wav", "urdu\\a.wav"), "2 rows: not a path below"),
    ("path", ("../a.wav", "urdu/../../a.wav", "urdu/.."), "3 rows: not a path below"),
    ("path", ("urdu/clip_005.wav",), "more than once"),
    ("language", ("urdu", "UR"), "2 rows: not an ISO 639-1 code: 'urdu', 'UR'"),
    ("speaker", ("",), "no value"),
    ("speaker", ("   ",), "no value"),
    ("gender", ("F", "m", "F"), "3 rows: unknown gender: 'F', 'm'. Write female, male or unknown"),
    ("gender", (None,), "no value"),
    ("emotion", ("angy", "Happy", "", "joy"), r"4 rows: unknown emotion: .*, \.\.\."),
    ("duration", (0.0, -1.0), "2 rows: not a positive number of seconds"),
    ("duration", (float("nan"),), "not a positive number"),
    ("duration", (float("inf"),), "not a positive number"),
    ("duration", ("long",), "not a positive number of seconds: 'long'"),
    ("sample_rate", (0, 16000.5), "2 rows: not a positive whole number"),
    ("sample_rate", (None,), "not a positive whole number"),
]


@pytest.mark.parametrize(("column", "values", "message"), BREACHES)
def test_each_breach_is_named(
    good: pd.DataFrame, column: str, values: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(ManifestError, match=f"(?s)column '{column}'.*{message}"):
        manifest.validate(broken(good, column, *values))


def test_a_speaker_in_two_corpora_is_named(good: pd.DataFrame) -> None:
    other = manifest.from_rows(
        [make_row(0, corpus="emodb", utterance_id="emodb/a", path="emodb/a.wav")]
    )
    with pytest.raises(ManifestError, match="more than one corpus: 'urdu/S0'"):
        manifest.combine(good, other)


def test_a_speaker_of_two_genders_is_named(good: pd.DataFrame) -> None:
    with pytest.raises(ManifestError, match="'speaker', 4 rows: both female and male: 'urdu/S0'"):
        manifest.validate(broken(good, "gender", "male"))


def test_gender_unknown_beside_a_known_one_is_no_contradiction(good: pd.DataFrame) -> None:
    manifest.validate(broken(good, "gender", "unknown"))


def test_speakers_of_a_corpus_that_tells_none_may_differ_in_gender() -> None:
    rows = [make_row(n, speaker="urdu/unknown") for n in range(3)]
    assert manifest.speaker_unknown(manifest.from_rows(rows)).all()


def test_all_breaches_are_told_at_once(good: pd.DataFrame) -> None:
    table = broken(broken(good, "gender", "F"), "duration", -1.0)
    with pytest.raises(ManifestError, match=r"(?s)gender.*\n- column 'duration'"):
        manifest.validate(table)


def test_missing_repeated_and_no_columns_are_errors(good: pd.DataFrame) -> None:
    with pytest.raises(ManifestError, match="no column 'path', 'speaker'"):
        manifest.validate(good.drop(columns=["path", "speaker"]))
    with pytest.raises(ManifestError, match="no columns at all"):
        manifest.validate(pd.DataFrame())
    with pytest.raises(ManifestError, match="'path' twice"):
        manifest.validate(pd.concat([good, good[["path"]]], axis=1))
    with pytest.raises(ManifestError, match="empty"):
        manifest.validate(good.iloc[:0])


# --- combine, filter ---------------------------------------------------------------------------


def test_combine_undoes_a_division(good: pd.DataFrame) -> None:
    parts = [good[good["gender"] == gender] for gender in ("male", "unknown", "female")]
    pd.testing.assert_frame_equal(manifest.combine(*parts), good)


def test_combine_refuses_a_corpus_twice_and_nothing(good: pd.DataFrame) -> None:
    with pytest.raises(ManifestError, match="24 rows: the same value more than once"):
        manifest.combine(good, good)
    with pytest.raises(ValueError, match="at least one manifest"):
        manifest.combine()


def test_keep_durations_includes_both_limits_and_lists_the_rest(good: pd.DataFrame) -> None:
    table = broken(good, "duration", 0.5, 0.4999, 12.0, 12.01)
    table = manifest.validate(table)
    kept, exclusions = manifest.keep_durations(table)
    assert exclusions == [
        Exclusion("urdu/clip_001.wav", "0.50 s long, shorter than 0.5 s"),
        Exclusion("urdu/clip_003.wav", "12.01 s long, longer than 12 s"),
    ]
    assert len(kept) == 10
    assert kept.index.tolist() == list(range(10))
    assert {"urdu/clip_000", "urdu/clip_002"} <= set(kept["utterance_id"])


def test_keep_durations_may_leave_nothing(good: pd.DataFrame) -> None:
    kept, exclusions = manifest.keep_durations(good, minimum=3.0)
    assert kept.empty
    assert len(exclusions) == 12


@pytest.mark.parametrize("limits", [(-1.0, 2.0), (3.0, 2.0), (float("nan"), 2.0)])
def test_keep_durations_refuses_limits_that_make_no_sense(
    good: pd.DataFrame, limits: tuple[float, float]
) -> None:
    with pytest.raises(ValueError, match="minimum"):
        manifest.keep_durations(good, *limits)


# --- Parquet -----------------------------------------------------------------------------------


def test_what_is_saved_is_loaded(good: pd.DataFrame, tmp_path: Path) -> None:
    table = broken(good, "emotion", None)
    table["path"] = table["path"].str.replace("clip", "کلپ", regex=False)
    path = tmp_path / "made" / "on" / "demand.parquet"
    manifest.save(table, path)
    pd.testing.assert_frame_equal(manifest.load(path), manifest.validate(table))
    assert [file.name for file in path.parent.iterdir()] == ["demand.parquet"]


def test_saving_twice_gives_the_same_bytes(good: pd.DataFrame, tmp_path: Path) -> None:
    manifest.save(good, tmp_path / "a")
    manifest.save(good, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_full_disk_leaves_the_older_file_and_no_remains(
    good: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "manifest.parquet"
    manifest.save(good, path)
    before = path.read_bytes()

    def fill_up(self: pd.DataFrame, target: Path, **_: Any) -> None:
        Path(target).write_bytes(before[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", fill_up)
    with pytest.raises(ManifestError, match=r"manifest\.parquet.*No space left.*free some space"):
        manifest.save(good, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.parquet"]


def test_an_invalid_manifest_is_not_saved(good: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="unknown emotion"):
        manifest.save(broken(good, "emotion", "angy"), tmp_path / "manifest.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [0, 4, 100, -1, -200])
def test_a_cut_file_is_not_loaded(good: pd.DataFrame, tmp_path: Path, length: int) -> None:
    path = tmp_path / "manifest.parquet"
    manifest.save(good, path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ManifestError, match=r"manifest\.parquet: not a complete Parquet file"):
        manifest.load(path)


def test_a_flipped_bit_is_noticed(good: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "manifest.parquet"
    manifest.save(good, path)
    data = bytearray(path.read_bytes())
    data[data.index(b"clip_000") + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ManifestError, match=r"manifest\.parquet"):
        manifest.load(path)


def test_missing_foreign_and_invalid_files_are_named(good: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"nowhere.*no such manifest"):
        manifest.load(tmp_path / "nowhere")
    with pytest.raises(ManifestError, match="no such manifest"):
        manifest.load(tmp_path)
    (tmp_path / "table.csv").write_text("path,speaker\n")
    with pytest.raises(ManifestError, match=r"table\.csv: not a complete Parquet file"):
        manifest.load(tmp_path / "table.csv")
    good.drop(columns="speaker").to_parquet(tmp_path / "old.parquet")
    with pytest.raises(ManifestError, match=r"old\.parquet: .*no column 'speaker'"):
        manifest.load(tmp_path / "old.parquet")


# --- cross tables ------------------------------------------------------------------------------


def test_skew_table_shows_empty_cells() -> None:
    rows = [
        make_row(0, gender="male", speaker="urdu/a", emotion="angry"),
        make_row(1, gender="male", speaker="urdu/a", emotion="angry"),
        make_row(2, gender="male", speaker="urdu/a", emotion="sad"),
    ]
    table = manifest.skew_table(manifest.from_rows(rows))
    assert table.columns.tolist() == list(EMOTIONS)
    assert table.index.tolist() == [("urdu", "female"), ("urdu", "male")]
    assert table.index.names == ["corpus", "gender"]
    assert table.to_numpy().tolist() == [[0, 0, 0, 0], [2, 0, 0, 1]]


def test_skew_table_shows_which_raw_label_went_where() -> None:
    rows = [
        make_row(0, raw_label="exc", emotion="excited"),
        make_row(1, raw_label="hap", emotion="happy"),
        make_row(2, raw_label="fea", emotion="fearful"),
        make_row(3, raw_label=None, emotion=None),
    ]
    table = manifest.skew_table(manifest.from_rows(rows), rows=("corpus", "raw_label"))
    assert table.columns.tolist() == [*EMOTIONS, manifest.NO_EMOTION]
    assert table["happy"].to_dict() == {
        ("urdu", "exc"): 1,
        ("urdu", "fea"): 0,
        ("urdu", "hap"): 1,
        ("urdu", "none"): 0,
    }
    assert table["none"].tolist() == [0, 1, 0, 1]


def test_skew_table_shows_unknown_gender_only_where_there_is_one(good: pd.DataFrame) -> None:
    other = manifest.from_rows(
        [make_row(0, corpus="emodb", utterance_id="emodb/a", path="emodb/a", speaker="emodb/1")]
    )
    assert manifest.skew_table(manifest.combine(good, other)).index.tolist() == [
        ("emodb", "female"),
        ("emodb", "male"),
        ("urdu", "female"),
        ("urdu", "male"),
        ("urdu", "unknown"),
    ]


def test_skew_table_by_one_column_and_by_another(good: pd.DataFrame) -> None:
    table = manifest.skew_table(good, rows="gender", columns="speaker")
    assert table.index.tolist() == ["female", "male", "unknown"]
    assert np.array_equal(table.to_numpy(), 4 * np.eye(3))
    with pytest.raises(ManifestError, match="'age'"):
        manifest.skew_table(good, rows=("corpus", "age"))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["urdu", "emodb"]),
            st.sampled_from(["female", "male", "unknown"]),
            st.sampled_from([*EMOTIONS, None]),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_skew_table_counts_every_row_once(cells: list[tuple[str, str, str | None]]) -> None:
    table = pd.DataFrame(cells, columns=["corpus", "gender", "emotion"])
    counts = manifest.skew_table(table)
    assert counts.to_numpy().sum() == len(cells)
    for corpus, gender, emotion in cells:
        expected = cells.count((corpus, gender, emotion))
        assert counts.loc[(corpus, gender), emotion or manifest.NO_EMOTION] == expected


# --- corpora -----------------------------------------------------------------------------------


def test_read_names_a_missing_corpus_and_one_without_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CorpusError, match="urdu"):
        manifest.read("urdu", tmp_path)
    left_out = [Exclusion("urdu/x.wav", "the name does not read as SM1_F1_A01.wav")]
    monkeypatch.setattr(corpora, "read", lambda *_, **__: ([], left_out))
    with pytest.raises(ManifestError, match=r"'urdu'.*no usable clip \(1 left out.*x\.wav"):
        manifest.read("urdu", tmp_path)


def test_urdu_has_no_angry_woman(corpora_root: Path) -> None:
    table, _ = manifest.read("urdu", corpora_root)
    counts = manifest.skew_table(table)
    assert counts.index.tolist() == [("urdu", "female"), ("urdu", "male")]
    assert counts.to_numpy().tolist() == [[0, 46, 4, 6], [100, 54, 96, 94]]


def test_emodb_has_four_classes_and_others(corpora_root: Path, tmp_path: Path) -> None:
    table, _ = manifest.read("emodb", corpora_root)
    counts = manifest.skew_table(table, rows="corpus").loc["emodb"]
    assert counts.to_dict() == {"angry": 127, "happy": 71, "neutral": 79, "sad": 62, "none": 196}
    both = manifest.combine(table, manifest.read("ravdess", corpora_root)[0])
    manifest.save(both, tmp_path / "both.parquet")
    pd.testing.assert_frame_equal(manifest.load(tmp_path / "both.parquet"), both)


def test_emotions_have_one_number_everywhere() -> None:
    table = pd.DataFrame({"emotion": ["sad", "angry", None, "neutral", "happy", "fearful"]})
    codes = manifest.emotion_codes(table)
    assert codes.dtype == np.int64
    assert codes.tolist() == [3, 0, -1, 2, 1, -1]
    assert manifest.emotion_codes(table, ["calm", "fearful"]).tolist() == [-1] * 5 + [1]


# --- what no number or name may be ----------------------------------------------------------------


@pytest.mark.parametrize("rate", [1e30, 2**63, 1e8])
def test_a_rate_beyond_all_sound_is_refused(good: pd.DataFrame, rate: float) -> None:
    with pytest.raises(ManifestError, match="not a positive whole number of Hz"):
        manifest.validate(good.assign(sample_rate=rate))


@pytest.mark.parametrize(
    "value", [pd.Timedelta("1.5s"), pd.Timestamp("2020-01-01"), timedelta(seconds=2)]
)
@pytest.mark.parametrize("one", [True, False])
def test_times_are_no_numbers_of_seconds(good: pd.DataFrame, value: timedelta, one: bool) -> None:
    table = broken(good, "duration", value) if one else good.assign(duration=value)
    with pytest.raises(ManifestError, match="not a positive number of seconds"):
        manifest.validate(table)


def test_text_that_is_not_utf8_is_named(good: pd.DataFrame) -> None:
    with pytest.raises(ManifestError, match=r"column 'path' holds text that is not UTF-8: .*udce4"):
        manifest.validate(broken(good, "path", "urdu/\udce4.wav"))


def test_columns_of_two_levels_are_refused(good: pd.DataFrame) -> None:
    good.columns = pd.MultiIndex.from_product([["a"], good.columns])
    with pytest.raises(ManifestError, match="2 levels"):
        manifest.validate(good)


def test_a_table_with_many_columns_gets_a_short_message() -> None:
    table = pd.DataFrame(np.zeros((1, 5000)), columns=[f"c{n}" for n in range(5000)])
    with pytest.raises(ManifestError, match=r"\(5000 in all\)") as caught:
        manifest.validate(table)
    assert len(str(caught.value)) < 1000


def test_any_byte_changed_in_a_manifest_is_a_named_error(
    good: pd.DataFrame, tmp_path: Path
) -> None:
    path = tmp_path / "manifest.parquet"
    manifest.save(good, path)
    data, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(data)
        damaged[-int(rng.integers(1, 3000))] = int(rng.integers(256))
        path.write_bytes(damaged)
        try:
            manifest.load(path)
        except ManifestError:
            refused += 1
    assert refused > 50
