"""Checks of chapter 03: cropped positions, a masked mean, a bootstrap over speakers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lowser_lib.course.checks import (
    Student,
    expect_close,
    expect_shape,
    gives,
    has_shape,
    run_check,
)


def check_crop_positions(student: Student) -> None:
    """Check ``crop(positions, n_frames)``: the positions of a clip shorter than 30 s.

    Whisper's stem halves the frame rate, so that ``n_frames`` mel frames need
    ``ceil(n_frames / 2)`` of its 1500 positions, the first ones. ``positions`` is a tensor
    ``(1500, D)``.
    """
    positions = torch.arange(3000.0).reshape(1500, 2)

    def even(crop: Student) -> str | None:
        answer = crop(positions.clone(), 200)
        if tuple(answer.shape) == (200, 2):
            return "the second convolution has stride 2: 200 mel frames become 100 states."
        return expect_shape(answer, (100, 2), "(states, dimension)")

    def odd(crop: Student) -> str | None:
        hint = expect_shape(crop(positions.clone(), 201), (101, 2), "(states, dimension)")
        return f"{hint[:-1]}; an odd number of frames rounds up." if hint else None

    def first(crop: Student) -> str | None:
        hint = expect_close(crop(positions.clone(), 4), positions[:2], "for 4 frames")
        return f"{hint[:-1]}; a clip begins at time 0, so take the first." if hint else None

    def whole(crop: Student) -> str | None:
        same = torch.equal(crop(positions.clone(), 3000), positions)
        return None if same else "3000 frames are 30 s: all positions, unchanged."

    run_check("positions cropped to the clip", student, [even, odd, first, whole])


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
