"""Every figure of the course, in one look.

Each function returns a figure; make it the last expression of a cell, or hand it to ``display``
(``plt.show()`` is not needed and shows nothing). Functions with an argument ``ax`` can also draw
into axes of :func:`panels`, to put several figures side by side.

The look itself (colours, sizes) is in :mod:`lowser_lib.plot_style`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from lowser_lib.plot_style import (
    ABSENT,
    COUNTS,
    EMOTION_COLOURS,
    GENDER_COLOURS,
    HIGHLIGHT,
    INK,
    LANGUAGE_COLOURS,
    SPECTROGRAM,
    colours_for,
    one_panel,
    panels,
    styled,
    text_colour,
)

__all__ = [
    "EMOTION_COLOURS",
    "GENDER_COLOURS",
    "LANGUAGE_COLOURS",
    "class_counts",
    "confusion_matrix",
    "durations",
    "embedding_scatter",
    "emotion_grid",
    "fold_balance",
    "interval_plot",
    "learning_curve",
    "panels",
    "skew_heatmap",
    "waveform_and_mel",
]

_SAMPLE_RATE = 16000
_FRAME_RATE = 100  # mel frames a second
_HERTZ_TICKS = (0, 500, 1000, 2000, 4000, 8000)
_UNLABELLED = "none"


class TrainingHistory(Protocol):
    """What :func:`learning_curve` reads of a training's history."""

    best_epoch: int | None

    def table(self) -> pd.DataFrame:
        """One row an epoch: ``loss``, any further losses, and ``score`` if there was validation."""


