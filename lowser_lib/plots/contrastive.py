"""Figures of contrastive learning: pairs of a batch, of views, and what they are worth."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Patch, Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from lowser_lib.plots.style import (
    ABSENT,
    COUNTS,
    GROUP_COLOURS,
    HIGHLIGHT,
    TITLE_WIDTH,
    colours_for,
    draw_interval,
    hollow_note,
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
        rows: ``label``, ``test``, ``estimate``, ``low`` and ``high`` of each difference; those of
            :func:`lowser_lib.evaluation.compared` will do. Where the bounds are ``nan`` the
            interval is not estimable, and the marker is hollow.
        xlabel: What is on the axis.
        goal: A difference that was aimed at, drawn as a dashed line.
    """
    table = pd.DataFrame(rows).rename(columns={"method": "label", "corpus": "test"})
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
        ax.set_title(textwrap.fill(str(test), TITLE_WIDTH))
        ax.grid(axis="x")
        if len(tests) > 4:  # no room for more numbers
            ax.xaxis.set_major_locator(MaxNLocator(nbins=2))
    axes[0, 0].set_yticks(range(len(labels)), labels)
    axes[0, 0].set_ylim(len(labels) - 0.5, -0.5)
    dashed = "" if goal is None else f" (dashed: {goal:+g})"
    figure.supxlabel(xlabel + dashed + hollow_note(table), fontsize=9)
    return figure


#: White at 0, so that sign and size of a cosine are both seen; red and blue are told apart with the
#: common colour-vision deficiencies.
COSINES = "RdBu_r"
#: Furthest that an arm's dots stand aside, in steps between budgets.
ASIDE = 0.06


@styled
def similarity_matrix(
    cosines: ArrayLike,
    views: Sequence[str],
    title: str = "",
    *,
    framed: bool = False,
    ax: Axes | None = None,
) -> Figure:
    """Draw the cosines of the same clips seen through several views, a block a pair of views.

    Args:
        cosines: Shape (views × clips, views × clips), in [-1, 1]; all clips of the first view come
            first.
        views: Names of the views, in this order.
        title: Whose similarities they are.
        framed: Frame positives (a clip and itself, seen through another view), and hatch the
            negatives from an anchor's own view.
        ax: Axes to draw into; by default a new figure.
    """
    matrix = np.asarray(cosines, dtype=np.float64)
    count = len(views)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not count or len(matrix) % count:
        raise ValueError(
            f"cosines must be square with as many rows for each of {count} views, not "
            f"{matrix.shape}"
        )
    clips = len(matrix) // count
    figure, ax = one_panel(ax, 4.6, 3.8)
    image = ax.imshow(matrix, cmap=COSINES, vmin=-1, vmax=1, origin="upper", aspect="equal")
    for edge in range(1, count):
        ax.axhline(edge * clips - 0.5, color="black", linewidth=1.2)
        ax.axvline(edge * clips - 0.5, color="black", linewidth=1.2)
    if framed:
        _frame(ax, clips, count)
    middles = [(number + 0.5) * clips - 0.5 for number in range(count)]
    ax.set_xticks(middles, [str(name) for name in views])
    ax.set_yticks(middles, [str(name) for name in views], rotation=90, va="center")
    ax.tick_params(length=0)
    ax.set(title=title)
    figure.colorbar(image, ax=ax, label="cosine", shrink=0.8)
    return figure


def _frame(ax: Axes, clips: int, count: int) -> None:
    """Frame positives and hatch blocks of one view with itself, with a legend."""
    for row in range(count):
        for column in range(count):
            if row == column:
                corner = (row * clips - 0.5, row * clips - 0.5)
                ax.add_patch(
                    Rectangle(corner, clips, clips, fill=False, hatch="//", linewidth=0, alpha=0.35)
                )
                continue
            for clip in range(clips):
                corner = (column * clips + clip - 0.5, row * clips + clip - 0.5)
                ax.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="black", linewidth=1.6))
    handles = [
        Patch(facecolor="none", edgecolor="black", linewidth=1.6, label="positive"),
        Patch(facecolor="none", edgecolor="#888888", hatch="//", label="own view"),
    ]
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)


