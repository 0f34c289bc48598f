"""Plain figures, for whatever a chapter has to show once: lines, bars, outlines, images, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike

from lowser_lib.plots.style import (
    GROUP_COLOURS,
    INK,
    SPECTROGRAM,
    colours_for,
    heatmap,
    name_cells,
    one_panel,
    panels,
    styled,
)

_SMALL_DPI = 100
"""Of figures that hold little but numbers: a smaller file."""


@styled
def lines(
    curves: Mapping[str, ArrayLike],
    x: ArrayLike | None = None,
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    level: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw curves over one axis, from zero upwards.

    Args:
        curves: Values by name, each of shape (n,), at least 0.
        x: Where they were taken, shape (n,); by default 0, 1, 2, ...
        xlabel: What ``x`` is, with its unit.
        ylabel: What the values are, with their unit.
        title: What is shown.
        level: A value to compare with, drawn as a dashed line.
        ax: Axes to draw into; by default a new figure.
    """
    if not curves:
        raise ValueError("curves must hold at least one curve, but is empty")
    figure, ax = one_panel(ax, 7, 2.3)
    for name, colour in colours_for(curves).items():
        values = np.asarray(curves[str(name)])
        where = np.arange(len(values)) if x is None else np.asarray(x)
        marker = "o" if len(values) <= 20 else ""
        ax.plot(where, values, marker=marker, markersize=4, color=colour, label=str(name))
    if level is not None:
        ax.axhline(level, color="#888888", linestyle="--", linewidth=1)
    if len(curves) > 1:
        ax.legend()
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.set_ylim(bottom=0)
    ax.grid(axis="y")
    return figure


