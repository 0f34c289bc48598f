"""How speakers are recorded: one kind of channel a corpus, drawn anew for each speaker.

Corpora of the field differ in channel at least as much as in language: acted studio speech (EmoDB,
RAVDESS), talk shows with other voices and levelled sound (URDU), telephone bandwidth (the Bangla
sentences that were sampled at 8 kHz), the rooms and headsets of volunteers (Common Voice). The
kinds stand in for these; their figures are our choice. What they do to the sound is in
:mod:`.channel`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
