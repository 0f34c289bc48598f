"""Figures of contrastive learning: what they draw, and what they refuse."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from PIL import Image

from lowser_lib import plots
from lowser_lib.plots.style import CourseFigure

NAN = float("nan")
POINTS = {"A1": (1, 0), "A2": (0, 2), "B1": (-0.6, 0.8), "B2": (0, -1)}
SPEAKERS = ["A", "A", "B", "B"]
ROWS = [
    {"label": "over seeds", "test": "Urdu", "estimate": 0.02, "low": -0.01, "high": 0.05},
    {"label": "over speakers", "test": "Urdu", "estimate": 0.02, "low": NAN, "high": NAN},
    {"label": "over seeds", "test": "German", "estimate": -0.03, "low": -0.05, "high": -0.01},
]

FIGURES: dict[str, Callable[[], Figure]] = {
    "unit_circle": lambda: plots.unit_circle(POINTS, SPEAKERS, "four", arrows=np.eye(4)[:, :2]),
    "pair_roles": lambda: plots.pair_roles([0, 0, 1, 1, 2, 2], "3 × 2"),
    "strips": lambda: plots.strips(
        {"warm": [3, 2, 1], "cold": [9, 1, 0]}, xlabel="negative", ylabel="temperature"
    ),
    "differences": lambda: plots.differences(ROWS, goal=0.03),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_small_labelled_and_drawn_the_same_twice(name: str) -> None:
    figure = FIGURES[name]()
    assert isinstance(figure, CourseFigure)
    png = figure.to_png()
    assert 2_000 < len(png) < 60_000
    again = FIGURES[name]()
    assert isinstance(again, CourseFigure)
    assert again.to_png() == png
    with Image.open(io.BytesIO(png)) as image:
        assert image.width <= 1200
    assert figure.get_supxlabel() or all(ax.get_xlabel() for ax in figure.axes)


def test_points_stand_on_the_circle_and_arrows_are_scaled_together() -> None:
    arrows = np.array([[4.0, 0], [0, 2], [0, 0], [0, 0]])
    figure = plots.unit_circle(POINTS, SPEAKERS, arrows=arrows)
    ax = figure.axes[0]
    dots = [np.asarray(line.get_xydata()) for line in ax.lines if line.get_marker() == "o"]
    places = [(1.0, 0.0), (0.0, 1.0), (-0.6, 0.8), (0.0, -1.0)]
    np.testing.assert_allclose(np.concatenate(dots), np.array(places))
    tips = [text.xy for text in ax.texts if isinstance(text, Annotation) and not text.get_text()]
    np.testing.assert_allclose(tips[:2], np.array([(1.7, 0), (0, 1.35)]))


def test_no_pull_at_all_can_be_drawn() -> None:
    plots.unit_circle(POINTS, SPEAKERS, arrows=np.zeros((4, 2)))


def test_roles_are_itself_positive_and_negative() -> None:
    image = plots.pair_roles(["a", "a", "b"]).axes[0].images[0]
    roles = np.array([(2, 1, 0), (1, 2, 0), (0, 0, 2)])
    np.testing.assert_array_equal(np.asarray(image.get_array()), roles)


def test_strips_are_shaded_against_their_own_largest() -> None:
    figure = plots.strips({"warm": [4, 2], "cold": [9, 0], "none": [0, 0]}, xlabel="x", ylabel="y")
    image = figure.axes[0].images[0]
    np.testing.assert_allclose(np.asarray(image.get_array()), np.array([(1, 0.5), (1, 0), (0, 0)]))


def test_differences_stand_about_zero_with_the_goal_dashed() -> None:
    figure = plots.differences(ROWS, goal=0.03)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["Urdu", "German"]
    places = [(np.asarray(line.get_xdata()), line.get_linestyle()) for line in figure.axes[0].lines]
    levels = [(float(x[0]), style) for x, style in places if len(x) == 2 and x[0] == x[1]]
    assert levels == [(0, "-"), (0.03, "--")]
    assert "not estimable" in figure.get_supxlabel()
    assert "+0.03" in figure.get_supxlabel()


def test_differences_take_the_rows_of_a_comparison() -> None:
    names = {"label": "method", "test": "corpus"}
    rows = [{names.get(key, key): value for key, value in row.items()} for row in ROWS]
    same, figure = plots.differences(ROWS), plots.differences(rows)
    assert isinstance(same, CourseFigure) and isinstance(figure, CourseFigure)
    assert figure.to_png() == same.to_png()


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: plots.unit_circle(POINTS, ["A"]), "groups"),
        (lambda: plots.unit_circle({"A": (1, 0, 0)}, ["A"]), "points"),
        (lambda: plots.unit_circle(POINTS, SPEAKERS, arrows=np.zeros((3, 2))), "arrows"),
        (lambda: plots.pair_roles([[0, 1]]), "labels"),
        (lambda: plots.strips({}, xlabel="x", ylabel="y"), "rows"),
        (lambda: plots.strips({"a": [1], "b": [1, 2]}, xlabel="x", ylabel="y"), "rows"),
        (lambda: plots.differences([]), "rows"),
        (lambda: plots.differences([{"label": "a"}]), "estimate"),
    ],
)
def test_bad_arguments_are_named(call: Callable[[], Figure], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        call()
