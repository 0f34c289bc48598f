"""Figures of bias analysis: what they draw, and what they refuse."""

from __future__ import annotations

import io
from itertools import product

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lowser_lib import plots
from lowser_lib.plots.style import CourseFigure

ROWS = [
    {
        "test": test, "group": group, "share": share, "estimate": 0.7 - 0.2 * share,
        "low": 0.6 - 0.2 * share, "high": 0.8 - 0.2 * share,
    }
    for test, group, share in product(("a", "b"), ("female", "male"), (0.95, 0.5, 0.75))
]  # fmt: skip


def test_it_is_small_and_drawn_the_same_twice() -> None:
    figure = plots.group_curves(ROWS, title="x", level=0.25)
    assert isinstance(figure, CourseFigure)
    png = figure.to_png()
    assert len(png) < 60_000
    with Image.open(io.BytesIO(png)) as image:
        assert image.width <= 1000
    again = plots.group_curves(ROWS, title="x", level=0.25)
    assert isinstance(again, CourseFigure)
    assert again.to_png() == png


def test_shares_rise_in_every_panel_and_groups_have_their_colours() -> None:
    figure = plots.group_curves(ROWS, level=0.25)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["a", "b"]
    for ax in figure.axes:
        curves = [line for line in ax.lines if line.get_label() in ("female", "male")]
        assert [line.get_color() for line in curves] == [
            plots.GENDER_COLOURS[str(line.get_label())] for line in curves
        ]
        for line in curves:
            where = np.asarray(line.get_xdata(), dtype=float)
            np.testing.assert_allclose(where, [0.5, 0.75, 0.95], atol=0.05)
            assert np.all(np.diff(np.asarray(line.get_ydata(), dtype=float)) < 0)
        assert ax.xaxis.get_major_formatter()(0.75, 0) == "75%"


def test_bounds_that_are_not_known_are_not_drawn() -> None:
    rows = [{**row, "low": np.nan, "high": np.nan} for row in ROWS if row["test"] == "a"]
    (ax,) = plots.group_curves(rows).axes
    drawn = [path for part in ax.collections for path in part.get_paths()]
    assert drawn
    assert all(np.isnan(np.asarray(path.vertices)[:, 1]).all() for path in drawn)


def test_one_share_of_one_group_will_do() -> None:
    figure = plots.group_curves(ROWS[:1])
    assert not figure.legends
    assert plots.group_curves(ROWS).legends


def test_rows_without_results_are_refused() -> None:
    with pytest.raises(ValueError, match="'share'"):
        plots.group_curves([{"test": "a", "group": "b", "estimate": 1, "low": 0, "high": 1}])
    with pytest.raises(ValueError, match="any row"):
        plots.group_curves(pd.DataFrame(columns=list(ROWS[0])))
