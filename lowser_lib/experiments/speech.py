"""What methods see of a profile: labelled speech in three parts, a target, unlabelled voices.

All methods see the same: per seed the speakers of the labelled speech are split into those to learn
from, those to choose the epoch by, and those held out. Which corpora are learned from is the
*protocol*: English ones alone, or all labelled ones but those of the target's language. Speech may
also be skewed by gender (:class:`SkewedSpeech`) or lean in its words (:class:`LeaningSpeech`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
import pandas as pd

from lowser_lib import audio, manifest, skews, splits
from lowser_lib.encoders import WhisperEncoder
from lowser_lib.errors import ProfileError
from lowser_lib.evaluation import classification_metrics
from lowser_lib.experiments import data, paths
from lowser_lib.experiments.profiles import Profile
from lowser_lib.manifest import EMOTIONS, emotion_codes
from lowser_lib.sampling import ClipDataset
from lowser_lib.sampling.augmented import WaveformDataset
from lowser_lib.sampling.clips import mel_clips

FOLDS = 5
"""One fold of the labelled speakers is held out, as in the comparison of ``nano``; our choice."""


VALIDATION = 0.2
"""Share of the other labelled speakers by whom the epoch is chosen; our choice."""


UNHEARD = 0.2
"""Share of the unlabelled sentences that no stage hears, to measure on; our choice."""


PROTOCOLS = ("english", "others")
"""What is learned from: the profile's sources, or all labelled corpora in other languages than the
target's (leave one language out). No label of the target is learned from in either."""


score = partial(classification_metrics, labels=list(range(len(EMOTIONS))))
"""Accuracy, macro-F1 and UAR of class numbers."""


def macro_f1(truth: np.ndarray, answers: np.ndarray) -> float:
    """Macro-F1 of class numbers: what epochs are chosen by."""
    return score(truth, answers)["macro_f1"]


def genders(table: pd.DataFrame) -> np.ndarray:
    """Gender of each clip's speaker, ``unknown`` where it is not known."""
    return table["gender"].to_numpy(dtype=str)


