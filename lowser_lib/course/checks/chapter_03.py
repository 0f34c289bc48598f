"""Checks of chapter 03: a masked mean, a bootstrap over speakers, fair comparisons."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lowser_lib.course.checks import (
    Student,
    gives,
    has_shape,
    run_check,
    run_letters,
)


def check_masked_mean(student: Student) -> None:
    """Check ``masked_mean(states, lengths)``: the time average that leaves padding out.

    ``states`` is a tensor ``(B, T, D)``, ``lengths`` ``(B,)`` counts the valid states of each clip.
    """
    states = torch.tensor([[[1.0, 10.0], [3.0, 20.0]], [[5.0, 7.0], [99.0, 99.0]]])
    lengths = torch.tensor([2, 1])

    def padding(mean: Student) -> str | None:
        generator = torch.Generator().manual_seed(0)
        base = torch.randn(3, 6, 4, generator=generator)
        counts = torch.tensor([2, 6, 4])
        longer = torch.cat([base, torch.full((3, 5, 4), 1e4)], dim=1)
        same = torch.allclose(mean(base, counts), mean(longer, counts), atol=1e-4)
        return None if same else "more padding behind the clips changes the answer; it must not."

    run_check("a mean that leaves padding out", student, [
        has_shape((states, lengths), (2, 2), "(batch, dimension)"),
        gives((states, lengths), [[2.0, 15.0], [5.0, 7.0]], "for clips of 2 and 1 states",
              (states.mean(dim=1), "this averages the padding too; leave out states beyond each "
                                   "clip's length."),
              ([[2.0, 15.0], [2.5, 3.5]], "the padding is zero, but still counted; divide by the "
                                          "clip's own length.")),
        padding,
    ])  # fmt: skip


def check_bootstrap_speakers(student: Student) -> None:
    """Check ``resample(speakers, generator)``: clip indices for one bootstrap over speakers.

    As many speakers as there are are drawn with replacement; a speaker drawn twice brings all its
    clips twice. ``speakers`` is an array ``(N,)`` of names, one a clip, ``generator`` a
    :class:`numpy.random.Generator`; it gives an array of indices into ``speakers``.
    """
    speakers = np.array(["a"] * 1 + ["b"] * 4 + ["c"] * 16)
    clips = {name: np.flatnonzero(speakers == name) for name in ("a", "b", "c")}

    def drawn(resample: Student, seed: int) -> np.ndarray:
        answer = resample(speakers.copy(), np.random.default_rng(seed))
        return np.asarray(answer.numpy() if isinstance(answer, Tensor) else answer)

    def indices(resample: Student) -> str | None:
        answer = drawn(resample, 0)
        if answer.ndim != 1 or not np.issubdtype(answer.dtype, np.integer):
            return "give back one flat array of whole numbers: the clips drawn, by position."
        if answer.size and (answer.min() < 0 or answer.max() >= len(speakers)):
            return "an index lies outside the clips."
        return None

    def whole_speakers(resample: Student) -> str | None:
        for seed in range(20):
            counts = np.bincount(drawn(resample, seed), minlength=len(speakers))
            for name, positions in clips.items():
                if len(set(counts[positions].tolist())) > 1:
                    return f"speaker {name} came in part; draw speakers and take all their clips."
            times = sum(int(counts[positions[0]]) for positions in clips.values())
            if times != 3:
                return f"there are 3 speakers, so draw 3; yours drew {times}."
        return None

    def replaced(resample: Student) -> str | None:
        draws = [np.sort(drawn(resample, seed)) for seed in range(20)]
        if all(len(draw) == len(set(draw.tolist())) for draw in draws):
            return "no speaker ever comes twice; draw with replacement."
        same = all(np.array_equal(draws[0], draw) for draw in draws)
        return "every generator gives the same draw; use the generator." if same else None

    def seeded(resample: Student) -> str | None:
        same = np.array_equal(drawn(resample, 5), drawn(resample, 5))
        return None if same else "one and the same generator must give one and the same draw."

    run_check("a bootstrap over speakers", student, [indices, whole_speakers, replaced, seeded])


def check_fair(student: Student) -> None:
    """Check ``fair()``: which comparisons say what an encoder is worth."""
    wrong = {
        "A": "A compares two rulers as much as two methods; give both the same.",
        "B": "in B nano was taught what these emotions are made of; its lead was built in.",
        "D": "D chooses the layer on the clips that it is tested on; choose on other languages.",
        "F": "two intervals may overlap although one is better on nearly every speaker; draw the "
        "speakers once for both, and look at the difference.",
    }
    run_letters("which comparisons are fair", student, {"C", "E"}, wrong)
