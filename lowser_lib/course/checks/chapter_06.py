"""Checks of chapter 06: a probe, labels dealt in groups, a feature that moves, conclusions."""

from __future__ import annotations

import numpy as np

from lowser_lib.course.checks import (
    Student,
    expect_close,
    expect_shape,
    gives,
    has_shape,
    run_check,
    run_letters,
)
from lowser_lib.evaluation import probing


def check_probe(student: Student) -> None:
    """Check ``probe_by_hand(features, labels, groups)``: UAR of a probe on new groups.

    Five folds of ``StratifiedGroupKFold`` with ``shuffle=True, random_state=0``; a logistic
    regression on standardised features; the UAR of all answers together.

    Args:
        student: The learner's function; ``features`` is an array ``(n, d)``, ``labels`` and
            ``groups`` are arrays ``(n,)``.
    """
    random = np.random.default_rng(0)
    groups = np.repeat([f"voice {number}" for number in range(10)], 8)
    voices = np.repeat(random.normal(size=(10, 6)), 8, axis=0) + 0.1 * random.normal(size=(80, 6))
    # A mood a voice: whoever has heard the voice knows it.
    given = np.repeat(np.where(np.arange(10) % 2, "glad", "sad"), 8).astype(object)
    rare = np.where(np.arange(80) % 8 == 0, "rare", "common").astype(object)
    hints = np.where(rare == "rare", 1.0, 0.0)[:, None] + random.normal(size=(80, 3))

    def a_number(probe: Student) -> str | None:
        return expect_shape(probe(voices.copy(), given.copy(), groups.copy()), ())

    def new_groups(probe: Student) -> str | None:
        answer = float(probe(voices.copy(), given.copy(), groups.copy()))
        if answer > 0.7:
            return "it knew moods that were dealt to voices: a voice it was asked had been heard."
        right = probing.probe(voices, given, groups).score
        return expect_close(answer, right, "for moods dealt to voices")

    def every_class_alike(probe: Student) -> str | None:
        answer = probe(hints.copy(), rare.copy(), groups.copy())
        fold = probing.probe_folds(rare, groups)
        accuracy = float(np.mean(probing.probe_answers(hints, rare, fold) == rare))
        return expect_close(
            answer,
            probing.probe(hints, rare, groups).score,
            "for a rare class and a common one",
            (accuracy, "that is the accuracy; UAR is the mean of the recalls of all classes."),
        )

    run_check("a probe on new groups", student, [a_number, new_groups, every_class_alike])


def check_shown(student: Student) -> None:
    """Check ``follow() -> letters``: which of seven conclusions follow from probes.

    Args:
        student: The learner's function; it gives the letters as a set, list or text.
    """
    wrong = {
        "B": "B does not follow: a mean over time, or a straight cut, may lose what is there.",
        "D": "D does not follow: every speaker was heard in training, so none was new.",
        "E": "E does not follow: a probe finds what is there, not what a model makes use of.",
        "F": "F does not follow: the layer was chosen by the very speakers that score it.",
    }
    run_letters("which conclusions follow", student, {"A", "C", "G"}, wrong)


def check_deal(student: Student) -> None:
    """Check ``deal(labels, groups, generator)``: each group's labels, dealt among its own clips.

    ``labels`` and ``groups`` are arrays ``(n,)``, ``generator`` is a ``numpy.random.Generator``. It
    gives an array ``(n,)``.
    """
    groups = np.array(["a", "b"] * 20)
    labels = np.where(groups == "a", "angry", "calm").astype(object)
    labels[:12] = "sad"

    def dealt(deal: Student, seed: int = 0) -> np.ndarray:
        return np.asarray(deal(labels.copy(), groups.copy(), np.random.default_rng(seed)))

    def a_label_each(deal: Student) -> str | None:
        return expect_shape(dealt(deal), (40,), "(clips,)")

    def none_lost(deal: Student) -> str | None:
        answer = dealt(deal)
        if sorted(map(str, answer)) != sorted(labels):
            return "the labels are others than before; deal the same ones, each as often."
        return None

    def within_groups(deal: Student) -> str | None:
        answer = dealt(deal)
        if sorted(map(str, answer[groups == "a"])) != sorted(labels[groups == "a"]):
            return "group a has labels that were another group's; deal within each group."
        return None

    def by_chance(deal: Student) -> str | None:
        first = dealt(deal)
        if (first == labels).all():
            return "every clip still has its own label."
        if (first != dealt(deal)).any():
            return "the same generator should give the same labels twice; draw from it alone."
        if all((first == dealt(deal, seed)).all() for seed in (1, 2, 3)):
            return "another generator gives the same labels; draw from the generator."
        return None

    def input_kept(deal: Student) -> str | None:
        given = labels.copy()
        deal(given, groups.copy(), np.random.default_rng(0))
        return None if (given == labels).all() else "the labels given were changed; copy them."

    cases = [a_label_each, none_lost, within_groups, by_chance, input_kept]
    run_check("labels that mean nothing", student, cases)


def check_moved(student: Student) -> None:
    """Check ``moved(values, emotions, speakers, emotion)``: an emotion's step within speakers.

    The first three are arrays ``(n,)``. It gives a number: the mean over speakers of their mean in
    the emotion less their mean when neutral, divided by the standard deviation of the values less
    their speaker's mean.
    """
    speakers = np.repeat(["low", "high"], 4)
    emotions = np.tile(["neutral", "neutral", "angry", "angry"], 2)
    low = np.array([10.0, 12.0, 14.0, 16.0])
    both = np.concatenate([low, low + 100])
    # The high voice is angry more often: pooled means would take that for anger.
    uneven = np.array([10.0, 10.0, 10.0, 11.0, 110.0, 111.0, 111.0, 111.0])
    often = np.array(["neutral"] * 3 + ["angry"] + ["neutral"] + ["angry"] * 3)
    spread = np.concatenate([uneven[:4] - 10.25, uneven[4:] - 110.75]).std()
    sad, kinds = np.array([4.0, 1.0, 9.0, 3.0]), np.array(["neutral", "sad", "angry", "sad"])
    step = 4 / low.std()

    run_check("how a feature moves", student, [
        has_shape((np.concatenate([low, low]), emotions, speakers, "angry")),
        gives((low, emotions[:4], speakers[:4], "angry"), step,
              "for neutral 10, 12 and angry 14, 16",
              (4, "the step is right; now divide it by the spread within speakers."),
              (4 / low.std(ddof=1), "divide by n, not by n - 1 (ddof=0)."),
              (-step, "the sign: angry less neutral.")),
        gives((both, emotions, speakers, "angry"), step, "for a low and a high voice",
              (4 / both.std(),
               "the spread counts how voices differ; take each speaker's mean off first.")),
        gives((uneven, often, speakers, "angry"), 1 / spread,
              "where one is angry more often (step 1)"),
        gives((sad, kinds, speakers[:4], "sad"), -2 / sad.std(), "for sad"),
    ])  # fmt: skip
