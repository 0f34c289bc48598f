"""Checks of chapter 02: noise at a ratio, the target of a mixed clip, the nearest speaker."""

from __future__ import annotations

import numpy as np

from lowser_lib.course.checks.framework import (
    Student,
    as_array,
    expect_close,
    gives,
    has_shape,
    run_check,
)


def check_add_noise(student: Student) -> None:
    """Check ``add_noise(waveform, noise, snr_db)``: noise at a signal-to-noise ratio.

    The ratio is 10·log10 of the waveform's power over that of the noise added, where power is the
    mean square. ``waveform`` and ``noise`` are arrays ``(samples,)``, and the noise has any level.
    It gives the noisy waveform.
    """
    waveform, noise = np.array([1.0, -1.0, 1.0, -1.0]), np.array([2.0, 2.0, -2.0, -2.0])

    def own_levels(add: Student) -> str | None:
        generator = np.random.default_rng(0)
        speech, hiss = generator.normal(size=(2, 400))
        # Not around zero: a standard deviation would leave the constant part out.
        speech, hiss = 0.1 * speech + 0.02, hiss + 0.5
        one, other = (as_array(add(speech, hiss * level, 10.0)) - speech for level in (1.0, 7.0))
        if not np.allclose(one, other, atol=1e-6):
            return "noise that came in louder came out louder; divide by its own level."
        ratio = 10 * np.log10(np.mean(speech**2) / np.mean(one**2))
        return expect_close(round(float(ratio), 3), 10.0, "asked for 10 dB,", tolerance=0.01)

    run_check("noise at the ratio asked for", student, [
        has_shape((waveform, noise, 0.0), (4,), "(samples,)"),
        gives((waveform, noise, 0.0), waveform + noise / 2,
              "at 0 dB, where both have the power 1,",
              (waveform + noise, "the noise was added as it came; scale it, so that the ratio "
                                 "holds.")),
        gives((waveform, noise, 20.0), waveform + noise / 2 * 0.1, "at 20 dB",
              (waveform + noise / 2 * 0.01,
               "20 dB are a hundredth of the power; of the amplitude, its root: a tenth."),
              (waveform + noise / 2 * 10,
               "the higher the ratio, the weaker the noise; yours grows with it.")),
        own_levels,
    ])  # fmt: skip


def check_mixed_target(student: Student) -> None:
    """Check ``mixed_target(own, other, share)``: what a model shall answer for a mixed clip.

    ``own`` and ``other`` are class numbers 0 to 3 of the clip and its partner, ``share`` is the
    partner's. It gives four numbers that sum to 1.
    """

    def one_class(target: Student) -> str | None:
        answer = as_array(target(3, 3, 0.25))
        if not np.isclose(answer.sum(), 1):
            return (
                "two sad clips mixed are still wholly sad, but your numbers sum to "
                f"{answer.sum():g}; add the shares, lest the second overwrite the first."
            )
        return expect_close(answer, [0, 0, 0, 1], "for two sad clips")

    run_check("the target of a mixed clip", student, [
        has_shape((0, 2, 0.25), (4,), "one number a class"),
        gives((0, 2, 0.25), [0.75, 0, 0.25, 0], "for angry with a quarter of neutral",
              ([0.25, 0, 0.75, 0],
               "the share is the partner's; the clip itself has what is left.")),
        one_class,
        *(gives((own, other, share), (1 - share) * np.eye(4)[own] + share * np.eye(4)[other],
                f"for classes {own} and {other}, share {share:g},")
          for own, other, share in ((1, 0, 0.4), (2, 1, 0.0), (0, 3, 0.5))),
    ])  # fmt: skip


def check_recognised(student: Student) -> None:
    """Check ``recognised(changed, clean, speakers)``: nearest-neighbour speaker identification.

    Each changed clip is compared by cosine with all clean ones but its own; it is recognised when
    the most similar one is by the same speaker. ``changed`` and ``clean`` are arrays ``(N, D)``,
    one row a clip, ``speakers`` an array ``(N,)`` of names. It gives the share recognised, 0 to 1.
    """
    degrees = np.array([0.0, 10.0, 13.0, 100.0, 104.0])
    speakers = np.array(["ana", "ana", "bo", "bo", "bo"])

    def embeddings(angles: np.ndarray, lengths: np.ndarray | float = 1.0) -> np.ndarray:
        turn = np.deg2rad(angles)
        return np.stack([np.cos(turn), np.sin(turn)], axis=1) * np.reshape(lengths, (-1, 1))

    clean = embeddings(degrees)
    moved = embeddings(np.array([98.0, 97.0, 99.0, 3.0, 2.0]))

    def by_angle(recognised: Student) -> str | None:
        lengths = np.array([1.0, 9.0, 0.1, 1.0, 9.0])
        answer = recognised(clean.copy(), embeddings(degrees, lengths), speakers.copy())
        if np.isclose(as_array(answer), 0.6):
            return None
        return "longer embeddings were preferred; cosine divides by their lengths."

    run_check("nearest speaker, not counting itself", student, [
        has_shape((clean, clean, speakers)),
        # 0° finds 10° (ana), 10° finds 13° (bo), 13° finds 10° (ana), 100° and 104° each other.
        gives((clean, clean, speakers), 0.6, "for five clips, of which two find a stranger,",
              (1.0, "every clip found itself, which is no recognition; leave its own clean form "
                    "out.")),
        by_angle,
        # The first three now find bo, which is right for the third alone; the last two find ana.
        gives((moved, clean, speakers), 0.2, "for clips changed beyond recognition"),
    ])  # fmt: skip
