"""Scores by group: against scikit-learn, group by group; and what cannot be told is said."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, recall_score

from lowser_lib.corpora.base import EMOTIONS
from lowser_lib.errors import EvaluationError
from lowser_lib.evaluation.groups import (
    Least,
    by_group,
    cells,
    checklist,
    folds_lacking,
    largest_share,
    length_bins,
    mix_bound,
    recalls,
)
from lowser_lib.evaluation.intervals import speaker_bootstrap
from lowser_lib.evaluation.metrics import Answers

LABELS = ["angry", "happy", "neutral", "sad"]


@pytest.fixture
def clips() -> pd.DataFrame:
    """Forty speakers of two languages, all of whom say everything, understood now and then."""
    random = np.random.default_rng(3)
    table = pd.DataFrame(
        [
            (("de", "ur")[speaker % 2], f"s{speaker:02d}", label)
            for speaker in range(40)
            for label in LABELS * 2
        ],
        columns=["group", "speaker", "truth"],
    )
    right = random.random(len(table)) < np.where(table["group"] == "de", 0.7, 0.5)
    table["answer"] = np.where(right, table["truth"], random.choice(LABELS, len(table)))
    return table


def of(table: pd.DataFrame, given: object = None, group: str = "group") -> Answers:
    given = table["answer"] if given is None else given
    return Answers.of(table["truth"], given, table["speaker"], LABELS, table[group])  # type: ignore[arg-type]


def test_metrics_of_each_group_are_scikit_learns(clips: pd.DataFrame) -> None:
    result = by_group(of(clips), n_resamples=10).set_index(["group", "metric"])["estimate"]
    for group, part in clips.groupby("group"):
        truth, answer = part["truth"], part["answer"]
        assert result[group, "accuracy"] == pytest.approx(accuracy_score(truth, answer))
        macro = f1_score(truth, answer, average="macro", labels=LABELS)
        assert result[group, "macro_f1"] == pytest.approx(macro)
        assert result[group, "uar"] == pytest.approx(balanced_accuracy_score(truth, answer))


def test_recalls_are_scikit_learns_and_intervals_draw_a_groups_speakers(
    clips: pd.DataFrame,
) -> None:
    outcome = recalls(of(clips), n_resamples=200).set_index(["group", "emotion"])
    for group, part in clips.groupby("group"):
        each = recall_score(part["truth"], part["answer"], labels=LABELS, average=None)
        assert outcome["estimate"].xs(group).to_numpy() == pytest.approx(each)
    de = clips[clips["group"] == "de"]
    whole = speaker_bootstrap(de["truth"], de["answer"], de["speaker"], LABELS, "accuracy", 200)
    kept = by_group(of(clips), metrics=["accuracy"], n_resamples=200).iloc[0]
    assert (kept["low"], kept["high"]) == (whole.low, whole.high)
    assert kept["speakers"] == 20 and kept["clips"] == 160


def test_several_seeds_are_averaged(clips: pd.DataFrame) -> None:
    both = np.stack([clips["answer"], clips["truth"]])  # the second training is always right
    first = by_group(of(clips), n_resamples=10)["estimate"]
    two = by_group(of(clips, both), n_resamples=10)["estimate"]
    assert two.to_numpy() == pytest.approx((first.to_numpy() + 1) / 2)


def test_the_skew_table_keeps_what_is_empty_or_small() -> None:
    truth = ["happy"] * 6 + ["sad"] * 6 + ["angry"] * 2 + ["happy"] * 6
    group = ["female"] * 14 + ["male"] * 6
    speaker = [f"f{number % 3}" for number in range(6)] + ["f0"] * 8
    speaker += [f"m{number % 3}" for number in range(6)]
    answers = Answers.of(truth, None, speaker, LABELS, group)
    table = cells(answers).set_index(["group", "emotion"])
    assert len(table) == 8
    assert table["clips"].groupby("group").sum().tolist() == [14, 6]
    assert table["share"].groupby("group").sum().tolist() == pytest.approx([1, 1])
    assert table.loc[("female", "happy"), "reason"] == ""
    assert table.loc[("female", "sad"), "reason"] == "1 of the 3 speakers that it takes"
    assert table.loc[("female", "angry"), "reason"] == "2 of the 5 clips that it takes"
    assert table.loc[("male", "sad"), "reason"] == "no clip"

    result = recalls(answers, n_resamples=5)
    result = result.set_index(["group", "emotion"])
    assert result["reason"].equals(table["reason"])
    assert (result["estimate"].isna() == (result["reason"] != "")).all()
    scores = by_group(answers, n_resamples=5)
    scores = scores.set_index(["group", "metric"])
    assert scores.loc[("male", "accuracy"), "estimate"] == 1
    assert math.isnan(scores["estimate"]["male", "uar"])
    assert scores.loc[("male", "uar"), "reason"] == "angry: no clip"
    lenient = by_group(answers, least=Least(1, 1), n_resamples=5)
    assert (lenient["reason"] == "").sum() == 2  # accuracies; some cells stay empty


def test_each_speaker_may_be_a_group(clips: pd.DataFrame) -> None:
    answers, speaker = of(clips, group="speaker"), clips["speaker"]
    result = by_group(answers, metrics=["uar"], least=Least(2, 1), n_resamples=5)
    assert result["group"].tolist() == sorted(set(speaker))
    assert result["estimate"].notna().all()
    assert result["low"].isna().all()  # one speaker gives no bounds


# --- groups, and what is refused ----------------------------------------------------------------


def test_lengths_make_groups_that_sort() -> None:
    names = length_bins([0.6, 1.99, 2.0, 4.9, 5.0, 11.0])
    assert names == ["0 to 2 s"] * 2 + ["2 to 3 s", "3 to 5 s"] + ["5 s and more"] * 2
    assert sorted(set(names)) == list(dict.fromkeys(names))
    with pytest.raises(EvaluationError, match="1 durations"):
        length_bins([1.0, math.nan])
    with pytest.raises(ValueError, match="edges"):
        length_bins([1.0], edges=(3, 2))


def test_what_cannot_be_scored_is_refused(clips: pd.DataFrame) -> None:
    truth, answer, speaker = clips["truth"], clips["answer"], clips["speaker"]
    with pytest.raises(EvaluationError, match=r"groups must have one entry .* 1 missing"):
        Answers.of(truth, answer, speaker, LABELS, clips["group"].where(clips.index != 3))
    with pytest.raises(EvaluationError, match="speakers must have one entry"):
        Answers.of(truth, answer, speaker[:3], LABELS)
    with pytest.raises(EvaluationError, match="one answer for each"):
        Answers.of(truth, answer[:3], speaker, LABELS)
    with pytest.raises(EvaluationError, match="nothing to score"):
        Answers.of([], [], [], LABELS)
    with pytest.raises(ValueError, match="metrics must be some of"):
        by_group(of(clips), metrics=["f1"])
    with pytest.raises(ValueError, match="clips must be at least 1"):
        Least(clips=0)


# The checklist for a corpus: what is counted, in closed form, and what it says of odd corpora


URDU = {"female": (0, 46, 4, 6), "male": (100, 54, 96, 94)}


def corpus(counts: Mapping[str, tuple[int, ...]], speakers: int = 6) -> pd.DataFrame:
    """Clips of so many speakers of each gender, dealt out in turn."""
    rows = [
        {"gender": gender, "emotion": emotion, "speaker": f"{gender}{clip % speakers}",
         "duration": 2.5 if gender == "female" else 4.0, "corpus": "made",
         "utterance_id": f"{gender}{emotion}{clip}"}
        for gender, clips_of in counts.items()
        for emotion, count in zip(EMOTIONS, clips_of, strict=True) for clip in range(count)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def answers(table: pd.DataFrame, folds: int = 3) -> dict[str, str]:
    result = checklist(table, folds=folds)
    assert list(result.columns) == ["question", "function", "answer"]
    return dict(zip(result["function"], result["answer"], strict=True))


def test_it_tells_what_is_known_of_urdu() -> None:
    replies = answers(corpus(URDU))
    assert replies["manifest"] == "that of 0 of 400 clips"
    assert replies["skew_table"] == "86% are men's"
    assert "female, angry: no clip" in replies["cells"]
    assert "female, neutral: 4 of the 5 clips" in replies["cells"]
    assert "male" not in replies["cells"].replace("female", "")
    assert replies["length_bins"] == "female mostly 2 to 3 s, male mostly 3 to 5 s"
    # 46 / 56 - 54 / 344, all other shares are the men's
    assert replies["mix_bound"].endswith("66 points")
    assert replies["gaps"].startswith("6 women, 6 men") and "924" in replies["gaps"]


def test_a_full_and_even_corpus_frightens_nobody() -> None:
    replies = answers(corpus({"female": (12, 12, 12, 12), "male": (12, 12, 12, 12)}))
    assert replies["cells"] == "none"
    assert replies["mix_bound"].endswith("gap of 0 points")
    assert replies["folds_lacking"] == "0 of 3"
    assert replies["largest_share"] == "of some cell 17% is"


def test_unknown_genders_are_counted_and_the_unlabelled_do_not_count() -> None:
    table = corpus({"female": (6, 6, 6, 6), "male": (6, 6, 6, 6)})
    table.loc[:3, "gender"] = "unknown"
    table.loc[10, "emotion"] = None
    assert answers(table)["manifest"] == "that of 4 of 47 clips"


def test_one_gender_alone_and_too_few_speakers_are_said() -> None:
    replies = answers(corpus({"male": (5, 5, 5, 5)}, speakers=2))
    assert replies["skew_table"] == "100% are men's"
    assert replies["mix_bound"].endswith("0 points")
    assert replies["folds_lacking"] == "there are too few speakers for folds"
    assert replies["gaps"].startswith("0 women, 2 men")


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
