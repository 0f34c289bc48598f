"""How well a model does, and how sure one may be of it.

:mod:`~lowser_lib.evaluation.metrics` holds what trainings answered and turns it into figures;
:mod:`~lowser_lib.evaluation.intervals` says how far those figures would move with other speakers
and other training seeds; :mod:`~lowser_lib.evaluation.collapse` looks for embeddings that have all
become one, :mod:`~lowser_lib.evaluation.probing` for what they know.
:mod:`~lowser_lib.evaluation.groups` and :mod:`~lowser_lib.evaluation.gaps` ask for whom it works.
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
