"""What is to be made: every clip of a synthetic corpus with all its settings, before any sound.

:func:`make_plan` is a pure function of its arguments, so counts and skews can be checked without
synthesis. A :class:`Batch` holds the clips of one speaker, in order: it is what one process makes.

Sizes (our choice) follow the corpora that they stand in for, at a scale that a laptop makes in half
a minute. ``synthetic_urdu`` copies the skew of URDU (Latif et al. 2018): 18 men and 11 women, 86 %
of the clips by men; unlike in URDU every emotion is spoken by both, so that it can be measured
within each gender. ``synthetic_urdu_balanced``, other voices as many women's as men's, is there to
be skewed on purpose.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from lowser_lib.corpora.base import EMOTIONS
from lowser_lib.corpora.synthetic.channel import Channel, make_channel
from lowser_lib.corpora.synthetic.prosody import Cues, Style, draw_intensity, make_cues, make_style
from lowser_lib.corpora.synthetic.sentences import LABELLED, LANGUAGES, UNLABELLED, Sentence
from lowser_lib.corpora.synthetic.voices import RATE_LIMITS, Speaker, make_speaker

BASIC_BREATH = -34.0
"""dB; breath noise of neutral speech relative to the voice."""
BASIC_SLOPE = 0.0
"""Semitones from the first to the last word, on top of eSpeak NG's own falling contour."""
BASIC_PAUSE = 0.7
"""eSpeak NG's units of about 10 ms between words of neutral speech."""
BASIC_IRREGULARITY = 0.4
"""Semitones of scatter from word to word in neutral speech."""
DISTANCE_SPREAD = 2.5
"""dB; standard deviation of the recording level from clip to clip: head and microphone move."""
MILD = (0.1, 0.7)
"""Range of the intensity of expression in unlabelled speech."""


@dataclass(frozen=True)
class Part:
    """Size and recording of one language within a corpus.

    Attributes:
        language: ISO 639-1.
        speakers: number of speakers by gender.
        clips: clips a speaker and emotion by gender; clips a speaker where unlabelled. Female and
            male counts may be fractions: the total over speakers is rounded.
        channel: kind of channel, see :func:`.channel.make_channel`.
    """

    language: str
    speakers: Mapping[str, int]
    clips: Mapping[str, float]
    channel: str


def _even(language: str, speakers: int, clips: float, channel: str) -> Part:
    half = speakers // 2
    return Part(language, {"female": half, "male": half}, {"female": clips, "male": clips}, channel)


CORPORA: dict[str, tuple[Part, ...]] = {
    "synthetic_english": (_even("en", 24, 8, "studio"),),
    "synthetic_urdu": (
        # 70 of 502 clips by women: 13.9 %, with 17 or 18 in each emotion.
        Part("ur", {"female": 11, "male": 18}, {"female": 70 / 44, "male": 6}, "talk_show"),
    ),
    "synthetic_urdu_balanced": (_even("ur", 48, 6, "talk_show"),),
    "synthetic_german": (_even("de", 20, 6, "room"),),
    "synthetic_bangla": (_even("bn", 20, 6, "telephone"),),
    "synthetic_voices": tuple(_even(language, 16, 17, "home") for language in LANGUAGES),
}
"""The corpora, by name."""

UNLABELLED_CORPORA = ("synthetic_voices",)


@dataclass(frozen=True)
class Clip:
    """One clip with everything that its sound depends on.

    Attributes:
        path: file within the corpus folder.
        text_id: id of the sentence.
        label: emotion, or empty where unlabelled.
        words: what is said, with the final mark on the last word.
        rate: words per minute, within :data:`.voices.RATE_LIMITS`.
        pitches: eSpeak NG pitch of each word, 0 to 99.
        pitch_range: eSpeak NG pitch range, 0 to 99.
        gap: eSpeak NG word gap.
        tract: factor on all frequencies by playing faster or slower.
        level: dB relative to the reference level.
        tilt: dB above 1 kHz.
        breath: dB of breath noise relative to the voice.
        shimmer: depth of amplitude modulation.
    """

    path: str
    text_id: str
    label: str
    words: tuple[str, ...]
    rate: int
    pitches: tuple[int, ...]
    pitch_range: int
    gap: int
    tract: float
    level: float
    tilt: float
    breath: float
    shimmer: float


