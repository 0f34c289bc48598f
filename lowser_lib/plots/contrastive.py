"""Figures of contrastive learning: points on a circle, pairs of a batch, weights, differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Patch
from numpy.typing import ArrayLike

from lowser_lib.plots.parts import draw_interval, hollow_note
from lowser_lib.plots.style import (
    ABSENT,
    COUNTS,
    GROUP_COLOURS,
    colours_for,
    one_panel,
    panels,
    styled,
)

#: Length of the longest arrow of a figure, where the circle's radius is 1.
LONGEST_ARROW = 0.7


@styled
def unit_circle(
    points: Mapping[str, ArrayLike],
    groups: Sequence[str],
    title: str = "",
    *,
    arrows: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw named points on the unit circle, with an arrow each where they are pulled.

    Args:
        points: Name of each point to its two coordinates; only their direction is drawn.
        groups: Group of each point, such as its speaker: gives its colour.
        title: What is shown.
        arrows: Shape (n, 2), where each point is pulled, in any unit; the longest is drawn at
            :data:`LONGEST_ARROW`.
        ax: Axes to draw into; by default a new figure.
    """
    places = np.array([np.asarray(point, dtype=np.float64) for point in points.values()])
    if places.ndim != 2 or places.shape[1] != 2 or len(groups) != len(places):
        raise ValueError(
            f"points must be pairs of coordinates with a group each, not of shape {places.shape} "
            f"with {len(groups)} groups"
        )
    figure, ax = one_panel(ax, 3.4, 3.4)
    ax.add_patch(Circle((0, 0), 1, fill=False, color=ABSENT))
    places = places / np.linalg.norm(places, axis=1, keepdims=True)
    colours = colours_for(groups)
    for number, (name, group, place) in enumerate(zip(points, groups, places, strict=True)):
        ax.plot([0, place[0]], [0, place[1]], color=colours[group], linewidth=0.8, alpha=0.5)
        ax.plot(*place, "o", color=colours[group], markersize=9)
        before = np.linalg.norm(places[:number] - place, axis=1)
        away = 1.18 + 0.24 * int((before < 0.2).sum())  # names of neighbours stand side by side
        ax.annotate(name, place, xytext=place * away, ha="center", va="center", fontsize=9)
    if arrows is not None:
        pulls = np.asarray(arrows, dtype=np.float64)
        if pulls.shape != places.shape:
            raise ValueError(f"arrows must be of shape {places.shape}, not {pulls.shape}")
        longest = max(float(np.linalg.norm(pulls, axis=1).max()), 1e-12)
        for place, pull in zip(places, LONGEST_ARROW * pulls / longest, strict=True):
            ax.annotate(
                "", place + pull, xytext=tuple(place),
                arrowprops={"arrowstyle": "-|>", "color": "#333333", "linewidth": 1.3},
            )  # fmt: skip
    ax.set(xlim=(-1.55, 1.55), ylim=(-1.3, 1.3), aspect="equal", xticks=[], yticks=[], title=title)
    ax.set_xlabel("embeddings at length 1")
    ax.spines[:].set_visible(False)
    return figure


@styled
def pair_roles(labels: ArrayLike, title: str = "", ax: Axes | None = None) -> Figure:
    """Draw what each clip of a batch is to each other: itself, a positive or a negative.

    Args:
        labels: Shape (n,), the speaker of each clip.
        title: What batch it is.
        ax: Axes to draw into; by default a new figure.
    """
    speakers = np.asarray(labels)
    if speakers.ndim != 1 or not len(speakers):
        raise ValueError(f"labels must be of shape (n,), not {speakers.shape}")
    figure, ax = one_panel(ax, 4.6, 3.4)
    roles = (speakers[:, None] == speakers).astype(int)
    np.fill_diagonal(roles, 2)
    shades = {"negative": "#E8EEF4", "positive": GROUP_COLOURS[0], "itself": "#333333"}
    ax.imshow(
        roles, cmap=ListedColormap(list(shades.values())), vmin=0, vmax=2, origin="upper",
        aspect="equal",
    )  # fmt: skip
    handles = [Patch(facecolor=colour, label=name) for name, colour in shades.items()]
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0.5)
    ax.set(xlabel="other clip", ylabel="anchor", title=title)
    return figure


@styled
def strips(
    rows: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Draw a strip of shades a row, each against its own largest value: the larger, the darker.

    Args:
        rows: Values by name, each of shape (n,), at least 0; the first is drawn at the top.
        xlabel: What stands beside each other.
        ylabel: What the rows are.
        title: What the values are.
        ax: Axes to draw into; by default a new figure.
    """
    values = [np.asarray(row, dtype=np.float64) for row in rows.values()]
    if not values or len({row.shape for row in values}) > 1 or values[0].ndim != 1:
        raise ValueError(f"rows must be of one shape (n,), not {[row.shape for row in values]}")
    figure, ax = one_panel(ax, 7, 0.9 + 0.3 * len(values))
    table = np.stack([row / max(float(row.max()), 1e-300) for row in values])
    ax.imshow(table, cmap=COUNTS, vmin=0, vmax=1, origin="upper")
    ax.set_yticks(range(len(values)), [str(name) for name in rows])
    ax.tick_params(length=0)
    ax.set_xticks([0, table.shape[1] - 1], ["1", str(table.shape[1])])
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.hlines(np.arange(0.5, len(values) - 1), -0.5, table.shape[1] - 0.5, color="white")
    return figure


@styled
def differences(
    rows: pd.DataFrame | Sequence[Mapping[str, Any]],
    xlabel: str = "difference in macro-F1",
    goal: float | None = None,
) -> Figure:
    """Draw differences with their intervals about a line at zero: a panel a test.

    Args:
        rows: ``label``, ``test``, ``estimate``, ``low`` and ``high`` of each difference. Where the
            bounds are ``nan`` the interval is not estimable, and the marker is hollow.
        xlabel: What the differences are of.
        goal: A difference that was aimed at, drawn as a dashed line.
    """
    table = pd.DataFrame(rows)
    lacking = {"label", "test", "estimate", "low", "high"} - set(table.columns)
    if lacking or table.empty:
        raise ValueError(f"rows must hold differences, but lack {sorted(lacking) or 'any row'}")
    labels, tests = (list(dict.fromkeys(table[key])) for key in ("label", "test"))
    colours = colours_for(labels)
    figure, axes = panels(1, len(tests), height=1.0 + 0.3 * len(labels), sharex=True, sharey=True)
    for ax, test in zip(axes[0], tests, strict=True):
        ax.axvline(0, color="#333333", linewidth=1)
        if goal is not None:
            ax.axvline(goal, color="#888888", linestyle="--", linewidth=1)
        for _, row in table[table["test"] == test].iterrows():
            level, colour = labels.index(row["label"]), colours[row["label"]]
            draw_interval(ax, row, level, colour)
        ax.set_title(str(test))
        ax.grid(axis="x")
    axes[0, 0].set_yticks(range(len(labels)), labels)
    axes[0, 0].set_ylim(len(labels) - 0.5, -0.5)
    dashed = "" if goal is None else f" (dashed: {goal:+g})"
    figure.supxlabel(xlabel + dashed + hollow_note(table), fontsize=9)
    return figure
