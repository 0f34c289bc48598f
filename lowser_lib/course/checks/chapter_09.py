"""Checks of chapter 09: verdicts, what few points can show, what a card may say, a whole model."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from lowser_lib.course.checks import (
    Student,
    expect_close,
    gives,
    has_shape,
    run_check,
    run_letters,
)
from lowser_lib.encoders import EncoderDimensions, WhisperEncoder
from lowser_lib.errors import CheckpointError
from lowser_lib.evaluation import Answers, speaker_bootstrap
from lowser_lib.evaluation.gaps import CONDITIONAL, gaps
from lowser_lib.experiments.ledger import AGREES, CONTRADICTS, SMALLER, UNCLEAR
from lowser_lib.manifest import EMOTIONS
from lowser_lib.methods import classifier
from lowser_lib.methods.frozen import FrozenConfig, cross_answers


def check_judge(student: Student) -> None:
    """Check ``judge(low, high, claimed)``: the verdict on an interval of a gain.

    ``low`` and ``high`` bound our gain, ``claimed`` is the paper's, above 0. It gives ``agrees``,
    ``smaller``, ``contradicts`` or ``cannot tell``.
    """

    def says(low: float, high: float, claimed: float, verdict: str, hint: str) -> Any:
        def case(judge: Student) -> str | None:
            answer = judge(low, high, claimed)
            if answer == verdict:
                return None
            return f"[{low:g}, {high:g}] against {claimed:g} is {verdict!r}, not {answer!r}: {hint}"

        return case

    run_check("the verdict", student, [
        says(2, 12, 10, AGREES, "clear of zero, and the paper's figure lies inside."),
        says(12, 20, 10, AGREES, "beyond the paper's figure is no disagreement."),
        says(-3, 14, 10, UNCLEAR, "it holds both zero and the paper's figure."),
        says(1, 6, 10, SMALLER, "there is a gain, and the paper's lies above it."),
        says(-1, 8, 10, SMALLER, "it holds zero, but more than half of the paper's gain as well."),
        says(-2, 3, 10, CONTRADICTS, "it holds zero, and half of the paper's gain is excluded."),
        says(-9, -1, 10, CONTRADICTS, "clear of zero, the other way."),
        says(0, 4, 10, CONTRADICTS, "a bound at zero is not clear of zero."),
    ])  # fmt: skip


def check_smallest_p(student: Student) -> None:
    """Check ``smallest_p(points, tests)``: the smallest two-sided p that points in order can reach.

    So many ``points`` are tried in every order, both directions count, and so many ``tests`` are
    made (Bonferroni). It gives one number, 1 at most.
    """
    run_check("the smallest p-value", student, [
        has_shape((5, 1)),
        gives((5, 1), 2 / 120, "for five points and one test",
              (1 / 120, "both directions count: the best order, and the same one backwards."),
              (2 / 32, "points exchange places, not signs: how many orders have five?"),
              (1 / 32, "points exchange places, not signs: how many orders have five?")),
        gives((4, 3), 6 / 24, "for four points and three tests",
              (2 / 24, "of three tests the smallest p is multiplied by three.")),
        gives((6, 4), 8 / 720, "for six points and four tests"),
        gives((2, 5), 1.0, "for two points and five tests"),
    ])  # fmt: skip


def check_may_say(student: Student) -> None:
    """Check ``may_say() -> letters``: which sentences a model's card may say.

    Args:
        student: The learner's function; it gives the letters as a set, list or text.
    """
    wrong = {
        "B": "B may not stand there: labels say how speech sounded, not what was felt.",
        "C": "C may not stand there: an interval that holds zero also holds gaps that matter.",
        "F": "F may not stand there: a few speakers of one corpus say little of other people.",
    }
    run_letters("what a card may say", student, {"A", "D", "E"}, wrong)


def check_capstone(student: Student) -> None:
    """Check ``capstone(table, roots, encoder, folder)``: a model, trained, scored, saved.

    The learner's function trains :func:`lowser_lib.methods.classifier.train` on layer 1, scores it
    on speakers that it did not learn from, notes ``macro_f1`` and ``gap`` (women less men within
    emotions), each a dictionary of ``estimate``, ``low`` and ``high``, and ``chance``, saves the
    model, and gives the folder.
    """
    with tempfile.TemporaryDirectory() as place:
        table = _toy_corpus(Path(place))
        encoder = WhisperEncoder.random(EncoderDimensions(80, 1500, 8, 2, 2), 0).eval()
        roots, folder = [Path(place)], Path(place, "model")

        @cache
        def model(capstone: Student) -> classifier.Classifier:
            capstone(table.copy(), roots, encoder, folder)
            return classifier.load(folder, encoder)

        @cache
        def reference() -> tuple[dict[str, list[float]], float]:
            return _reference(table, roots, encoder)

        def loads(capstone: Student) -> str | None:
            try:
                known = model(capstone)
            except CheckpointError:
                return "nothing that can be loaded lies in the folder; end with classifier.save."
            if known.classes != EMOTIONS:
                return f"the classes should be {', '.join(EMOTIONS)}, not {known.classes}."
            answer = known.predict(np.sin(np.arange(16_000) / 9).astype(np.float32))
            return None if len(answer) == 1 else "the loaded model does not answer."

        def noted(capstone: Student) -> str | None:
            notes = model(capstone).notes
            for name in ("macro_f1", "gap", "chance"):
                if name not in notes:
                    return f"the card lacks {name!r}; set model.notes before you save."
            for name in ("macro_f1", "gap"):
                if not {"estimate", "low", "high"} <= set(notes[name]):
                    return f"{name!r} on the card needs estimate, low and high."
            return expect_close(notes["chance"], 0.25, "for four classes of equal size chance is",
                                tolerance=0.02)  # fmt: skip

        def fair(capstone: Student) -> str | None:
            notes = model(capstone).notes
            right, learned = reference()
            given = notes["macro_f1"]["estimate"]
            if any(np.isclose(given, score, atol=1e-3) for score in right["macro_f1"]):
                return None
            if np.isclose(given, learned, atol=1e-3):
                return (
                    "that is the score on clips that the head has learned from; cross_answers "
                    "answers for speakers that it has not."
                )
            return expect_close(given, right["macro_f1"][0], "on speakers that were held out")

        def within(capstone: Student) -> str | None:
            gap = model(capstone).notes["gap"]["estimate"]
            right, _ = reference()
            if any(np.isclose(gap, value, atol=1e-3) for value in right["gap"]):
                return None
            if any(np.isclose(-gap, value, atol=1e-3) for value in right["gap"]):
                return "the gap is women less men, yours is men less women."
            return expect_close(gap, right["gap"][0], "of the gap within emotions")

        run_check("a model with its card", student, [loads, noted, fair, within])


def _reference(
    table: pd.DataFrame, roots: Sequence[Path], encoder: WhisperEncoder
) -> tuple[dict[str, list[float]], float]:
    """Right figures, with and without the speaker known; and the score on what was learned."""
    model, clips = classifier.train(table, roots, encoder, EMOTIONS, layer=1)
    right: dict[str, list[float]] = {"macro_f1": [], "gap": []}
    truth = np.asarray(clips.labels)
    for strangers in (True, False):
        answers = cross_answers(clips, FrozenConfig(), strangers=strangers).argmax(axis=1)
        score = speaker_bootstrap(truth, answers, table["speaker"], range(4), n_resamples=9)
        asked = Answers.of(truth, answers, table["speaker"], range(4), table["gender"])
        found = gaps(asked, ("female", "male"), n_resamples=9, n_permutations=99)
        right["macro_f1"].append(score.estimate)
        right["gap"] += found.loc[found["gap"] == CONDITIONAL, "estimate"].tolist()
    known = model.model.probabilities(clips).argmax(axis=1)
    learned = speaker_bootstrap(truth, known, table["speaker"], range(4), n_resamples=9)
    return right, learned.estimate


def _toy_corpus(root: Path) -> pd.DataFrame:
    """Eight voices, four of them women's, say five noises in four moods, which hardly differ."""
    random, rows = np.random.default_rng(0), []
    for voice, (mood, emotion), take in itertools.product(range(8), enumerate(EMOTIONS), range(5)):
        name = f"toy/v{voice}_{emotion}_{take}"
        noise = random.standard_normal(8000)
        hum = np.sin(np.arange(8000) * (0.02 + 0.01 * voice + 0.004 * mood))
        soundfile.write(_made(root / f"{name}.wav"), 0.05 * noise + 0.1 * hum, 16_000)
        rows.append(
            {
                "utterance_id": name, "corpus": "toy", "path": f"{name}.wav", "language": "en",
                "speaker": f"toy/v{voice}", "gender": "female" if voice % 2 else "male",
                "emotion": emotion, "raw_label": emotion, "text_id": f"t{take}", "duration": 0.5,
                "sample_rate": 16_000,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _made(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    return path