@styled
def waveform_and_mel(waveform: ArrayLike, mel: ArrayLike, title: str = "") -> Figure:
    """Draw a clip twice on one time axis: its waveform, and its log-mel spectrogram.

    Args:
        waveform: Shape (samples,), 16 kHz, in [-1, 1].
        mel: Log-mel spectrogram, shape (mel bands, frames), 10 ms a frame.
        title: What is heard.
    """
    samples, image = np.asarray(waveform), np.asarray(mel)
    if samples.ndim != 1 or image.ndim != 2:
        raise ValueError(
            f"waveform must be (samples,) and mel (bands, frames), not {samples.shape} and "
            f"{image.shape}"
        )
    figure, axes = panels(2, 1, height=3.6, sharex=True, height_ratios=(1, 2))
    top, bottom = axes[:, 0]
    # An envelope of 5 ms draws as a full waveform does at this size, from far fewer points.
    step = min(80, max(1, len(samples) // 4))
    blocks = samples[: len(samples) // step * step].reshape(-1, step)
    seconds = (np.arange(len(blocks)) + 0.5) * step / _SAMPLE_RATE
    top.fill_between(seconds, blocks.min(axis=1), blocks.max(axis=1), color="#4477AA", linewidth=0)
    limit = max(float(np.abs(samples).max()) * 1.1, 1e-3)
    top.set(ylim=(-limit, limit), ylabel="amplitude", title=title)
    drawn = _draw_mel(bottom, image)
    bottom.set(xlabel="time (s)", ylabel="frequency (Hz)")
    figure.colorbar(drawn, ax=axes[:, 0].tolist(), label="log energy", aspect=30, pad=0.02)
    return figure


@styled
def emotion_grid(mels: Mapping[str, ArrayLike], title: str = "") -> Figure:
    """Draw spectrograms side by side, one an emotion, on one colour scale.

    Args:
        mels: Log-mel spectrogram, shape (mel bands, frames), of each emotion.
        title: What they have in common: the sentence, the speaker.
    """
    if not mels:
        raise ValueError("mels must hold at least one spectrogram, but is empty")
    images = {name: np.asarray(mel) for name, mel in mels.items()}
    low = min(float(image.min()) for image in images.values())
    high = max(float(image.max()) for image in images.values())
    figure, axes = panels(
        1, len(images), width=max(3.5, 2.0 * len(images)), height=2.5, sharey=True
    )
    colours = colours_for(images)
    for ax, (name, image) in zip(axes[0], images.items(), strict=True):
        drawn = _draw_mel(ax, image, low, high)
        ax.set_title(name, color=colours[name], loc="center")
        ax.set_xlabel("time (s)")
    axes[0, 0].set_ylabel("frequency (Hz)")
    figure.colorbar(drawn, ax=axes[0].tolist(), label="log energy", aspect=30, pad=0.02)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, weight="bold")
    return figure


@styled
def class_counts(manifest: pd.DataFrame, ax: Axes | None = None) -> Figure:
    """Draw how many utterances of each emotion each corpus has.

    Args:
        manifest: A manifest.
        ax: Axes to draw into; by default a new figure.
    """
    emotion = manifest["emotion"].astype(object).where(manifest["emotion"].notna(), _UNLABELLED)
    table = pd.crosstab(manifest["corpus"], emotion)
    order = [name for name in (*EMOTION_COLOURS, _UNLABELLED) if name in table.columns]
    table = table[order]
    figure, ax = one_panel(ax, 7, 0.9 + 0.36 * len(table))
    _stack(ax, table, {**EMOTION_COLOURS, _UNLABELLED: ABSENT})
    ax.set_xlabel("utterances")
    return figure


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
    _heatmap(ax, shares, [[f"{count:,}" for count in row] for row in counts])
    for row, column in np.argwhere(counts == 0):
        # A group that is not there at all lacks no emotion in particular.
        missed = counts[row].any() and str(table.columns[column]) in EMOTION_COLOURS
        text = ax.texts[row * counts.shape[1] + column]
        text.set(color=HIGHLIGHT if missed else ABSENT, weight="bold" if missed else "normal")
    _name_cells(ax, table)
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
    _stack(ax, table.astype(int), EMOTION_COLOURS)
    for level, test in enumerate(tests):
        ax.annotate(
            f"{test['speaker'].nunique()} speakers", (table.iloc[level].sum(), level),
            xytext=(5, 0), textcoords="offset points", va="center", fontsize=8,
        )  # fmt: skip
    ax.set_xlim(0, float(table.sum(axis=1).max()) * 1.15)
    ax.set_xlabel("test utterances")
    return figure


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
    _heatmap(ax, shares, texts)
    _name_cells(ax, table)
    ax.set(xlabel="prediction", ylabel="truth", title=title)
    return figure


@styled
def interval_plot(
    rows: pd.DataFrame | Sequence[Mapping[str, Any]],
    metric: str = "macro-F1",
    chance: float | Mapping[str, float] | None = None,
) -> Figure:
    """Draw estimates with their intervals: a panel a corpus, a line a method.

    Args:
        rows: ``method``, ``corpus``, ``estimate``, ``low`` and ``high`` of each result. Where the
            bounds are ``nan`` the interval is not estimable, and the marker is hollow.
        metric: Name of what is estimated.
        chance: What guessing scores, for all corpora or for each.
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
            known = not (math.isnan(row["low"]) or math.isnan(row["high"]))
            if known:
                ax.plot([row["low"], row["high"]], [level, level], color=colour, linewidth=2.5)
            ax.plot(
                row["estimate"], level, "o", color=colour, markersize=6,
                markerfacecolor=colour if known else "white",
            )  # fmt: skip
        ax.set_title(corpus)
        ax.grid(axis="x")
    axes[0, 0].set_yticks(range(len(methods)), methods)
    axes[0, 0].set_ylim(len(methods) - 0.1, -0.5)
    hollow = (
        " (hollow: interval not estimable)" if table[["low", "high"]].isna().any(axis=None) else ""
    )
    figure.supxlabel(metric + hollow, fontsize=9)
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


def _draw_mel(
    ax: Axes, mel: np.ndarray, low: float | None = None, high: float | None = None
) -> AxesImage:
    """Draw a spectrogram with seconds and Hz on its axes."""
    bands, frames = mel.shape
    drawn = ax.imshow(
        mel, extent=(0, frames / _FRAME_RATE, 0, bands), cmap=SPECTROGRAM, vmin=low, vmax=high
    )
    ax.set_yticks([_band_of(hertz, bands) for hertz in _HERTZ_TICKS], map(str, _HERTZ_TICKS))
    return drawn


def _band_of(hertz: float, bands: int) -> float:
    """Find where a frequency lies on the axis of mel bands.

    Whisper's bands are spaced evenly from 0 to 8000 Hz on the mel scale of Slaney's Auditory
    Toolbox (1998): linear up to 1 kHz (15 mel), logarithmic above.
    """

    def mel(frequency: float) -> float:
        if frequency < 1000:
            return frequency * 3 / 200
        return 15 + 27 * math.log(frequency / 1000) / math.log(6.4)

    # Band b covers corners b to b + 2 of bands + 2 corners; its centre is drawn at b + 1/2.
    position = mel(hertz) / mel(8000) * (bands + 1) - 0.5
    return min(max(position, 0.0), float(bands))


def _stack(ax: Axes, table: pd.DataFrame, colours: Mapping[str, str]) -> None:
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


def _heatmap(ax: Axes, shares: np.ndarray, texts: Sequence[Sequence[str]]) -> None:
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


def _name_cells(ax: Axes, table: pd.DataFrame) -> None:
    """Write the names of rows and columns; of the parts of a row's name, dots in between."""
    rows = [
        " · ".join(map(str, key)) if isinstance(key, tuple) else str(key) for key in table.index
    ]
    ax.set_xticks(range(table.shape[1]), [str(name) for name in table.columns])
    ax.set_yticks(range(table.shape[0]), rows)
    if table.columns.name:
        ax.set_xlabel(str(table.columns.name))
