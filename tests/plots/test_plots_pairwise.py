"""Figures of pairwise contrastive learning: what they draw, and what they refuse."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from lowser_lib import plots
from lowser_lib.plots.style import CourseFigure

COSINES = np.eye(6)
ROWS = [
    {
        "view": "mel", "budget": budget, "arm": arm, "estimate": 0.4, "low": 0.3, "high": 0.5,
        "mark": "*" if budget else "ns",
    }
    for budget, arm in product((0, 4, 1), ("scratch", "pairwise"))
]  # fmt: skip
SIGNS = [np.mean(np.array(signs) * [0.1, 0.2, 0.3]) for signs in product((1, -1), repeat=3)]

FIGURES: dict[str, Callable[[], Figure]] = {
    "similarity_matrix": lambda: plots.similarity_matrix(COSINES, ["a", "b"], "x", framed=True),
    "budget_curves": lambda: plots.budget_curves(ROWS, chance=0.25, title="German"),
    "sign_flips": lambda: plots.sign_flips(SIGNS, 0.2),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_small_and_drawn_the_same_twice(name: str) -> None:
    figure = FIGURES[name]()
    assert isinstance(figure, CourseFigure)
    png = figure.to_png()
    assert len(png) < 60_000
    with Image.open(io.BytesIO(png)) as image:
        assert image.width <= 1000
    again = FIGURES[name]()
    assert isinstance(again, CourseFigure)
    assert again.to_png() == png


def test_positives_are_framed_in_the_blocks_of_two_views() -> None:
    (ax, _) = FIGURES["similarity_matrix"]().axes
    boxes = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    cells = {(box.get_x() + 0.5, box.get_y() + 0.5) for box in boxes if box.get_width() == 1}
    assert cells == {(3, 0), (4, 1), (5, 2), (0, 3), (1, 4), (2, 5)}


def test_budgets_rise_and_all_labels_come_last_with_their_marks() -> None:
    (ax,) = FIGURES["budget_curves"]().axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "4", "all"]
    assert [text.get_text() for text in ax.texts] == ["ns", "*", "*"]
    assert all(np.all(np.diff(np.asarray(line.get_xdata(), float)) > 0) for line in ax.lines[:2])


def test_every_way_to_give_signs_is_counted_and_far_ones_are_coloured() -> None:
    (ax,) = FIGURES["sign_flips"]().axes
    near, far = ax.containers
    heights = [sum(bar.get_height() for bar in bars) for bars in (near, far)]
    assert heights == [6, 2]  # all plus, all minus


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: plots.similarity_matrix(np.eye(5), ["a", "b"]), "as many rows"),
        (lambda: plots.similarity_matrix(np.ones((2, 4)), ["a", "b"]), "square"),
        (lambda: plots.budget_curves([]), "lack"),
        (lambda: plots.budget_curves([{"view": "mel"}]), "budget"),
        (lambda: plots.sign_flips([0.1], 0.1), "two ways"),
    ],
)
def test_bad_arguments_are_named(call: Callable[[], Figure], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        call()
