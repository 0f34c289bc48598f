"""What happens to pre-training speech between the mouth and the file.

The parts are those of the synthetic corpora (:mod:`lowser_lib.corpora.synthetic.channel`); here
their settings are drawn anew for every clip and far wider, with noise of any colour and random
equalisation on top, so that a new room, line or microphone is nothing new to the encoder.
All functions take and return float samples, shape ``(samples,)``, at 16 kHz.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.signal import lfilter

from lowser_lib.corpora.synthetic import Channel
from lowser_lib.corpora.synthetic.channel import (
    REFERENCE_LEVEL,
    SAMPLE_RATE,
    ratio,
    room_response,
    root_mean_square,
    transmit,
)


def tilted(samples: np.ndarray, decibels: float, corner: float = 1000.0) -> np.ndarray:
    """Raise or lower what lies above a corner frequency: a high shelf of the first order.

    Args:
        samples: the sound.
        decibels: gain far above the corner.
        corner: in Hz.
    """
    gain = ratio(decibels)
    warped = np.tan(np.pi * corner / SAMPLE_RATE)
    # Bilinear transform of (gain * s + w) / (s + w).
    numerator = np.array([warped + gain, warped - gain]) / (1.0 + warped)
    return lfilter(numerator, [1.0, (warped - 1.0) / (1.0 + warped)], samples)


def coloured_noise(count: int, slope: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit level whose power falls with frequency as ``f ** -slope``."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum *= np.maximum(np.arange(len(spectrum)), 1.0) ** (-slope / 2)
    spectrum[0] = 0.0
    noise = np.fft.irfft(spectrum, count)
    return noise / root_mean_square(noise)


def draw_channel(rng: np.random.Generator) -> Channel:
    """Draw a room and a line, each present in about half of the clips."""
    return Channel(
        low=float(rng.uniform(40, 350)),
        high=float(rng.uniform(3000, 7900)) if rng.random() < 0.6 else 8000.0,
        noise=float(rng.uniform(-60, -25)),
        hum=float(rng.uniform(-45, -20)) if rng.random() < 0.2 else -120.0,
        compression=float(rng.uniform(1.2, 4.0)) if rng.random() < 0.3 else 1.0,
        reverberation=float(rng.uniform(0.1, 0.8)) if rng.random() < 0.5 else 0.0,
        wetness=float(rng.uniform(-16, -2)),
        companding=bool(rng.random() < 0.1),
    )


def _background(count: int, others: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Steady noise of some colour, or the babble of up to five other clips; of unit level."""
    if len(others) < 5 or rng.random() < 0.65:
        return coloured_noise(count, rng.uniform(0.0, 2.0), rng)
    babble = np.zeros(count)
    for index in rng.integers(len(others), size=int(rng.integers(1, 6))):
        babble += np.roll(np.resize(others[index], count), int(rng.integers(count)))
    return babble / root_mean_square(babble)


def corrupt(
    samples: np.ndarray, others: Sequence[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Carry a clean clip through a random background, room, line, equaliser and level.

    Args:
        samples: the clip.
        others: clips from which babble is mixed; may be empty.
        rng: source of randomness.

    Returns:
        The clip as recorded, in [-1, 1], as long as the clean one.
    """
    samples = samples * ratio(REFERENCE_LEVEL) / root_mean_square(samples)
    if rng.random() < 0.7:
        level = ratio(REFERENCE_LEVEL - rng.uniform(3, 35))
        samples = samples + level * _background(len(samples), others, rng)
    channel = draw_channel(rng)
    room = room_response(channel, rng) if channel.reverberation else None
    samples = transmit(samples, channel, room=room, babble=None, rng=rng)
    for corner in rng.uniform(200, 5000, int(rng.integers(0, 3))):
        samples = tilted(samples, rng.uniform(-6, 6), corner)
    samples = samples / np.abs(samples).max()
    return samples * ratio(rng.uniform(-30, 0))
