"""Figures of what models do: scores, mistakes, training, embeddings."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from lowser_lib.plots.simple import lines
from lowser_lib.plots.style import (
    HIGHLIGHT,
    INK,
    TITLE_WIDTH,
    colours_for,
    draw_interval,
    heatmap,
    hollow_note,
    name_cells,
    one_panel,
    panels,
    styled,
)


class TrainingHistory(Protocol):
    """What :func:`learning_curve` reads of a training's history."""

    best_epoch: int | None

    def table(self) -> pd.DataFrame:
        """One row an epoch: ``loss``, any further losses, and ``score`` if there was validation."""


@styled
def confusion_matrix(table: pd.DataFrame, title: str = "", ax: Axes | None = None) -> Figure:
    """Draw a confusion matrix: shade and percentage are shares of the true class.

    Args:
        table: Counts, rows the truth, as of :func:`lowser_lib.evaluation.confusion`.
        title: Whose predictions, on what.
        ax: Axes to draw into; by default a new figure.
    """
    counts = table.to_numpy()
    figure, ax = one_panel(ax, 1.4 + 0.75 * counts.shape[1], 1.0 + 0.55 * counts.shape[0])
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    texts = [
        [f"{share:.0%}\n{count}" if total else "–" for share, count in zip(*row, strict=True)]
        for *row, total in zip(shares, counts, totals[:, 0], strict=True)
    ]
    heatmap(ax, shares, texts)
    name_cells(ax, table)
    ax.set(xlabel="prediction", ylabel="truth", title=title)
    return figure


