"""Phonemes as eSpeak NG tells them: known words, no marks, unknown languages."""

from __future__ import annotations

import pytest

from lowser_lib.corpora.synthetic.sentences import SAME_MEANING
from lowser_lib.corpora.synthetic.voices import _without_switches, phonemes_of
from lowser_lib.errors import SynthesisError


def test_known_words() -> None:
    assert phonemes_of(["ship"], "en") == ["ʃ", "ɪ", "p"]
    assert phonemes_of(["Tasse"], "de") == ["t", "a", "s", "ə"]
    assert phonemes_of(["ship", "ship"], "en") == 2 * ["ʃ", "ɪ", "p"]


def test_stress_and_length_are_no_phonemes() -> None:
    assert not set(phonemes_of(["We will meet at the station at noon"], "en")) & set("ˈˌː _")


def test_marks_of_a_change_of_language_are_left_out() -> None:
    assert _without_switches("a(en)bc(ur)d") == "abcd"


def test_other_languages_are_refused() -> None:
    with pytest.raises(SynthesisError, match="no voice for language 'fr'"):
        phonemes_of(["bonjour"], "fr")


def test_the_same_meaning_can_be_said_in_five_languages() -> None:
    texts = {code: set(phonemes_of(said[:2], code)) for code, said in SAME_MEANING.items()}
    assert list(texts) == ["en", "ur", "de", "bn", "pl"]
    assert {len(said) for said in SAME_MEANING.values()} == {22}
    assert len(set.intersection(*texts.values())) < min(map(len, texts.values()))
    assert phonemes_of(["kot"], "pl") == ["k", "ɔ", "t"]
