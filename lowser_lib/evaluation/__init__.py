"""How well a model does, and how sure one may be of it.

:mod:`~lowser_lib.evaluation.metrics` turns predictions into figures;
:mod:`~lowser_lib.evaluation.intervals` says how far those figures would move with other speakers
and other training seeds.
"""

from __future__ import annotations

from lowser_lib.evaluation.intervals import (
    Interval,
    mean_interval,
    paired_speaker_bootstrap,
    speaker_bootstrap,
)
from lowser_lib.evaluation.metrics import METRICS, classification_metrics, confusion

__all__ = [
    "METRICS",
    "Interval",
    "classification_metrics",
    "confusion",
    "mean_interval",
    "paired_speaker_bootstrap",
    "speaker_bootstrap",
]
