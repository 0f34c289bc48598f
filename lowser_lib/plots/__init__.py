"""Every figure of the course, in one look.

Each function returns a figure; make it the last expression of a cell, or hand it to ``display``
(``plt.show()`` is not needed and shows nothing). Functions with an argument ``ax`` can also draw
into axes of :func:`panels`, to put several figures side by side.

The look itself (colours, sizes) is in :mod:`lowser_lib.plots.style`.
"""

from __future__ import annotations

from lowser_lib.plots.contrastive import differences, pair_roles, strips, unit_circle
from lowser_lib.plots.corpora import durations, fold_balance, skew_heatmap
from lowser_lib.plots.distance import over_distance
from lowser_lib.plots.fairness import group_curves
from lowser_lib.plots.pairwise import budget_curves, sign_flips, similarity_matrix
from lowser_lib.plots.results import (
    confusion_matrix,
    embedding_scatter,
    interval_plot,
    learning_curve,
)
from lowser_lib.plots.simple import (
    bars,
    dots,
    images,
    lines,
    outlines,
    value_heatmap,
    value_heatmaps,
)
from lowser_lib.plots.speech import clip_grid, emotion_grid, waveform_and_mel
from lowser_lib.plots.style import EMOTION_COLOURS, GENDER_COLOURS, LANGUAGE_COLOURS, panels

__all__ = [
    "EMOTION_COLOURS",
    "GENDER_COLOURS",
    "LANGUAGE_COLOURS",
    "bars",
    "budget_curves",
    "clip_grid",
    "confusion_matrix",
    "differences",
    "dots",
    "durations",
    "embedding_scatter",
    "emotion_grid",
    "fold_balance",
    "group_curves",
    "images",
    "interval_plot",
    "learning_curve",
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
