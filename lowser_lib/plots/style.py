"""The look that every figure of the course shares: colours, sizes, fonts.

Colours are told apart with any of the common colour-vision deficiencies: emotions and genders from
Okabe and Ito 2008 (*Color Universal Design*), languages and other groups from Tol 2021 (*Colour
Schemes*, technical note). No two meanings share a hue within one figure.

Figures are made without pyplot. Nothing global changes, no figure stays open, and a notebook shows
a figure once, when it is the last expression of a cell or is handed to ``display``.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pandas as pd
from matplotlib import colors, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

EMOTION_COLOURS: Mapping[str, str] = MappingProxyType(
    {"angry": "#D55E00", "happy": "#E69F00", "neutral": "#8A8A8A", "sad": "#0072B2"}
)
GENDER_COLOURS: Mapping[str, str] = MappingProxyType(
    {"female": "#CC79A7", "male": "#009E73", "unknown": "#BBBBBB"}
)
LANGUAGE_COLOURS: Mapping[str, str] = MappingProxyType(
    {"en": "#332288", "ur": "#117733", "de": "#AA4499", "bn": "#88CCEE"}
)
METHOD_COLOURS: Mapping[str, str] = MappingProxyType({
    "baseline": "#4477AA", "two stages": "#EE6677", "speaker-contrastive": "#EE6677",
    "BYOL": "#228833",
    "svm": "#777777", "untrained": "#CCBB44", "scratch": "#4477AA", "probe": "#AA3377",
    "pairwise": "#66CCEE", "target": "#EE6677", "other": "#228833", "both": "#882255",
})  # fmt: skip
"""Of methods, and of the arms of a label budget; ``baseline, matched`` is the baseline's."""

GROUP_COLOURS = (
    *("#4477AA", "#EE6677", "#228833", "#AA3377", "#66CCEE", "#CCBB44"),
    *("#332288", "#882255", "#44AA99", "#999933"),
)
"""For groups without a colour of their own (speakers, say), in the order they appear."""

ABSENT = "#DDDDDD"
"""What has no label, is not known or is not there."""

HIGHLIGHT = "#D55E00"
"""What the reader shall not overlook."""

INK = "#333333"

COUNTS = colors.LinearSegmentedColormap.from_list(
    "counts", ["#FFFFFF", "#9EC5E0", "#2A6FA8", "#0B3C66"]
)
"""From none to many, white to dark blue; lightness alone carries the order."""

SPECTROGRAM = "magma"
"""From quiet to loud; even in lightness, also in print without colour."""

DPI = 140
"""Dots an inch in the file. Notebooks show 100 of them: crisp on fine screens, small on disk."""

_SHOWN_DPI = 100

STYLE: dict[Any, Any] = {
    "figure.dpi": DPI,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "image.interpolation": "nearest",
    "image.aspect": "auto",
    "image.origin": "lower",
    "axes.unicode_minus": True,
}

P = ParamSpec("P")
R = TypeVar("R")


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function draw in the look of the course, and leave matplotlib's settings alone."""

    @functools.wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        # From matplotlib's defaults, so that a reader's own settings cannot mix in.
        with style.context(["default", STYLE]):
            return function(*args, **kwargs)

    return inside


