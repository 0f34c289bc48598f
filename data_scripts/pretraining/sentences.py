"""Random English sentences from a word list, a small grammar and made-up words.

The encoder is to learn how speech sounds, not what a few hundred sentences say, so the sentences
need breadth rather than sense. A share of the content words is made up by the sound pattern of
English (onset, vowel, coda), so that no list of words bounds what is heard. Words of the section
``unseen`` never occur in training: the error rate on new words is measured on them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

WORD_LIST = Path(__file__).with_name("words.txt")

#: Spellings of what may begin, carry and close an English syllable.
ONSETS, VOWELS, CODAS = (
    tuple(line.split())
    for line in (
        "b bl br ch cl cr d dr f fl fr g gl gr h j k l m n p pl pr qu r s sc sh sk sl sm sn sp st "
        "str sw t th tr tw v w y z",
        "a e i o u ai ay ee ea igh oa oo ow ou ar er or aw oi",
        "b ck d ff g k l ll m n nd ng nk nt p r s sh ss st t th tch v x z",
    )
)


@dataclass(frozen=True)
class Vocabulary:
    """The words of one part of speech each.

    Attributes:
        words: Part of speech to its words; ``noun``, ``verb``, ``adjective``, ``adverb``, ``name``,
            ``preposition`` and ``number``.
        unseen: Words kept out of training, of several parts of speech.
    """

    words: dict[str, tuple[str, ...]]
    unseen: tuple[str, ...] = field(default=())


@cache
def load_vocabulary(path: Path = WORD_LIST) -> Vocabulary:
    """Read the word list.

    Args:
        path: A text file with ``[section]`` lines followed by words; ``#`` starts a comment line.

    Returns:
        The words by part of speech, and those of the section ``unseen`` that occur in no other.
    """
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            current = sections.setdefault(line.strip("[] "), [])
        elif not line.startswith("#"):
            current.extend(line.split())
    words = {
        name: tuple(dict.fromkeys(found)) for name, found in sections.items() if name != "unseen"
    }
    known = {word for found in words.values() for word in found}
    unseen = tuple(word for word in dict.fromkeys(sections.get("unseen", [])) if word not in known)
    return Vocabulary(words=words, unseen=unseen)


def plural(noun: str) -> str:
    """Return the regular plural of a noun."""
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def past(verb: str) -> str:
    """Return the regular past tense of a verb."""
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    return verb + "ed"


def progressive(verb: str) -> str:
    """Return the ``-ing`` form of a verb."""
    return (verb[:-1] if verb.endswith("e") and not verb.endswith("ee") else verb) + "ing"


def made_up_word(generator: np.random.Generator) -> str:
    """Return a word of one to three syllables that English could have."""
    syllables = int(generator.integers(1, 4))
    return "".join(
        str(generator.choice(ONSETS))
        + str(generator.choice(VOWELS))
        + (str(generator.choice(CODAS)) if generator.random() < 0.6 else "")
        for _ in range(syllables)
    )


class SentenceMaker:
    """Draws sentences of three to nine words.

    Args:
        vocabulary: The words to draw from.
        generator: Source of randomness.
        made_up: Share of content words that are made up rather than drawn, between 0 and 1.
        unseen: Draw content words from the vocabulary's ``unseen`` part instead.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        generator: np.random.Generator,
        made_up: float = 0.2,
        unseen: bool = False,
    ) -> None:
        if not 0 <= made_up <= 1:
            raise ValueError(f"made_up is a share between 0 and 1, not {made_up}")
        self.vocabulary = vocabulary
        self.generator = generator
        self.made_up = made_up
        self.unseen = unseen

    def word(self, part: str) -> str:
        """Return one word of a part of speech."""
        content = part in ("noun", "verb", "adjective")
        if content and self.generator.random() < self.made_up:
            return made_up_word(self.generator)
        pool = self.vocabulary.unseen if content and self.unseen else self.vocabulary.words[part]
        return str(self.generator.choice(pool))

    def _determiner(self) -> str:
        return str(
            self.generator.choice(
                ["the", "the", "a", "my", "your", "this", "that", "every", "no", "their"]
            )
        )

    def _noun_phrase(self) -> str:
        draw = self.generator.random()
        if draw < 0.15:
            return self.word("name")
        if draw < 0.3:
            return f"{self.word('number')} {plural(self.word('noun'))}"
        adjective = f"{self.word('adjective')} " if self.generator.random() < 0.5 else ""
        return f"{self._determiner()} {adjective}{self.word('noun')}"

    def _statement(self) -> str:
        return f"{self._noun_phrase()} {past(self.word('verb'))} {self._noun_phrase()}"

    def _place(self) -> str:
        return f"{self._noun_phrase()} is {self.word('preposition')} {self._noun_phrase()}"

    def _quality(self) -> str:
        return f"{self._noun_phrase()} was {self.word('adverb')} {self.word('adjective')}"

    def _question(self) -> str:
        asked = self.generator.choice(["where", "why", "when", "how"])
        return f"{asked} did {self._noun_phrase()} {self.word('verb')} {self._noun_phrase()}?"

    def _request(self) -> str:
        return f"please {self.word('verb')} {self._noun_phrase()} {self.word('adverb')}"

    def _progress(self) -> str:
        doing = progressive(self.word("verb"))
        return f"{self._noun_phrase()} is {doing} {self.word('preposition')} {self._noun_phrase()}"

    def _list(self) -> str:
        return " and ".join(self.word("noun") for _ in range(int(self.generator.integers(2, 5))))

    def sentence(self) -> str:
        """Return one sentence, in lower case but for names."""
        makers: tuple[Callable[[], str], ...] = (
            self._statement,
            self._place,
            self._quality,
            self._question,
            self._request,
            self._progress,
            self._list,
        )
        return makers[int(self.generator.integers(len(makers)))]()
