"""PWCCA against a slow direct computation, by its properties, and on bad input."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings, strategies as st
from sklearn.cross_decomposition import CCA
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lowser_lib.errors import EvaluationError
from lowser_lib.evaluation import pwcca
from lowser_lib.evaluation.similarity import frequency_distance, noise_level, tsne


def draw(n: int, d1: int, d2: int, shared: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two embeddings that have some directions in common, of different sizes and not centred."""
    random = np.random.default_rng(seed)
    common = random.normal(size=(n, shared))
    x = random.normal(size=(n, d1)) * np.geomspace(1, 20, d1) + 5
    y = random.normal(size=(n, d2)) - 3
    x += 3 * common @ random.normal(size=(shared, d1))
    y += common @ random.normal(size=(shared, d2))
    return x, y


def slow(x: np.ndarray, y: np.ndarray) -> float:
    """The definition: canonical directions from the eigenproblem of the covariances."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    between = x.T @ y
    squares, directions = scipy.linalg.eigh(between @ np.linalg.inv(y.T @ y) @ between.T, x.T @ x)
    order = np.argsort(-squares)[: min(x.shape[1], y.shape[1])]
    correlations, weights = [], []
    for index in order:
        h = x @ directions[:, index]
        h /= np.linalg.norm(h)
        correlations.append(np.sqrt(max(squares[index], 0)))
        weights.append(sum(abs(h @ x[:, column]) for column in range(x.shape[1])))
    return float(np.average(correlations, weights=weights))


@given(
    d1=st.integers(1, 7), d2=st.integers(1, 7), shared=st.integers(1, 3), seed=st.integers(0, 999)
)
@settings(max_examples=30, deadline=None)
def test_equals_the_eigenproblem(d1: int, d2: int, shared: int, seed: int) -> None:
    x, y = draw(120, d1, d2, shared, seed)
    assert pwcca(x, y) == pytest.approx(slow(x, y), abs=1e-6)


def test_correlations_equal_scikit_learn() -> None:
    # With one column, all weight is on one correlation.
    x, y = draw(200, 1, 4, 2)
    ours, theirs = CCA(1, scale=False).fit(x, y).transform(x, y)
    assert pwcca(x, y) == pytest.approx(np.corrcoef(ours[:, 0], theirs[:, 0])[0, 1], abs=1e-6)


def test_closed_form() -> None:
    # Two uncorrelated columns, one of them shared: weights 3 and 1, correlations 1 and 0.
    angle = 2 * np.pi * np.arange(200) / 200
    x = np.stack([3 * np.sin(angle), np.cos(angle)], axis=1)
    y = np.stack([np.sin(angle), np.sin(2 * angle)], axis=1)
    assert pwcca(x, y) == pytest.approx(0.75)
    assert pwcca(y, x) == pytest.approx(0.5)


def test_is_one_for_the_same_embeddings() -> None:
    x, _ = draw(300, 12, 2, 2)
    assert pwcca(x, x) == pytest.approx(1, abs=1e-12)
    assert pwcca(x, -2 * x + 7) == pytest.approx(1, abs=1e-12)


@given(seed=st.integers(0, 999))
@settings(max_examples=15, deadline=None)
def test_no_invertible_map_of_y_changes_it(seed: int) -> None:
    x, y = draw(200, 6, 5, 2, seed)
    random = np.random.default_rng(seed)
    rotation = np.linalg.qr(random.normal(size=(5, 5)))[0]
    mapped = (y @ rotation * np.geomspace(1e-4, 1e4, 5)) @ random.normal(size=(5, 5)) + 9
    assert pwcca(x, mapped) == pytest.approx(pwcca(x, y), abs=1e-6)


def test_a_map_of_x_changes_it() -> None:
    x, y = draw(200, 6, 5, 2)
    assert abs(pwcca(x * np.geomspace(1, 1000, 6), y) - pwcca(x, y)) > 0.01


def test_columns_that_are_sums_of_others_add_nothing() -> None:
    x, y = draw(200, 6, 5, 2)
    assert pwcca(x, np.c_[y, y[:, 0] + y[:, 1], y[:, 2]]) == pytest.approx(pwcca(x, y), abs=1e-9)
    assert pwcca(np.c_[x, x], y) == pytest.approx(pwcca(x, y), abs=1e-9)


def test_warns_where_clips_are_few_and_says_what_noise_would_score() -> None:
    random = np.random.default_rng(0)
    with pytest.warns(UserWarning, match=r"50 clips are few.*about 0\.90"):
        few = pwcca(random.normal(size=(50, 40)), random.normal(size=(50, 40)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        many = pwcca(random.normal(size=(500, 40)), random.normal(size=(500, 40)))
    assert few == pytest.approx(0.85, abs=0.03)
    assert many == pytest.approx(0.25, abs=0.02)


def test_noise_level_is_the_root_mean_square_of_noise() -> None:
    random = np.random.default_rng(0)
    squares = []
    for _ in range(300):
        x, y = random.normal(size=(60, 5)), random.normal(size=(60, 3))
        basis, other = (np.linalg.qr(m - m.mean(axis=0))[0] for m in (x, y))
        squares.append(np.mean(np.linalg.svd(basis.T @ other, compute_uv=False) ** 2))
    assert np.sqrt(np.mean(squares)) == pytest.approx(noise_level(60, 5, 3), rel=0.05)
    assert noise_level(10, 40, 2) == 1
    with pytest.raises(ValueError, match="at least 1"):
        noise_level(10, 0, 2)


X = np.random.default_rng(1).normal(size=(30, 3))
BROKEN = X.copy()
BROKEN[[4, 9], 1] = np.nan


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X, X[:-1], "x has 30 clips and y 29"),
        (X[:, 0], X, r"x must have shape .*not \(30,\)"),
        (X, X[:, :0], r"y must have shape .*not \(30, 0\)"),
        (X, BROKEN, "y: 2 of 30 clips have values that are not finite"),
        (X[:3], X[:3], "x: 3 clips with 3 dimensions correlate perfectly with anything"),
        (X, np.c_[X, np.full(30, 0.1)], r"y: 1 of 4 columns are constant \(3\)"),
    ],
)
def test_refuses(x: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        pwcca(x, y)


# t-SNE: clusters stay together, pictures repeat, and what cannot be drawn is refused


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
def test_tsne_refuses(points: np.ndarray, perplexity: float, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        tsne(points, perplexity=perplexity)


@pytest.mark.parametrize("perplexity", [0.5, np.nan, np.inf])
def test_refuses_a_perplexity(perplexity: float) -> None:
    with pytest.raises(ValueError, match="perplexity must"):
        tsne(POINTS, perplexity=perplexity)


# The distance of frequencies: closed forms, symmetry, the triangle, bad input


WORDS = st.text("abcd", min_size=1, max_size=12)


def test_closed_forms() -> None:
    assert frequency_distance("aabb", "ab") == 0
    assert frequency_distance("ab", "cd") == pytest.approx(1)
    # (1, 0) and (1/2, 1/2): the middle is (3/4, 1/4).
    divergence = (math.log2(4 / 3) + 0.5 * math.log2(2 / 3) + 0.5 * math.log2(2)) / 2
    assert frequency_distance("a", "ab") == pytest.approx(math.sqrt(divergence))


@given(WORDS, WORDS, WORDS)
@settings(max_examples=40, deadline=None)
def test_it_is_a_metric(first: str, second: str, third: str) -> None:
    left, other = frequency_distance(first, second), frequency_distance(second, first)
    assert left == pytest.approx(other, abs=1e-9)
    assert 0 <= left <= 1 + 1e-9
    assert frequency_distance(first, third) <= left + frequency_distance(second, third) + 1e-7


def test_an_empty_sample_is_refused() -> None:
    with pytest.raises(EvaluationError, match="a sample is empty"):
        frequency_distance("abc", "")
