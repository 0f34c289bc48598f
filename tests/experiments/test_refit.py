"""A new head on what encoders have become: answers without the target's labels, and the table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from lowser_lib.corpora import EMOTIONS
from lowser_lib.errors import RunError
from lowser_lib.experiments import records
from lowser_lib.experiments.refit import refit, refit_table

TRUTH = "01230123"
ALL = len(EMOTIONS)


def clips(corpus: str, speakers: int, seed: int) -> tuple[torch.Tensor, pd.DataFrame]:
    """Each speaker in each emotion twice: a direction an emotion, a shift a voice and a corpus."""
    generator = np.random.default_rng(seed)
    rows, points = [], []
    for speaker in range(speakers):
        voice = generator.normal(size=8)
        for emotion in [*range(ALL), *range(ALL)]:
            points.append(3 * np.eye(8)[emotion] + voice + generator.normal(0, 0.1, 8) + seed)
            name = f"{corpus}/s{speaker}"
            rows.append({"corpus": corpus, "speaker": name, "emotion": EMOTIONS[emotion]})
    return torch.tensor(np.array(points)), pd.DataFrame(rows)


def test_answers_follow_a_shifted_target_and_never_its_labels() -> None:
    learned, (points, table) = clips("english", 6, 0), clips("other", 6, 5)
    done = refit(learned, (points, table), seed=0)
    assert done["scores"]["speaker plain"]["macro_f1"] == 1
    assert done["scores"]["rule plain"]["macro_f1"] == 1  # speakers show all emotions
    assert [seen["step"] for seen in done["rule"]] == ["speaker"] * 3
    shuffled = table.assign(emotion=table["emotion"].sample(frac=1, random_state=1).to_numpy())
    again = refit(learned, (points, shuffled), seed=0)
    for speaker, answers in done["clips"].items():
        others = again["clips"][speaker]
        assert {**answers, "truth": ""} == {**others, "truth": ""}
    assert again["scores"]["speaker plain"]["macro_f1"] < 1


def record(seed: int, language: str = "ur", **answers: str) -> records.RunRecord:
    refits = {
        encoder: {"clips": {f"s{n}": {"truth": TRUTH, "corpus plain": its} for n in range(3)}}
        for encoder, its in answers.items()
    }
    return records.new_record(
        chapter="03", name=f"made-{language}-{seed}", profile="open", seed=seed,
        metrics={"refit": refits}, config={"language": language}, corpora={}, device={},
        commit={}, seconds=0.0,
    )  # fmt: skip


def test_table_pairs_seeds_that_both_sweeps_have() -> None:
    # Half of each class is wrong, answered as the next: F1 .5 each.
    half = "01231230"
    runs = [record(seed, adapted=half, tuned=TRUTH) for seed in (0, 1, 2)]
    others = [record(seed, adapted=TRUTH, tuned=half) for seed in (1, 2, 3)]
    (row,) = refit_table(runs, others, ("tuned", "tuned"), n_resamples=50).to_dict("records")
    assert (row["language"], row["seeds"]) == ("ur", 2)
    assert row["score"].estimate == 1
    assert row["against"].estimate == pytest.approx(0.5)
    assert row["gain"].estimate == pytest.approx(0.5)
    (row,) = refit_table(runs, runs, ("adapted", "tuned"), n_resamples=50).to_dict("records")
    assert row["gain"].estimate == pytest.approx(-0.5)
    assert refit_table(runs, [record(0, "de", tuned=half)], ("tuned", "tuned")).empty


def test_sweeps_on_other_clips_are_refused() -> None:
    other = record(0, tuned=TRUTH)
    other.metrics["refit"]["tuned"]["clips"]["s0"]["truth"] = "11230123"
    with pytest.raises(RunError, match="different clips"):
        refit_table([record(0, tuned=TRUTH)], [other], ("tuned", "tuned"), n_resamples=20)
