"""Figures of languages: what was measured over how far they lie apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from lowser_lib.plots.style import GROUP_COLOURS, panels, styled


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
