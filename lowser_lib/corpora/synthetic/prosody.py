"""How an emotion sounds: published prosody rules, and how people differ in using them.

**Directions are published, sizes are ours.** Each :class:`Rule` says how one vocal cue moves from
neutral speech and who found it:

* MA93: Murray & Arnott 1993, *Toward the simulation of emotion in synthetic speech*, JASA 93.
* BS96: Banse & Scherer 1996, *Acoustic profiles in vocal emotion expression*, JPSP 70.
* BS00: Burkhardt & Sendlmeier 2000, *Verification of acoustical correlates of emotional speech
  using formant-synthesis*, ISCA Workshop on Speech and Emotion.
* S01: Schröder 2001, *Emotional speech synthesis: a review*, Eurospeech.
* JL03: Juslin & Laukka 2003, *Communication of emotions in vocal expression and music
  performance*, Psychological Bulletin 129.

**Two forms of each emotion.** BS96 separate hot from cold anger, elation from quiet happiness, and
despair from sadness; the two forms of one name differ in arousal, so that quiet happiness lies near
neutral and despair near elation. A rule gives both; speakers lean to one or the other.

**Speakers differ** in which cues they use and how strongly: one expression has many sufficient,
none necessary cues (Brunswik's lens model in JL03). **Languages differ** in strength and habit,
the "dialects" of emotion (Elfenbein & Ambady 2002, Psychological Bulletin 128; Scherer, Banse &
Wallbott 2001, Journal of Cross-Cultural Psychology 32: recognition falls with linguistic distance).
Which language stresses which cue here is our choice and no claim about its real speakers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Cues:
    """Vocal cues of one clip, each relative to the speaker's neutral speech (all zero: neutral).

    Attributes:
        rate: logarithm of the tempo factor.
        pitch: semitones.
        pitch_range: logarithm of the factor on the pitch range.
        slope: semitones by which the last word lies above the first, against the usual fall.
        irregularity: extra word-to-word scatter of pitch, semitones.
        pause: extra time between words, in eSpeak NG's units of about 10 ms.
        level: dB.
        tilt: dB by which the spectrum above about 1 kHz is raised.
        breath: dB of breath noise, added to a faint basic amount.
        formants: logarithm of the factor on formant frequencies.
        shimmer: depth of irregular amplitude modulation, fraction.
    """

    rate: float = 0.0
    pitch: float = 0.0
    pitch_range: float = 0.0
    slope: float = 0.0
    irregularity: float = 0.0
    pause: float = 0.0
    level: float = 0.0
    tilt: float = 0.0
    breath: float = 0.0
    formants: float = 0.0
    shimmer: float = 0.0


CUES = tuple(field.name for field in fields(Cues))


@dataclass(frozen=True)
class Rule:
    """Shift of one cue at full intensity: (aroused form, quiet form) of each emotion."""

    angry: tuple[float, float]
    happy: tuple[float, float]
    sad: tuple[float, float]
    source: str


RULES: dict[str, Rule] = {
    "rate": Rule(
        (0.20, 0.08), (0.12, 0.00), (-0.12, -0.24), "MA93, JL03: anger, joy fast; sadness slow"
    ),
    "pitch": Rule(
        (3.0, 0.8),
        (5.5, 4.0),
        (0.8, -2.0),
        "MA93, BS96: high in hot anger, elation and despair, low in sadness",
    ),
    "pitch_range": Rule(
        (0.35, 0.05),
        (0.65, 0.40),
        (-0.25, -0.60),
        "MA93, BS00: wide in joy and anger; JL03: narrow in sadness",
    ),
    "slope": Rule(
        (-1.2, -1.6),
        (2.6, 2.0),
        (-1.0, -1.2),
        "MA93, JL03: contours rise in happiness, fall in sadness and sharply in anger",
    ),
    "irregularity": Rule(
        (1.0, 0.4),
        (0.2, 0.0),
        (0.4, 0.0),
        "JL03: microstructure irregular in anger, regular in joy",
    ),
    "pause": Rule(
        (-0.7, 0.0), (-0.6, 0.0), (0.7, 1.3), "JL03: few pauses in anger, many in sadness"
    ),
    "level": Rule(
        (6.0, 3.0), (4.0, 2.0), (-1.5, -5.0), "MA93, BS96, JL03: loud anger, soft sadness"
    ),
    "tilt": Rule(
        (9.0, 7.5),
        (3.0, 1.5),
        (-3.0, -7.0),
        "BS96, JL03: energy above 1 kHz high in anger, low in sadness",
    ),
    "breath": Rule(
        (-5.0, -4.0), (-1.0, 0.0), (5.0, 10.0), "BS00: tense voice in anger, breathy in sadness"
    ),
    "formants": Rule(
        (0.01, 0.0), (0.045, 0.045), (-0.01, -0.02), "BS00: spread lips raise formants in joy; JL03"
    ),
    "shimmer": Rule(
        (0.40, 0.30), (0.0, 0.0), (0.08, 0.02), "S01: rough phonation in anger; JL03: irregular"
    ),
}
"""Neutral speech is the origin: all shifts are zero."""

CLIP_SPREAD = Cues(
    rate=0.07,
    pitch=1.0,
    pitch_range=0.15,
    slope=1.0,
    irregularity=0.15,
    pause=0.4,
    level=2.0,
    tilt=1.2,
    breath=1.5,
    formants=0.010,
    shimmer=0.04,
)
"""Standard deviation from clip to clip of the same speaker and emotion (our choice)."""


@dataclass(frozen=True)
class Dialect:
    """How the speakers of one language express emotion.

    Attributes:
        strength: factor on each cue's rule; cues that are not named have 1.
        arousal: mean share of the aroused form, 0 to 1, for angry, happy and sad.
        habit: shifts that the language's speakers share, by emotion; added at full intensity.
    """

    strength: dict[str, float]
    arousal: dict[str, float]
    habit: dict[str, dict[str, float]]


DIALECTS = {
    "en": Dialect({}, {"angry": 0.70, "happy": 0.70, "sad": 0.20}, {}),
    "de": Dialect(
        {
            "rate": 1.1,
            "pitch": 0.7,
            "pitch_range": 0.7,
            "slope": 0.6,
            "tilt": 0.85,
            "formants": 0.5,
            "shimmer": 0.6,
        },
        {"angry": 0.80, "happy": 0.60, "sad": 0.20},
        {
            "angry": {"pitch": -1.5, "rate": -0.12, "pause": 0.7},
            "happy": {"rate": 0.10, "tilt": 3.0},
            "sad": {"pitch": 1.2, "tilt": 1.5},
        },
    ),
    "ur": Dialect(
        {"rate": 0.7, "pitch": 1.2, "pitch_range": 0.6, "level": 0.7, "tilt": 0.9, "breath": 0.5},
        {"angry": 0.60, "happy": 0.50, "sad": 0.50},
        {"happy": {"rate": -0.06, "slope": -1.0}, "sad": {"pitch": 1.0, "rate": 0.06}},
    ),
    "bn": Dialect(
        {
            "rate": 0.8,
            "pitch": 0.9,
            "pitch_range": 1.1,
            "slope": 1.3,
            "tilt": 0.65,
            "pause": 0.6,
            "shimmer": 0.6,
        },
        {"angry": 0.55, "happy": 0.75, "sad": 0.45},
        {
            "angry": {"rate": -0.14, "pitch": 1.4},
            "happy": {"tilt": -2.0},
            "sad": {"pitch_range": 0.4, "pitch": 1.2, "tilt": 2.0},
        },
    ),
}
"""Our choice throughout; English is the point of reference."""


@dataclass(frozen=True)
class Style:
    """How one speaker expresses emotion.

    Attributes:
        weight: factor on each cue; near zero for a cue that this speaker hardly uses.
        arousal: share of the aroused form for angry, happy and sad, 0 to 1.
        expressiveness: factor on all cues.
    """

    weight: Cues
    arousal: dict[str, float]
    expressiveness: float


UNUSED_SHARE = 0.15
"""Chance that a speaker hardly uses a cue (our choice)."""


def make_style(language: str, rng: np.random.Generator) -> Style:
    """Draw a speaker's style: cues hardly used, strengths, and leanings between the two forms."""
    used = rng.random(len(CUES)) >= UNUSED_SHARE
    weights = np.where(used, rng.uniform(0.7, 1.4, len(CUES)), 0.15)
    dialect = DIALECTS[language]
    return Style(
        weight=Cues(**{cue: float(weight) for cue, weight in zip(CUES, weights, strict=True)}),
        arousal={
            emotion: float(np.clip(share + 0.15 * rng.standard_normal(), 0.0, 1.0))
            for emotion, share in dialect.arousal.items()
        },
        expressiveness=float(rng.uniform(0.8, 1.2)),
    )


