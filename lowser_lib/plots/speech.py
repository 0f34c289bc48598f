"""Figures of corpora, of single clips, and of what views hold."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from lowser_lib.plots.simple import value_heatmap
from lowser_lib.plots.style import (
    ABSENT,
    EMOTION_COLOURS,
    HIGHLIGHT,
    INK,
    SPECTROGRAM,
    colours_for,
    heatmap,
    name_cells,
    one_panel,
    panels,
    styled,
)

_SAMPLE_RATE = 16000
_FRAME_RATE = 100  # mel frames a second
_HERTZ_TICKS = (0, 500, 1000, 2000, 4000, 8000)
_FEW_HERTZ_TICKS = (500, 2000, 8000)

# Small pictures in a grid: fewer dots, frames in pairs and few shades make files a third as large.
_SMALL_DPI = 100
_SMALL_STEP = 2
_SMALL_COLOURS = colormaps[SPECTROGRAM].resampled(12)


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
    _draw_waveform(top, samples)
    limit = max(float(np.abs(samples).max()) * 1.1, 1e-3)
    top.set(ylim=(-limit, limit), ylabel="amplitude", title=title)
    drawn = _draw_mel(bottom, image)
    bottom.set(xlabel="time (s)", ylabel="frequency (Hz)")
    figure.colorbar(drawn, ax=axes[:, 0].tolist(), label="log energy", aspect=30, pad=0.02)
    return figure


@styled
def answers_over_time(
    waveform: ArrayLike, mel: ArrayLike, answers: pd.DataFrame, title: str = ""
) -> Figure:
    """Draw a recording on one time axis: waveform, log-mel spectrogram, a classifier's answers.

    Args:
        waveform: Shape (samples,), 16 kHz, in [-1, 1].
        mel: Log-mel spectrogram, shape (mel bands, frames), 10 ms a frame.
        answers: One row a window: ``start`` and ``end`` (s), ``emotion``, and one probability a
            class, as of :meth:`lowser_lib.methods.classifier.Classifier.over_time`.
        title: What is heard.
    """
    samples, image = np.asarray(waveform), np.asarray(mel)
    if samples.ndim != 1 or image.ndim != 2 or not len(answers):
        raise ValueError(
            f"waveform must be (samples,), mel (bands, frames) and answers one row or more, not "
            f"{samples.shape}, {image.shape} and {len(answers)} rows"
        )
    figure, axes = panels(3, 1, height=4.6, sharex=True, height_ratios=(1, 2, 2))
    top, middle, bottom = axes[:, 0]
    _draw_waveform(top, samples)
    top.set(ylabel="amplitude", title=title)
    _draw_mel(middle, image)
    middle.set_ylabel("frequency (Hz)")
    classes = [name for name in answers if name not in ("start", "end", "emotion")]
    colours = colours_for(classes)
    centres = (answers["start"] + answers["end"]) / 2
    for name in classes:
        bottom.plot(centres, answers[name], "o-", color=colours[name], label=str(name))
    bottom.set(xlabel="time (s)", ylabel="probability", ylim=(0, 1))
    bottom.legend(ncols=len(classes), loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
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
def clip_grid(
    clips: Mapping[str, tuple[ArrayLike, ArrayLike]], title: str = "", columns: int = 4
) -> Figure:
    """Draw versions of a clip in rows, each as waveform and spectrogram, all on the same scales.

    Args:
        clips: Waveform, shape (samples,), 16 kHz, and log-mel spectrogram, shape (mel bands,
            frames), by name. They may differ in length.
        title: What all of them are versions of.
        columns: Most clips in a row.
    """
    if not clips:
        raise ValueError("clips must hold at least one clip, but is empty")
    pairs = {name: (np.asarray(wave), np.asarray(mel)) for name, (wave, mel) in clips.items()}
    columns = min(columns, len(pairs))
    rows = -(-len(pairs) // columns)
    figure, axes = panels(
        2 * rows, columns, width=max(3.5, 1.75 * columns), height=0.5 + 1.75 * rows,
        height_ratios=[1, 2] * rows,
    )  # fmt: skip
    figure.set_dpi(_SMALL_DPI)
    loudest = max(float(np.abs(wave).max()) for wave, _ in pairs.values())
    longest = max(mel.shape[1] for _, mel in pairs.values()) / _FRAME_RATE
    low = min(float(mel.min()) for _, mel in pairs.values())
    high = max(float(mel.max()) for _, mel in pairs.values())
    for ax in axes.flat:
        ax.set_axis_off()
    for number, (name, (wave, mel)) in enumerate(pairs.items()):
        row, column = divmod(number, columns)
        top, bottom = axes[2 * row, column], axes[2 * row + 1, column]
        bottom.set_axis_on()
        _draw_waveform(top, wave)
        top.set(xlim=(0, longest), ylim=(-loudest, loudest), title=name)
        frames = mel.shape[1] // _SMALL_STEP * _SMALL_STEP or 1
        pairs_of_frames = mel[:, :frames].reshape(len(mel), -1, min(_SMALL_STEP, frames))
        _draw_mel(bottom, pairs_of_frames.mean(axis=2), low, high, mel.shape[1], _SMALL_COLOURS)
        bottom.set_xlim(0, longest)
        ticks = _FEW_HERTZ_TICKS if column == 0 else ()
        bottom.set_yticks([band_of(hertz, len(mel)) for hertz in ticks], map(str, ticks))
        last = number + columns >= len(pairs)
        bottom.set_xlabel("time (s)" if last else "")
        bottom.tick_params(labelbottom=last)
    axes[1, 0].set_ylabel("frequency (Hz)")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, weight="bold")
    return figure


def _draw_waveform(ax: Axes, samples: np.ndarray) -> None:
    """Draw a waveform over seconds."""
    # An envelope of 5 ms draws as a full waveform does at this size, from far fewer points.
    step = min(80, max(1, len(samples) // 4))
    blocks = samples[: len(samples) // step * step].reshape(-1, step)
    seconds = (np.arange(len(blocks)) + 0.5) * step / _SAMPLE_RATE
    ax.fill_between(seconds, blocks.min(axis=1), blocks.max(axis=1), color="#4477AA", linewidth=0)


def _draw_mel(
    ax: Axes,
    mel: np.ndarray,
    low: float | None = None,
    high: float | None = None,
    frames: int | None = None,
    colours: str | Colormap = SPECTROGRAM,
) -> AxesImage:
    """Draw a spectrogram with seconds and Hz on its axes; it is ``frames`` of 10 ms long."""
    bands, seconds = len(mel), (frames or mel.shape[1]) / _FRAME_RATE
    drawn = ax.imshow(mel, extent=(0, seconds, 0, bands), cmap=colours, vmin=low, vmax=high)
    ax.set_yticks([band_of(hertz, bands) for hertz in _HERTZ_TICKS], map(str, _HERTZ_TICKS))
    return drawn


def band_of(hertz: float, bands: int) -> float:
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
def family_bars(
    values: Mapping[str, float] | pd.Series,
    family: Mapping[str, str],
    *,
    label: str,
    title: str = "",
    names: bool = True,
    strongest: int | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw a bar for each feature, in the colour of its family.

    Args:
        values: Value of each feature, of either sign, in the order drawn.
        family: Family of each feature; may know more features than are drawn. Families take their
            colours in the order in which they appear here, so that figures agree.
        label: What the values are.
        title: Of the figure.
        names: Whether to write the features' names, beside bars from top to bottom. Otherwise bars
            stand side by side without names, for many features.
        strongest: So many features of each family, those farthest from zero, family by family;
            None: all, as they come.
        ax: To draw on; None: a figure of its own.
    """
    bars = {str(name): float(value) for name, value in values.items()}
    if not bars:
        raise ValueError("values must hold at least one feature, but is empty")
    if missing := [name for name in bars if name not in family]:
        raise ValueError(f"family must name that of every feature; {missing[0]!r} has none")
    if strongest is not None:
        order = sorted(bars, key=lambda name: -abs(bars[name]))
        kinds = dict.fromkeys(family.values())
        kept = [[name for name in order if family[name] == kind][:strongest] for kind in kinds]
        bars = {name: bars[name] for names_of_kind in kept for name in names_of_kind}
    colours = colours_for(family.values())
    shades = [colours[family[name]] for name in bars]
    heights = np.asarray(list(bars.values()))
    if names:
        figure, ax = one_panel(ax, 7, 1.0 + 0.24 * len(heights))
        ax.barh(list(bars), heights, height=0.75, color=shades)
        ax.invert_yaxis()
        ax.axvline(0, color="#888888", linewidth=0.8)
        ax.tick_params(axis="y", length=0, labelsize=8)
        ax.set_xlabel(label)
        ax.grid(axis="x")
    else:
        figure, ax = one_panel(ax, 7, 2.3)
        ax.bar(np.arange(len(heights)), heights, width=0.8, color=shades)
        ax.axhline(0, color="#888888", linewidth=0.8)
        ax.set(ylabel=label, xlabel="feature", xticks=[])
        ax.grid(axis="y")
    drawn = {family[name] for name in bars}
    ax.legend(
        handles=[Patch(color=colours[kind], label=str(kind)) for kind in colours if kind in drawn],
        loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0.3,
    )  # fmt: skip
    ax.set_title(title)
    return figure