@styled
def line_panels(
    tables: Mapping[str, pd.DataFrame],
    *,
    xlabel: str,
    ylabel: str = "",
    title: str = "",
    columns: int | None = None,
) -> Figure:
    """Draw curves over the same steps, a panel a table.

    Args:
        tables: By title: a row a step, in the order drawn, a column a curve.
        xlabel: What the rows are, with their unit.
        ylabel: What the values are, with their unit; empty where panels have units of their own.
        title: Of the whole.
        columns: Panels side by side; by default all, which then share their axis.
    """
    if not tables:
        raise ValueError("tables must hold at least one table, but is empty")
    across = columns or len(tables)
    rows = -(-len(tables) // across)
    colours = colours_for(dict.fromkeys(name for its in tables.values() for name in its))
    height = 0.3 + 2.2 * rows + 0.4 * (len(colours) > 3)
    figure, axes = panels(rows, across, height=height, sharey=columns is None)
    for ax, (name, table) in zip(axes.flat, tables.items(), strict=False):
        for column in table:
            ax.plot(range(len(table)), table[column], "o-", markersize=4, color=colours[column],
                    label=str(column))  # fmt: skip
        every = -(-len(table) // 8)  # as many numbers as there is room for
        ax.set_xticks(range(0, len(table), every), [f"{step:g}" for step in table.index[::every]])
        ax.set(xlabel=xlabel, title=name)
        ax.grid(axis="y")
    axes[0, 0].set_ylabel(ylabel)
    if len(colours) > 3:  # more than fit beside curves
        entries = axes.flat[0].get_legend_handles_labels()
        figure.legend(*entries, loc="outside lower center", ncols=3)
    else:
        axes.flat[len(tables) - 1].legend()
    for ax in axes.flat[len(tables) :]:
        ax.set_axis_off()
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, weight="bold")
    return figure


@styled
def bars(
    values: Mapping[str, float],
    *,
    xlabel: str,
    title: str = "",
    limits: tuple[float, float] | None = None,
    logarithmic: bool = False,
    form: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw one bar a name, from left to right.

    Args:
        values: Length of each bar.
        xlabel: What the lengths are, with their unit.
        title: What is shown.
        limits: Ends of the axis; a logarithmic one needs a first value above 0.
        logarithmic: Whether equal steps are equal ratios.
        form: How each length is written at the end of its bar, as for :func:`format`, less a
            final ``.0``; by default not at all.
        ax: Axes to draw into; by default a new figure.
    """
    if not values:
        raise ValueError("values must hold at least one bar, but is empty")
    figure, ax = one_panel(ax, 7, 0.9 + 0.34 * len(values))
    drawn = ax.barh([str(name) for name in values], list(values.values()), height=0.7,
                    color=GROUP_COLOURS[0])  # fmt: skip
    if form is not None:
        texts = [format(value, form).removesuffix(".0") for value in values.values()]
        ax.bar_label(drawn, texts, padding=3, fontsize=8)
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)
    if logarithmic:
        ax.set_xscale("log")
    if limits is not None:
        ax.set_xlim(limits)
    ax.set(xlabel=xlabel, title=title)
    ax.grid(axis="x")
    return figure


@styled
def outlines(
    groups: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    title: str = "",
    bins: int = 40,
    ax: Axes | None = None,
) -> Figure:
    """Draw a histogram a group as outlines over each other, each of the same area.

    Args:
        groups: Values by name, each of shape (n,).
        xlabel: What the values are, with their unit.
        title: What is shown.
        bins: Steps of each outline; fewer for fewer values.
        ax: Axes to draw into; by default a new figure.
    """
    samples = {str(name): np.asarray(values, dtype=np.float64) for name, values in groups.items()}
    if not samples or not all(len(values) for values in samples.values()):
        raise ValueError(f"groups must hold values, not {[len(v) for v in samples.values()]}")
    figure, ax = one_panel(ax, 7, 2.4)
    together = np.concatenate(list(samples.values()))
    edges = np.linspace(together.min(), together.max(), bins + 1)
    for name, colour in colours_for(samples).items():
        heights, _ = np.histogram(samples[str(name)], edges, density=True)
        ax.stairs(heights, edges, color=colour, linewidth=1.5, label=str(name))
    ax.set(xlabel=xlabel, ylabel="share of clips", yticks=[], title=title)
    ax.legend()
    return figure


@styled
def dots(
    groups: Mapping[str, ArrayLike], *, xlabel: str, title: str = "", ax: Axes | None = None
) -> Figure:
    """Draw one dot a value, a row a group, and a bar at the mean of each group.

    Args:
        groups: Values by name, each of shape (n,).
        xlabel: What the values are, with their unit.
        title: What is shown.
        ax: Axes to draw into; by default a new figure.
    """
    if not groups:
        raise ValueError("groups must hold at least one group, but is empty")
    figure, ax = one_panel(ax, 7, 0.9 + 0.4 * len(groups))
    scatter = np.random.default_rng(0)  # up and down, so that equal values do not hide each other
    for row, (name, colour) in enumerate(colours_for(groups).items()):
        values = np.asarray(groups[str(name)], dtype=np.float64)
        height = row + scatter.uniform(-0.3, 0.3, len(values))
        ax.plot(values, height, ".", color=colour, markersize=4)
        ax.plot([values.mean()] * 2, [row - 0.42, row + 0.42], color=INK, linewidth=2)
    ax.set_yticks(range(len(groups)), [str(name) for name in groups])
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel=xlabel, title=title)
    return figure


@styled
def images(
    pictures: Mapping[str, ArrayLike],
    *,
    seconds: float,
    ylabel: str,
    line: float | None = None,
    colours: str = SPECTROGRAM,
) -> Figure:
    """Draw matrices over time side by side, each on its own scale of colours.

    Args:
        pictures: Matrices by title, each of shape (rows, time steps); rows from the bottom.
        seconds: What the width stands for.
        ylabel: What the rows are.
        line: A moment to mark, in seconds.
        colours: Name of a colour map of matplotlib's.
    """
    if not pictures:
        raise ValueError("pictures must hold at least one matrix, but is empty")
    figure, axes = panels(1, len(pictures), height=2.4)
    for ax, (title, values) in zip(axes[0], pictures.items(), strict=True):
        matrix = np.asarray(values)
        if matrix.ndim != 2:
            raise ValueError(f"picture {title!r} must have two dimensions, not {matrix.ndim}")
        ax.imshow(matrix, cmap=colours, extent=(0, seconds, 0, len(matrix)))
        if line is not None:
            ax.axvline(line, color="black", linewidth=1.5)
        ax.set(title=title, xlabel="time (s)")
    axes[0, 0].set_ylabel(ylabel)
    return figure


@styled
def value_heatmap(
    table: pd.DataFrame,
    title: str = "",
    *,
    limits: tuple[float, float] = (0.0, 1.0),
    form: str = ".2f",
    ax: Axes | None = None,
) -> Figure:
    """Draw a table of numbers: each is written down, and the larger, the darker.

    Args:
        table: Numbers; names of rows and columns are written beside it, and the name of the
            columns below. A cell that is not a number stays empty.
        title: What the numbers are, with their unit.
        limits: The number that is white and the one that is darkest; what lies beyond is no
            lighter or darker.
        form: How a number is written, as for :func:`format`.
        ax: Axes to draw into; by default a new figure.
    """
    low, high = limits
    if table.empty or not high > low:
        raise ValueError(
            f"table must hold numbers and limits rise, not {table.shape} and {limits!r}"
        )
    values = table.to_numpy(dtype=np.float64)
    figure, ax = one_panel(ax, 2.2 + 0.8 * values.shape[1], 0.9 + 0.32 * values.shape[0])
    shades = np.nan_to_num((values - low) / (high - low)).clip(0, 1)
    texts = [["" if np.isnan(value) else format(value, form) for value in row] for row in values]
    heatmap(ax, shades, texts)
    name_cells(ax, table)
    ax.set_title(title)
    return figure


@styled
def value_heatmaps(
    tables: Mapping[str, pd.DataFrame],
    title: str = "",
    *,
    limits: tuple[float, float] = (0.0, 1.0),
    form: str = ".2f",
    width: float = 7.0,
) -> Figure:
    """Draw tables with the same rows side by side, as :func:`value_heatmap` draws each.

    Args:
        tables: Tables by title.
        title: Of the whole.
        limits: As for one table.
        form: As for one table.
        width: In inches.
    """
    if not tables:
        raise ValueError("tables must hold at least one table, but is empty")
    rows = max(len(table) for table in tables.values())
    figure, axes = panels(1, len(tables), width, 0.9 + 0.3 * rows, sharey=True)
    figure.set_dpi(_SMALL_DPI)
    for ax, (name, table) in zip(axes[0], tables.items(), strict=True):
        value_heatmap(table, name, limits=limits, form=form, ax=ax)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, weight="bold")
    return figure


@styled
def over_distance(
    rows: pd.DataFrame | Sequence[Mapping[str, Any]],
    ylabel: str,
    xlabel: str = "distance from English",
) -> Figure:
    """Draw estimates with their intervals over distances: a panel a quantity.

    Args:
        rows: ``what``, ``language``, ``distance``, ``estimate``, ``low`` and ``high`` of each.
            Where the bounds are ``nan`` the interval is not estimable, and the marker is hollow.
        ylabel: What the estimates are, with their unit.
        xlabel: What the distances are.
    """
    table = pd.DataFrame(rows)
    lacking = {"what", "language", "distance", "estimate", "low", "high"} - set(table.columns)
    if lacking or table.empty:
        raise ValueError(f"rows must hold estimates, but lack {sorted(lacking) or 'any row'}")
    quantities, colour = list(dict.fromkeys(table["what"])), GROUP_COLOURS[0]
    figure, axes = panels(1, len(quantities), height=2.4)
    for ax, what in zip(axes[0], quantities, strict=True):
        for _, row in table[table["what"] == what].iterrows():
            known = bool(row[["low", "high"]].notna().all())
            if known:
                ax.plot([row["distance"]] * 2, [row["low"], row["high"]], color=colour, linewidth=2)
            ax.plot(
                row["distance"], row["estimate"], "o", color=colour, markersize=5,
                markerfacecolor=colour if known else "white",
            )  # fmt: skip
            ax.annotate(
                str(row["language"]), (row["distance"], row["estimate"]), xytext=(4, 4),
                textcoords="offset points", fontsize=8,
            )  # fmt: skip
        ax.axhline(0, color="#888888", linewidth=0.8)
        ax.margins(x=0.12)
        ax.set(title=str(what))
    hollow = " (hollow: no interval)" if table[["low", "high"]].isna().any(axis=None) else ""
    figure.supxlabel(xlabel + hollow, fontsize=9)
    axes[0, 0].set_ylabel(ylabel)
    return figure


#: Furthest that a group's dots stand aside, as a part of the smallest step between shares.
ASIDE = 0.12


@styled
def group_curves(
    rows: pd.DataFrame | Sequence[Mapping[str, Any]],
    *,
    xlabel: str = "share of men's clips in training",
    ylabel: str = "UAR",
    title: str = "",
    level: float | None = None,
) -> Figure:
    """Draw scores over a share with intervals: a panel a test, a line a group.

    Args:
        rows: ``test``, ``group``, ``share`` (0 to 1), ``estimate``, ``low`` and ``high`` of each
            result. Bounds that are ``nan`` are not drawn.
        xlabel: What the share is.
        ylabel: What the scores are.
        title: Above all panels.
        level: A value to compare with, drawn as a dashed line, such as chance, or no gap.
    """
    table = pd.DataFrame(rows)
    lacking = {"test", "group", "share", "estimate", "low", "high"} - set(table.columns)
    if lacking or table.empty:
        raise ValueError(f"rows must hold results, but lack {sorted(lacking) or 'any row'}")
    tests, groups = (list(dict.fromkeys(table[key])) for key in ("test", "group"))
    shares = np.unique(table["share"].to_numpy(dtype=np.float64))
    step = float(min(0.1, *np.diff(shares))) if len(shares) > 1 else 0.1
    aside = ASIDE * step * np.linspace(-1, 1, len(groups)) if len(groups) > 1 else [0.0]
    figure, axes = panels(1, len(tests), height=2.7, sharex=True, sharey=True)
    for ax, test in zip(axes[0], tests, strict=True):
        if level is not None:
            ax.axhline(level, color="#888888", linestyle="--", linewidth=1)
        for shift, (group, colour) in zip(aside, colours_for(groups).items(), strict=True):
            part = table[(table["test"] == test) & (table["group"] == group)].sort_values("share")
            place = part["share"].to_numpy(dtype=np.float64) + shift
            ax.plot(place, part["estimate"], "o-", color=colour, markersize=4, label=str(group))
            ax.vlines(place, part["low"], part["high"], color=colour, linewidth=1.6, alpha=0.6)
        ax.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
        ax.set_xticks(shares)
        ax.tick_params(axis="x", labelsize=8)
        ax.set_title(str(test))
        ax.grid(axis="y")
    if len(groups) > 1:
        handles, names = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(groups))
    axes[0, 0].set_ylabel(ylabel)
    axes[0, len(tests) // 2].set_xlabel(xlabel)  # a label of the figure would lie on the legend
    if title:
        figure.suptitle(title, fontsize=10, fontweight="bold", x=0.01, ha="left")
    return figure