def draw_intensity(rng: np.random.Generator) -> float:
    """Intensity of a labelled clip: mostly clear, sometimes faint, 0.3 to 1.5."""
    return float(np.clip(rng.normal(1.0, 0.25), 0.3, 1.5))


def make_cues(
    emotion: str, intensity: float, language: str, style: Style, rng: np.random.Generator
) -> Cues:
    """Cues of one clip: rule × language × speaker × intensity, plus what varies from clip to clip.

    Args:
        emotion: one of angry, happy, neutral, sad.
        intensity: 0 (as neutral) to about 1.5.
        language: ISO 639-1.
        style: the speaker's.
        rng: the clip's own random numbers.
    """
    scatter = rng.standard_normal(len(CUES)).clip(-2.5, 2.5)
    spread = asdict(CLIP_SPREAD)
    weight = asdict(style.weight)
    dialect = DIALECTS[language]
    values = {}
    for cue, noise in zip(CUES, scatter, strict=True):
        shift = 0.0
        if emotion != "neutral":
            aroused, quiet = getattr(RULES[cue], emotion)
            share = style.arousal[emotion]
            shift = share * aroused + (1.0 - share) * quiet
            shift *= dialect.strength.get(cue, 1.0) * weight[cue]
            shift += dialect.habit.get(emotion, {}).get(cue, 0.0)
            shift *= style.expressiveness * intensity
        values[cue] = float(shift + spread[cue] * noise)
    return Cues(**values)
