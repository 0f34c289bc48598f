"""Checks of chapter 02: noise at a ratio, the nearest speaker, plans to stop."""

from __future__ import annotations

import numpy as np

from lowser_lib.course.checks import (
    Student,
    expect_close,
    expect_shape,
    run_check,
    run_letters,
)


def check_add_noise(student: Student) -> None:
    """Check ``add_noise(waveform, noise, snr_db)``: noise at a signal-to-noise ratio.

    The ratio is 10·log10 of the waveform's power over that of the noise added, where power is the
    mean square.

    ``waveform`` and ``noise`` are arrays ``(samples,)``, and the noise has any level. It gives the
    noisy waveform.
    """
    waveform, noise = np.array([1.0, -1.0, 1.0, -1.0]), np.array([2.0, 2.0, -2.0, -2.0])

    def shape(add: Student) -> str | None:
        return expect_shape(add(waveform.copy(), noise.copy(), 0.0), (4,), "(samples,)")

    def equal_powers(add: Student) -> str | None:
        answer = _numbers(add(waveform.copy(), noise.copy(), 0.0))
        if np.allclose(answer, waveform + noise):
            return "the noise was added as it came; scale it, so that the ratio holds."
        right = waveform + noise / 2
        return expect_close(answer, right, "at 0 dB, where both have the power 1,")

    def ten_times(add: Student) -> str | None:
        answer = _numbers(add(waveform.copy(), noise.copy(), 20.0))
        if np.allclose(answer, waveform + noise / 2 * 0.01):
            return "20 dB are a hundredth of the power; of the amplitude, its root: a tenth."
        if np.allclose(answer, waveform + noise / 2 * 10):
            return "the higher the ratio, the weaker the noise; yours grows with it."
        return expect_close(answer, waveform + noise / 2 * 0.1, "at 20 dB", tolerance=1e-5)

    def own_levels(add: Student) -> str | None:
        generator = np.random.default_rng(0)
        speech, hiss = generator.normal(size=(2, 400))
        # Not around zero: a standard deviation would leave the constant part out.
        speech, hiss = 0.1 * speech + 0.02, hiss + 0.5
        first, other = (_numbers(add(speech, hiss * level, 10.0)) - speech for level in (1.0, 7.0))
        if not np.allclose(first, other, atol=1e-6):
            return "noise that came in louder came out louder; divide by its own level."
        ratio = 10 * np.log10(np.mean(speech**2) / np.mean(first**2))
        return expect_close(round(float(ratio), 3), 10.0, "asked for 10 dB,", tolerance=0.01)

    run_check("noise at the ratio asked for", student, [shape, equal_powers, ten_times, own_levels])


def check_stop(student: Student) -> None:
    """Check ``stop() -> letters``: which of six plans for augmentation to stop.

    It gives the letters as a set, list or text.
    """
    wrong = {
        "A": "A may go on: the test brings noise, and noise at these ratios leaves the emotion.",
        "F": "F may go on: a hole of 0.2 s leaves most of a clip, in the worst case too.",
    }
    run_letters("which plans to stop", student, {"B", "C", "D", "E"}, wrong)


def check_recognised(student: Student) -> None:
    """Check ``recognised(changed, clean, speakers)``: nearest-neighbour speaker identification.

    Each changed clip is compared by cosine with all clean ones but its own; it is recognised when
    the most similar one is by the same speaker.

    ``changed`` and ``clean`` are arrays ``(N, D)``, one row a clip, ``speakers`` an array ``(N,)``
    of names. It gives the share recognised, 0 to 1.
    """
    degrees = np.array([0.0, 10.0, 13.0, 100.0, 104.0])
    speakers = np.array(["ana", "ana", "bo", "bo", "bo"])

    def embeddings(angles: np.ndarray, lengths: np.ndarray | float = 1.0) -> np.ndarray:
        turn = np.deg2rad(angles)
        return np.stack([np.cos(turn), np.sin(turn)], axis=1) * np.reshape(lengths, (-1, 1))

    def a_number(recognised: Student) -> str | None:
        clean = embeddings(degrees)
        return expect_shape(recognised(clean.copy(), clean.copy(), speakers.copy()), ())

    def not_itself(recognised: Student) -> str | None:
        clean = embeddings(degrees)
        answer = recognised(clean.copy(), clean.copy(), speakers.copy())
        if np.isclose(_numbers(answer), 1.0):
            return "every clip found itself, which is no recognition; leave its own clean form out."
        # 0° finds 10° (ana), 10° finds 13° (bo), 13° finds 10° (ana), 100° and 104° each other.
        return expect_close(answer, 0.6, "for five clips, of which two find a stranger,")

    def by_angle(recognised: Student) -> str | None:
        lengths = np.array([1.0, 9.0, 0.1, 1.0, 9.0])
        answer = recognised(embeddings(degrees), embeddings(degrees, lengths), speakers.copy())
        if np.isclose(_numbers(answer), 0.6):
            return None
        return "longer embeddings were preferred; cosine divides by their lengths."

    def changed_looks_up_clean(recognised: Student) -> str | None:
        moved = np.array([98.0, 97.0, 99.0, 3.0, 2.0])
        answer = recognised(embeddings(moved), embeddings(degrees), speakers.copy())
        # The first three now find bo, which is right for the third alone; the last two find ana.
        return expect_close(answer, 0.2, "for clips changed beyond recognition", tolerance=1e-6)

    cases = [a_number, not_itself, by_angle, changed_looks_up_clean]
    run_check("nearest speaker, not counting itself", student, cases)


def _numbers(answer: object) -> np.ndarray:
    if hasattr(answer, "detach"):
        answer = answer.detach().cpu().numpy()
    return np.asarray(answer, dtype=np.float64)
