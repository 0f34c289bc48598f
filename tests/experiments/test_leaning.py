"""Words that lean, under a frozen encoder: on features that are known to be words or voice."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_lexical import ground  # noqa: F401  # its corpora and encoder

from lowser_lib import skews
from lowser_lib.course import cli
from lowser_lib.experiments import engine, leaning, profiles, summaries
from lowser_lib.experiments.leaning import CHANGE, FROZEN_ARMS, LEAK, LeaningSweep
from lowser_lib.experiments.records import load_records
from lowser_lib.manifest import EMOTIONS

SPEAKERS, TEXTS = 6, 8


def table() -> pd.DataFrame:
    """Six speakers say eight sentences in every emotion, twice."""
    rows = [
        {"utterance_id": f"{s}-{e}-{t}-{take}", "corpus": "toy", "speaker": f"s{s}",
         "gender": "female", "language": "en", "emotion": e,
         "text_id": f"t{t}"}
        for s, e, t, take in product(range(SPEAKERS), EMOTIONS, range(TEXTS), range(2))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def features(clips: pd.DataFrame, voice: float, words: float) -> np.ndarray:
    """The emotion and the sentence as unit vectors of these lengths, and a little noise."""
    parts = [
        length * pd.get_dummies(clips[column]).to_numpy(dtype=float)
        for column, length in (("emotion", voice), ("text_id", words))
    ]
    noise = 0.05 * np.random.default_rng(0).standard_normal((len(clips), 4 + TEXTS))
    return np.hstack(parts) + noise


def leaks(voice: float, words: float, arms: list[str], leans: list[float]) -> pd.Series:
    clips = table()
    seeds = [
        leaning.frozen_answers(features(clips, voice, words), clips, seed, arms, leans)
        for seed in range(2)
    ]
    found = leaning.leak_table(seeds, 50).set_index(["arm", "lean", "test"])["interval"]
    return found.map(lambda interval: interval.estimate)


def test_words_alone_leak_everything_and_a_voice_leaks_nothing() -> None:
    only_words = leaks(0, 1, ["regression"], [0.0, 1.0])["regression"]
    assert only_words[1.0, "own sentences"] == 1
    assert only_words[1.0, "another's"] == 0
    assert only_words[1.0, LEAK] == 1
    assert only_words[0.0, "all, evenly"] == pytest.approx(0.25, abs=0.12)
    only_voice = leaks(1, 0, ["regression"], [0.0, 1.0])["regression"]
    assert only_voice[1.0, "another's"] == only_voice[0.0, "own sentences"] == 1


def test_the_contrast_helps_where_words_and_emotions_cross_and_only_there() -> None:
    found = leaks(0.15, 1, ["layer", "layer and contrast"], [0.9, 1.0])
    assert found["layer and contrast", 0.9, LEAK] < found["layer", 0.9, LEAK] - 0.1
    change = found["layer and contrast", 0.9, CHANGE]
    expected = found["layer and contrast", 0.9, LEAK] - found["layer", 0.9, LEAK]
    assert change == pytest.approx(expected)
    assert found["layer and contrast", 1.0, CHANGE] == 0


def test_scores_are_those_of_the_roles() -> None:
    clips = table()
    given = leaning.frozen_answers(features(clips, 0.5, 1), clips, 0, ["regression"], [0.9])
    found = leaning.leak_table([given], 20).set_index("test")["interval"]
    owners = skews.own_sentences(clips, 0)
    answers = given.answers["regression", 0.9]
    for test, roles in leaning.TESTS.items():
        part = np.isin(skews.roles(clips, owners), roles)
        recalls = [
            (answers == number)[part & (given.truth == number)].mean() for number in range(4)
        ]
        assert found[test].estimate == pytest.approx(np.mean(recalls))
    # Eight sentences, two an emotion: nothing is nobody's. As many clips at every lean.
    assert "nobody's" not in given.role
    assert (
        given.clips
        == leaning.frozen_answers(features(clips, 1, 1), clips, 0, ["regression"], [0.0]).clips
    )


def test_sentences_that_an_emotion_hardly_says_are_left_out() -> None:
    clips = table()
    rare = (clips["text_id"] == "t3") & (clips["emotion"] == "sad")
    fewer = pd.concat([clips[~rare], clips[rare].iloc[: leaning.LEAST_CLIPS - 1]])
    assert set(leaning.crossed(fewer)["text_id"]) == {f"t{n}" for n in range(TEXTS)} - {"t3"}
    assert len(leaning.crossed(clips)) == len(clips)


def test_a_sweep_leaves_records_that_say_the_same_again(
    ground: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = ground / "leaning"
    sweep = LeaningSweep(results=results, profile=profiles.get("tiny"), seeds=1,
                         corpora=["table:crossed"], jobs=1)  # fmt: skip
    (record,) = engine.run(sweep, lambda line: None)
    (again,) = load_records(results, "tiny", "leaning")
    assert again == record
    (given,) = leaning.leaning_of([record], "table:crossed")
    assert len(given.truth) == len(given.speaker) == 10 * 4 * 5
    assert set(given.answers) == set(product(FROZEN_ARMS, leaning.LEANS))
    assert leaning.leaning_of([record], "another") == []
    text = summaries.text([record])
    assert "table:crossed" in text and "another's" in text
    place = ["--profile", "tiny", "--results", str(results), "--corpora", "table:crossed"]
    assert cli.main(["sweep", "leaning", *place, "--seeds", "1", "--jobs", "1"]) == 0
    assert "1 of 1 runs are finished already" in capsys.readouterr().out


def test_curves_have_a_panel_a_corpus() -> None:
    clips = table()
    given = leaning.frozen_answers(features(clips, 1, 1), clips, 0, ["regression"])
    found = leaning.leak_table([given], 9)
    figure = leaning.drawn({"people": found, "synthetic": found})
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["people", "synthetic"]
    assert len(figure.axes[0].lines) == len(leaning.TESTS) + 1  # and guessing
