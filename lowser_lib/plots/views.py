"""Figures of views: features by family, what probes found, what the layers of a model know."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from lowser_lib.plots.simple import value_heatmap
from lowser_lib.plots.style import colours_for, one_panel, panels, styled


@styled
def family_bars(
    values: Mapping[str, float] | pd.Series,
    family: Mapping[str, str],
    *,
    label: str,
    title: str = "",
    names: bool = True,
    ax: Axes | None = None,
) -> Figure:
    """Draw a bar for each feature, in the colour of its family.

    Args:
        values: Value of each feature, of either sign, in the order drawn.
        family: Family of each feature; may know more features than are drawn. Families take their
            colours in the order in which they appear here, so that figures agree.
        names: Whether to write the features' names, beside bars from top to bottom. Otherwise bars
            stand side by side without names, for many features.
    """
    bars = {str(name): float(value) for name, value in values.items()}
    if not bars:
        raise ValueError("values must hold at least one feature, but is empty")
    if missing := [name for name in bars if name not in family]:
        raise ValueError(f"family must name that of every feature; {missing[0]!r} has none")
    colours = colours_for(family.values())
    shades = [colours[family[name]] for name in bars]
    heights = np.asarray(list(bars.values()))
    if names:
        figure, ax = one_panel(ax, 7, 1.0 + 0.24 * len(heights))
        ax.barh(list(bars), heights, height=0.75, color=shades)
        ax.invert_yaxis()
        ax.axvline(0, color="#888888", linewidth=0.8)
        ax.tick_params(axis="y", length=0, labelsize=8)
        ax.set_xlabel(label)
        ax.grid(axis="x")
    else:
        figure, ax = one_panel(ax, 7, 2.3)
        ax.bar(np.arange(len(heights)), heights, width=0.8, color=shades)
        ax.axhline(0, color="#888888", linewidth=0.8)
        ax.set(ylabel=label, xlabel="feature", xticks=[])
        ax.grid(axis="y")
    drawn = {family[name] for name in bars}
    ax.legend(
        handles=[Patch(color=colours[kind], label=str(kind)) for kind in colours if kind in drawn],
        loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0.3,
    )  # fmt: skip
    ax.set_title(title)
    return figure


@styled
def probe_heatmaps(
    scores: pd.DataFrame,
    chances: Mapping[str, float],
    controls: pd.DataFrame | None = None,
    title: str = "",
) -> Figure:
    """Draw what probes scored: a row a view, a column a question, guessing below.

    Args:
        chances: Score of guessing, by question.
        controls: Scores on labels that mean nothing, of the same shape; the difference, the
            selectivity, is then drawn beside the scores.
    """
    figure, axes = panels(1, 1 if controls is None else 2, 3.6 if controls is None else 7, 1.9)
    below = pd.DataFrame([chances], index=["guessing"])[list(scores.columns)]
    value_heatmap(pd.concat([scores, below]), f"UAR, {title}", ax=axes[0, 0])
    if controls is not None:
        value_heatmap(scores - controls, "selectivity", ax=axes[0, 1])
    return figure


@styled
def layer_curves(
    layers: Mapping[str, Mapping[str, ArrayLike]],
    levels: Mapping[str, Mapping[str, float]],
    chances: Mapping[str, float],
    title: str = "",
) -> Figure:
    """Draw scores layer by layer, a panel a question, beside what does not come in layers.

    Args:
        layers: Scores in [0, 1] by model and question, each of shape (layers,), from what goes
            into the first layer onwards.
        levels: Scores to compare with, by name and question, drawn as horizontal lines.
        chances: Score of guessing, by question, drawn as a dotted line.
    """
    if not layers or not chances:
        raise ValueError("layers and chances must not be empty")
    rows = (len(chances) + 1) // 2
    figure, axes = panels(rows, 2, height=0.6 + 2.3 * rows)
    colours = colours_for([*layers, *levels])
    for ax, (question, chance) in zip(axes.flat, chances.items(), strict=False):
        for name, scores in layers.items():
            values = np.asarray(scores[question])
            ax.plot(range(len(values)), values, "o-", markersize=4, color=colours[name], label=name)
            ax.set_xticks(range(len(values)))
        for number, (name, scores_of) in enumerate(levels.items()):
            ax.axhline(
                scores_of[question], color=colours[name], linewidth=1.3, label=name,
                linestyle=("--", "-.")[number % 2],
            )  # fmt: skip
        ax.axhline(chance, color="#888888", linestyle=":", linewidth=1.3, label="guessing")
        ax.set(xlabel="layer", ylabel="UAR", title=f"{question}, {title}", ylim=(0, 1.03))
        ax.grid(axis="y")
    for ax in axes.flat[len(chances) :]:
        ax.set_axis_off()
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return figure
