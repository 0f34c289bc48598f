"""``lowser sweep --male``: speech in which one gender has a share that is set, and a fair test.

What a skew does cannot be seen in a corpus that has just one: other speakers, other moods and other
words come with it. Here nothing else changes. From a synthetic corpus that has as many women as
men, which speak all emotions in the same way, some voices of each gender are set aside, the same in
all runs, and tested on: every cell of a gender and an emotion is full. Clips of the others are
thinned to the share, always the same number of them; so are the unlabelled voices.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import pandas as pd

from lowser_lib import manifest, skews, splits
from lowser_lib.errors import ProfileError
from lowser_lib.experiments import data
from lowser_lib.experiments.profiles import Profile
from lowser_lib.experiments.sweep_speech import VALIDATION, Speech, speech_of as plain_speech_of

CORPORA = {"ur": "synthetic_urdu_balanced"}
"""The corpus that can be skewed, by language."""


TESTED = 0.4
"""Share of each gender's voices that is tested on; our choice."""


TEST_SEED = 0
"""Of the voices that are tested on: all runs have the same."""


CLIPS = 320
"""Labelled clips that are learned from, at every share; our choice: what 95 % men allow."""


VOICES = 108
"""Unlabelled clips likewise."""


ENGLISH = "en"
"""In the place of the language of the labels: those of the profile's sources, as they are."""


@dataclass(frozen=True)
class Skew:
    """How speech is skewed.

    Attributes:
        male: Share of the clips that are men's, in [0, 1].
        labels: Language of the labelled clips: a key of :data:`CORPORA`, whose clips are skewed as
            the unlabelled ones are, or ``en`` for the profile's sources, which are not.
    """

    male: float
    labels: str = "ur"

    def __post_init__(self) -> None:
        """Refuse what cannot be made."""
        if not 0 <= self.male <= 1:
            raise ProfileError(f"the share of men must lie in [0, 1], not {self.male}")
        known = (*CORPORA, ENGLISH)
        if self.labels not in known:
            raise ProfileError(f"labels must be one of {', '.join(known)}, not {self.labels!r}")

    @property
    def suffix(self) -> str:
        """What such a sweep's name ends on: ``male-86``, or ``voices-86`` with English labels."""
        return f"{'voices' if self.labels == ENGLISH else 'male'}-{100 * self.male:.0f}"


class SkewedSpeech(Speech):
    """The speech of a profile, skewed; tested on voices of both genders in equal parts.

    Attributes:
        skew: How.
        corpus: Name of the corpus that is thinned and tested on.
    """

    def __init__(self, profile: Profile, skew: Skew, *, unlabelled: bool) -> None:
        """Load manifests; sounds and spectrograms are read when they are asked for."""
        plain = plain_speech_of(profile, unlabelled)
        self.profile, self.source, self.encoder = plain.profile, plain.source, plain.encoder
        self.skew = skew
        self.language, self.corpus = next(iter(CORPORA.items()))
        balanced = data.load([self.corpus], jobs=profile.jobs)
        self.loaded = replace(
            plain.loaded,
            roots=tuple(dict.fromkeys((*plain.loaded.roots, *balanced.roots))),
            hashes={**plain.loaded.hashes, **balanced.hashes},
        )
        self._pool, self._test = set_aside(balanced.corpus(self.corpus))

    @property
    def settings(self) -> dict[str, Any]:
        """How the speech is skewed, for the record."""
        sizes = {"clips": CLIPS, "voices": VOICES, "tested": TESTED}
        return {"skew": {**asdict(self.skew), **sizes}}

    def labelled_corpora(self) -> tuple[str, ...]:
        """Names of the corpora whose labels are learned from."""
        english = self.skew.labels == ENGLISH
        return super().labelled_corpora() if english else (self.corpus,)

    def tested_corpus(self, language: str) -> str:
        """Name of the corpus that is tested on."""
        self._check(language)
        return self.corpus

    def split(self, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Clips to learn from, to choose the epoch by, and held out; no speaker shared."""
        if self.skew.labels == ENGLISH:
            return super().split(seed)
        drawn = skews.skewed(self._pool, self.skew.male, CLIPS, seed)
        train, validation = splits.speaker_split(drawn, VALIDATION, seed)
        splits.assert_speaker_disjoint(train, validation, self._test)
        return train, validation, self._test

    def target(self, language: str) -> pd.DataFrame:
        """Labelled clips to be tested on, as many women's as men's of each emotion."""
        self._check(language)
        return self._test

    def voices(self, language: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Unlabelled clips, skewed; and sentences that are not heard, as they are."""
        heard, unheard = super().voices(language, seed)
        thinned = skews.skewed(heard, self.skew.male, VOICES, seed)
        return thinned.reset_index(drop=True), unheard

    def _check(self, language: str) -> None:
        if language != self.language:
            raise ProfileError(
                f"skewed speech is of {self.language!r}, not {language!r}: --languages "
                f"{self.language}"
            )


def set_aside(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clips to thin, and clips of other voices to test on, of every gender the same share.

    Args:
        table: A manifest.

    Raises:
        SplitError: A gender has fewer than two speakers.
    """
    pairs = [splits.speaker_split(part, TESTED, TEST_SEED) for _, part in table.groupby("gender")]
    pool, test = (manifest.combine(*parts) for parts in zip(*pairs, strict=True))
    return pool, test


def speech_of(profile: Profile, unlabelled: bool, skew: Skew | None = None) -> Speech:
    """The speech of a profile, skewed or as it is, read once in each process."""
    if skew is None:
        return plain_speech_of(profile, unlabelled)
    return _skewed(profile, unlabelled, skew)


@cache
def _skewed(profile: Profile, unlabelled: bool, skew: Skew) -> SkewedSpeech:
    return SkewedSpeech(profile, skew, unlabelled=unlabelled)
