"""eSpeak NG through ctypes: text in, samples out.

The library and its voices come with the ``espeakng-loader`` wheel; nothing has to be installed on
the system. The library keeps its state in globals: it must not be used from two threads, and what
it returns depends on what it said before (flutter and echo run on). So the samples of a clip are
reproducible when the whole sequence of calls since :func:`open_synthesizer` is the same, which is
why :mod:`.worker` gives every speaker a process of its own.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import espeakng_loader
import numpy as np

from lowser_lib.errors import SynthesisError

# Values of the library's public header, speak_lib.h.
_SYNCHRONOUS = 2
_DO_NOT_EXIT = 0x8000
_RATE, _PITCH, _RANGE, _WORD_GAP = 1, 3, 4, 7
_CHARACTERS = 1
_UTF8 = 1

RATE_LIMITS = (80, 400)
"""Words per minute that the library takes as given."""

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


def open_synthesizer(voice: str, seed: int) -> Synthesizer:
    """Open the library with one voice; once a process.

    Args:
        voice: language and variant, such as ``en-us+f3``.
        seed: for the library's own random numbers.
    """
    synthesizer = Synthesizer(seed)
    synthesizer.set_voice(voice)
    return synthesizer
