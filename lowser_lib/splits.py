"""Splits that share no speaker, and label budgets.

A model that has heard a speaker scores better on that speaker, whatever it has learnt of emotion;
so a test speaker must be new. Published folds do not always see to it: in one well-known
collection, the first Urdu fold shares 18 of its 19 test speakers with training.

All rows of a speaker therefore stay together. Speakers differ in size and in what they express (in
URDU one of 29 speaks 72 of 100 neutral clips), so which speakers go together decides how even the
parts are. :func:`_assign` searches for it; scikit-learn's ``StratifiedGroupKFold`` solves the same
task, and ``tests/test_splits.py`` shows it to be less even on both URDU and EmoDB. The search
counts in integers, so that a seed gives the same split on every machine.

Rows keep the index they come with: with a manifest numbered from 0, ``features[train.index]``
picks the features of a split from those of the whole manifest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from lowser_lib.errors import SplitError, require
from lowser_lib.manifest import EMOTIONS, NO_EMOTION, speaker_unknown

_WHOLE = 2**20  # all rows of a class, as an integer; parts of it stand for shares


_RESTARTS = 8  # searches from random orders, of which the most even counts


_FEW_SPEAKERS = 500  # with more, one search is even enough


_MOST_MOVES = 1000


def speaker_folds(
    manifest: pd.DataFrame, n_folds: int, seed: int
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Cross-validation folds that share no speaker, with classes and sizes as even as possible.

    Args:
        manifest: A manifest whose rows are all labelled and whose speakers are all known.
        n_folds: Number of folds, at least 2.
        seed: Another seed gives other folds, about as even.

    Returns:
        An iterator over (train, test) manifests. Each row is in exactly one test part.

    Raises:
        SplitError: Rows without an emotion or a known speaker, or fewer speakers than folds.
        ValueError: ``n_folds`` is below 2.
    """
    require("2..", n_folds=n_folds)
    unlabelled = manifest[manifest["emotion"].isna()]
    if len(unlabelled):
        labels = ", ".join(map(str, unlabelled["raw_label"].dropna().unique()[:10])) or "none"
        raise SplitError(
            f"{len(unlabelled)} of {len(manifest)} rows have no emotion (first: "
            f"{unlabelled['utterance_id'].iloc[0]!r}; their labels: {labels}); folds are for "
            f"labelled speech. Keep manifest[manifest.emotion.notna()]."
        )
    fold = _parts(manifest, np.ones(n_folds, dtype=np.int64), seed, f"{n_folds} folds")
    return ((manifest[fold != number], manifest[fold == number]) for number in range(n_folds))