class CourseFigure(Figure):
    """A figure that notebooks show as a small PNG, the same whatever their matplotlib settings."""

    @styled
    def to_png(self) -> bytes:
        """Draw the figure as a PNG of at most 256 colours, under half the usual size."""
        drawn = io.BytesIO()
        self.savefig(drawn, format="png", dpi=self.dpi)
        reduced = io.BytesIO()
        with Image.open(drawn) as image:
            # This method keeps rare colours, such as those of titles, and makes no use of chance.
            few = image.convert("RGB").quantize(
                256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
            )
            few.save(reduced, format="PNG", optimize=True)
        return reduced.getvalue()

    def alt_text(self) -> str:
        """Say in words what the figure shows: its title, its panels, its axes.

        Returns:
            Sentences for those who cannot see the figure, made from the text drawn into it.
        """
        titles = [self.get_suptitle(), *(axes.get_title(loc="left") for axes in self.axes)]
        titles += [axes.get_title() for axes in self.axes]
        across = [self.get_supxlabel(), *(axes.get_xlabel() for axes in self.axes)]
        up = [self.get_supylabel(), *(axes.get_ylabel() for axes in self.axes)]
        parts = {"": "; ".join(_distinct(titles))}
        parts |= {"Across: ": ", ".join(_distinct(across)), "Up: ": ", ".join(_distinct(up))}
        return " ".join(f"{name}{part}." for name, part in parts.items() if part)

    def _ipython_display_(self) -> None:
        """Show the figure in a notebook."""
        from IPython.display import display

        width = round(self.get_figwidth() * _SHOWN_DPI)
        display(
            {"image/png": self.to_png(), "text/plain": repr(self)},
            metadata={"image/png": {"width": width, "alt": self.alt_text()}},
            raw=True,
        )


def _distinct(texts: Iterable[str]) -> list[str]:
    """The texts on one line each, in their order, without empty ones and doubles."""
    return list(dict.fromkeys(line for text in texts if (line := " ".join(text.split()))))


@styled
def panels(
    rows: int = 1,
    columns: int = 1,
    width: float = 7.0,
    height: float = 3.0,
    **keywords: Any,
) -> tuple[CourseFigure, NDArray[Any]]:
    """Make a figure with empty axes, for functions that take ``ax``.

    Args:
        rows: Rows of axes.
        columns: Columns of axes.
        width: Width in inches; 7 fits the page.
        height: Height in inches.
        **keywords: For matplotlib's ``Figure.subplots`` (``sharex``, ``width_ratios``, ...).

    Returns:
        The figure, and its axes as an array of shape (rows, columns).
    """
    figure = CourseFigure(figsize=(width, height))
    return figure, figure.subplots(rows, columns, squeeze=False, **keywords)


def one_panel(ax: Axes | None, width: float, height: float) -> tuple[Figure, Axes]:
    """Take the axes given, or make a figure with one.

    Args:
        ax: Axes of a figure, or None.
        width: Width of a new figure in inches.
        height: Height of a new figure in inches.

    Returns:
        The figure and the axes to draw into.
    """
    if ax is None:
        figure, axes = panels(1, 1, width, height)
        return figure, axes[0, 0]
    figure_of_ax = ax.get_figure(root=True)
    if figure_of_ax is None:
        raise ValueError("ax must belong to a figure, but has none")
    return figure_of_ax, ax


def colours_for(names: Iterable[Hashable]) -> dict[Hashable, str]:
    """Give each name its colour: its own if it is an emotion, a gender, a language or a method.

    Args:
        names: Names, repeated or not.

    Returns:
        A colour for each name, in the order of first appearance; other names take those of
        :data:`GROUP_COLOURS` in turn.
    """
    unique = list(dict.fromkeys(names))
    for known in (EMOTION_COLOURS, GENDER_COLOURS, LANGUAGE_COLOURS):
        if any(name in known for name in unique):
            return {name: known.get(str(name), ABSENT) for name in unique}
    methods = {name: METHOD_COLOURS.get(str(name).split(",")[0]) for name in unique}
    free = [colour for colour in GROUP_COLOURS if colour not in methods.values()]
    others = [name for name, colour in methods.items() if colour is None]
    turns = {name: free[i % len(free)] for i, name in enumerate(others)}
    return {name: colour or turns[name] for name, colour in methods.items()}


def text_colour(colour: str | tuple[float, float, float, float]) -> str:
    """Choose ink or white for text on a colour, whichever is easier to read.

    Args:
        colour: Any colour that matplotlib knows.

    Returns:
        A colour for the text.
    """
    # WCAG 2 relative luminance, from sRGB.
    channels = np.array(list(colors.to_rgb(colour)))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return INK if linear @ (0.2126, 0.7152, 0.0722) > 0.30 else "white"


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


#: Letters of a panel's title that stand in one line beside three other panels.
TITLE_WIDTH = 12


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
