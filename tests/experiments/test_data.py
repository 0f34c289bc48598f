"""Loading the speech of a profile: made, kept, damaged, missing."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings, strategies as st

from lowser_lib.errors import ManifestError, ProfileError
from lowser_lib.experiments import data, paths, preparation
from lowser_lib.experiments.profiles import get
from lowser_lib.views import MelView

EMOTIONS = ("angry", "happy", "neutral", "sad", "")


def write_corpus(folder: Path, seed: int = 0) -> None:
    """A corpus in table format: 4 speakers, 5 clips each, one of them unlabelled."""
    (folder / "audio").mkdir(parents=True)
    rng = np.random.default_rng(seed)
    rows = []
    for speaker in range(4):
        for number, emotion in enumerate(EMOTIONS):
            path = f"audio/{speaker}_{number}.wav"
            soundfile.write(folder / path, 0.1 * rng.standard_normal(12_000), 16_000)
            rows.append((path, f"s{speaker}", "female", "ur", emotion, ""))
    with (folder / "corpus.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "speaker", "gender", "language", "label", "text_id"))
        writer.writerows(rows)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's own corpus ``table:mine`` in place, with a cache of its own."""
    monkeypatch.setenv("LOWSER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LOWSER_CORPORA", str(tmp_path / "corpora"))
    folder = tmp_path / "corpora" / "mine"
    write_corpus(folder)
    return folder


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    read, calls = preparation.corpora.survey, []

    def counted(name: str, root: Path, jobs: int = 1) -> object:
        calls.append(name)
        return read(name, root, jobs=jobs)

    monkeypatch.setattr(preparation.corpora, "survey", counted)
    return calls


def test_own_corpus_loads_and_bad_files_are_listed(mine: Path) -> None:
    (mine / "audio" / "0_0.wav").write_bytes(b"")
    soundfile.write(mine / "audio" / "0_1.wav", np.full(3200, 0.1), 16_000)  # 0.2 s
    soundfile.write(mine / "audio" / "0_2.wav", np.zeros(16_000), 16_000)  # silent
    speech = data.load(["table:mine"], progress=False)
    left_out = speech.left_out().set_index("path")["reason"]
    assert sorted(left_out.index) == [f"mine/audio/0_{n}.wav" for n in range(3)]
    assert len(speech.manifest) == 17
    assert speech.roots == (mine.parent,)
    assert len(speech.corpus("table:mine")) == 17


def test_views_of_clips_in_the_order_of_the_table(mine: Path) -> None:
    speech = data.load(["table:mine"], progress=False)
    some = speech.corpus("table:mine").iloc[[7, 2]].reset_index(drop=True)
    mels, clips = speech.extract(MelView(), some), speech.clips(some)
    assert clips.labels.tolist() == [EMOTIONS.index(emotion) for emotion in some["emotion"]]
    assert len(mels) == len(clips) == 2
    for number, mel in enumerate(mels):
        np.testing.assert_array_equal(mel, clips[number][0])


def test_clips_of_unknown_speakers_are_left_out_where_others_are_known(mine: Path) -> None:
    table = mine / "corpus.csv"
    known = table.read_text(encoding="utf-8")
    table.write_text(known.replace(",s3,", ",unknown,"), encoding="utf-8")
    speech = data.load(["table:mine"], progress=False)
    assert set(speech.manifest["speaker"]) == {"mine/s0", "mine/s1", "mine/s2"}
    left_out = speech.left_out()
    assert list(left_out["path"]) == [f"mine/audio/3_{number}.wav" for number in range(5)]
    assert left_out["reason"].str.contains("not this one").all()
    for speaker in ("s0", "s1", "s2", "s3"):
        known = known.replace(f",{speaker},", ",unknown,")
    table.write_text(known, encoding="utf-8")
    assert len(data.load(["table:mine"], progress=False).manifest) == 20  # fit to be tested on


