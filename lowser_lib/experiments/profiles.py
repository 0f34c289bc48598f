"""Profiles: the same course on synthetic speech, on open corpora, and as published.

A profile changes data, sizes and seeds only. Every value that the papers do not give is our
choice, with its reason beside it. The ``paper`` profile holds what Gong et al. 2025
(arXiv 2506.02059) do give: sources MSP-Podcast and IEMOCAP, targets URDU, EmoDB and SUBESCO,
Common Voice unlabelled, Whisper small.en.

Each has a trial, ``NAME-trial``: cut down to a few clips and steps, enough to see that everything
is in place and runs, too little to measure anything. ``NAME-trial:ENCODER`` puts another encoder, a
name or a file, in the place of the profile's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from lowser_lib.errors import ProfileError

LANGUAGES: Mapping[str, str] = MappingProxyType(
    {"en": "English", "ur": "Urdu", "de": "German", "bn": "Bangla", "pl": "Polish"}
)
"""ISO 639-1 codes of the course's languages and their names, in the order of all tables."""


TRIAL = "-trial"
"""What the name of a trial ends on."""


@dataclass(frozen=True)
class Profile:
    """What a run of the course works with.

    Attributes:
        name: ``fast``, ``open`` or ``paper``, or a trial's.
        sources: Labelled English corpora to train on.
        targets: Language code to the labelled corpus on which transfer is measured.
        unlabelled: Language code to the corpora whose unlabelled clips may be used.
        encoder: Name or file for :meth:`lowser_lib.encoders.WhisperEncoder.load`.
        seeds: Seeds of repeated trainings, each at least 0; intervals cover them.
        folds: Number of speaker-disjoint folds within a target corpus.
        epochs: Most passes over the training clips; early stopping may end sooner.
        head_epochs: Passes of the head alone, before the encoder joins in or as a frozen probe.
        learning_rate: Peak rate of the classification head.
        encoder_learning_rate: Peak rate of the encoder's trainable layers; 0 freezes them all.
        precision: Fabric's name, ``32-true`` or ``bf16-mixed``.
        max_source_clips: Most clips of one source corpus, drawn evenly; None takes all.
        max_target_clips: Most labelled clips of one target corpus.
        max_unlabelled_clips: Most unlabelled clips of one corpus.
        resamples: Bootstrap resamples of the speakers for an interval.
        jobs: Worker processes for synthesis, decoding and features.
        layers: First transformer blocks of the encoder that are used; None keeps all.
        max_trained_clips: Most clips of one source corpus that a fine-tuning learns from, drawn
            evenly; None takes all.
        protocol: What sweeps of transfer learn from unless they are told otherwise, see
            :data:`lowser_lib.experiments.speech.PROTOCOLS`.
        refit: Whether sweeps also let a regularised head answer on what the encoder has become,
            after every step of standardisation, see :mod:`lowser_lib.experiments.refit`.
    """

    name: str
    title: str
    sources: tuple[str, ...]
    targets: Mapping[str, str] = field(hash=False)
    unlabelled: Mapping[str, tuple[str, ...]] = field(hash=False)
    encoder: str
    seeds: tuple[int, ...]
    folds: int
    batch_size: int
    epochs: int
    head_epochs: int
    learning_rate: float
    encoder_learning_rate: float
    precision: str
    max_source_clips: int | None
    max_target_clips: int | None
    max_unlabelled_clips: int | None
    resamples: int
    jobs: int
    layers: int | None = None
    max_trained_clips: int | None = None
    protocol: str = "english"
    refit: bool = False

    def __post_init__(self) -> None:
        """Keep the tables of a profile from being changed by accident."""
        object.__setattr__(self, "targets", MappingProxyType(dict(self.targets)))
        object.__setattr__(self, "unlabelled", MappingProxyType(dict(self.unlabelled)))

    @property
    def is_trial(self) -> bool:
        """Whether it is cut down, and what it measures means nothing."""
        return self.name.endswith(TRIAL)

    @property
    def labelled(self) -> tuple[str, ...]:
        """Names of the source and target corpora, each once."""
        return tuple(dict.fromkeys((*self.sources, *self.targets.values())))

    @property
    def corpora(self) -> tuple[str, ...]:
        """Names of all corpora, unlabelled ones last, each once."""
        unlabelled = (name for names in self.unlabelled.values() for name in names)
        return tuple(dict.fromkeys((*self.labelled, *unlabelled)))

    def seeds_from(self, seed: int) -> tuple[int, ...]:
        """The profile's seeds, shifted by a notebook's ``SEED``.

        Args:
            seed: The notebook's parameter, at least 0.

        Returns:
            As many seeds as the profile has. Different ``seed`` give disjoint sets, so that two
            runs are two samples.
        """
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        step = max(self.seeds) + 1
        return tuple(value + seed * step for value in self.seeds)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a table or a run record."""
        tables = {"targets": dict(self.targets), "unlabelled": dict(self.unlabelled)}
        return {**self.__dict__, **tables}


FAST = Profile(
    name="fast",
    title="synthetic speech and the small encoder, offline, in minutes on a laptop",
    sources=("synthetic_english",),
    targets={"ur": "synthetic_urdu", "de": "synthetic_german", "bn": "synthetic_bangla"},
    unlabelled=dict.fromkeys(("ur", "de", "bn"), ("synthetic_voices",)),
    encoder="nano",
    # Our choice: two seeds, the fewest that show results move with the seed.
    seeds=(0, 1),
    folds=3,
    # Our choice: 16 clips a step, so that a few hundred clips make enough steps an epoch.
    batch_size=16,
    epochs=4,
    # Our choice: the head alone needs each clip's embedding only, and 40 passes take seconds.
    head_epochs=40,
    # Our choice: larger steps than for small.en, since the encoder is far smaller.
    learning_rate=1e-3,
    encoder_learning_rate=5e-4,
    # float32: bf16 would round printed figures differently on different processors.
    precision="32-true",
    # Our choice, towards the goal of 90 s a chapter on two cores: of a speaker 3 clips an emotion
    # to learn from, 2 to be judged by.
    max_source_clips=288,
    max_target_clips=160,
    max_unlabelled_clips=640,
    resamples=500,
    jobs=2,
)


OPEN = Profile(
    name="open",
    title="people anyone can download: RAVDESS, URDU, EmoDB, Bangla speech, nEMO; Whisper tiny.en",
    sources=("ravdess",),
    targets={"ur": "urdu", "de": "emodb", "bn": "bangla_emotion", "pl": "nemo"},
    # EmoDB's bored, fearful and disgusted clips, and nEMO's fearful and surprised ones, lie outside
    # the four classes: no label is used.
    unlabelled={"ur": ("urdu_words",), "de": ("emodb",), "bn": ("bangla_speech",), "pl": ("nemo",)},
    encoder="tiny.en",
    # Chosen by source languages alone in most runs of `lowser sweep frozen` (chapter 03).
    layers=2,
    # Our choice: Gong et al. report spreads above 5 points over folds, so one seed says little.
    seeds=(0, 1, 2, 3, 4),
    folds=5,
    # As in the fast profile: again a few hundred clips.
    batch_size=16,
    # Our choice: validation speakers gain nothing from more passes.
    epochs=3,
    head_epochs=40,
    learning_rate=1e-3,
    # Our choice: the first blocks of Whisper have more to lose than `nano`.
    encoder_learning_rate=1e-4,
    # Where a processor multiplies bf16, a training takes little more than half the time.
    precision="bf16-if-fast",
    max_source_clips=None,
    max_target_clips=None,
    max_unlabelled_clips=None,
    # Our choice: nEMO would be most of what is learned from, and two cores need hours for it.
    max_trained_clips=120,
    # Our choice: one English corpus of acted speech teaches little, all other languages far more.
    protocol="others",
    refit=True,
    resamples=1000,
    jobs=2,
)


PAPER = Profile(
    name="paper",
    title="the published corpora and Whisper small.en, for a GPU and for those with licences",
    sources=("msp_podcast", "iemocap"),
    targets={"ur": "urdu", "de": "emodb", "bn": "subesco"},
    unlabelled=dict.fromkeys(("ur", "de", "bn"), ("common_voice",)),
    encoder="small.en",
    seeds=(0, 1, 2, 3, 4),
    folds=5,
    batch_size=64,
    epochs=10,
    # The paper speaks of plain fine-tuning: no head start.
    head_epochs=0,
    # Our choice, not tuned: small steps for what is pre-trained, larger ones for the fresh head.
    learning_rate=3e-4,
    encoder_learning_rate=2e-5,
    precision="bf16-mixed",
    max_source_clips=None,
    max_target_clips=None,
    # Common Voice has hundreds of hours of German; ten thousand clips a language level the field.
    max_unlabelled_clips=10_000,
    resamples=1000,
    jobs=8,
)


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {profile.name: profile for profile in (FAST, OPEN, PAPER)}
)
"""All profiles by name, the default first; trials follow from them."""


def trial(profile: Profile, encoder: str | None = None) -> Profile:
    """Cut a profile down to a few clips and steps; corpora and precision stay.

    Args:
        profile: The profile.
        encoder: Name or file of another encoder; None keeps the profile's.

    Returns:
        The profile ``NAME-trial``, whose title says that it is one.
    """
    return replace(
        profile,
        name=f"{profile.name}{TRIAL}",
        title=f"{profile.title} (a trial: a few clips and steps, its figures mean nothing)",
        encoder=encoder or profile.encoder,
        # Our choice: the least with which every chapter still has something to split and train.
        seeds=profile.seeds[:1],
        folds=2,
        batch_size=8,
        epochs=1,
        head_epochs=min(profile.head_epochs, 1),
        # Of 24 speakers one clip in each of four emotions: of fewer clips one may be lacking.
        max_source_clips=96,
        max_target_clips=32,
        max_unlabelled_clips=32,
        resamples=20,
        jobs=min(profile.jobs, 2),
    )


def get(name: str) -> Profile:
    """Look a profile up.

    Args:
        name: ``fast``, ``open`` or ``paper``; ``NAME-trial`` or ``NAME-trial:ENCODER`` for a trial.

    Raises:
        ProfileError: There is no such profile.
    """
    plain, _, encoder = name.partition(":")
    if plain in PROFILES and not encoder:
        return PROFILES[plain]
    if plain.endswith(TRIAL) and plain.removesuffix(TRIAL) in PROFILES:
        return trial(PROFILES[plain.removesuffix(TRIAL)], encoder or None)
    raise ProfileError(
        f"unknown profile {name!r}; choose one of {', '.join(PROFILES)}, or a trial of one: "
        f"NAME{TRIAL}"
    )
