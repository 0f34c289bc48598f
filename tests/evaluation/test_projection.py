"""t-SNE: clusters stay together, pictures repeat, and what cannot be drawn is refused."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lowser_lib.errors import EvaluationError
from lowser_lib.evaluation.similarity import tsne

RANDOM = np.random.default_rng(0)
LABELS = np.repeat([0, 1, 2], 30)
POINTS = RANDOM.normal(size=(90, 16)) + 6 * RANDOM.normal(size=(3, 16))[LABELS]


def test_clusters_stay_together() -> None:
    placed = tsne(POINTS, perplexity=15)
    assert placed.shape == (90, 2)
    assert placed.dtype == np.float64
    neighbours = KNeighborsClassifier(5).fit(placed[::2], LABELS[::2])
    assert neighbours.score(placed[1::2], LABELS[1::2]) == 1.0


def test_one_picture_whatever_the_threads() -> None:
    with threadpool_limits(1):
        once = tsne(POINTS, perplexity=15)
    with threadpool_limits(2):
        again = tsne(POINTS, perplexity=15)
    np.testing.assert_array_equal(once, again)


def test_unit_and_offset_do_not_matter() -> None:
    scaled = tsne(POINTS * 2.0**40, perplexity=15)
    np.testing.assert_array_equal(scaled, tsne(POINTS, perplexity=15))
    assert np.isfinite(tsne(POINTS * 1e-30, perplexity=15)).all()


def test_takes_tensors_and_narrow_numbers() -> None:
    assert np.isfinite(tsne(POINTS.astype(np.float16)[:40], perplexity=5)).all()


@pytest.mark.parametrize(
    ("points", "perplexity", "message"),
    [
        (POINTS, 30, "90 points are too few for a perplexity of 30.*lower perplexity to 29.7"),
        (POINTS[:3], 5, "3 points are too few for a perplexity of 5, .*: take more clips"),
        (np.ones((50, 4)), 5, "all 50 embeddings are the same"),
        (np.where(POINTS.max() > POINTS, POINTS, np.nan), 5, "1 of 90 clips"),
        (POINTS[:, :1], 5, r"not \(90, 1\)"),
        (POINTS[:, 0], 5, r"not \(90,\)"),
    ],
)
def test_refuses(points: np.ndarray, perplexity: float, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        tsne(points, perplexity=perplexity)


@pytest.mark.parametrize("perplexity", [0.5, np.nan, np.inf])
def test_refuses_a_perplexity(perplexity: float) -> None:
    with pytest.raises(ValueError, match="perplexity must"):
        tsne(POINTS, perplexity=perplexity)
