"""Figures of corpora: how much there is of what, and where something is missing."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowser_lib.plots.parts import heatmap, name_cells, stack
from lowser_lib.plots.style import (
    ABSENT,
    EMOTION_COLOURS,
    HIGHLIGHT,
    INK,
    colours_for,
    one_panel,
    styled,
)

_UNLABELLED = "none"


@styled
def skew_heatmap(table: pd.DataFrame, title: str = "", ax: Axes | None = None) -> Figure:
    """Draw a table of counts; empty cells stand out.

    Args:
        table: Counts, as of :func:`lowser_lib.manifest.skew_table`. Shade is the share of a row.
        title: What is counted.
        ax: Axes to draw into; by default a new figure.
    """
    counts = table.to_numpy()
    figure, ax = one_panel(ax, 2.2 + 0.95 * counts.shape[1], 0.9 + 0.32 * counts.shape[0])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    heatmap(ax, shares, [[f"{count:,}" for count in row] for row in counts])
    for row, column in np.argwhere(counts == 0):
        # A group that is not there at all lacks no emotion in particular.
        missed = counts[row].any() and str(table.columns[column]) in EMOTION_COLOURS
        text = ax.texts[row * counts.shape[1] + column]
        text.set(color=HIGHLIGHT if missed else ABSENT, weight="bold" if missed else "normal")
    name_cells(ax, table)
    ax.set_title(title)
    return figure


@styled
def durations(manifest: pd.DataFrame, ax: Axes | None = None) -> Figure:
    """Draw how long the utterances of each corpus are.

    Args:
        manifest: A manifest.
        ax: Axes to draw into; by default a new figure.
    """
    groups = {str(name): rows for name, rows in manifest.groupby("corpus")}
    figure, ax = one_panel(ax, 7, 0.9 + 0.45 * len(groups))
    longest = float(manifest["duration"].max()) if len(manifest) else 1.0
    edges = np.linspace(0, longest, 61)
    languages = {name: rows["language"].mode()[0] for name, rows in groups.items()}
    colours = colours_for(languages.values())
    for level, (name, rows) in enumerate(groups.items()):
        heights, _ = np.histogram(rows["duration"], edges)
        base = len(groups) - 1 - level
        ax.stairs(
            base + 0.85 * heights / heights.max(), edges, baseline=base, fill=True,
            color=colours[languages[name]], alpha=0.85,
        )  # fmt: skip
        median = float(rows["duration"].median())
        ax.plot([median, median], [base, base + 0.85], color=INK, linewidth=1.2)
        ax.axhline(base, color=ABSENT, linewidth=0.8, zorder=0)
        ax.annotate(
            f"median {median:.1f} s", (1.01, base + 0.3),
            xycoords=("axes fraction", "data"), fontsize=8,
        )  # fmt: skip
    ax.set_yticks(np.arange(len(groups))[::-1] + 0.3, list(groups))
    ax.tick_params(axis="y", length=0)
    ax.set(xlim=(0, longest), ylim=(0, len(groups)), xlabel="duration (s)")
    ax.spines["left"].set_visible(False)
    return figure


@styled
def fold_balance(
    folds: Iterable[tuple[pd.DataFrame, pd.DataFrame]], ax: Axes | None = None
) -> Figure:
    """Draw the classes of each fold's test part, and count its speakers.

    Args:
        folds: (train, test) manifests, as of :func:`lowser_lib.splits.speaker_folds`.
        ax: Axes to draw into; by default a new figure.
    """
    tests = [test for _, test in folds]
    if not tests:
        raise ValueError("folds must hold at least one fold, but is empty")
    names = [f"fold {number}" for number in range(1, len(tests) + 1)]
    table = pd.DataFrame(
        [test["emotion"].value_counts().reindex(list(EMOTION_COLOURS)) for test in tests],
        index=pd.Index(names),
    ).fillna(0)
    figure, ax = one_panel(ax, 7, 0.9 + 0.36 * len(tests))
    stack(ax, table.astype(int), EMOTION_COLOURS)
    for level, test in enumerate(tests):
        ax.annotate(
            f"{test['speaker'].nunique()} speakers", (table.iloc[level].sum(), level),
            xytext=(5, 0), textcoords="offset points", va="center", fontsize=8,
        )  # fmt: skip
    ax.set_xlim(0, float(table.sum(axis=1).max()) * 1.15)
    ax.set_xlabel("test utterances")
    return figure
