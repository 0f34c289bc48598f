"""Pieces that several figures are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lowser_lib.plots.style import COUNTS, text_colour


def stack(ax: Axes, table: pd.DataFrame, colours: Mapping[str, str]) -> None:
    """Draw a row of the table as a stack of bars, with counts where there is room."""
    left = np.zeros(len(table))
    room = 0.035 * float(table.sum(axis=1).max())
    for name in table.columns:
        counts = table[name].to_numpy()
        bars = ax.barh(
            np.arange(len(table)), counts, left=left, height=0.72, color=colours[str(name)],
            label=str(name), edgecolor="white", linewidth=0.5,
        )  # fmt: skip
        ax.bar_label(
            bars, [f"{count:,}" if count > room else "" for count in counts],
            label_type="center", fontsize=8, color=text_colour(colours[str(name)]),
        )  # fmt: skip
        left += counts
    ax.set_yticks(range(len(table)), [str(name) for name in table.index])
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(table.columns), borderaxespad=0.3)


def heatmap(ax: Axes, shares: np.ndarray, texts: Sequence[Sequence[str]]) -> None:
    """Draw shares in [0, 1] as shades, with a text in each cell."""
    ax.imshow(shares, cmap=COUNTS, vmin=0, vmax=1, origin="upper")
    for (row, column), share in np.ndenumerate(shares):
        ax.text(
            column, row, texts[row][column], ha="center", va="center", fontsize=8.5,
            color=text_colour(COUNTS(float(share))),
        )  # fmt: skip
    # White lines between the cells.
    ax.set_xticks(np.arange(-0.5, shares.shape[1]), minor=True)
    ax.set_yticks(np.arange(-0.5, shares.shape[0]), minor=True)
    ax.grid(which="minor", color="#DDDDDD", linewidth=1)
    ax.tick_params(which="both", length=0)


def name_cells(ax: Axes, table: pd.DataFrame) -> None:
    """Write the names of rows and columns; of the parts of a row's name, dots in between."""
    rows = [
        " · ".join(map(str, key)) if isinstance(key, tuple) else str(key) for key in table.index
    ]
    ax.set_xticks(range(table.shape[1]), [str(name) for name in table.columns])
    ax.set_yticks(range(table.shape[0]), rows)
    if table.columns.name:
        ax.set_xlabel(str(table.columns.name))


def draw_interval(ax: Axes, row: pd.Series, level: float, colour: str) -> None:
    """Draw an ``estimate`` between ``low`` and ``high``; hollow where these are ``nan``."""
    known = bool(row[["low", "high"]].notna().all())
    if known:
        ax.plot([row["low"], row["high"]], [level, level], color=colour, linewidth=2.5)
    ax.plot(
        row["estimate"], level, "o", color=colour, markersize=6,
        markerfacecolor=colour if known else "white",
    )  # fmt: skip


def hollow_note(table: pd.DataFrame) -> str:
    """What hollow markers mean, for an axis; empty where there is none."""
    unknown = table[["low", "high"]].isna().any(axis=None)
    return " (hollow: interval not estimable)" if unknown else ""
