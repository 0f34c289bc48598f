"""Checks of chapter 01: leak-free splits, what leaks, label budgets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from lowser_lib.course.checks import Student, expect_equal, run_check, run_letters
from lowser_lib.manifest import EMOTIONS


def _clips() -> pd.DataFrame:
    """A table of 48 clips: 6 speakers, 4 emotions, 2 clips each; one column a manifest column."""
    rows = [
        (f"toy/{speaker}_{emotion}_{take}", f"toy/{speaker}", emotion)
        for speaker in ("ana", "bo", "cem", "dua", "eli", "fay")
        for emotion in EMOTIONS
        for take in (1, 2)
    ]
    return pd.DataFrame(rows, columns=["utterance_id", "speaker", "emotion"])


def check_no_shared_speaker(student: Student) -> None:
    """Check ``split(clips, seed) -> (train, test)``: no speaker on both sides, no clip lost.

    ``clips`` is a table with ``utterance_id``, ``speaker`` and ``emotion``, and so are both parts.
    """

    def pair(split: Student) -> str | None:
        answer = split(_clips(), 0)
        tables = isinstance(answer, tuple | list) and len(answer) == 2
        if not tables or not all(isinstance(part, pd.DataFrame) for part in answer):
            return "give back two tables, train and test."
        return "one of the two parts is empty." if any(len(part) == 0 for part in answer) else None

    def complete(split: Student) -> str | None:
        train, test = split(_clips(), 0)
        ids = sorted([*train["utterance_id"], *test["utterance_id"]])
        if ids == sorted(_clips()["utterance_id"]):
            return None
        return f"48 clips went in, {len(ids)} came out ({len(set(ids))} different ones)."

    def disjoint(split: Student) -> str | None:
        for seed in range(5):
            train, test = split(_clips(), seed)
            shared = sorted(set(train["speaker"]) & set(test["speaker"]))
            if shared:
                return (
                    f"with seed {seed}, {shared[0]} speaks in both parts; draw speakers, not clips."
                )
        return None

    def seeded(split: Student) -> str | None:
        first, again = (split(_clips(), 3)[1]["utterance_id"].tolist() for _ in range(2))
        if first != again:
            return "the same seed gives two different splits; make a generator from the seed."
        held_out = {tuple(sorted(set(split(_clips(), s)[1]["speaker"]))) for s in range(10)}
        return None if len(held_out) > 1 else "ten seeds give one and the same split."

    run_check("no speaker on both sides", student, [pair, complete, disjoint, seeded])


def check_leaking(student: Student) -> None:
    """Check ``leaking() -> letters``: which of six ways to a test score leak.

    It gives the letters as a set, list or text.
    """
    wrong = {
        "B": "B does not leak: whoever is tested is heard in no training clip of that fold.",
        "E": "E does not leak: the two people always go together; neither is on both sides.",
    }
    run_letters("what leaks", student, {"A", "C", "D", "F"}, wrong)


def check_label_budget(student: Student) -> None:
    """Check ``budget(clips, per_class, seed)``: so many labelled clips of each class, nested.

    It gives a table of the drawn clips.
    """

    def size(budget: Student) -> str | None:
        drawn = budget(_clips(), 3, 0)
        if not isinstance(drawn, pd.DataFrame):
            return "give back a table, a part of the one that came in."
        return expect_equal(len(drawn), 12, "3 a class of 4 classes:")

    def balanced(budget: Student) -> str | None:
        counts = budget(_clips(), 3, 0)["emotion"].value_counts().to_dict()
        return expect_equal(_sorted(counts), dict.fromkeys(EMOTIONS, 3), "counted by emotion")

    def once(budget: Student) -> str | None:
        ids = budget(_clips(), 8, 1)["utterance_id"]
        return None if ids.is_unique else "a clip was drawn twice; draw without putting back."

    def labelled(budget: Student) -> str | None:
        clips = _clips()
        clips.loc[::4, "emotion"] = None
        if budget(clips, 2, 0)["emotion"].isna().any():
            return "unlabelled clips were drawn; a label budget counts labels."
        return None

    def seeded(budget: Student) -> str | None:
        draws = [_ids(budget(_clips(), 2, seed)) for seed in (0, 0, 1, 2, 3)]
        if draws[0] != draws[1]:
            return "the same seed gives two different draws; make a generator from the seed."
        return None if len(set(draws)) > 1 else "every seed draws the same clips."

    def nested(budget: Student) -> str | None:
        for seed in range(3):
            lost = set(_ids(budget(_clips(), 2, seed))) - set(_ids(budget(_clips(), 4, seed)))
            if lost:
                return (
                    f"with seed {seed}, {len(lost)} of the 8 clips drawn for 2 a class are not "
                    f"among those for 4; shuffle once, then take the first of each class."
                )
        return None

    run_check("a label budget", student, [size, balanced, once, labelled, seeded, nested])


def _ids(drawn: pd.DataFrame) -> tuple[str, ...]:
    return tuple(np.sort(drawn["utterance_id"].to_numpy(dtype=str)).tolist())


def _sorted(counts: dict[Any, int]) -> dict[str, int]:
    keys: Iterable[str] = sorted(str(key) for key in counts)
    return {key: int(counts[key]) for key in keys}
