"""What a trained encoder hears: a regularised head in the place of the one it was trained with.

A method changes an encoder; the head that it leaves is one of many that could be put on it. Here
each encoder, as it came, after a first stage or after fine-tuning, gets the head of the frozen
recipe (:mod:`lowser_lib.methods.frozen`), after every step of standardisation, with and without
self-training. The settings are that recipe's defaults, so nothing is chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from lowser_lib import manifest
from lowser_lib.errors import RunError
from lowser_lib.evaluation import paired_speaker_bootstrap, speaker_bootstrap
from lowser_lib.experiments.frozen import by_speaker, crossed
from lowser_lib.experiments.frozen_tables import LABELS, stacked
from lowser_lib.experiments.records import RunRecord
from lowser_lib.experiments.rehearsal import Chosen, Grid, halved
from lowser_lib.experiments.speech import score
from lowser_lib.methods.frozen import Embedded, FrozenConfig
from lowser_lib.methods.self_training import SelfTrainingConfig

HEAD, LATER = FrozenConfig(), SelfTrainingConfig()

SETTINGS = Chosen(0, HEAD.C, (HEAD.C,), HEAD.prior, HEAD.limit, LATER.share, LATER.C, svm=None)
"""Of the head and of self-training, in the form that :func:`.frozen.crossed` takes."""


def refit(
    learned: tuple[Tensor, pd.DataFrame], tested: tuple[Tensor, pd.DataFrame], seed: int
) -> dict[str, Any]:
    """Answer for a target with a new head on embeddings.

    Args:
        learned: embeddings ``(N, D)`` of labelled clips, and their manifest.
        tested: of the target, whose labels only score what is answered.
        seed: halves the target's speakers.

    Returns:
        ``scores`` by step and form, ``rule``, and ``clips``: truth and answers by speaker.
    """
    sources, target = (_embedded(*part) for part in (learned, tested))
    answers = crossed(sources, target, SETTINGS, Grid(), halved(target, seed))
    columns: dict[str, NDArray[Any]] = {" ".join(key): its for key, its in answers.of.items()}
    truth = manifest.emotion_codes(tested[1])
    return {
        "scores": {name: score(truth, column) for name, column in columns.items()},
        "rule": answers.rule,
        "clips": by_speaker(tested[1]["speaker"], truth, columns),
    }


def _embedded(embeddings: Tensor, table: pd.DataFrame) -> Embedded:
    return Embedded.of_manifest(embeddings.float().numpy().astype(np.float64), table)


def refit_table(
    runs: Sequence[RunRecord],
    against: Sequence[RunRecord],
    encoders: tuple[str, str] = ("fine-tuned", "fine-tuned"),
    answers: Sequence[str] = ("corpus plain",),
    n_resamples: int = 1000,
) -> pd.DataFrame:
    """Macro-F1 of a new head on what one sweep's encoders have become, and on another's.

    Args:
        runs: Records of a sweep of transfer.
        against: Of another one, or the same; seeds that both have are compared.
        encoders: Which encoder of each: ``pre-trained`` (the baseline's records), ``adapted`` (of
            two stages), ``fine-tuned``.
        answers: Step and form, such as ``rule transductive``.
        n_resamples: Draws of the bootstrap.

    Returns:
        A row a language and kind of answers: ``language``, ``answers``, ``seeds``, and intervals
        ``score``, ``against`` and ``gain``, over speakers and seeds, paired.
    """
    rows = []
    for language in dict.fromkeys(run.config["language"] for run in runs):
        both = [
            {run.seed: run.metrics["refit"][encoder]["clips"] for run in part
             if run.config["language"] == language}
            for part, encoder in zip((runs, against), encoders, strict=True)
        ]  # fmt: skip
        seeds = sorted(both[0].keys() & both[1].keys())
        if not seeds:
            continue
        first, second = (stacked([part[seed] for seed in seeds]) for part in both)
        if any((first[key] != second[key]).any() for key in ("truth", "speaker")):
            raise RunError(f"sweeps were tested on different clips of {language}; run them again")
        place = first["truth"], first["speaker"]
        for name in answers:
            pair = [
                speaker_bootstrap(place[0], part[name], place[1], LABELS, n_resamples=n_resamples)
                for part in (first, second)
            ]
            gain = paired_speaker_bootstrap(
                place[0], first[name], second[name], place[1], LABELS, n_resamples=n_resamples
            )
            row = {"language": language, "answers": name, "seeds": len(seeds)}
            rows.append({**row, "score": pair[0], "against": pair[1], "gain": gain})
    return pd.DataFrame(rows)