def split(source: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Clips to learn from, to choose the epoch by, and held out; no speaker shared.

    Clips of a corpus that names no speaker are all learned from: nothing could be held out for
    sure.
    """
    unknown = manifest.speaker_unknown(source)
    rest, held_out = next(splits.speaker_folds(source[~unknown], FOLDS, seed))
    train, validation = splits.speaker_split(rest, VALIDATION, seed)
    if unknown.any():
        train = pd.concat([train, source[unknown]]).sort_index()
    splits.assert_speaker_disjoint(train, validation, held_out)
    return train, validation, held_out


class Speech:
    """The speech of a profile; manifests are read at once, sounds when they are asked for.

    Attributes:
        profile: The profile.
        protocol: One of :data:`PROTOCOLS`.
        loaded: Its corpora.
        settings: What sets this speech apart from a profile's, for the record.
    """

    def __init__(
        self, profile: Profile, *, unlabelled: bool = False, protocol: str = "english"
    ) -> None:
        """Load manifests.

        Args:
            profile: The profile.
            unlabelled: Whether its unlabelled corpora are wanted, too.
            protocol: One of :data:`PROTOCOLS`.

        Raises:
            ProfileError: There is no such protocol, or a corpus is missing.
        """
        if protocol not in PROTOCOLS:
            raise ProfileError(f"protocol must be one of {', '.join(PROTOCOLS)}, not {protocol!r}")
        self.profile, self.protocol = profile, protocol
        self.loaded = data.load(profile, unlabelled=unlabelled)
        # Records from before there were such settings name none of those that are off.
        self.settings: dict[str, Any] = {} if protocol == "english" else {"protocol": protocol}
        switches = ("layers", "max_trained_clips")
        asked = {name: getattr(profile, name) for name in switches}
        self.settings |= {name: value for name, value in asked.items() if value is not None}

    @cached_property
    def encoder(self) -> WhisperEncoder:
        """The encoder that every training starts from."""
        return WhisperEncoder.load(
            self.profile.encoder, layers=self.profile.layers, download_root=paths.checkpoints()
        )

    def sources(self, language: str) -> tuple[str, ...]:
        """Names of the corpora whose labels are learned from.

        Raises:
            ProfileError: None is left.
        """
        if self.protocol == "english":
            return self.profile.sources
        tested = self._languages(self.tested(language))
        names = tuple(name for name in self.profile.labelled if not tested & self._languages(name))
        if not names:
            raise ProfileError(
                f"profile {self.profile.name} has no labelled corpus in another language than "
                f"{language}; take the protocol english, or name corpora with --source"
            )
        return names

    def tested(self, language: str) -> str:
        """Name of the corpus of a target language that is tested on."""
        return self.profile.targets[language]

    def split(self, seed: int, language: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Labelled clips to learn from, to choose the epoch by, and held out.

        Args:
            seed: Another seed gives another split.
            language: The target's; it matters where the protocol leaves a language out.
        """
        return split(self.loaded.source(self.sources(language)), seed)

    def learned(self, seed: int, language: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """As :meth:`split`, with no more clips of a corpus than a training may learn from."""
        train, validation, held_out = self.split(seed, language)
        if self.profile.max_trained_clips is not None:
            parts = [part for _, part in train.groupby("corpus")]
            limits = [data.limit(part, self.profile.max_trained_clips) for part in parts]
            train = manifest.combine(*limits)
        return train, validation, held_out

    def target(self, language: str) -> pd.DataFrame:
        """Labelled clips of a target language, to be tested on."""
        return self.loaded.target(language)

    def voices(self, language: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Unlabelled clips of a language: to adapt to, and sentences that are not heard.

        Clips whose sentence is not known count as a sentence each.
        """
        table = self.loaded.unlabelled(language)
        sentences = table["text_id"].fillna(table["utterance_id"])
        names = np.sort(sentences.unique())
        unheard = np.random.default_rng(seed).permutation(names)[: round(UNHEARD * len(names))]
        held_out = sentences.isin(unheard)
        return table[~held_out].reset_index(drop=True), table[held_out].reset_index(drop=True)

    def clips(self, table: pd.DataFrame) -> ClipDataset:
        """Spectrograms; labels are emotions, none where the table has none."""
        cached, jobs = paths.features(), self.profile.jobs
        n_mels = self.encoder.n_mels
        return mel_clips(table, self.loaded.roots, n_mels=n_mels, cache=cached, jobs=jobs)

    def waveforms(self, table: pd.DataFrame, labels: str = "speaker") -> WaveformDataset:
        """Sounds; labels are speakers, numbered in the order of their names, or the emotions.

        Args:
            table: The clips.
            labels: ``"speaker"`` or ``"emotion"``.
        """
        if labels not in ("speaker", "emotion"):
            raise ValueError(f"labels must be 'speaker' or 'emotion', not {labels!r}")
        roots = self.loaded.roots
        sounds = [audio.load_audio(audio.locate(path, roots)) for path in table["path"]]
        if labels == "emotion":
            return WaveformDataset(sounds, emotion_codes(table))
        return WaveformDataset(sounds, pd.factorize(table["speaker"], sort=True)[0])

    def _languages(self, corpus: str) -> set[str]:
        return set(self.loaded.corpus(corpus)["language"])


# --- skewed by gender ---------------------------------------------------------------------------


BALANCED: Mapping[str, str] = {"ur": "synthetic_urdu_balanced"}
"""The corpus that can be skewed, by language. It has as many women as men, who speak all emotions
in the same way, so that with the share of men nothing else changes."""


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
        labels: Language of the labelled clips: a key of :data:`BALANCED`, whose clips are skewed
            as the unlabelled ones are, or ``en`` for the profile's sources, which are not.
    """

    male: float
    labels: str = "ur"

    def __post_init__(self) -> None:
        """Refuse what cannot be made."""
        if not 0 <= self.male <= 1:
            raise ProfileError(f"the share of men must lie in [0, 1], not {self.male}")
        known = (*BALANCED, ENGLISH)
        if self.labels not in known:
            raise ProfileError(f"labels must be one of {', '.join(known)}, not {self.labels!r}")

    @property
    def suffix(self) -> str:
        """What such a sweep's name ends on: ``male-86``, or ``voices-86`` with English labels."""
        return f"{'voices' if self.labels == ENGLISH else 'male'}-{100 * self.male:.0f}"


class SkewedSpeech(Speech):
    """Speech with a share of men that is set, tested on voices of both genders in equal parts.

    Some voices of each gender are set aside, the same in all runs, and tested on: every cell of a
    gender and an emotion is full. Clips of the others are thinned to the share, always the same
    number of them; so are the unlabelled voices.
    """

    def __init__(self, profile: Profile, skew: Skew, *, unlabelled: bool = False) -> None:
        """Load manifests."""
        super().__init__(profile, unlabelled=unlabelled)
        self.skew = skew
        self.language, self.corpus = next(iter(BALANCED.items()))
        balanced = data.load([self.corpus], jobs=profile.jobs)
        self.loaded = replace(
            self.loaded,
            roots=tuple(dict.fromkeys((*self.loaded.roots, *balanced.roots))),
            hashes={**self.loaded.hashes, **balanced.hashes},
        )
        self._pool, self._test = set_aside(balanced.corpus(self.corpus))
        sizes = {"clips": CLIPS, "voices": VOICES, "tested": TESTED}
        self.settings = {"skew": {**asdict(skew), **sizes}}

    def sources(self, language: str) -> tuple[str, ...]:
        """Names of the corpora whose labels are learned from."""
        english = self.skew.labels == ENGLISH
        return super().sources(language) if english else (self.corpus,)

    def tested(self, language: str) -> str:
        """Name of the corpus that is tested on."""
        if language != self.language:
            raise ProfileError(
                f"skewed speech is of {self.language!r}, not {language!r}: --languages "
                f"{self.language}"
            )
        return self.corpus

    def split(self, seed: int, language: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Clips to learn from, to choose the epoch by, and held out; no speaker shared."""
        if self.skew.labels == ENGLISH:
            return super().split(seed, language)
        drawn = skews.skewed(self._pool, self.skew.male, CLIPS, seed)
        train, validation = splits.speaker_split(drawn, VALIDATION, seed)
        splits.assert_speaker_disjoint(train, validation, self._test)
        return train, validation, self._test

    def target(self, language: str) -> pd.DataFrame:
        """Labelled clips to be tested on, as many women's as men's of each emotion."""
        self.tested(language)
        return self._test

    def voices(self, language: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Unlabelled clips, skewed; and sentences that are not heard, as they are."""
        heard, unheard = super().voices(language, seed)
        thinned = skews.skewed(heard, self.skew.male, VOICES, seed)
        return thinned.reset_index(drop=True), unheard


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


# --- leaning in its words -----------------------------------------------------------------------


class LeaningSpeech(Speech):
    """Clips of one corpus, whose words lean toward the emotion in training and not in the test.

    Attributes:
        table: All its clips that have an emotion and a sentence.
    """

    def __init__(self, profile: Profile, corpus: str) -> None:
        """Load the corpus."""
        self.profile, self.protocol, self.settings = profile, "english", {}
        self.loaded = data.load([corpus], jobs=profile.jobs)
        self.table = with_sentences(self.loaded.corpus(corpus))

    def leaning(
        self, lean: float, seed: int
    ) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, tuple[str, ...]]]:
        """Clips to learn from, clips of speakers held out, and the sentences dealt to emotions.

        Args:
            lean: Share of clips drawn from an emotion's own sentences, in [0, 1].
            seed: Each holds other speakers out, and deals the sentences otherwise.

        Raises:
            SplitError: There are too few speakers or sentences.
        """
        rest, held_out = next(splits.speaker_folds(self.table, FOLDS, seed))
        splits.assert_speaker_disjoint(rest, held_out)
        owners = skews.own_sentences(self.table, seed)
        train = skews.leaning(rest, lean, skews.room(rest, owners), seed, owners)
        return train, held_out, owners


def with_sentences(table: pd.DataFrame) -> pd.DataFrame:
    """The clips that have an emotion and a sentence."""
    return table[table["emotion"].notna() & table["text_id"].notna()].reset_index(drop=True)


# --- read once ----------------------------------------------------------------------------------


@cache
def speech_of(profile: Profile, unlabelled: bool, protocol: str, skew: Skew | None, /) -> Speech:
    """The speech of a profile, skewed or as it is, read once in each process.

    All arguments have to be given, in this order: the cache tells calls apart by how they are made.

    Raises:
        ProfileError: There is no such protocol, or it does not go with a skew.
    """
    if skew is None:
        return Speech(profile, unlabelled=unlabelled, protocol=protocol)
    if protocol != "english":
        raise ProfileError(f"skewed speech has the protocol english alone, not {protocol!r}")
    return SkewedSpeech(profile, skew, unlabelled=unlabelled)


@cache
def leaning_speech(profile: Profile, corpus: str) -> LeaningSpeech:
    """Leaning speech, read once in each process."""
    return LeaningSpeech(profile, corpus)
