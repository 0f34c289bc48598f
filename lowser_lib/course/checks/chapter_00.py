"""Checks of chapter 00: reading a file name, the UAR, two yardsticks: the majority and luck."""

from __future__ import annotations

import numpy as np
from scipy.stats import binom

from lowser_lib.course.checks import (
    Student,
    expect_close,
    expect_equal,
    expect_shape,
    run_check,
)


def check_parse_ravdess(student: Student) -> None:
    """Check ``parse(name) -> (emotion, gender)`` on names of RAVDESS.

    A name reads ``03-01-EE-II-SS-RR-AA.wav``: EE is the emotion (01 neutral, 03 happy, 04 sad,
    05 angry), AA the actor, male when odd.

    It gives a pair of words.
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

    def number(uar: Student) -> str | None:
        return expect_shape(uar(uneven.copy()), (), "(one number)")

    def by_hand(uar: Student) -> str | None:
        answer = float(uar(uneven.copy()))
        if np.isclose(answer, 9 / 14):
            return "9 of 14 right is the accuracy; take the recall of each class, then their mean."
        if np.isclose(answer, (8 / 11 + 1 / 3) / 2):
            return "you divided by the predictions (columns); recall divides by the truth (rows)."
        return expect_close(answer, (8 / 10 + 1 / 4) / 2, "for [[8, 2], [3, 1]]")

    def lazy(uar: Student) -> str | None:
        matrix = np.array([[90, 0, 0], [5, 0, 0], [5, 0, 0]])
        return expect_close(uar(matrix), 1 / 3, "for a model that always says the first class")

    def copies(uar: Student) -> str | None:
        doubled = uneven * np.array([[7], [1]])
        same = np.isclose(float(uar(doubled)), float(uar(uneven.copy())))
        return None if same else "seven times as many clips of a class must not change the mean."

    run_check("unweighted average recall", student, [number, by_hand, lazy, copies])


def check_majority_scores(student: Student) -> None:
    """Check ``scores(counts) -> (accuracy, uar, macro_f1)`` of always saying the commonest class.

    With a share p of the commonest of C classes they are p, 1/C and 2p / (1 + p) / C.

    ``counts`` is an integer array ``(classes,)`` of clips a class, each at least 1; it gives three
    numbers.
    """
    skewed = np.array([10, 6, 80, 4])
    right = np.array([0.8, 1 / 4, 2 * 0.8 / 1.8 / 4])

    def three(scores: Student) -> str | None:
        return expect_shape(_row(scores(skewed.copy())), (3,), "(accuracy, UAR, macro-F1)")

    def shares(scores: Student) -> str | None:
        answer = _row(scores(skewed.copy()))
        hint = expect_close(answer[0], right[0], "accuracy: for counts 10, 6, 80, 4")
        return hint or expect_close(answer[1], right[1], "UAR: for counts 10, 6, 80, 4")

    def f1(scores: Student) -> str | None:
        answer = _row(scores(skewed.copy()))[2]
        if np.isclose(answer, 4 * right[2]):
            return "that is the F1 of the commonest class; the three others have F1 = 0 and count."
        return expect_close(answer, right[2], "macro-F1: for counts 10, 6, 80, 4")

    def other_counts(scores: Student) -> str | None:
        hint = expect_close(
            _row(scores(np.array([5, 5]))), [1 / 2, 1 / 2, 1 / 3], "for counts 5, 5"
        )
        if hint:
            return f"{hint[:-1]}; take the number of classes and the largest count from counts."
        same = np.allclose(_row(scores(10 * skewed)), _row(scores(skewed.copy())))
        return None if same else "ten times as many clips of every class must change nothing."

    run_check("what the majority guesser scores", student, [three, shares, f1, other_counts])


def check_clips_needed(student: Student) -> None:
    """Check ``clips_needed(score) -> int``: when a UAR lies above what luck gives.

    With n clips, evenly of four classes, a random guesser's UAR is a binomial count over n. Asked
    is the smallest n for which the 97.5 % quantile lies below the score. An answer by simulation or
    by the normal approximation is near enough.

    ``score`` is a UAR above 0.25.
    """

    def exact(score: float) -> int:
        return next(n for n in range(4, 4000, 4) if binom.ppf(0.975, n, 0.25) / n < score)

    def number(needed: Student) -> str | None:
        return expect_shape(needed(0.5), (), "(one number)")

    def more_for_less(needed: Student) -> str | None:
        near, far = float(needed(0.35)), float(needed(0.5))
        return None if near > far else "a score near chance needs more clips, not fewer."

    def size(needed: Student) -> str | None:
        for score in (0.3, 0.35, 0.5):
            answer, right = float(needed(score)), exact(score)
            if np.isclose(answer, right / 4, rtol=0.2):
                return "that is the number of clips of one class; there are four."
            if not right / 1.4 - 4 <= answer <= right * 1.4 + 4:
                return f"for a UAR of {score} about {right} clips are needed, yours is {answer:g}."
        return None

    run_check("a test set beyond luck", student, [number, more_for_less, size])


def _row(answer: object) -> np.ndarray:
    """The learner's numbers as one array; a tuple of numbers will do."""
    return np.asarray(answer, dtype=float)