@styled
def probe_heatmaps(
    scores: pd.DataFrame,
    chances: Mapping[str, float],
    controls: pd.DataFrame | None = None,
    title: str = "",
) -> Figure:
    """Draw what probes scored: a row a view, a column a question, guessing below.

    Args:
        scores: A row a view, a column a question.
        chances: Score of guessing, by question.
        controls: Scores on labels that mean nothing, of the same shape; the difference is then
            drawn beside the scores.
        title: What was probed.
    """
    figure, axes = panels(1, 1 if controls is None else 2, 3.6 if controls is None else 7, 1.9)
    below = pd.DataFrame([chances], index=["guessing"])[list(scores.columns)]
    value_heatmap(pd.concat([scores, below]), f"UAR, {title}", ax=axes[0, 0])
    if controls is not None:
        value_heatmap(scores - controls, "above dealt labels", ax=axes[0, 1])
    return figure


@styled
def layer_curves(
    layers: Mapping[str, Mapping[str, ArrayLike]],
    levels: Mapping[str, Mapping[str, float]],
    chances: Mapping[str, float],
    title: str = "",
) -> Figure:
    """Draw scores layer by layer, a panel a question, beside what does not come in layers.

    Args:
        layers: Scores in [0, 1] by model and question, each of shape (layers,), from what goes
            into the first layer onwards.
        levels: Scores to compare with, by name and question, drawn as horizontal lines.
        chances: Score of guessing, by question, drawn as a dotted line.
        title: Of whose speech.
    """
    if not layers or not chances:
        raise ValueError("layers and chances must not be empty")
    rows = (len(chances) + 1) // 2
    figure, axes = panels(rows, 2, height=0.6 + 2.3 * rows)
    colours = colours_for([*layers, *levels])
    for ax, (question, chance) in zip(axes.flat, chances.items(), strict=False):
        for name, scores in layers.items():
            values = np.asarray(scores[question])
            ax.plot(range(len(values)), values, "o-", markersize=4, color=colours[name], label=name)
            ax.set_xticks(range(len(values)))
        for number, (name, scores_of) in enumerate(levels.items()):
            ax.axhline(
                scores_of[question], color=colours[name], linewidth=1.3, label=name,
                linestyle=("--", "-.")[number % 2],
            )  # fmt: skip
        ax.axhline(chance, color="#888888", linestyle=":", linewidth=1.3, label="guessing")
        ax.set(xlabel="layer", ylabel="UAR", title=f"{question}, {title}", ylim=(0, 1.03))
        ax.grid(axis="y")
    for ax in axes.flat[len(chances) :]:
        ax.set_axis_off()
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
