"""The figure over distances: a panel a quantity, hollow markers, bad input."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from lowser_lib import plots

ROWS = [
    {"what": what, "language": code, "distance": far, "estimate": far / 2, "low": low, "high": 1.0}
    for what in ("level", "gain")
    for code, far, low in (("en", 0.0, -1.0), ("de", 0.4, -0.5), ("bn", 0.7, math.nan))
]


def test_a_panel_a_quantity_with_every_language() -> None:
    figure = plots.over_distance(ROWS, "macro-F1")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["level", "gain"]
    for ax in figure.axes:
        assert [text.get_text() for text in ax.texts] == ["en", "de", "bn"]
        markers = [line for line in ax.lines if line.get_marker() == "o"]
        assert [line.get_markerfacecolor() == "white" for line in markers] == [False, False, True]
        # Three markers, two intervals, one line at zero.
        assert len(ax.lines) == 6
    assert "hollow" in figure.get_supxlabel()
    assert figure.axes[0].get_ylabel() == "macro-F1"


def test_missing_columns_are_named() -> None:
    with pytest.raises(ValueError, match="lack \\['distance'\\]"):
        plots.over_distance(
            [{key: value for key, value in ROWS[0].items() if key != "distance"}], "macro-F1"
        )
    with pytest.raises(ValueError, match="lack any row"):
        plots.over_distance(pd.DataFrame(columns=list(ROWS[0])), "macro-F1")