@styled
def interval_plot(
    rows: pd.DataFrame | Sequence[Mapping[str, Any]],
    metric: str = "macro-F1",
    chance: float | Mapping[str, float] | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draw estimates with their intervals: a panel a corpus, a line a method.

    Args:
        rows: ``method``, ``corpus``, ``estimate``, ``low`` and ``high`` of each result. Where the
            bounds are ``nan`` the interval is not estimable, and the marker is hollow.
        metric: Name of what is estimated.
        chance: What guessing scores, for all corpora or for each.
        limits: Ends of the axis, where figures are to be compared.
    """
    table = pd.DataFrame(rows)
    lacking = {"method", "corpus", "estimate", "low", "high"} - set(table.columns)
    if lacking or table.empty:
        raise ValueError(f"rows must hold results, but lack {sorted(lacking) or 'any row'}")
    methods, corpora = (list(dict.fromkeys(table[key])) for key in ("method", "corpus"))
    colours = colours_for(methods)
    figure, axes = panels(
        1, len(corpora), height=1.0 + 0.3 * len(methods), sharex=True, sharey=True
    )
    for ax, corpus in zip(axes[0], corpora, strict=True):
        level_of_chance = chance.get(corpus) if isinstance(chance, Mapping) else chance
        if level_of_chance is not None:
            ax.axvline(level_of_chance, color="#888888", linestyle="--", linewidth=1)
            ax.annotate(
                "chance", (level_of_chance, len(methods) - 0.1), xytext=(3, 1),
                textcoords="offset points", va="bottom", fontsize=8, color="#666666",
            )  # fmt: skip
        for _, row in table[table["corpus"] == corpus].iterrows():
            level, colour = methods.index(row["method"]), colours[row["method"]]
            draw_interval(ax, row, level, colour)
        ax.set_title(textwrap.fill(corpus, TITLE_WIDTH))
        ax.grid(axis="x")
        ax.xaxis.set_major_locator(MaxNLocator(nbins=3))
    axes[0, 0].set_yticks(range(len(methods)), methods)
    axes[0, 0].set_ylim(len(methods) - 0.1, -0.5)
    if limits is not None:
        axes[0, 0].set_xlim(limits)
    figure.supxlabel(metric + hollow_note(table), fontsize=9)
    return figure


@styled
def layer_curves(rows: pd.DataFrame, title: str = "", chance: float = 0.25) -> Figure:
    """Draw scores over the blocks of an encoder that were passed: a line a corpus.

    Args:
        rows: ``method`` (number of blocks passed), ``corpus`` and ``estimate`` of each result.
        title: Which encoder, on what.
        chance: What guessing scores.
    """
    wide = rows.pivot(index="method", columns="corpus", values="estimate")
    curves = {name: wide[name].to_numpy() for name in dict.fromkeys(rows["corpus"])}
    figure = lines(curves, wide.index, xlabel="blocks passed", ylabel="macro-F1", title=title,
                   level=chance)  # fmt: skip
    figure.axes[0].legend(loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0)
    return figure


@styled
def learning_curve(history: TrainingHistory, score: str = "macro-F1") -> Figure:
    """Draw the losses of training and the score on validation speakers, epoch by epoch.

    Args:
        history: What a training returned.
        score: Name of the score of validation.
    """
    table = history.table()
    losses = [name for name in table.columns if "loss" in str(name)]
    scores = ["score"] if "score" in table.columns and table["score"].notna().any() else []
    figure, axes = panels(1, 1 + len(scores), height=2.6)
    for name, colour in colours_for(losses).items():
        axes[0, 0].plot(table.index, table[name], "o-", color=colour, markersize=3, label=name)
    axes[0, 0].set(xlabel="epoch", ylabel="loss", title="training")
    if len(losses) > 1:
        axes[0, 0].legend()
    if scores:
        seen = table["score"].dropna()
        ax = axes[0, 1]
        ax.plot(seen.index, seen, "o-", color="#228833", markersize=3)
        best = history.best_epoch
        if best is not None and best in seen.index:
            ax.plot(best, seen[best], "o", color=HIGHLIGHT)
            ax.annotate(
                "kept", (best, seen[best]), xytext=(0, -12), textcoords="offset points",
                ha="center", fontsize=8, color=HIGHLIGHT,
            )  # fmt: skip
        ax.set(xlabel="epoch", ylabel=score, title="validation")
    for ax in axes[0]:
        ax.grid(axis="y")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


@styled
def embedding_scatter(
    points: ArrayLike, labels: ArrayLike, title: str = "", ax: Axes | None = None
) -> Figure:
    """Draw embeddings projected to the plane, coloured by emotion, gender, language or speaker.

    Args:
        points: Shape (n, 2). Axes have no unit: only who lies near whom means something.
        labels: Shape (n,).
        title: Embeddings of what, by which projection.
        ax: Axes to draw into; by default a new figure.
    """
    plane, names = np.asarray(points), np.asarray(labels, dtype=object)
    if plane.ndim != 2 or plane.shape[1] != 2 or names.shape != plane.shape[:1]:
        raise ValueError(
            f"points must be (n, 2) with n labels, not {plane.shape} with labels {names.shape}"
        )
    figure, ax = one_panel(ax, 4.6, 3.4)
    present = sorted({str(name) for name in names})
    markers = "os^DvP*X"
    for number, (name, colour) in enumerate(colours_for(present).items()):
        chosen = plane[names.astype(str) == name]
        ax.scatter(
            chosen[:, 0], chosen[:, 1], s=16, color=colour, marker=markers[number % len(markers)],
            alpha=0.8, linewidths=0, label=name,
        )  # fmt: skip
    if len(present) <= 12:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0)
    ax.set(xticks=[], yticks=[], xlabel="dimension 1", ylabel="dimension 2", title=title)
    return figure


VERDICT_COLOURS: Mapping[str, str] = {
    "agrees": "#228833", "smaller": "#CCBB44", "contradicts": "#EE6677", "cannot tell": "#4477AA",
    "not tested": "#888888", "left out": "#888888",
}  # fmt: skip
"""Of a claim's verdicts."""


@styled
def claims(
    rows: pd.DataFrame | Sequence[Mapping[str, Any]], xlabel: str, title: str = ""
) -> Figure:
    """Draw claims with what was measured and what the paper says: a panel a kind of speech.

    Args:
        rows: ``claim``, ``on`` (a panel's title), ``verdict``, ``estimate``, ``low``, ``high``,
            ``null`` (no effect, a dashed line) and ``paper`` (its figure, a diamond) of each. What
            is ``nan`` is not drawn; without bounds the marker is hollow.
        xlabel: What the numbers are, with their unit.
        title: What the claims are about.
    """
    table = pd.DataFrame(rows)
    lacking = {"claim", "on", "verdict", "estimate", "low", "high", "null", "paper"} - set(table)
    if lacking or table.empty:
        raise ValueError(f"rows must hold claims, but lack {sorted(lacking) or 'any row'}")
    names, panes = (list(dict.fromkeys(table[key])) for key in ("claim", "on"))
    figure, axes = panels(1, len(panes), height=1.1 + 0.52 * len(names), sharex=True, sharey=True)
    for ax, pane in zip(axes[0], panes, strict=True):
        for _, row in table[table["on"] == pane].iterrows():
            level, colour = names.index(row["claim"]), VERDICT_COLOURS[row["verdict"]]
            ax.plot([row["null"]] * 2, [level - 0.4, level + 0.4], "--", color=INK, linewidth=1)
            if not np.isnan(row["estimate"]):
                draw_interval(ax, row, level, colour)
            ax.plot(row["paper"], level, "D", color="black", markersize=5, markerfacecolor="white")
            place = row["null"] if np.isnan(row["estimate"]) else row["estimate"]
            ax.annotate(
                row["verdict"], (place, level), xytext=(0, 6), textcoords="offset points",
                ha="center", fontsize=8, color=INK,
            )  # fmt: skip
        ax.set_title(str(pane))
        ax.grid(axis="x")
    axes[0, 0].set_yticks(range(len(names)), [textwrap.fill(str(name), 34) for name in names])
    axes[0, 0].set_ylim(len(names) - 0.4, -0.6)
    axes[0, 0].margins(x=0.12)
    figure.supxlabel(f"{xlabel} (dashed: no effect; diamond: the paper)", fontsize=9)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, weight="bold")
    return figure


@styled
def embedding_panels(embeddings: Mapping[str, ArrayLike], labels: ArrayLike) -> Figure:
    """Draw several embeddings of the same clips at one scale, to see how far apart they lie.

    Args:
        embeddings: By title, each of shape (n, d). They are brought to length 1, centred and turned
            to their two widest directions.
        labels: Shape (n,).
    """
    figure, axes = panels(1, len(embeddings), height=2.5)
    for ax, (title, points) in zip(axes[0], embeddings.items(), strict=True):
        directions = np.asarray(points) / np.linalg.norm(points, axis=1, keepdims=True)
        centred = directions - directions.mean(axis=0)
        plane = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
        embedding_scatter(plane, labels, title, ax=ax)
        if (legend := ax.get_legend()) is not None:
            legend.remove()
        ax.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal")
    return figure
