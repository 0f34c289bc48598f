"""Who speaks: eSpeak NG through ctypes, and made-up speakers with voices of their own.

The library and its voices come with the ``espeakng-loader`` wheel; nothing has to be installed on
the system. The library keeps its state in globals: it must not be used from two threads, and what
it returns depends on what it said before (flutter and echo run on). So the samples of a clip are
reproducible when the whole sequence of calls since :func:`open_synthesizer` is the same, which is
why :mod:`.worker` gives every speaker a process of its own.

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

import ctypes
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import espeakng_loader
import numpy as np

from lowser_lib.errors import SynthesisError

# Values of the library's public header, speak_lib.h.
_SYNCHRONOUS = 2
_DO_NOT_EXIT = 0x8000
_RATE, _PITCH, _RANGE, _WORD_GAP = 1, 3, 4, 7
_CHARACTERS = 1
_UTF8 = 1
_IPA = 2

RATE_LIMITS = (80, 400)
"""Words per minute that the library takes as given."""

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
    "female": {"f1": 177.0, "f2": 186.0, "f3": 199.0, "f4": 173.0, "f5": 197.0},
}
"""Median pitch (Hz) of each variant at eSpeak NG's default setting, measured with pYIN."""

COURSE_VARIANTS = tuple(variant for group in VARIANT_PITCH.values() for variant in group)
"""All voice variants that speak in the synthetic corpora of the course."""

ESPEAK_VOICES = {"en": "en-us", "ur": "ur", "de": "de", "bn": "bn", "pl": "pl"}

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

# Stress, length, syllables, places of articulation, marks between words: not phonemes themselves.
# The letters of one phoneme, such as tʃ, count one by one.
_MARKS = frozenset("ˈˌː:_ \n-ʲ̩̪‍;‿͡.()")

_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class Synthesizer:
    """The eSpeak NG library, opened once in a process; see :func:`open_synthesizer`."""

    def __init__(self, seed: int) -> None:
        """Load the library.

        Args:
            seed: for the library's own random numbers, which it would draw from the clock.

        Raises:
            SynthesisError: the library or its voices cannot be opened.
        """
        path = espeakng_loader.get_library_path()
        try:
            self._library = ctypes.CDLL(path)
            data = espeakng_loader.get_data_path()
        except (OSError, RuntimeError) as error:
            raise SynthesisError(
                f"cannot open eSpeak NG at {path} ({error}); reinstall espeakng-loader"
            ) from error
        self.sample_rate: int = self._library.espeak_Initialize(
            _SYNCHRONOUS, 0, data.encode(), _DO_NOT_EXIT
        )
        if self.sample_rate <= 0:
            raise SynthesisError(
                f"eSpeak NG does not accept its voices in {data}; reinstall espeakng-loader"
            )
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        self._chunks: list[bytes] = []
        # Kept as an attribute: the library calls it for as long as it lives.
        self._callback = _Callback(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples: ctypes._Pointer[ctypes.c_short], count: int, _: int) -> int:
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0

    def set_voice(self, voice: str) -> None:
        """Choose language and variant, such as ``en-us+f3``.

        Raises:
            SynthesisError: no such voice.
        """
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise SynthesisError(f"eSpeak NG has no voice {voice!r}")

    def speak(
        self, words: Sequence[str], *, rate: int, pitches: Sequence[int], pitch_range: int, gap: int
    ) -> np.ndarray:
        """Speak words, each at its own pitch.

        Args:
            words: the sentence, with its final mark on the last word.
            rate: words per minute, within :data:`RATE_LIMITS`.
            pitches: one of 0 to 99 a word; 50 is the voice's own, 50 more is an octave up.
            pitch_range: 0 (monotone) to 99; 50 is the voice's own.
            gap: extra time between words, about 10 ms a unit.

        Returns:
            float64 samples in [-1, 1], shape (samples,), at :attr:`sample_rate`.

        Raises:
            SynthesisError: the library refused, or said nothing.
        """
        settings = ((_RATE, rate), (_PITCH, pitches[0]), (_RANGE, pitch_range), (_WORD_GAP, gap))
        for parameter, value in settings:
            self._library.espeak_SetParameter(parameter, value, 0)
        # \x01 starts a command within the text: 55P sets the pitch of what follows.
        text = " ".join(f"\x01{pitch}P {word}" for pitch, word in zip(pitches, words, strict=True))
        encoded = text.encode()
        self._chunks.clear()
        status = self._library.espeak_Synth(
            encoded, ctypes.c_size_t(len(encoded) + 1), 0, _CHARACTERS, 0, _UTF8, None, None
        )
        samples = np.frombuffer(b"".join(self._chunks), dtype="<i2").astype(np.float64) / 32768.0
        if status != 0 or not samples.size:
            raise SynthesisError(f"eSpeak NG did not speak {' '.join(words)!r} (status {status})")
        return samples

    def phonemes(self, text: str) -> str:
        """Pronunciation of a text with the current voice, in IPA."""
        function = self._library.espeak_TextToPhonemes
        function.restype = ctypes.c_char_p
        pointer = ctypes.c_char_p(text.encode())
        spoken = []
        while pointer.value:
            spoken.append((function(ctypes.byref(pointer), 1, _IPA) or b"").decode())
        return " ".join(spoken)


def open_synthesizer(voice: str, seed: int) -> Synthesizer:
    """Open the library with one voice; once a process.

    Args:
        voice: language and variant, such as ``en-us+f3``.
        seed: for the library's own random numbers.
    """
    synthesizer = Synthesizer(seed)
    synthesizer.set_voice(voice)
    return synthesizer


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


def phonemes_of(texts: Iterable[str], language: str) -> list[str]:
    """Letters of IPA, one by one, of how the course's synthetic voices say some texts.

    Args:
        texts: Sentences.
        language: ISO 639-1 code of one of the course's languages.

    Returns:
        Letters in the order in which they are said; marks of stress and length are left out.

    Raises:
        SynthesisError: The language is none of the course's, or eSpeak NG cannot be opened.
    """
    if language not in ESPEAK_VOICES:
        known = ", ".join(ESPEAK_VOICES)
        raise SynthesisError(f"no voice for language {language!r}, only for {known}")
    reader = _reader()
    reader.set_voice(ESPEAK_VOICES[language])
    # Where a language borrows a word, eSpeak NG says so in brackets: (en)...(ur).
    spoken = "".join(_without_switches(reader.phonemes(text)) for text in texts)
    return [letter for letter in spoken if letter not in _MARKS]


def _without_switches(ipa: str) -> str:
    """Pronunciation without the marks of a change of language, such as ``(en)``."""
    kept, inside = [], False
    for letter in ipa:
        inside = letter == "(" or (inside and letter != ")")
        if not inside and letter != ")":
            kept.append(letter)
    return "".join(kept)


@cache
def _reader() -> Synthesizer:
    """The library, opened once a process: it keeps its state in globals."""
    return Synthesizer(seed=1)