def test_second_load_takes_what_was_kept(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = data.load(["table:mine"], progress=False)
    calls = count_reads(monkeypatch)
    again = data.load(["table:mine"], progress=False)
    assert calls == []
    pd.testing.assert_frame_equal(first.manifest, again.manifest)
    assert first.hashes == again.hashes


def test_changed_folder_is_read_anew(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = data.load(["table:mine"], progress=False)
    soundfile.write(mine / "audio" / "3_3.wav", np.full(16_000, 0.2), 16_000)
    calls = count_reads(monkeypatch)
    changed = data.load(["table:mine"], progress=False)
    assert calls == ["table:mine"]
    assert changed.hashes != first.hashes


@pytest.mark.parametrize("ending", [".parquet", ".json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "flipped"])
def test_damaged_cache_is_made_again(
    mine: Path, monkeypatch: pytest.MonkeyPatch, ending: str, damage: str
) -> None:
    first = data.load(["table:mine"], progress=False)
    (file,) = (paths.home() / "manifests").glob(f"*{ending}")
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    else:
        middle = len(content) // 2
        file.write_bytes(content[:middle] + b"#" + content[middle + 1 :])
    calls = count_reads(monkeypatch)
    again = data.load(["table:mine"], progress=False)
    assert calls == ["table:mine"]
    pd.testing.assert_frame_equal(first.manifest, again.manifest)


def test_hash_does_not_depend_on_place_or_time(mine: Path, tmp_path: Path) -> None:
    here = preparation.content_hash(["mine/audio/0_0.wav", "mine/corpus.csv"], mine.parent)
    write_corpus(tmp_path / "elsewhere" / "mine")
    os.utime(tmp_path / "elsewhere" / "mine" / "corpus.csv", (1, 1))
    files = ["mine/corpus.csv", "mine/audio/0_0.wav"]
    assert preparation.content_hash(files, tmp_path / "elsewhere") == here


def test_corpus_without_usable_clips_is_an_error(mine: Path) -> None:
    for file in (mine / "audio").iterdir():
        soundfile.write(file, np.full(3200, 0.1), 16_000)
    with pytest.raises(ManifestError, match=r"mine.*no usable clip"):
        data.load(["table:mine"], progress=False)


def test_missing_corpus_says_where_to_get_it(mine: Path) -> None:
    with pytest.raises(
        ProfileError, match=r"ravdess.*Where to get it.*What belongs there"
    ) as error:
        data.load(get("open"), progress=False)
    assert str(mine.parent / "ravdess") in str(error.value)


def test_missing_root_names_the_variable(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOWSER_CORPORA")
    with pytest.raises(ProfileError, match=r"emodb.*LOWSER_CORPORA is not set"):
        data.load(["emodb"], progress=False)


def test_wrong_arguments(mine: Path) -> None:
    with pytest.raises(ValueError, match="fast"):
        data.load("fast")
    with pytest.raises(ValueError, match="no corpora"):
        data.load([])
    speech = data.load(["table:mine"], progress=False)
    with pytest.raises(ProfileError, match="urdu"):
        speech.corpus("urdu")
    with pytest.raises(ProfileError, match="by name"):
        speech.source()


def clips(sizes: dict[str, int]) -> pd.DataFrame:
    rows = [
        (f"c/{speaker}_{number}", "c", f"c/{speaker}", EMOTIONS[number % 4])
        for speaker, size in sizes.items()
        for number in range(size)
    ]
    return pd.DataFrame(rows, columns=["utterance_id", "corpus", "speaker", "emotion"])


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(4, 30), min_size=1), st.integers(1, 90)
)
@settings(max_examples=25, deadline=None)
def test_limit_keeps_shares_and_repeats(sizes: dict[str, int], maximum: int) -> None:
    table = clips(sizes)
    kept = data.limit(table, maximum)
    assert len(kept) == min(maximum, len(table))
    assert kept["utterance_id"].is_unique
    pd.testing.assert_frame_equal(kept, data.limit(table, maximum))
    if maximum < len(table):
        share = maximum / len(table)
        before = table.groupby(["speaker", "emotion"]).size()
        after = kept.groupby(["speaker", "emotion"]).size().reindex(before.index, fill_value=0)
        assert ((after - share * before).abs() <= 1.5).all()


def test_limit_of_nothing_keeps_all() -> None:
    table = clips({"a": 5})
    pd.testing.assert_frame_equal(data.limit(table, None), table)
    with pytest.raises(ValueError, match="0"):
        data.limit(table, 0)


def test_open_profile_on_real_speech(
    corpora_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOWSER_CORPORA", str(corpora_root))
    monkeypatch.setenv("LOWSER_HOME", str(tmp_path))
    speech = data.load(get("open"), unlabelled=True, progress=False)
    assert set(speech.hashes) == set(get("open").corpora)
    assert len(speech.target("ur")) == 400
    assert len(speech.target("de")) == 339
    assert speech.source()["emotion"].notna().all()
    for language in ("ur", "de", "bn"):
        unlabelled = speech.unlabelled(language)
        assert len(unlabelled) > 0
        assert unlabelled["emotion"].isna().all()
        assert set(unlabelled["language"]) == {language}


def test_a_fault_that_passes_is_not_kept(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_bytes

    def flaky(path: Path) -> bytes:
        if path.name == "0_0.wav":
            raise OSError(5, "Input/output error")
        return read(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", flaky)
        first = preparation.prepare("table:mine")
    assert len(first.manifest) == 19
    assert "Input/output error" in first.exclusions[0].reason
    assert len(preparation.prepare("table:mine").manifest) == 20


def test_sound_replaced_behind_a_link_is_noticed(mine: Path) -> None:
    disk = mine.parents[1] / "disk"
    (mine / "audio").rename(disk)
    (mine / "audio").symlink_to(disk)
    before = data.load(["table:mine"], progress=False)
    soundfile.write(
        disk / "0_0.wav", 0.1 * np.random.default_rng(9).standard_normal(80_000), 16_000
    )
    after = data.load(["table:mine"], progress=False)
    assert before.manifest["duration"].iloc[0] == 0.75
    assert after.manifest["duration"].iloc[0] == 5.0
    assert after.hashes != before.hashes


def test_a_corpus_without_a_class_says_which_labels_it_has(mine: Path) -> None:
    table = (mine / "corpus.csv").read_text().replace("angry", "7").replace("happy", "8")
    (mine / "corpus.csv").write_text(table.replace("neutral", "9").replace("sad", "10"))
    speech = data.load(["table:mine"], progress=False)
    with pytest.raises(ProfileError, match=r"its labels: 7 \(4\), 8 \(4\), 9 \(4\), 10 \(4\)"):
        data._labelled(speech.corpus("table:mine"))


def test_notes_are_kept_with_a_manifest(mine: Path) -> None:
    soundfile.write(mine / "more.wav", np.full(16_000, 0.2), 16_000)
    note = "1 sound file that no line of corpus.csv names (first: more.wav)"
    for _ in range(2):
        assert data.load(["table:mine"], progress=False).notes == (note,)
