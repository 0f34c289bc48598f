"""Who speaks: synthetic speakers with a gender, a pitch, a tempo and a vocal tract of their own.

A speaker is one of eSpeak NG's voice variants, moved away from its factory setting:

* **Pitch.** Women's and men's voices lie about 200 Hz and 120 Hz high, with spreads of a few
  semitones that make the two groups meet (Hillenbrand et al. 1995 give 220 and 131 Hz; Traunmüller
  & Eriksson 1995 collect about 210 and 120 Hz, with standard deviations of 2-3 semitones). So a
  pitch in hertz tells the speaker and the gender before it tells an emotion.
* **Vocal tract.** Formants scale with the length of the vocal tract, which differs by several per
  cent between people of one gender (Fitch & Giedd 1999). The recording is played a little faster
  or slower; pitch and tempo are corrected for it beforehand.
* **Tempo.** Speakers differ by 10-15 % in articulation rate (Jacewicz et al. 2009).
* **Level.** Distance to the microphone and recording gain differ (our choice: 4 dB), so that the
  level of a clip says little about how loudly it was spoken.

The voices used here are listed in :data:`COURSE_VARIANTS`; whoever trains an encoder on other
synthetic speech leaves them out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VARIANT_PITCH = {
    "male": {
        "m1": 93.0,
        "m2": 97.0,
        "m3": 103.0,
        "m4": 92.0,
        "m5": 101.0,
        "m6": 100.0,
        "m7": 107.0,
        "max": 100.0,
        "Denis": 99.0,
    },
    "female": {
        "f1": 177.0,
        "f2": 186.0,
        "f3": 199.0,
        "f4": 173.0,
        "f5": 197.0,
    },
}
"""Median pitch (Hz) of each variant at eSpeak NG's default setting, measured with pYIN."""

COURSE_VARIANTS = tuple(variant for group in VARIANT_PITCH.values() for variant in group)
"""All voice variants that speak in the synthetic corpora of the course."""

ESPEAK_VOICES = {"en": "en-us", "ur": "ur", "de": "de", "bn": "bn"}

MEAN_PITCH = {"male": 120.0, "female": 200.0}
"""Hz; geometric mean over speakers."""
PITCH_SPREAD = 2.3
"""Semitones; standard deviation over the speakers of one gender, so that the genders overlap."""
TRACT_SPREAD = 0.04
"""Standard deviation of the logarithm of the formant scale, over the speakers of one gender."""
MEAN_TEMPO = {"en": 158.0, "ur": 168.0, "de": 156.0, "bn": 150.0}
"""eSpeak NG words per minute; chosen so that most clips last 1.5-3 s."""
TEMPO_SPREAD = 0.10
"""Standard deviation of the logarithm of the tempo over speakers."""
LEVEL_SPREAD = 4.0
"""dB; standard deviation of the recording gain over speakers."""


@dataclass(frozen=True)
class Speaker:
    """One synthetic speaker.

    Attributes:
        name: id within the corpus, such as ``en_f03``.
        gender: ``female`` or ``male``.
        language: ISO 639-1.
        voice: eSpeak NG's voice and variant, such as ``en-us+f3``.
        voice_pitch: median pitch of that variant at the default setting, Hz.
        pitch: median pitch of this speaker's neutral speech, Hz.
        tract: formant scale relative to the variant, about 0.85 to 1.15.
        tempo: words per minute of this speaker's neutral speech.
        gain: recording gain relative to the corpus, dB.
        pitch_range: factor on the variant's own pitch range.
    """

    name: str
    gender: str
    language: str
    voice: str
    voice_pitch: float
    pitch: float
    tract: float
    tempo: float
    gain: float
    pitch_range: float


def make_speaker(
    name: str, gender: str, language: str, number: int, rng: np.random.Generator
) -> Speaker:
    """Draw a speaker.

    Args:
        name: id within the corpus.
        gender: ``female`` or ``male``.
        language: one of ``en``, ``ur``, ``de``, ``bn``.
        number: position among the speakers of that gender; variants are dealt out in turn.
        rng: the speaker's own random numbers.
    """
    variants = VARIANT_PITCH[gender]
    variant = tuple(variants)[number % len(variants)]
    spread = float(np.clip(rng.standard_normal(), -2.0, 2.0))
    return Speaker(
        name=name,
        gender=gender,
        language=language,
        voice=f"{ESPEAK_VOICES[language]}+{variant}",
        voice_pitch=variants[variant],
        pitch=MEAN_PITCH[gender] * 2.0 ** (PITCH_SPREAD * spread / 12.0),
        tract=float(np.exp(np.clip(TRACT_SPREAD * rng.standard_normal(), -0.10, 0.10))),
        tempo=float(
            MEAN_TEMPO[language] * np.exp(np.clip(TEMPO_SPREAD * rng.standard_normal(), -0.2, 0.2))
        ),
        gain=float(np.clip(LEVEL_SPREAD * rng.standard_normal(), -8.0, 8.0)),
        pitch_range=float(np.exp(0.2 * np.clip(rng.standard_normal(), -2.0, 2.0))),
    )
