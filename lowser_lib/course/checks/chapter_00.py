"""Checks of chapter 00: reading a file name, a metric that laziness does not raise, a yardstick."""

from __future__ import annotations

import numpy as np

from lowser_lib.course.checks.framework import (
    Student,
    as_array,
    expect_close,
    expect_equal,
    gives,
    has_shape,
    run_check,
)


def check_parse_ravdess(student: Student) -> None:
    """Check ``parse(name) -> (emotion, gender)`` on names of RAVDESS.

    A name reads ``03-01-EE-II-SS-RR-AA.wav``: EE is the emotion (01 neutral, 03 happy, 04 sad,
    05 angry), AA the actor, male when odd. It gives a pair of words.
    """

    def kind(parse: Student) -> str | None:
        answer = parse("03-01-05-01-02-01-12.wav")
        pair = isinstance(answer, tuple | list) and len(answer) == 2
        return None if pair else "give back a pair: the emotion and the gender, as words."

    def angry_woman(parse: Student) -> str | None:
        answer = tuple(parse("03-01-05-01-02-01-12.wav"))
        if answer == ("angry", "male"):
            return "actor 12 is a woman: even numbers are female, odd ones male."
        return expect_equal(answer, ("angry", "female"), "for 03-01-05-01-02-01-12.wav")

    def every_emotion(parse: Student) -> str | None:
        words = {"01": "neutral", "03": "happy", "04": "sad", "05": "angry"}
        for code, word in words.items():
            name = f"03-01-{code}-02-01-02-07.wav"
            hint = expect_equal(tuple(parse(name)), (word, "male"), f"for {name}")
            if hint:
                return f"{hint[:-1]}; the emotion is the third number, the actor the last."
        return None

    run_check("the file name tells emotion and gender", student, [kind, angry_woman, every_emotion])


def check_uar(student: Student) -> None:
    """Check ``uar(confusion) -> float``: mean recall over classes, from a confusion matrix.

    ``confusion`` is an integer array ``(classes, classes)`` with one row a true class and one
    column a predicted class.
    """
    uneven = np.array([[8, 2], [3, 1]])
    lazy = np.array([[90, 0, 0], [5, 0, 0], [5, 0, 0]])

    def copies(uar: Student) -> str | None:
        doubled = uneven * np.array([[7], [1]])
        same = np.isclose(float(uar(doubled)), float(uar(uneven.copy())))
        return None if same else "seven times as many clips of a class must not change the mean."

    run_check("unweighted average recall", student, [
        has_shape((uneven,), (), "(one number)"),
        gives((uneven,), (8 / 10 + 1 / 4) / 2, "for [[8, 2], [3, 1]]",
              (9 / 14, "9 of 14 right is the accuracy; take the recall of each class, then their "
                       "mean."),
              ((8 / 11 + 1 / 3) / 2, "you divided by the predictions (columns); recall divides by "
                                     "the truth (rows).")),
        gives((lazy,), 1 / 3, "for a model that always says the first class"),
        copies,
    ])  # fmt: skip


def check_majority_scores(student: Student) -> None:
    """Check ``scores(counts) -> (accuracy, uar, macro_f1)`` of always saying the commonest class.

    With a share p of the commonest of C classes they are p, 1/C and 2p / (1 + p) / C. ``counts`` is
    an integer array ``(classes,)`` of clips a class, each at least 1; it gives three numbers.
    """
    skewed = np.array([10, 6, 80, 4])
    right = np.array([0.8, 1 / 4, 2 * 0.8 / 1.8 / 4])
    others = "that is the F1 of the commonest class; the three others have F1 = 0 and count."

    def each(scores: Student) -> str | None:
        names = ("accuracy", "UAR", "macro-F1")
        mistakes = ((), (), ((4 * right[2], others),))
        for name, answer, value, known in zip(
            names, scores(skewed.copy()), right, mistakes, strict=True
        ):
            if hint := expect_close(answer, value, f"{name}: for counts 10, 6, 80, 4", *known):
                return hint
        return None

    def other_counts(scores: Student) -> str | None:
        hint = expect_close(scores(np.array([5, 5])), [1 / 2, 1 / 2, 1 / 3], "for counts 5, 5")
        if hint:
            return f"{hint[:-1]}; take the number of classes and the largest count from counts."
        same = np.allclose(as_array(scores(10 * skewed)), as_array(scores(skewed.copy())))
        return None if same else "ten times as many clips of every class must change nothing."

    run_check("what the majority guesser scores", student, [
        has_shape((skewed,), (3,), "(accuracy, UAR, macro-F1)"),
        each,
        other_counts,
    ])  # fmt: skip
