"""Figures of bias analysis: how groups fare while a corpus is skewed further and further."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lowser_lib.plots.style import colours_for, panels, styled

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
            own = table[(table["test"] == test) & (table["group"] == group)].sort_values("share")
            place = own["share"].to_numpy(dtype=np.float64) + shift
            ax.plot(place, own["estimate"], "o-", color=colour, markersize=4, label=str(group))
            ax.vlines(place, own["low"], own["high"], color=colour, linewidth=1.6, alpha=0.6)
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
