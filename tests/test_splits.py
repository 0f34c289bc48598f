"""Splits: no shared speaker, every row once, evenness, seeds, label budgets, bad input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings, strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from lowser_lib import manifest, splits
from lowser_lib.corpora.base import EMOTIONS
from lowser_lib.errors import SplitError


def make_manifest(cells: Iterable[tuple[int, str | None]], corpus: str = "urdu") -> pd.DataFrame:
    """A valid manifest with one row for each (speaker, emotion)."""
    speakers, emotions = zip(*cells, strict=True)
    names = [f"{corpus}/{number:04d}" for number in range(len(speakers))]
    return manifest.validate(
        pd.DataFrame(
            {
                "utterance_id": names,
                "corpus": corpus,
                "path": [f"{name}.wav" for name in names],
                "language": "ur",
                "speaker": [f"{corpus}/S{speaker}" for speaker in speakers],
                "gender": "unknown",
                "emotion": list(emotions),
                "raw_label": None,
                "text_id": None,
                "duration": 2.0,
                "sample_rate": 16000,
            }
        )
    )


def even(n_speakers: int, each: int = 1) -> pd.DataFrame:
    return make_manifest(product(range(n_speakers), EMOTIONS * each))


CELLS = st.lists(st.tuples(st.integers(0, 7), st.sampled_from(EMOTIONS)), min_size=1, max_size=60)


# --- folds -------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(CELLS, st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_folds_are_disjoint_cover_and_repeat(
    cells: list[tuple[int, str]], n_folds: int, seed: int
) -> None:
    table = make_manifest(cells)
    assume(table["speaker"].nunique() >= n_folds)
    folds = list(splits.speaker_folds(table, n_folds, seed))
    assert len(folds) == n_folds
    for train, test in folds:
        splits.assert_speaker_disjoint(train, test)
        assert len(train) > 0
        assert len(test) > 0
        assert sorted([*train.index, *test.index]) == table.index.tolist()
    assert sorted(row for _, test in folds for row in test.index) == table.index.tolist()
    again = splits.speaker_folds(table, n_folds, seed)
    for (_, test), (_, same) in zip(folds, again, strict=True):
        pd.testing.assert_frame_equal(test, same)


def test_equal_speakers_make_equal_folds() -> None:
    for _, test in splits.speaker_folds(even(15, each=2), 5, seed=0):
        assert test["speaker"].nunique() == 3
        assert test["emotion"].value_counts().to_dict() == dict.fromkeys(EMOTIONS, 6)


def test_folds_do_not_depend_on_the_order_of_rows() -> None:
    table = even(11, each=2)
    shuffled = table.sample(frac=1.0, random_state=1)
    for (_, test), (_, other) in zip(
        splits.speaker_folds(table, 3, 7), splits.speaker_folds(shuffled, 3, 7), strict=True
    ):
        assert set(test["speaker"]) == set(other["speaker"])


def test_seeds_give_different_folds() -> None:
    table = even(12)
    result = {
        frozenset(frozenset(test["speaker"]) for _, test in splits.speaker_folds(table, 4, seed))
        for seed in range(6)
    }
    assert len(result) == 6


def test_folds_of_a_seed_are_the_same_on_every_machine() -> None:
    generator = np.random.default_rng(5)
    cells = [(int(s), EMOTIONS[e]) for s, e in generator.integers(0, (9, 4), (80, 2))]
    folds = splits.speaker_folds(make_manifest(cells), 3, seed=1)
    outcome = sorted("".join(sorted(set(test["speaker"].str[-1]))) for _, test in folds)
    assert outcome == ["01", "256", "3478"]


@pytest.mark.parametrize("trial", range(12))
def test_search_finds_what_trying_everything_finds(trial: int) -> None:
    generator = np.random.default_rng(trial)
    n_parts = int(generator.integers(2, 4))
    counts = generator.integers(0, 6, (6, 3)) * (generator.random((6, 3)) < 0.6)
    counts[:, 0] += 1
    counts[0] += 1
    counts = np.c_[counts, counts.sum(axis=1)]
    weights = np.array([16, 64]) if n_parts == 2 else np.ones(3, dtype=np.int64)
    missing, cost = min(
        splits._assign(counts, weights, generator.permutation(6))[1] for _ in range(8)
    )
    shares = counts * splits._WHOLE // counts.sum(axis=0)
    best = min(
        score_of(np.array(parts), shares, weights) for parts in product(range(n_parts), repeat=6)
    )
    assert missing == best[0]
    assert cost <= 1.02 * best[1]


def score_of(parts: np.ndarray, shares: np.ndarray, weights: np.ndarray) -> tuple[int, int]:
    """Classes missing from a part, and cost, from the definition."""
    load = np.stack([shares[parts == part].sum(axis=0) for part in range(len(weights))])
    return int((load == 0).sum()), int(((load**2).sum(axis=1) * weights).sum())


def unevenness(folds: Sequence[pd.DataFrame]) -> tuple[int, float]:
    """Classes missing from a fold; root mean square of share minus 1 / folds, over all cells."""
    counts = np.array(
        [fold["emotion"].value_counts().reindex(EMOTIONS).fillna(0) for fold in folds]
    )
    off = counts / counts.sum(axis=0) - 1 / len(folds)
    return int((counts == 0).sum()), float(np.sqrt((off**2).mean()))


@pytest.mark.parametrize("corpus", ["urdu", "emodb"])
def test_folds_of_real_corpora_are_more_even_than_scikit_learns(
    corpora_root: Path, corpus: str
) -> None:
    table, _ = manifest.read(corpus, corpora_root)
    table = table[table["emotion"].notna()].reset_index(drop=True)
    ours, theirs = [], []
    for seed in range(5):
        ours.append(unevenness([test for _, test in splits.speaker_folds(table, 5, seed)]))
        reference = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        parts = reference.split(table, table["emotion"], table["speaker"])
        theirs.append(unevenness([table.iloc[test] for _, test in parts]))
    for (missing, rms), (their_missing, their_rms) in zip(ours, theirs, strict=True):
        assert missing <= their_missing
        assert rms < their_rms
    # Only four of the 29 URDU speakers are ever angry, so that one fold of five goes without.
    assert ours[0][0] == {"urdu": 1, "emodb": 0}[corpus]


def test_folds_name_unlabelled_rows() -> None:
    table = make_manifest([(0, "angry"), (1, None), (2, "sad")])
    with pytest.raises(SplitError, match=r"1 of 3 rows have no emotion .*'urdu/0001'"):
        splits.speaker_folds(table, 2, seed=0)


def test_folds_name_too_few_speakers() -> None:
    with pytest.raises(
        SplitError, match="3 folds need at least 3 speakers, but there are 2: 'urdu"
    ):
        splits.speaker_folds(even(2), 3, seed=0)
    with pytest.raises(SplitError, match="folds of no clips: none has a label"):
        splits.speaker_folds(even(2).iloc[:0], 2, seed=0)


@pytest.mark.parametrize("n_folds", [1, 0, -3])
def test_folds_refuse_fewer_than_two(n_folds: int) -> None:
    with pytest.raises(ValueError, match=f"n_folds must be at least 2, not {n_folds}"):
        splits.speaker_folds(even(4), n_folds, seed=0)


def test_unknown_speakers_cannot_be_split() -> None:
    table = even(4)
    table.loc[:1, "speaker"] = "urdu/unknown"
    for split in (
        lambda: splits.speaker_folds(table, 2, seed=0),
        lambda: splits.speaker_split(table, 0.2, seed=0),
    ):
        with pytest.raises(SplitError, match="'urdu' does not tell who speaks in 2 rows"):
            split()


# --- a split in two ----------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(CELLS, st.floats(0.01, 0.99), st.integers(0, 1000))
def test_split_is_disjoint_covers_and_repeats(
    cells: list[tuple[int, str]], fraction: float, seed: int
) -> None:
    table = make_manifest(cells)
    assume(table["speaker"].nunique() >= 2)
    train, held_out = splits.speaker_split(table, fraction, seed)
    splits.assert_speaker_disjoint(train, held_out)
    assert min(len(train), len(held_out)) > 0
    assert sorted([*train.index, *held_out.index]) == table.index.tolist()
    pd.testing.assert_frame_equal(held_out, splits.speaker_split(table, fraction, seed)[1])


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5, 0.75])
def test_split_holds_out_the_fraction_of_each_class(fraction: float) -> None:
    table = even(20)
    _, held_out = splits.speaker_split(table, fraction, seed=3)
    assert held_out["emotion"].value_counts().to_dict() == dict.fromkeys(EMOTIONS, 20 * fraction)


def test_split_puts_a_rare_class_on_both_sides() -> None:
    # Only speakers 0 and 1 are ever sad, and half of all sad clips is far above a tenth.
    cells = [(speaker, "angry") for speaker in range(20)] + [(0, "sad"), (1, "sad")]
    train, held_out = splits.speaker_split(make_manifest(cells), 0.1, seed=0)
    assert set(train["emotion"]) == set(held_out["emotion"]) == {"angry", "sad"}


def test_split_takes_unlabelled_speech() -> None:
    cells = [(speaker, None) for speaker in range(10) for _ in range(3)]
    _, held_out = splits.speaker_split(make_manifest(cells), 0.3, seed=0)
    assert held_out["speaker"].nunique() == 3


def test_split_names_a_lone_speaker() -> None:
    with pytest.raises(SplitError, match="at least 2 speakers, but there are 1: 'urdu/S0'"):
        splits.speaker_split(even(1, each=3), 0.2, seed=0)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.2, float("nan")])
def test_split_refuses_a_fraction_that_leaves_a_side_empty(fraction: float) -> None:
    with pytest.raises(ValueError, match="fraction must lie in"):
        splits.speaker_split(even(4), fraction, seed=0)


def test_split_of_real_speech(corpora_root: Path) -> None:
    table, _ = manifest.read("urdu", corpora_root)
    for seed in range(3):
        train, held_out = splits.speaker_split(table, 0.2, seed)
        splits.assert_speaker_disjoint(train, held_out)
        assert set(train["emotion"]) == set(held_out["emotion"]) == set(EMOTIONS)
        assert 60 <= len(held_out) <= 100


# --- shared speakers ---------------------------------------------------------------------------


def test_shared_speakers_are_named() -> None:
    table = even(8)
    train, test = table[table.index % 2 == 0], table[table.index % 2 == 1]
    with pytest.raises(SplitError, match=r"parts 1 and 2 share 8 of 8 speakers: 'urdu/S0', .*"):
        splits.assert_speaker_disjoint(train, test)
    with pytest.raises(SplitError, match="parts 1 and 3 share 1 of 1 speakers: 'urdu/S5'"):
        splits.assert_speaker_disjoint(
            table[table["speaker"] != "urdu/S6"],
            table[table["speaker"] == "urdu/S6"],
            table[table["speaker"] == "urdu/S5"],
        )


def test_same_name_in_two_corpora_is_two_speakers() -> None:
    splits.assert_speaker_disjoint(even(3), make_manifest([(0, "sad")], corpus="emodb"))


def test_one_part_alone_has_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match="at least two manifests"):
        splits.assert_speaker_disjoint(even(3))


# --- label budgets -----------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 7), st.integers(0, 1000), st.randoms(use_true_random=False))
def test_budgets_hold_k_a_class_are_nested_and_ignore_order(
    per_class: int, seed: int, random: object
) -> None:
    cells = [*product(range(4), [*EMOTIONS * 2, None])]
    random.shuffle(cells)  # type: ignore[attr-defined]
    table = make_manifest(cells)
    drawn = splits.label_budget(table, per_class, seed)
    assert drawn["emotion"].value_counts().to_dict() == dict.fromkeys(EMOTIONS, per_class)
    assert drawn.index.is_monotonic_increasing
    larger = splits.label_budget(table, per_class + 1, seed)
    assert set(drawn["utterance_id"]) < set(larger["utterance_id"])
    shuffled = splits.label_budget(table.sample(frac=1.0, random_state=seed), per_class, seed)
    pd.testing.assert_frame_equal(shuffled.sort_index(), drawn)


def test_budgets_of_other_seeds_differ_and_reach_every_row() -> None:
    table = even(6)
    drawn = [frozenset(splits.label_budget(table, 1, seed).index) for seed in range(60)]
    assert len(set(drawn)) > 30
    assert frozenset().union(*drawn) == frozenset(table.index)


def test_budget_names_the_class_that_has_too_few() -> None:
    table = make_manifest([(0, emotion) for emotion in [*EMOTIONS * 3, "sad", None]])
    short = table[table["emotion"] != "happy"]
    with pytest.raises(SplitError, match=r"budget of 4 .* angry has 3 .*neutral 3, sad 4"):
        splits.label_budget(table, 4, seed=0)
    with pytest.raises(SplitError, match="happy has 0"):
        splits.label_budget(short, 1, seed=0)
    with pytest.raises(ValueError, match="per_class must be at least 1, not 0"):
        splits.label_budget(table, 0, seed=0)


# --- shares are rounded to the nearest, and counted finely ----------------------------------------


def test_a_tenth_of_ten_speakers_is_one_and_of_a_thousand_clips_a_hundred() -> None:
    for fraction, speakers in ((0.1, 1), (0.3, 3), (0.7, 7), (0.9, 9)):
        _, held_out = splits.speaker_split(even(10), fraction, seed=1)
        assert held_out["speaker"].nunique() == speakers
    # 97 small speakers and three large ones: a tenth of the clips can be had to within one clip.
    cells = [(s, "sad") for s in range(97)] + [(97 + s, "sad") for s in range(3) for _ in range(31)]
    for seed in range(3):
        _, held_out = splits.speaker_split(make_manifest(cells), 0.1, seed)
        assert len(held_out) == 19


def test_a_very_small_fraction_holds_out_one_speaker_of_each_class() -> None:
    _, held_out = splits.speaker_split(even(40), 1e-9, seed=0)
    assert held_out["speaker"].nunique() == 1
    train, _ = splits.speaker_split(even(40), 1 - 1e-9, seed=0)
    assert train["speaker"].nunique() == 1


def test_of_several_searches_the_most_even_counts() -> None:
    generator = np.random.default_rng(3)
    cells = [
        (speaker, EMOTIONS[emotion])
        for speaker, size in enumerate(generator.integers(1, 30, 14))
        for emotion in generator.integers(0, 4, size)
    ]
    table = make_manifest(cells)
    codes, names = pd.factorize(table["speaker"], sort=True)
    counts = np.zeros((len(names), 5), dtype=np.int64)
    np.add.at(counts, (codes, pd.factorize(table["emotion"], sort=True)[0]), 1)
    counts[:, -1] = counts.sum(axis=1)
    weights, draw = np.ones(3, dtype=np.int64), np.random.default_rng(0)
    scores = [splits._assign(counts, weights, draw.permutation(14))[1] for _ in range(8)]
    assert len(set(scores)) > 1
    parts = splits._parts(table, weights, 0, "")
    of_speaker = np.array([parts[codes == code][0] for code in range(14)])
    assert score_of(of_speaker, counts * splits._WHOLE // counts.sum(axis=0), weights) == min(
        scores
    )


@pytest.mark.parametrize(
    ("fraction", "weights"),
    [(0.35, [16, 30]), (0.3, [16, 37]), (0.1, [16, 144]), (0.65, [30, 16]), (1e-9, [16, 2**14])],
)
def test_the_weight_of_a_share_is_rounded_to_the_nearest(
    monkeypatch: pytest.MonkeyPatch, fraction: float, weights: list[int]
) -> None:
    # 16 · 0.65 / 0.35 = 29.7, by hand.
    given_weights: list[list[int]] = []

    def note(table: pd.DataFrame, chosen: np.ndarray, *_: object) -> np.ndarray:
        given_weights.append(chosen.tolist())
        return np.zeros(len(table), dtype=int)

    monkeypatch.setattr(splits, "_parts", note)
    splits.speaker_split(even(4), fraction, seed=0)
    assert given_weights == [weights]
