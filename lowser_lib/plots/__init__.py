"""Every figure of the course, in one look.

Each function returns a figure; make it the last expression of a cell, or hand it to ``display``
(``plt.show()`` is not needed and shows nothing). Functions with an argument ``ax`` can also draw
into axes of :func:`panels`, to put several figures side by side.

What is written on a figure is said by ``title``, ``xlabel`` and ``ylabel``, with units. ``level``
or ``chance`` is a value to compare with, drawn as a dashed line; ``limits`` are the ends of an axis
and ``form`` says how a number is written, as for :func:`format`. Where bounds of an interval are
``nan`` it is not estimable: it is not drawn, and its marker is hollow.

The look itself (colours, sizes) is in :mod:`lowser_lib.plots.style`.
"""

from __future__ import annotations

from lowser_lib.plots.contrastive import (
    budget_curves,
    differences,
    pair_roles,
    sign_flips,
    similarity_matrix,
    strips,
    unit_circle,
)
from lowser_lib.plots.results import (
    claims,
    confusion_matrix,
    embedding_panels,
    embedding_scatter,
    interval_plot,
    layer_curves,
    learning_curve,
)
from lowser_lib.plots.simple import (
    bars,
    dots,
    group_curves,
    images,
    line_panels,
    lines,
    outlines,
    over_distance,
    value_heatmap,
    value_heatmaps,
)
from lowser_lib.plots.speech import (
    answers_over_time,
    clip_grid,
    durations,
    emotion_grid,
    skew_heatmap,
    waveform_and_mel,
)
from lowser_lib.plots.style import EMOTION_COLOURS, GENDER_COLOURS, LANGUAGE_COLOURS, panels

__all__ = [
    "EMOTION_COLOURS",
    "GENDER_COLOURS",
    "LANGUAGE_COLOURS",
    "answers_over_time",
    "bars",
    "budget_curves",
    "claims",
    "clip_grid",
    "confusion_matrix",
    "differences",
    "dots",
    "durations",
    "embedding_panels",
    "embedding_scatter",
    "emotion_grid",
    "group_curves",
    "images",
    "interval_plot",
    "layer_curves",
    "learning_curve",
    "line_panels",
    "lines",
    "outlines",
    "over_distance",
    "pair_roles",
    "panels",
    "sign_flips",
    "similarity_matrix",
    "skew_heatmap",
    "strips",
    "unit_circle",
    "value_heatmap",
    "value_heatmaps",
    "waveform_and_mel",
]