@styled
def budget_curves(
    rows: pd.DataFrame | Sequence[Mapping[str, Any]],
    *,
    ylabel: str = "UAR",
    title: str = "",
    chance: float | None = None,
) -> Figure:
    """Draw scores over label budgets with intervals: a panel a view, a line an arm.

    Args:
        rows: ``view``, ``budget`` (0: all labels), ``arm``, ``estimate``, ``low`` and ``high`` of
            each result, and if wanted ``mark``, a text above the budget. Bounds that are ``nan``
            are not drawn.
        ylabel: What the scores are.
        title: Above all panels, such as the name of a corpus.
        chance: What guessing scores.
    """
    table = pd.DataFrame(rows)
    lacking = {"view", "budget", "arm", "estimate", "low", "high"} - set(table.columns)
    if lacking or table.empty:
        raise ValueError(f"rows must hold results, but lack {sorted(lacking) or 'any row'}")
    views, arms = (list(dict.fromkeys(table[key])) for key in ("view", "arm"))
    budgets = sorted(set(table["budget"]), key=lambda budget: (budget == 0, budget))
    colours = colours_for(arms)
    figure, axes = panels(1, len(views), height=2.7, sharey=True)
    for ax, view in zip(axes[0], views, strict=True):
        seen = table[table["view"] == view]
        for number, arm in enumerate(arms):
            part = seen[seen["arm"] == arm]
            aside = ASIDE * (2 * number / max(1, len(arms) - 1) - 1) if arms[1:] else 0.0
            where = np.array([budgets.index(budget) for budget in part["budget"]]) + aside
            order = np.argsort(where)
            ax.plot(
                where[order], part["estimate"].to_numpy()[order], "o-", color=colours[arm],
                markersize=3.5, linewidth=1.2, label=str(arm),
            )  # fmt: skip
            ax.vlines(where, part["low"], part["high"], color=colours[arm], linewidth=1.5)
        if chance is not None:
            ax.axhline(chance, color="#888888", linestyle="--", linewidth=1)
        if "mark" in seen:
            _mark(ax, seen, budgets)
        ax.set_xticks(range(len(budgets)), [str(budget) if budget else "all" for budget in budgets])
        ax.set(title=str(view), xlabel="labels per class")
        ax.grid(axis="y")
    axes[0, 0].set_ylabel(ylabel)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(arms))
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
    return figure


def _mark(ax: Axes, seen: pd.DataFrame, budgets: Sequence[int]) -> None:
    """Write each budget's mark above everything drawn there."""
    for budget, part in seen.groupby("budget"):
        texts = [str(mark) for mark in dict.fromkeys(part["mark"].dropna()) if mark]
        top = float(np.nanmax(part[["estimate", "high"]].to_numpy(float)))
        for text in texts:
            ax.annotate(
                text, (budgets.index(budget), top), xytext=(0, 3), textcoords="offset points",
                ha="center", fontsize=9 if text == "*" else 7,
                color=HIGHLIGHT if text == "*" else "#777777",
            )  # fmt: skip
    low, high = ax.get_ylim()
    ax.set_ylim(low, max(high, np.nanmax(seen[["estimate", "high"]].to_numpy(float)) + 0.04))


@styled
def sign_flips(
    means: ArrayLike, observed: float, title: str = "", ax: Axes | None = None
) -> Figure:
    """Draw how many ways to give signs lead to each mean, and which reach as far as the observed.

    Args:
        means: Mean difference for each way to give signs, shape (ways,).
        observed: The mean with the signs as they were.
        title: What is shown.
        ax: Axes to draw into; by default a new figure.
    """
    values = np.asarray(means, dtype=np.float64).ravel()
    if len(values) < 2:
        raise ValueError(f"means must hold two ways at least, not {len(values)}")
    figure, ax = one_panel(ax, 5.4, 2.2)
    places, counts = np.unique(values.round(9), return_counts=True)
    far = np.abs(places) >= abs(observed) - 1e-8
    width = 0.8 * np.diff(places).min() if len(places) > 1 else 1.0
    for chosen, colour, label in (
        (~far, "#9EC5E0", "nearer to 0"), (far, HIGHLIGHT, "as far as observed"),
    ):  # fmt: skip
        ax.bar(places[chosen], counts[chosen], width=width, color=colour, label=label)
    ax.axvline(observed, color="#333333", linestyle="--", linewidth=1)
    ax.set(xlabel="mean difference", ylabel="ways to give signs", title=title)
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure
