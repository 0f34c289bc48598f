"""The checklist for a corpus: what is counted, in closed form, and what it says of odd corpora."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from lowser_lib.corpora.base import EMOTIONS
from lowser_lib.errors import EvaluationError
from lowser_lib.evaluation.groups import checklist, folds_lacking, largest_share, mix_bound

URDU = {"female": (0, 46, 4, 6), "male": (100, 54, 96, 94)}


def corpus(counts: Mapping[str, tuple[int, ...]], speakers: int = 6) -> pd.DataFrame:
    """Clips of so many speakers of each gender, dealt out in turn."""
    rows = [
        {"gender": gender, "emotion": emotion, "speaker": f"{gender}{clip % speakers}",
         "duration": 2.5 if gender == "female" else 4.0, "corpus": "made",
         "utterance_id": f"{gender}{emotion}{clip}"}
        for gender, said in counts.items()
        for emotion, count in zip(EMOTIONS, said, strict=True) for clip in range(count)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def answers(table: pd.DataFrame, folds: int = 3) -> dict[str, str]:
    found = checklist(table, folds=folds)
    assert list(found.columns) == ["question", "function", "answer"]
    return dict(zip(found["function"], found["answer"], strict=True))


def test_it_tells_what_is_known_of_urdu() -> None:
    said = answers(corpus(URDU))
    assert said["manifest"] == "that of 0 of 400 clips"
    assert said["skew_table"] == "86% are men's"
    assert "female, angry: no clip" in said["cells"]
    assert "female, neutral: 4 of the 5 clips" in said["cells"]
    assert "male" not in said["cells"].replace("female", "")
    assert said["length_bins"] == "female mostly 2 to 3 s, male mostly 3 to 5 s"
    # 46 / 56 - 54 / 344, all other shares are the men's
    assert said["mix_bound"].endswith("66 points")
    assert said["gaps"].startswith("6 women, 6 men") and "924" in said["gaps"]


def test_a_full_and_even_corpus_frightens_nobody() -> None:
    said = answers(corpus({"female": (12, 12, 12, 12), "male": (12, 12, 12, 12)}))
    assert said["cells"] == "none"
    assert said["mix_bound"].endswith("gap of 0 points")
    assert said["folds_lacking"] == "0 of 3"
    assert said["largest_share"] == "of some cell 17% is"


def test_unknown_genders_are_counted_and_the_unlabelled_do_not_count() -> None:
    table = corpus({"female": (6, 6, 6, 6), "male": (6, 6, 6, 6)})
    table.loc[:3, "gender"] = "unknown"
    table.loc[10, "emotion"] = None
    assert answers(table)["manifest"] == "that of 4 of 47 clips"


def test_one_gender_alone_and_too_few_speakers_are_said() -> None:
    said = answers(corpus({"male": (5, 5, 5, 5)}, speakers=2))
    assert said["skew_table"] == "100% are men's"
    assert said["mix_bound"].endswith("0 points")
    assert said["folds_lacking"] == "there are too few speakers for folds"
    assert said["gaps"].startswith("0 women, 2 men")


def test_a_corpus_without_genders_is_refused() -> None:
    table = corpus({"female": (1, 1, 1, 1)}).assign(gender="unknown")
    with pytest.raises(EvaluationError, match="of 4 labelled clips"):
        checklist(table)


def test_a_cell_of_one_speaker_stands_out() -> None:
    table = corpus({"female": (4, 4, 4, 4), "male": (4, 4, 4, 4)}, speakers=4)
    assert largest_share(table) == 0.25
    table.loc[(table["gender"] == "female") & (table["emotion"] == "sad"), "speaker"] = "female0"
    assert largest_share(table) == 1.0


def test_folds_that_lack_a_cell_are_counted() -> None:
    table = corpus({"female": (6, 6, 6, 6), "male": (6, 6, 6, 6)})
    assert folds_lacking(table, 3) == 0
    alone = (table["gender"] == "female") & (table["emotion"] == "angry")
    table = table[~alone | (table["speaker"] == "female0")]
    assert folds_lacking(table, 3) == 2  # one speaker is in one fold
    assert folds_lacking(table, 99) is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.01, 1), min_size=8, max_size=8), st.integers(0, 2**31 - 1))
def test_no_fair_model_has_a_larger_gap_than_the_bound(shares: list[float], seed: int) -> None:
    table = pd.DataFrame(
        [np.array(half) / sum(half) for half in (shares[:4], shares[4:])], ["female", "male"]
    )
    difference = (table.loc["female"] - table.loc["male"]).to_numpy(dtype=float)
    bound = mix_bound(table)
    assert abs(difference @ np.random.default_rng(seed).random(4)) <= bound + 1e-12
    assert math.isclose(difference @ (difference > 0), bound, abs_tol=1e-12)
