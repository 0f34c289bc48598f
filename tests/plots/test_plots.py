"""Figures: what they say, that they are small, and that they leave matplotlib alone."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import librosa
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from lowser_lib import plots
from lowser_lib.corpora.base import EMOTIONS, GENDERS
from lowser_lib.evaluation import Interval, confusion
from lowser_lib.plots.speech import band_of
from lowser_lib.plots.style import GROUP_COLOURS, STYLE, CourseFigure, colours_for, text_colour

NAN = float("nan")


def manifest() -> pd.DataFrame:
    """A small table with the columns that figures read; emodb has unlabelled clips."""
    rows = [
        (corpus, language, f"{corpus}/{speaker}", emotion, 1 + 0.5 * speaker)
        for corpus, language in (("emodb", "de"), ("urdu", "ur"))
        for speaker in range(4)
        for emotion in (*EMOTIONS, None)[: 5 if corpus == "emodb" else 4]
    ]
    return pd.DataFrame(rows, columns=["corpus", "language", "speaker", "emotion", "duration"])


def mel(frames: int = 50) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (80, frames)).astype(np.float32)


def skew() -> pd.DataFrame:
    index = pd.MultiIndex.from_tuples([("urdu", "female"), ("urdu", "male")])
    columns = pd.Index([*EMOTIONS, "none"], name="emotion")
    return pd.DataFrame([[0, 46, 4, 6, 0], [100, 54, 96, 94, 0]], index, columns)


def effects() -> pd.DataFrame:
    columns = pd.Index(["half", "whole"], name="strength")
    return pd.DataFrame([[0.25, 1.5], [-0.5, NAN]], ["noise", "speed"], columns)


class MadeUpHistory:
    best_epoch: int | None = 2

    def table(self) -> pd.DataFrame:
        epochs = pd.Index([1, 2, 3], name="epoch")
        columns = {"loss": [2.0, 1, 0.5], "learning_rate": 0.1, "score": [0.3, 0.5, 0.4]}
        return pd.DataFrame(columns, index=epochs)


RESULTS = [
    {"method": "majority", "corpus": "urdu", **asdict(Interval(0.1, 0.1, 0.1, 29))},
    {"method": "SVM", "corpus": "urdu", **asdict(Interval(0.33, 0.25, 0.41, 29))},
    {"method": "SVM", "corpus": "bangla", **asdict(Interval(0.3, NAN, NAN, 1))},
]

LAYERS = pd.DataFrame(
    {"method": list("012") * 2, "corpus": ["urdu"] * 3 + ["mean"] * 3, "estimate": np.arange(6) / 9}
)


def windows() -> pd.DataFrame:
    """Answers in two windows."""
    answers = pd.DataFrame({"start": [0.0, 0.2], "end": [0.3, 0.5], "emotion": ["sad", "happy"]})
    return answers.assign(happy=[0.2, 0.9], sad=[0.8, 0.1])


CLAIMS = [
    {"claim": "It gains", "on": "people", "verdict": "smaller", "estimate": 2.0, "low": 1.0,
     "high": 3.0, "null": 0.0, "paper": 10.0},
    {"claim": "It is fair", "on": "people", "verdict": "not tested", "estimate": NAN, "low": NAN,
     "high": NAN, "null": 0.0, "paper": NAN},
]  # fmt: skip


FIGURES: dict[str, Callable[[], Figure]] = {
    "claims": lambda: plots.claims(CLAIMS, "points", "gains"),
    "waveform_and_mel": lambda: plots.waveform_and_mel(
        np.sin(np.arange(8000) / 20), mel(), "a tone"
    ),
    "answers_over_time": lambda: plots.answers_over_time(
        np.sin(np.arange(8000) / 20), mel(50), windows(), "a tone"
    ),
    "emotion_grid": lambda: plots.emotion_grid({name: mel(40) for name in EMOTIONS}, "a sentence"),
    "clip_grid": lambda: plots.clip_grid(
        {name: (np.sin(np.arange(6400) / 20), mel(40)) for name in (*EMOTIONS, "mixed")}, "a clip"
    ),
    "skew_heatmap": lambda: plots.skew_heatmap(skew(), "URDU"),
    "durations": lambda: plots.durations(manifest()),
    "confusion_matrix": lambda: plots.confusion_matrix(
        confusion(list(EMOTIONS) * 2, list(EMOTIONS) + ["sad"] * 4, EMOTIONS), "made up"
    ),
    "interval_plot": lambda: plots.interval_plot(RESULTS, chance=0.25),
    "layer_curves": lambda: plots.layer_curves(LAYERS, "an encoder"),
    "learning_curve": lambda: plots.learning_curve(MadeUpHistory()),
    "embedding_scatter": lambda: plots.embedding_scatter(
        np.random.default_rng(0).normal(size=(40, 2)), list(EMOTIONS) * 10, "t-SNE"
    ),
    "lines": lambda: plots.lines(
        {"loss": [3, 2, 1], "noise": [1, 1, 2]}, xlabel="step", ylabel="loss", level=1.4
    ),
    "line_panels": lambda: plots.line_panels(
        {name: pd.DataFrame({"plain": [3, 2], "new": [1, 2]}, [4, 1]) for name in ("ur", "de")},
        xlabel="moods",
        title="made up",
    ),
    "embedding_panels": lambda: plots.embedding_panels(
        {name: np.random.default_rng(0).normal(size=(40, 5)) for name in ("before", "after")},
        list(EMOTIONS) * 10,
    ),
    "bars": lambda: plots.bars({"all": 1.0, "none": 1e-7}, xlabel="moved by", logarithmic=True),
    "dots": lambda: plots.dots({"angry": [1.0, 2.0], "sad": [0.0]}, xlabel="dB", title="Level"),
    "outlines": lambda: plots.outlines(
        {"English": np.arange(50), "Urdu": np.arange(20) + 40}, xlabel="loudness"
    ),
    "value_heatmap": lambda: plots.value_heatmap(effects(), "moved by"),
    "value_heatmaps": lambda: plots.value_heatmaps({"half": effects(), "all": effects()}, "moved"),
    "images": lambda: plots.images(
        {"power": mel() ** 2, "logarithm": mel()}, seconds=0.5, ylabel="band", line=0.2
    ),
}


def to_png(figure: Figure) -> bytes:
    assert isinstance(figure, CourseFigure)
    return figure.to_png()


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_small_labelled_and_drawn_the_same_twice(name: str) -> None:
    figure = FIGURES[name]()
    png = to_png(figure)
    assert 2_000 < len(png) < 80_000
    assert to_png(FIGURES[name]()) == png
    with Image.open(io.BytesIO(png)) as image:
        assert image.width == pytest.approx(figure.get_figwidth() * figure.dpi, abs=1)
        assert image.width <= 1200
    labels = [figure.get_supxlabel()]
    labels += [ax.get_xlabel() for ax in figure.axes] + [ax.get_ylabel() for ax in figure.axes]
    assert any(labels)


def test_matplotlib_settings_neither_matter_nor_change() -> None:
    plain = to_png(FIGURES["confusion_matrix"]())
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.bbox": "tight"}):
        before = dict(mpl.rcParams)
        assert to_png(FIGURES["confusion_matrix"]()) == plain
        assert dict(mpl.rcParams) == before


def test_pyplot_is_not_loaded() -> None:
    code = (
        "import sys; from lowser_lib import plots; plots.panels();"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_notebook_shows_a_png_once(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[Any, ...]] = []
    monkeypatch.setattr("IPython.display.display", lambda *data, **_: shown.append(data))
    figure = plots.confusion_matrix(confusion(["sad"], ["sad"], EMOTIONS))
    assert isinstance(figure, CourseFigure)
    figure._ipython_display_()
    assert len(shown) == 1
    assert shown[0][0]["image/png"] == to_png(figure)


def test_axes_of_panels_are_drawn_into() -> None:
    figure, axes = plots.panels(1, 2, 7, 3)
    table = confusion(["sad"], ["sad"], EMOTIONS)
    assert plots.confusion_matrix(table, "left", ax=axes[0, 0]) is figure
    assert plots.skew_heatmap(skew(), "right", ax=axes[0, 1]) is figure
    assert [ax.get_title(loc="left") for ax in axes[0]] == ["left", "right"]


def test_confusion_matrix_says_shares_and_counts() -> None:
    table = confusion(["sad", "sad", "sad", "happy"], ["sad", "sad", "happy", "happy"], EMOTIONS)
    (ax,) = plots.confusion_matrix(table).axes
    cells = np.array(texts(ax)).reshape(4, 4)
    assert cells[3, 3] == "67%\n2"
    assert cells[3, 1] == "33%\n1"
    assert (cells[0] == "–").all()  # nobody is angry: no share to speak of
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("prediction", "truth")
    rows = [label.get_text() for label in ax.get_yticklabels()]
    assert rows == list(EMOTIONS)
    assert ax.yaxis_inverted()  # first row on top


def test_skew_heatmap_marks_the_emotion_that_a_group_lacks() -> None:
    (ax,) = plots.skew_heatmap(skew()).axes
    bold = [text for text in ax.texts if text.get_fontweight() == "bold"]
    assert [text.get_position() for text in bold] == [(0, 0)]  # angry women, and nothing else
    assert [label.get_text() for label in ax.get_yticklabels()] == ["urdu · female", "urdu · male"]


def test_interval_plot_draws_what_is_known() -> None:
    figure = plots.interval_plot(RESULTS, chance={"urdu": 0.25})
    urdu, bangla = figure.axes
    assert (urdu.get_title(loc="left"), bangla.get_title(loc="left")) == ("urdu", "bangla")
    assert texts(urdu) == ["chance"]
    assert texts(bangla) == []
    bars = [line for line in urdu.lines if line.get_linewidth() == 2.5]
    ends = [np.asarray(bar.get_xdata()).tolist() for bar in bars]
    assert ends == [[0.1, 0.1], [0.25, 0.41]]
    (marker,) = bangla.lines
    assert marker.get_markerfacecolor() == "white"
    assert "not estimable" in figure.get_supxlabel()
    assert "not estimable" not in plots.interval_plot(RESULTS[:2]).get_supxlabel()


def test_layer_curves_keep_the_order_of_layers_and_corpora() -> None:
    (ax,) = plots.layer_curves(LAYERS).axes
    curves = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in ax.lines[:2]}
    assert list(curves) == ["urdu", "mean"]
    assert curves["mean"] == [3 / 9, 4 / 9, 5 / 9]


def test_durations_say_the_median() -> None:
    (ax,) = plots.durations(manifest()).axes
    assert texts(ax) == ["median 1.8 s", "median 1.8 s"]


def test_learning_curve_marks_the_epoch_kept() -> None:
    left, right = plots.learning_curve(MadeUpHistory()).axes
    assert len(left.lines) == 1  # the learning rate is no loss
    assert texts(right) == ["kept"]
    assert right.lines[-1].get_xdata() == [2]

    class WithoutValidation(MadeUpHistory):
        best_epoch: int | None = None

        def table(self) -> pd.DataFrame:
            return super().table().drop(columns="score").assign(byol_loss=[1.0, 1, 1])

    (only,) = plots.learning_curve(WithoutValidation()).axes
    assert len(only.lines) == 2


def test_lines_begin_at_zero_and_lie_where_they_were_taken() -> None:
    figure = plots.lines({"only": [2.0, 5.0]}, [1.5, 4.0], xlabel="seconds", ylabel="share")
    ax = figure.axes[0]
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[1.5, 2], [4, 5]])
    assert ax.get_ylim()[0] == 0
    assert ax.get_legend() is None  # one curve needs no name beside the label of the axis


def test_line_panels_keep_the_order_of_steps_and_share_colours() -> None:
    table = pd.DataFrame({"plain": np.arange(20.0), "new": 1.0}, np.arange(0, 400, 20))
    figure = plots.line_panels({"a": table, "b": table[["new"]], "c": table}, xlabel="", columns=2)
    first, second, _, empty = figure.axes
    assert [label.get_text() for label in first.get_xticklabels()][:2] == ["0", "60"]
    assert first.lines[1].get_color() == second.lines[0].get_color()
    assert np.asarray(first.lines[0].get_ydata()).tolist() == list(range(20))
    assert not empty.axison


def test_embeddings_are_drawn_at_length_1_and_at_one_scale() -> None:
    points = np.array([[3.0, 0.0, 0.0], [-0.5, 0.0, 0.0], [0.0, 7.0, 0.0], [0.0, -1.0, 0.0]])
    figure = plots.embedding_panels({"long": points, "short": points / 9}, list("abab"))
    drawn = [
        np.concatenate([np.asarray(dots.get_offsets()) for dots in ax.collections])
        for ax in figure.axes
    ]
    assert np.allclose(np.linalg.norm(drawn[0], axis=1), 1)
    assert np.allclose(np.abs(drawn[0]), np.abs(drawn[1]))
    assert {ax.get_xlim() for ax in figure.axes} == {(-1.1, 1.1)}


def test_bars_stand_in_order_from_the_top() -> None:
    ax = plots.bars({"first": 0.5, "second": 0.1}, xlabel="share", limits=(0, 1)).axes[0]
    assert [bar.get_width() for bar in ax.patches] == [0.5, 0.1]  # type: ignore[attr-defined]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert ax.get_xlim() == (0, 1)


def test_bars_tell_their_lengths() -> None:
    ax = plots.bars({"few": 0.5, "many": 12_000.0}, xlabel="hours", form=",.1f").axes[0]
    assert [text.get_text() for text in ax.texts] == ["0.5", "12,000"]


def test_dots_are_the_values_and_their_mean() -> None:
    ax = plots.dots({"angry": [1.0, 3.0], "sad": [-2.0]}, xlabel="dB").axes[0]
    values = [np.asarray(line.get_xdata()).tolist() for line in ax.lines]
    assert values == [[1.0, 3.0], [2.0, 2.0], [-2.0], [-2.0, -2.0]]
    with pytest.raises(ValueError, match="groups"):
        plots.dots({}, xlabel="dB")


def test_outlines_have_equal_areas() -> None:
    ax = plots.outlines(
        {"few": [0.0, 1.0], "many": np.linspace(0, 1, 99)}, xlabel="x", bins=9
    ).axes[0]
    areas = []
    for patch in ax.patches:
        heights, edges, _ = patch.get_data()  # type: ignore[attr-defined]
        assert len(heights) == 9
        areas.append(float((heights * np.diff(edges)).sum()))
    np.testing.assert_allclose(areas, 1.0)


def test_images_span_the_seconds_given() -> None:
    figure = plots.images({"a": mel(), "b": mel() ** 2}, seconds=2.5, ylabel="band")
    for ax in figure.axes:
        assert tuple(ax.get_images()[0].get_extent()) == (0, 2.5, 0, 80)


def test_value_heatmap_writes_numbers_and_shades_within_limits() -> None:
    ax = plots.value_heatmap(effects(), limits=(0.0, 0.5), form=".1f").axes[0]
    assert texts(ax) == ["0.2", "1.5", "-0.5", ""]
    shades = np.asarray(ax.get_images()[0].get_array())
    np.testing.assert_allclose(shades, np.array([[0.5, 1.0], [0.0, 0.0]]))
    assert ax.get_xlabel() == "strength"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["noise", "speed"]


def test_clip_grid_shares_its_scales_and_leaves_no_empty_frame() -> None:
    clips = {"short": (np.full(1600, 0.5), mel(10)), "long": (np.ones(4800), mel(30) - 1)}
    figure = plots.clip_grid({**clips, "third": clips["short"]}, columns=2)
    axes = np.array(figure.axes).reshape(4, 2)
    assert [axes[0, 0].get_title(loc="left"), axes[0, 1].get_title(loc="left")] == [*clips]
    for top, bottom in ((axes[0, 0], axes[1, 0]), (axes[0, 1], axes[1, 1])):
        assert (top.get_xlim(), top.get_ylim()) == ((0, 0.3), (-1, 1))
        assert bottom.get_xlim() == (0, 0.3)
    clims = {ax.get_images()[0].get_clim() for ax in (axes[1, 0], axes[1, 1], axes[3, 0])}
    assert len(clims) == 1
    assert not axes[2, 1].axison
    assert not axes[3, 1].axison


def test_frequencies_lie_where_librosa_puts_them() -> None:
    corners = librosa.mel_frequencies(82, fmin=0, fmax=8000)
    for band in (0, 10, 40, 79):
        assert band_of(float(corners[band + 1]), 80) == pytest.approx(band + 0.5)
    assert (band_of(0, 80), band_of(8000, 80)) == (0, 80)


def test_waveform_of_one_sample_and_silence_can_be_drawn() -> None:
    for samples in (1, 8000):
        assert to_png(plots.waveform_and_mel(np.zeros(samples), np.zeros((80, 1))))


def test_groups_have_their_own_colours() -> None:
    assert set(plots.EMOTION_COLOURS) == set(EMOTIONS)
    assert set(plots.GENDER_COLOURS) == set(GENDERS)
    assert colours_for(["sad", "angry", "sad"]) == {
        "sad": plots.EMOTION_COLOURS["sad"],
        "angry": plots.EMOTION_COLOURS["angry"],
    }
    speakers = [f"urdu/{number}" for number in range(12)]
    assert list(colours_for(speakers).values()) == [*GROUP_COLOURS, *GROUP_COLOURS[:2]]


def test_a_method_has_its_colour_wherever_it_stands() -> None:
    result = colours_for(["BYOL, matched", "SVM", "baseline, as it is", "wav2vec"])
    assert result["baseline, as it is"] == colours_for(["scratch", "baseline"])["baseline"]
    assert result["BYOL, matched"] == colours_for(["BYOL"])["BYOL"]
    assert len(set(result.values())) == 4


@pytest.mark.parametrize(
    "colours",
    [plots.EMOTION_COLOURS, plots.GENDER_COLOURS, plots.LANGUAGE_COLOURS],
    ids=["emotions", "genders", "languages"],
)
def test_colours_are_told_apart_with_red_green_deficiency(colours: dict[str, str]) -> None:
    # Viénot, Brettel and Mollon 1999: what a deuteranope sees, in linear RGB.
    deutan = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])
    seen = []
    for colour in colours.values():
        channels = np.array([int(to_hex(colour)[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        seen.append(np.clip(deutan @ channels**2.2, 0, 1) ** (1 / 2.2))
    for first in range(len(seen)):
        for second in range(first):
            assert np.linalg.norm(seen[first] - seen[second]) > 0.15


def test_text_on_a_colour_can_be_read() -> None:
    assert text_colour("white") != "white"
    assert text_colour("#0B3C66") == "white"


def test_style_names_settings_of_matplotlib() -> None:
    assert set(STYLE) <= set(mpl.rcParams)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: plots.waveform_and_mel(np.zeros((2, 8)), mel()), "waveform"),
        (lambda: plots.claims([{"claim": "It gains"}], "points"), "claims"),
        (lambda: plots.answers_over_time(np.zeros(8), mel(), windows()[:0]), "answers"),
        (lambda: plots.emotion_grid({}), "mels"),
        (lambda: plots.clip_grid({}), "clips"),
        (lambda: plots.value_heatmap(pd.DataFrame()), "table"),
        (lambda: plots.value_heatmap(effects(), limits=(1, 1)), "limits"),
        (lambda: plots.interval_plot([{"method": "SVM"}]), "corpus"),
        (lambda: plots.interval_plot([]), "rows"),
        (lambda: plots.embedding_scatter(np.zeros((3, 2)), ["sad"]), "labels"),
        (lambda: plots.embedding_scatter(np.zeros((3, 3)), ["sad"] * 3), "points"),
        (lambda: plots.lines({}, xlabel="step", ylabel="loss"), "curves"),
        (lambda: plots.line_panels({}, xlabel="step"), "tables"),
        (lambda: plots.bars({}, xlabel="share"), "values"),
        (lambda: plots.outlines({"none": []}, xlabel="x"), "groups"),
        (lambda: plots.images({}, seconds=1, ylabel="band"), "pictures"),
        (lambda: plots.images({"flat": np.zeros(3)}, seconds=1, ylabel="band"), "flat"),
    ],
)
def test_bad_arguments_are_named(call: Callable[[], Figure], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        call()


def test_alt_text_says_title_panels_and_axes_once_each() -> None:
    figure, axes = plots.panels(1, 2)
    figure.suptitle("Two clips")
    for ax, name in zip(axes[0], ("angry", "sad"), strict=True):
        ax.set_title(name)
        ax.set_xlabel("time\n(s)")
    assert figure.alt_text() == "Two clips; angry; sad. Across: time (s)."
