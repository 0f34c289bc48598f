"""nEMO on a made-up tree, and its counts on the real copy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lowser_lib import corpora, manifest
from lowser_lib.corpora import Exclusion, Utterance
from lowser_lib.corpora.nemo import Nemo
from lowser_lib.errors import CorpusError

Sound = Callable[..., Path]

HEADER = "file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage\n"
TABLE = (
    HEADER
    + 'EB0_anger_1.wav\tanger\t"Cisza!\tcisza\t        EB0\tfemale\t27\n'
    + "KS0_surprised_1.wav\tsurprised\tCisza!\tcisza\t        KS0\tmale\t23\n"
    + "KS0_neutral_2.wav\tneutral\tAby upiec.\taby  upiec\t        KS0\tmale\t23\n"
    + "KS0_neutral_2.wav\tsadness\tAby upiec.\taby upiec\t        KS0\tmale\t23\n"
    + "KS0_joy_3.wav\tjoy\tAby upiec.\taby upiec\t        KS0\tmale\t23\n"
    + "KS0_fear_4.wav\tfear\tAby upiec.\taby upiec\t        KS0\tmale\t23\n"
    + "\tfear\tAby upiec.\taby upiec\t        KS0\tmale\t23\n"
)


def _tree(folder: Path) -> None:
    (folder / "samples").mkdir(parents=True)
    (folder / "data.tsv").write_text(TABLE, encoding="utf-8")
    for stem in ("EB0_anger_1", "KS0_surprised_1", "KS0_neutral_2", "KS0_joy_3", "WR0_anger_9"):
        (folder / "samples" / f"{stem}.wav").touch()


def test_each_line_is_read_or_listed(tmp_path: Path) -> None:
    _tree(tmp_path)
    result = list(Nemo().utterances(tmp_path))
    assert [item for item in result if isinstance(item, Utterance)] == [
        Utterance("samples/EB0_anger_1.wav", "EB0", "female", "pl", "anger", "angry", "cisza"),
        Utterance(
            "samples/KS0_surprised_1.wav", "KS0", "male", "pl", "surprised", "surprised", "cisza"
        ),
        Utterance(
            "samples/KS0_neutral_2.wav", "KS0", "male", "pl", "neutral", "neutral", "aby upiec"
        ),
    ]
    reasons = {item.path: item.reason for item in result if isinstance(item, Exclusion)}
    assert reasons["data.tsv:5"] == "KS0_neutral_2.wav is there already, the first is kept"
    assert "'joy' is not one of anger, fear, happiness" in reasons["samples/KS0_joy_3.wav"]
    assert reasons["samples/KS0_fear_4.wav"] == "is in data.tsv, but missing"
    assert reasons["data.tsv:8"] == "has no file_id or no speaker_id"
    assert reasons["samples/WR0_anger_9.wav"] == "is not in data.tsv"
    assert len(reasons) == 5


def test_table_and_its_columns_are_needed(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"data\.tsv is missing"):
        list(Nemo().utterances(tmp_path))
    (tmp_path / "data.tsv").write_text("file_id\temotion\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="no column normalized_text, speaker_id, gender"):
        list(Nemo().utterances(tmp_path))


def test_real_copy(corpora_root: Path) -> None:
    if not (corpora_root / "nemo").is_dir():
        pytest.skip(f"real speech: nemo is not in {corpora_root}")
    table, exclusions = manifest.read("nemo", corpora_root, jobs=2)
    assert exclusions == []
    assert len(table) == table["path"].nunique() == 1005
    assert Counter(table["emotion"].dropna()) == {
        "angry": 168,
        "happy": 167,
        "neutral": 180,
        "sad": 169,
    }
    assert Counter(table["raw_label"][table["emotion"].isna()]) == {"fear": 168, "surprised": 153}
    people = table[["speaker", "gender"]].drop_duplicates()
    assert sorted(people["speaker"][people["gender"] == "female"]) == [
        f"nemo/{speaker}" for speaker in ("EB0", "IC0", "KD0", "MK0")
    ]
    assert sorted(people["speaker"][people["gender"] == "male"]) == [
        f"nemo/{speaker}" for speaker in ("KS0", "MP0", "SM0", "TP0", "WR0")
    ]
    assert table["text_id"].nunique() == 20
    assert set(table["language"]) == {"pl"}
    # A speaker says a sentence once in an emotion: sentence and emotion are crossed.
    assert not table.duplicated(["speaker", "text_id", "raw_label"]).any()


def test_card_is_in_the_registry() -> None:
    assert corpora.get("nemo").card.languages == ("pl",)