def speaker_split(
    manifest: pd.DataFrame, fraction: float, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hold speakers out, for validation or test.

    Args:
        manifest: A manifest whose speakers are all known; rows without an emotion count as a class
            of their own.
        fraction: Share of each class to hold out, above 0 and below 1. Whole speakers allow it
            only roughly; to have each class on both sides comes before the exact share.
        seed: Another seed gives another split, about as even.

    Returns:
        The manifests (train, held_out), neither empty.

    Raises:
        SplitError: Unknown speakers, or fewer than two.
        ValueError: ``fraction`` is not between 0 and 1.
    """
    require("(0, 1)", fraction=fraction)
    # The cost of a share weighs inversely to the size aimed at; both are kept as integers.
    aims = np.array([1.0 - fraction, fraction])
    weights = np.maximum(1, np.rint(aims.max() / aims * 16)).clip(max=2**14).astype(np.int64)
    part = _parts(manifest, weights, seed, "a split in two")
    return manifest[part == 0], manifest[part == 1]


def label_budget(manifest: pd.DataFrame, per_class: int, seed: int) -> pd.DataFrame:
    """Draw a few labelled utterances of each class.

    Budgets of one seed are nested: that of 2 a class holds that of 1, so that a curve over budgets
    shows the effect of more labels and not of other ones. The draw depends on the utterances and
    the seed, not on the order of rows.

    Args:
        manifest: A manifest; rows without an emotion are never drawn.
        per_class: Utterances drawn of each of the four classes, at least 1.
        seed: Another seed draws others.

    Returns:
        The rows drawn, 4 × ``per_class`` of them, in manifest order.

    Raises:
        SplitError: A class has fewer rows than that.
        ValueError: ``per_class`` is below 1.
    """
    require("1..", per_class=per_class)
    counts = manifest["emotion"].value_counts().reindex(EMOTIONS, fill_value=0)
    if counts.min() < per_class:
        have = ", ".join(f"{emotion} {count}" for emotion, count in counts.items())
        raise SplitError(
            f"a budget of {per_class} a class needs that many rows of each, but {counts.idxmin()} "
            f"has {counts.min()} ({have}). Ask for {counts.min()} or fewer, or add clips."
        )
    generator = np.random.default_rng(seed)
    drawn = np.zeros(len(manifest), dtype=bool)
    identifiers = manifest["utterance_id"].to_numpy(dtype=object)
    for emotion in EMOTIONS:
        rows = np.flatnonzero((manifest["emotion"] == emotion).to_numpy(dtype=bool))
        rows = rows[np.argsort(identifiers[rows])]
        drawn[generator.permutation(rows)[:per_class]] = True
    return manifest[drawn]


def assert_speaker_disjoint(*manifests: pd.DataFrame) -> None:
    """Make sure that no two manifests share a speaker.

    Args:
        *manifests: The parts of a split, at least two.

    Raises:
        SplitError: Naming the speakers shared, and by which parts (counted from 1).
        ValueError: Fewer than two manifests were given.
    """
    if len(manifests) < 2:
        raise ValueError(f"need at least two manifests to compare, got {len(manifests)}")
    speakers = [set(manifest["speaker"]) for manifest in manifests]
    for (first, ours), (second, theirs) in combinations(enumerate(speakers, start=1), 2):
        shared = sorted(ours & theirs)
        if shared:
            raise SplitError(
                f"parts {first} and {second} share {len(shared)} of {min(len(ours), len(theirs))} "
                f"speakers: {_some(shared)}. Results on speakers heard in training say little; "
                f"split with lowser_lib.splits.speaker_folds or speaker_split."
            )


def _parts(manifest: pd.DataFrame, weights: np.ndarray, seed: int, what: str) -> np.ndarray:
    """Part (from 0) of each row, all rows of a speaker in the same one."""
    if manifest.empty:
        raise SplitError(
            f"{what} of no clips: none has a label that is one of {', '.join(EMOTIONS)}, perhaps; "
            f"skew_table(manifest, 'corpus', 'raw_label') of the whole table shows which there are."
        )
    unknown = manifest[speaker_unknown(manifest)]
    if len(unknown):
        raise SplitError(
            f"{_some(sorted(set(unknown['corpus'])))} does not tell who speaks in {len(unknown)} "
            f"rows, so that no split of them is sure to be free of shared speakers. Use such a "
            f"corpus as a whole, for training or for testing."
        )
    speaker_codes, speakers = pd.factorize(manifest["speaker"], sort=True)
    if len(speakers) < len(weights):
        raise SplitError(
            f"{what} need at least {len(weights)} speakers, but there are {len(speakers)}"
            f"{': ' if len(speakers) else ''}{_some(list(speakers))}. Ask for fewer parts, or add "
            f"a corpus."
        )
    emotion_codes, emotions = pd.factorize(manifest["emotion"].fillna(NO_EMOTION), sort=True)
    # One column a class, and a last one for the size as a whole.
    counts = np.zeros((len(speakers), len(emotions) + 1), dtype=np.int64)
    np.add.at(counts, (speaker_codes, emotion_codes), 1)
    counts[:, -1] = counts.sum(axis=1)
    generator = np.random.default_rng(seed)
    orders = [
        generator.permutation(len(speakers))
        for _ in range(_RESTARTS if len(speakers) <= _FEW_SPEAKERS else 1)
    ]
    splits = [_assign(counts, weights, order) for order in orders]
    best = min(range(len(splits)), key=lambda number: splits[number][1])
    return splits[best][0][speaker_codes]


def _assign(
    counts: np.ndarray, weights: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, tuple[int, int]]:
    """Share speakers out so that each part gets its share of each class.

    Let x[p, k] be the share of class k in part p and a[p] the share that the part should have of
    everything. With weights w[p] in proportion to 1 / a[p], the sum of w (x - a)² equals the sum of
    w x² up to a constant, and the latter is the cost here. Speakers are placed one by one where
    they cost least; then single speakers move for as long as a move takes a class to a part that
    has none of it or, failing that, lowers the cost.

    Args:
        counts: Rows of each speaker in each class, and in all in the last column: (S, K).
        weights: w above, (P,).
        order: Order in which speakers are placed, (S,).

    Returns:
        The part of each speaker (S,); and (classes missing from a part, cost), the less the better.
    """
    n_speakers, n_parts = len(counts), len(weights)
    everyone = np.arange(n_speakers)
    shares = counts * _WHOLE // counts.sum(axis=0)  # (S, K)
    present = (counts > 0).astype(np.int64)  # (S, K)
    squares = (shares**2).sum(axis=1)  # (S,)
    part = np.zeros(n_speakers, dtype=np.int64)
    load = np.zeros((n_parts, counts.shape[1]), dtype=np.int64)  # x, as integers
    heads = np.zeros_like(load)  # speakers with the class
    for speaker in order:
        cost = (2 * (load @ shares[speaker]) + squares[speaker]) * weights
        part[speaker] = cost.argmin()
        load[part[speaker]] += shares[speaker]
        heads[part[speaker]] += present[speaker]
    for _ in range(_MOST_MOVES):
        adding = (2 * (shares @ load.T) + squares[:, None]) * weights  # (S, P)
        leaving = (2 * (shares * load[part]).sum(axis=1) - squares) * weights[part]  # (S,)
        change = adding - leaving[:, None]
        lost = (present * (heads[part] == 1)).sum(axis=1)
        missing = lost[:, None] - present @ (heads == 0).T
        change[everyone, part] = missing[everyone, part] = 0
        fewest = missing.min()
        change[missing != fewest] = np.iinfo(np.int64).max
        speaker, target = np.unravel_index(change.argmin(), change.shape)
        if fewest == 0 and change[speaker, target] >= 0:
            break
        source = part[speaker]
        load[source] -= shares[speaker]
        heads[source] -= present[speaker]
        load[target] += shares[speaker]
        heads[target] += present[speaker]
        part[speaker] = target
    return part, (int((heads == 0).sum()), int(((load**2).sum(axis=1) * weights).sum()))


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
