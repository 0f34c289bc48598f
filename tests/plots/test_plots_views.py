"""Figures of views: their bars, lines and texts are the numbers given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from lowser_lib.plots.speech import family_bars, layer_curves, probe_heatmaps
from lowser_lib.plots.style import colours_for

FAMILY = {"F0": "pitch", "jitter": "voice", "shimmer": "voice", "peaks": "timing"}


@pytest.mark.parametrize("names", [True, False])
def test_a_bar_a_feature_in_its_familys_colour(names: bool) -> None:
    values = pd.Series({"shimmer": -1.5, "F0": 2.0})
    (ax,) = family_bars(values, FAMILY, label="steps", title="t", names=names).axes
    bars = [bar for bar in ax.patches if isinstance(bar, Rectangle)]
    lengths = [bar.get_width() if names else bar.get_height() for bar in bars]
    assert lengths == [-1.5, 2.0]
    colours = colours_for(FAMILY.values())
    assert [to_hex(bar.get_facecolor()) for bar in ax.patches] == [
        colours[item].lower() for item in ("voice", "pitch")
    ]
    # Families in the order of all features; those that are not drawn are not in the legend.
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["pitch", "voice"]
    assert (ax.get_xlabel() if names else ax.get_ylabel()) == "steps"
    assert [label.get_text() for label in ax.get_yticklabels()][:2] == [
        "shimmer",
        "F0",
    ] or not names


def test_the_strongest_of_each_family() -> None:
    values = {"F0": 0.1, "shimmer": 0.5, "jitter": -1.5, "peaks": 0.2}
    (ax,) = family_bars(values, FAMILY, label="steps", strongest=1).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["F0", "jitter", "peaks"]


def test_features_need_a_family() -> None:
    with pytest.raises(ValueError, match="'F9' has none"):
        family_bars({"F9": 1.0}, FAMILY, label="")
    with pytest.raises(ValueError, match="at least one feature"):
        family_bars({}, FAMILY, label="")


SCORES = pd.DataFrame({"emotion": [0.5, 0.75], "speaker": [0.25, 0.125]}, index=["mel", "w2v"])
CHANCES = {"speaker": 0.0625, "emotion": 0.25}


def test_scores_guessing_and_what_lies_above_dealt_labels() -> None:
    left, right = probe_heatmaps(SCORES, CHANCES, SCORES / 2, "people").axes
    texts = [text.get_text() for text in left.texts if text.get_text()]
    assert texts == ["0.50", "0.25", "0.75", "0.12", "0.25", "0.06"]
    assert [label.get_text() for label in left.get_yticklabels()] == ["mel", "w2v", "guessing"]
    assert left.get_title(loc="left") == "UAR, people"
    assert [text.get_text() for text in right.texts if text.get_text()] == [
        "0.25", "0.12", "0.38", "0.06",
    ]  # fmt: skip
    assert len(probe_heatmaps(SCORES, CHANCES).axes) == 1


def test_layers_beside_levels() -> None:
    layers = {
        "trained": {"emotion": [0.5, 0.6, 0.7], "speaker": [0.1, 0.2, 0.3]},
        "untrained": {"emotion": [0.3, 0.3, 0.3], "speaker": [0.1, 0.1, 0.1]},
    }
    levels = {"mel": {"emotion": 0.55, "speaker": 0.9}}
    figure = layer_curves(layers, levels, {"emotion": 0.25, "speaker": 0.04}, "people")
    first, second = figure.axes
    assert [line.get_label() for line in first.lines] == ["trained", "untrained", "mel", "guessing"]
    np.testing.assert_array_equal(first.lines[0].get_ydata(), [0.5, 0.6, 0.7])
    np.testing.assert_array_equal(second.lines[0].get_ydata(), [0.1, 0.2, 0.3])
    assert np.asarray(second.lines[2].get_ydata())[0] == 0.9
    assert np.asarray(second.lines[3].get_ydata())[0] == 0.04
    assert second.get_title(loc="left") == "speaker, people"
    assert len(figure.legends) == 1
    with pytest.raises(ValueError, match="must not be empty"):
        layer_curves({}, levels, CHANCES)
