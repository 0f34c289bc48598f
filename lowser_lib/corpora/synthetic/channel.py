"""From the mouth to the file: voice quality, room, noise and line.

:func:`voice_quality` finishes what eSpeak NG cannot do: spectral tilt, breath, shimmer. Then
:func:`transmit` puts a clip through the channel of its speaker: one kind a corpus, drawn anew for
each speaker by :func:`make_channel`. Corpora of the field differ in channel at least as much as in
language: acted studio speech (EmoDB, RAVDESS), talk shows with other voices and levelled sound
(URDU), telephone bandwidth (the Bangla sentences that were sampled at 8 kHz), the rooms and
headsets of volunteers (Common Voice). The kinds stand in for these; their figures are our choice.

All is float64 at 16 kHz, with recursive filters of low order (a room's echo is a convolution). What
a processor's vector width changes lies far below the final rounding to 16 bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import signal

SAMPLE_RATE = 16_000
"""Hz; of every file in the synthetic corpora."""

REFERENCE_LEVEL = -26.0
"""dB below full scale: active speech level of a neutral clip at gain 0 (ITU-T P.56 practice)."""

PEAK = 0.97
"""Largest sample in a file; louder clips are turned down, as a careful recordist does."""

TILT_CORNER = 1_000.0
"""Hz; above it :func:`voice_quality` raises the spectrum, below it nothing changes."""


@dataclass(frozen=True)
class Channel:
    """How a speaker is recorded.

    Attributes:
        low: lower band edge, Hz.
        high: upper band edge, Hz; 8000 leaves it open.
        noise: level of steady noise relative to the reference level of speech, dB.
        babble: level of other people talking, dB; -120 for none.
        hum: level of 50 Hz mains hum and its harmonics, dB; -120 for none.
        compression: ratio of automatic gain control, 1 for none.
        reverberation: decay time T60 of the room, s; 0 for none.
        wetness: level of the reverberation relative to the direct sound, dB.
        companding: whether an 8-bit telephone line (mu-law, ITU-T G.711) is passed.
    """

    low: float = 50.0
    high: float = 8_000.0
    noise: float = -60.0
    babble: float = -120.0
    hum: float = -120.0
    compression: float = 1.0
    reverberation: float = 0.0
    wetness: float = -12.0
    companding: bool = False


def make_channel(kind: str, rng: np.random.Generator) -> Channel:
    """Draw the channel of one speaker.

    Args:
        kind: ``studio``, ``talk_show``, ``room``, ``telephone`` or ``home``.
        rng: the speaker's own random numbers.

    Raises:
        ValueError: ``kind`` is none of these.
    """
    uniform = rng.uniform
    if kind == "studio":
        return Channel(low=uniform(50, 90), noise=uniform(-55, -45))
    if kind == "talk_show":
        return Channel(
            low=uniform(120, 220),
            high=uniform(4_200, 6_000),
            noise=uniform(-34, -26),
            babble=uniform(-26, -16),
            hum=uniform(-40, -28),
            compression=uniform(2.0, 4.0),
        )
    if kind == "room":
        return Channel(
            low=uniform(70, 110),
            high=uniform(6_500, 7_500),
            noise=uniform(-42, -34),
            reverberation=uniform(0.25, 0.5),
            wetness=uniform(-10, -4),
        )
    if kind == "telephone":
        return Channel(
            low=uniform(240, 320),
            high=uniform(3_300, 3_700),
            noise=uniform(-38, -28),
            companding=True,
        )
    if kind == "home":
        echoes = bool(rng.random() < 0.5)
        return Channel(
            low=uniform(60, 200),
            high=uniform(3_800, 7_800),
            noise=uniform(-48, -24),
            hum=uniform(-60, -34),
            reverberation=uniform(0.2, 0.5) if echoes else 0.0,
            wetness=uniform(-14, -5),
        )
    raise ValueError(
        f"kind={kind!r}: expected 'studio', 'talk_show', 'room', 'telephone' or 'home'"
    )


def ratio(decibels: float) -> float:
    """Amplitude ratio of a level in dB."""
    return float(10.0 ** (decibels / 20.0))


def root_mean_square(samples: np.ndarray) -> float:
    """Root of the mean square, never zero."""
    return float(np.sqrt(np.mean(np.square(samples)) + 1e-12))


def resample(samples: np.ndarray, rate: int, tract: float) -> np.ndarray:
    """Bring samples to 16 kHz while scaling all their frequencies.

    Args:
        samples: shape (n,), at ``rate`` Hz.
        rate: Hz.
        tract: factor on all frequencies, pitch and formants alike; the clip gets shorter by it.
    """
    up = 80
    down = round(up * rate * tract / SAMPLE_RATE)
    return signal.resample_poly(samples, up, down)


def trim(samples: np.ndarray, threshold: float = 0.01) -> np.ndarray:
    """Cut silence off both ends: what stays below ``threshold`` of the peak."""
    loud = np.flatnonzero(np.abs(samples) > threshold * np.max(np.abs(samples)))
    return samples[loud[0] : loud[-1] + 1]


def envelope(samples: np.ndarray, seconds: float) -> np.ndarray:
    """Amplitude envelope by a one-pole filter with the given time constant."""
    decay = float(np.exp(-1.0 / (seconds * SAMPLE_RATE)))
    return signal.lfilter([1.0 - decay], [1.0, -decay], np.abs(samples))


def voice_quality(
    samples: np.ndarray, *, tilt: float, breath: float, shimmer: float, rng: np.random.Generator
) -> np.ndarray:
    """Change the timbre of a voice.

    Args:
        samples: shape (n,), 16 kHz.
        tilt: dB by which frequencies well above :data:`TILT_CORNER` are raised.
        breath: level of breath noise under the voice, dB relative to it.
        shimmer: depth of irregular amplitude modulation, fraction.
        rng: the clip's own random numbers.
    """
    tilted = _shelf(samples, ratio(tilt))
    # Breath follows the voice's envelope; its spectrum rises, as turbulence at the glottis does.
    noise = np.diff(rng.standard_normal(samples.size), prepend=0.0)
    breathy = tilted + ratio(breath) * envelope(tilted, 0.02) * noise
    # About one random value per glottal period of a low voice.
    points = rng.standard_normal(samples.size // 160 + 2)
    wobble = np.interp(np.arange(samples.size) / 160.0, np.arange(points.size), points)
    return breathy * np.clip(1.0 + shimmer * wobble, 0.1, 2.0)


def _shelf(samples: np.ndarray, gain: float) -> np.ndarray:
    """First-order shelf: unit gain at 0 Hz, ``gain`` at the Nyquist frequency."""
    warped = np.tan(np.pi * TILT_CORNER / SAMPLE_RATE)
    # Bilinear transform of (gain * s + w) / (s + w).
    numerator = np.array([gain + warped, warped - gain]) / (1.0 + warped)
    return signal.lfilter(numerator, [1.0, (warped - 1.0) / (1.0 + warped)], samples)


def room_response(channel: Channel, rng: np.random.Generator) -> np.ndarray:
    """Impulse response of a room: the direct sound and a tail of exponentially falling noise.

    Args:
        channel: with ``reverberation`` above 0.
        rng: the speaker's own random numbers, so that all clips share the room.
    """
    seconds = np.arange(int(0.6 * channel.reverberation * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(seconds.size) * np.exp(-6.908 * seconds / channel.reverberation)
    tail[: int(0.004 * SAMPLE_RATE)] = 0.0
    tail *= ratio(channel.wetness) / np.sqrt(np.sum(np.square(tail)))
    tail[0] = 1.0
    return tail


def transmit(
    samples: np.ndarray,
    channel: Channel,
    *,
    room: np.ndarray | None,
    babble: np.ndarray | None,
    rng: np.random.Generator,
) -> np.ndarray:
    """Put a clip through its channel.

    Args:
        samples: shape (n,), 16 kHz, full scale 1, at the level at which it arrives.
        channel: the speaker's.
        room: impulse response, for a channel with reverberation.
        babble: other voices, of unit level and at least as long as the clip; for one with babble.
        rng: the clip's own random numbers.

    Returns:
        float64 of the same length, within ±:data:`PEAK`.
    """
    reference = ratio(REFERENCE_LEVEL)
    if room is not None:
        samples = signal.fftconvolve(samples, room)[: samples.size]
    noise = ratio(channel.noise) * signal.lfilter(
        [1.0], [1.0, -0.7], 0.714 * rng.standard_normal(samples.size)
    )
    if babble is not None:
        start = int(rng.integers(0, babble.size - samples.size + 1))
        noise += ratio(channel.babble) * babble[start : start + samples.size]
    if channel.hum > -100.0:
        noise += ratio(channel.hum) * _hum(samples.size, rng)
    samples = samples + reference * noise
    if channel.compression > 1.0:
        samples = _compress(samples, channel.compression, reference)
    samples = _band(samples, channel.low, channel.high)
    if channel.companding:
        samples = _compand(samples)
    return samples * min(1.0, PEAK / float(np.max(np.abs(samples))))


def _hum(size: int, rng: np.random.Generator) -> np.ndarray:
    period = SAMPLE_RATE // 50
    phase = 2.0 * np.pi * np.arange(period) / period
    cycle = np.sin(phase) + 0.5 * np.sin(3.0 * phase) + 0.3 * np.sin(5.0 * phase)
    return np.resize(np.roll(cycle, int(rng.integers(period))), size)


def _compress(samples: np.ndarray, compression: float, reference: float) -> np.ndarray:
    """Automatic gain control: levels move towards the reference by the ratio, within 20 ms."""
    step = 32  # the envelope is smooth: every 2 ms will do
    level = np.maximum(envelope(samples, 0.02)[::step], 0.05 * reference) / (0.8 * reference)
    gain = level ** (1.0 / compression - 1.0)
    return samples * np.interp(np.arange(samples.size) / step, np.arange(gain.size), gain)


def _band(samples: np.ndarray, low: float, high: float) -> np.ndarray:
    """Band limits of a line: second order below, sixth order above."""
    sections = signal.butter(2, low, "highpass", fs=SAMPLE_RATE, output="sos")
    if high < 0.5 * SAMPLE_RATE:
        upper = signal.butter(6, high, "lowpass", fs=SAMPLE_RATE, output="sos")
        sections = np.concatenate([sections, upper])
    return signal.sosfilt(sections, samples)


def _compand(samples: np.ndarray, mu: float = 255.0) -> np.ndarray:
    """Quantise to 8 bits on a logarithmic scale and back (mu-law)."""
    limited = np.clip(samples, -1.0, 1.0)
    code = np.round(127.0 * np.log1p(mu * np.abs(limited)) / np.log1p(mu))
    return np.sign(limited) * np.expm1(code / 127.0 * np.log1p(mu)) / mu
