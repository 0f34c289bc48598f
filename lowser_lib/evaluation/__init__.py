"""How well a model does, and how sure one may be of it.

:mod:`~lowser_lib.evaluation.metrics` holds what trainings answered and turns it into figures;
:mod:`~lowser_lib.evaluation.intervals` says how far those figures would move with other speakers
and other training seeds; :mod:`~lowser_lib.evaluation.collapse` looks for embeddings that have all
become one, :mod:`~lowser_lib.evaluation.probing` for what they know.
:mod:`~lowser_lib.evaluation.groups` and :mod:`~lowser_lib.evaluation.gaps` ask for whom it works.

Everywhere, ``y_true`` are true labels of shape (n,), ``y_pred`` predicted ones of shape (n,), or
(seeds, n) for several trainings, ``speakers`` and ``groups`` say for each clip who speaks it and
which group it is of, and ``labels`` are all classes, each once. ``embeddings`` or ``features`` have
a clip a row, shape (n, d), finite. Intervals cover ``level`` of cases; of ``n_resamples`` draws of
speakers and at most ``n_permutations`` exchanges, ``seed`` or ``generator`` fixes the chance, seed
0 by default, so that a table can be remade. ``least`` is what a cell must hold to be estimable, and
``between`` names the first and the second group of a difference.

Answers or shapes that do not fit, labels or groups that are missing and values that are not finite
raise an ``EvaluationError``; numbers out of range and unknown metrics a ``ValueError``.
"""

from __future__ import annotations

from lowser_lib.evaluation.collapse import (
    Verdict,
    collapse_figures,
    effective_rank,
    judge_collapse,
    judge_history,
    pair_alignment,
    spread,
    uniformity,
)
from lowser_lib.evaluation.intervals import (
    Interval,
    by_clip,
    compared,
    mean_interval,
    paired_speaker_bootstrap,
    speaker_bootstrap,
)
from lowser_lib.evaluation.metrics import (
    METRICS,
    Answers,
    chance,
    classification_metrics,
    confusion,
)
from lowser_lib.evaluation.significance import exchange_test, paired_permutation_test
from lowser_lib.evaluation.similarity import pwcca

__all__ = [
    "METRICS",
    "Answers",
    "Interval",
    "Verdict",
    "by_clip",
    "chance",
    "classification_metrics",
    "collapse_figures",
    "compared",
    "confusion",
    "effective_rank",
    "exchange_test",
    "judge_collapse",
    "judge_history",
    "mean_interval",
    "pair_alignment",
    "paired_permutation_test",
    "paired_speaker_bootstrap",
    "pwcca",
    "speaker_bootstrap",
    "spread",
    "uniformity",
]