@dataclass(frozen=True)
class Batch:
    """The clips of one speaker, in the order in which they are made."""

    corpus: str
    seed: int
    speaker: Speaker
    channel: Channel
    clips: tuple[Clip, ...]

    def to_json(self) -> dict[str, object]:
        """All fields as plain numbers, texts, lists and dictionaries."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict) -> Batch:
        """The batch that :meth:`to_json` described."""
        clips = (
            Clip(**{**clip, "words": tuple(clip["words"]), "pitches": tuple(clip["pitches"])})
            for clip in fields["clips"]
        )
        return cls(
            corpus=fields["corpus"],
            seed=fields["seed"],
            speaker=Speaker(**fields["speaker"]),
            channel=Channel(**fields["channel"]),
            clips=tuple(clips),
        )


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return the random generator that belongs to ``seed`` and ``names``.

    A draw never depends on the draws made before it: one clip has the same numbers in whichever
    process and order it is made. (Python's own ``hash`` differs between runs; SHA-256 does not.)

    Args:
        seed: seed of the whole corpus, at least 0.
        names: what the numbers are for, such as a corpus, a speaker and a clip.
    """
    digest = hashlib.sha256("\x1f".join(names).encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
    return np.random.default_rng(np.random.SeedSequence([seed, *words]))


def make_plan(
    corpus: str, seed: int = 0, clips_per_cell: int | None = None, max_speakers: int | None = None
) -> list[Batch]:
    """Plan a corpus.

    Args:
        corpus: a key of :data:`CORPORA`.
        seed: of all that is random, at least 0.
        clips_per_cell: at most so many clips a speaker and emotion (a speaker, where unlabelled).
        max_speakers: at most so many speakers a language and gender.

    Returns:
        One batch a speaker.
    """
    batches = []
    for part in CORPORA[corpus]:
        for gender, count in part.speakers.items():
            cells = _cells(corpus, part, gender, clips_per_cell)
            for number in range(count if max_speakers is None else min(count, max_speakers)):
                batches.append(_plan_speaker(corpus, part, gender, number, cells[number], seed))
    return batches


def _cells(
    corpus: str, part: Part, gender: str, clips_per_cell: int | None
) -> list[dict[str, int]]:
    """Clips of each speaker by emotion (by "", where unlabelled).

    Cells are filled one clip at a time around speakers and emotions, so that a total that does not
    divide evenly leaves neighbours that differ by one and keeps the emotions balanced.
    """
    labels = ("",) if corpus in UNLABELLED_CORPORA else EMOTIONS
    speakers = part.speakers[gender]
    cells = [dict.fromkeys(labels, 0) for _ in range(speakers)]
    total = round(part.clips[gender] * speakers * len(labels))
    for clip in range(total):
        turn, speaker = divmod(clip, speakers)
        cells[speaker][labels[(turn + speaker) % len(labels)]] += 1
    if clips_per_cell is not None:
        cells = [{k: min(n, clips_per_cell) for k, n in cell.items()} for cell in cells]
    return cells


def _plan_speaker(
    corpus: str, part: Part, gender: str, number: int, cells: dict[str, int], seed: int
) -> Batch:
    language = part.language
    labelled = corpus not in UNLABELLED_CORPORA
    mark = "" if labelled else "v"
    name = f"{language}_{mark}{gender[0]}{number + 1:02d}"
    rng = generator(seed, corpus, name)
    # Unlabelled speakers start elsewhere in the list of variants than the labelled ones.
    speaker = make_speaker(name, gender, language, number + (0 if labelled else 3), rng)
    style = make_style(language, rng)
    channel = make_channel(part.channel, rng)
    sentences = LABELLED[language] if labelled else UNLABELLED[language]
    clips = []
    for label, count in cells.items():
        for take in range(count):
            # The same sentences in every emotion, so that words do not tell the emotion.
            sentence = sentences[(number + take) % len(sentences)]
            stem = "_".join(x for x in (name, label, sentence.text_id[3:], f"{take + 1:02d}") if x)
            clip_rng = generator(seed, corpus, stem, "plan")
            clips.append(_plan_clip(stem, label, sentence, speaker, style, clip_rng))
    return Batch(corpus=corpus, seed=seed, speaker=speaker, channel=channel, clips=tuple(clips))


def _plan_clip(
    stem: str,
    label: str,
    sentence: Sentence,
    speaker: Speaker,
    style: Style,
    rng: np.random.Generator,
) -> Clip:
    if label:
        emotion, intensity = label, draw_intensity(rng)
    else:
        emotion, intensity = EMOTIONS[int(rng.integers(len(EMOTIONS)))], float(rng.uniform(*MILD))
    cues = make_cues(emotion, intensity, speaker.language, style, rng)
    tract = speaker.tract * float(np.exp(cues.formants))
    # Happy and angry clips end on an exclamation more often; the mark changes the contour.
    exclaims = rng.random() < {"angry": 0.5, "happy": 0.5}.get(emotion, 0.1) * min(intensity, 1.0)
    words = sentence.text.split()
    pitches = _word_pitches(cues, speaker, tract, len(words), rng)
    factor = 2.0 ** (cues.pitch / 12.0) * speaker.pitch / (speaker.voice_pitch * tract)
    return Clip(
        path=f"audio/{stem}.wav",
        text_id=sentence.text_id,
        label=label,
        words=(*words[:-1], words[-1] + ("!" if exclaims else ".")),
        # Played faster by the tract factor, so spoken slower by it.
        rate=int(np.clip(round(speaker.tempo * np.exp(cues.rate) / tract), *RATE_LIMITS)),
        pitches=pitches,
        # The range is in hertz; it grows with the pitch to stay the same in semitones.
        pitch_range=int(
            np.clip(round(50 * speaker.pitch_range * np.exp(cues.pitch_range) * factor), 0, 99)
        ),
        gap=int(np.clip(round(BASIC_PAUSE + cues.pause), 0, 8)),
        tract=tract,
        level=cues.level + speaker.gain + DISTANCE_SPREAD * float(rng.standard_normal()),
        tilt=cues.tilt,
        breath=BASIC_BREATH + cues.breath,
        shimmer=max(0.0, 0.03 + cues.shimmer),
    )


def _word_pitches(
    cues: Cues, speaker: Speaker, tract: float, count: int, rng: np.random.Generator
) -> tuple[int, ...]:
    """Pitch of each word in eSpeak NG's units, of which 50 are an octave."""
    semitones = 12.0 * np.log2(speaker.pitch / (speaker.voice_pitch * tract)) + cues.pitch
    slope = (BASIC_SLOPE + cues.slope) * np.linspace(-0.5, 0.5, count)
    scatter = max(0.0, BASIC_IRREGULARITY + cues.irregularity) * rng.standard_normal(count)
    pitches = np.clip(np.round(50.0 + 50.0 / 12.0 * (semitones + slope + scatter)), 0, 99)
    return tuple(int(pitch) for pitch in pitches)
