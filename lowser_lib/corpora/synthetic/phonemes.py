"""How eSpeak NG pronounces a text: phonemes in IPA, without any sound."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from functools import cache

from lowser_lib.corpora.synthetic.espeak import Synthesizer
from lowser_lib.corpora.synthetic.voices import ESPEAK_VOICES
from lowser_lib.errors import SynthesisError

# Value of the library's public header: IPA.
_IPA = 0x02
# Stress, length, syllables, places of articulation, marks between words: not phonemes themselves.
# The letters of one phoneme, such as tʃ, count one by one.
_MARKS = frozenset("ˈˌː:_ \n-ʲ̩̪‍;‿͡.()")


class Reader(Synthesizer):
    """A synthesizer that also tells how it pronounces a text."""

    def phonemes(self, text: str) -> str:
        """Pronunciation of a text with the current voice, in IPA."""
        function = self._library.espeak_TextToPhonemes
        function.restype = ctypes.c_char_p
        pointer = ctypes.c_char_p(text.encode())
        spoken = []
        while pointer.value:
            spoken.append((function(ctypes.byref(pointer), 1, _IPA) or b"").decode())
        return " ".join(spoken)


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
def _reader() -> Reader:
    """The library, opened once a process: it keeps its state in globals."""
    return Reader(seed=1)
