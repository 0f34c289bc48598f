"""Corpora through several views, made ready for encoders: what sweeps over label budgets hear."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np
import pandas as pd

from lowser_lib.encoders import WhisperEncoder
from lowser_lib.encoders.view_encoders import kind_of
from lowser_lib.errors import ProfileError, require
from lowser_lib.experiments import data, paths
from lowser_lib.manifest import emotion_codes
from lowser_lib.sampling.clips import MultiViewDataset
from lowser_lib.views import MelView, View, Wav2Vec2View
from lowser_lib.views.cache import extract_all
from lowser_lib.views.egemaps import EgemapsView
from lowser_lib.views.standardisation import PRIOR_CLIPS, standardise_speakers
from lowser_lib.views.wav2vec2_sources import nano_card
from lowser_lib.views.whisper import WhisperView

#: The encoder of the view ``whisper``: the smallest there is.
WHISPER = "tiny.en"


#: Whose means and deviations features are brought to 0 and 1 by.
Normalise = Literal["corpus", "speaker"]


#: What is pre-trained on: the target corpus's training speakers, other corpora, or both.
PretrainedOn = Literal["target", "other", "both"]


@dataclass(frozen=True)
class SpeechConfig:
    """What is heard, and how it is made ready.

    Attributes:
        normalise: ``"speaker"`` takes each voice out
            (:func:`~lowser_lib.views.standardisation.standardise_speakers`), ``"corpus"`` the
            corpus alone.
        pretrained_on: ``"target"``, ``"other"`` or ``"both"``.
        frames: how many frames of a spectrogram are averaged to one, at least 1.
    """

    normalise: Normalise = "corpus"
    pretrained_on: PretrainedOn = "target"
    # Our choice: 20 ms, as Whisper and wav2vec 2.0 have it; convolutions cost half as much.
    frames: int = 2

    def __post_init__(self) -> None:
        """Refuse names that do not exist."""
        require(get_args(Normalise), normalise=self.normalise)
        require(get_args(PretrainedOn), pretrained_on=self.pretrained_on)
        require("1..", frames=self.frames)


def _whisper() -> WhisperView:
    model = WhisperEncoder.load(WHISPER, download_root=paths.checkpoints())
    return WhisperView(model.eval(), layer="mix", pooled=True)


# Add a view here to have it in `lowser sweep pairwise`.
VIEWS: Mapping[str, Callable[[], View]] = {
    "mel": MelView,
    "egemaps": EgemapsView,
    "wav2vec2": partial(Wav2Vec2View, "nano", layer="mix", pooled=True),
    "whisper": _whisper,
}
"""The views that sweeps know, by name, and what makes each."""


def known_views(encoder: str = "nano") -> tuple[str, ...]:
    """Names of the views that can be had on this machine without fetching anything.

    Args:
        encoder: the profile's. A real Whisper is the speech model itself; beside ``nano`` it is
            wav2vec 2.0.
    """
    if encoder != "nano":
        return ("mel", "egemaps", "whisper")
    shipped = nano_card()["sha256"] is not None
    return ("mel", "egemaps", "wav2vec2") if shipped else ("mel", "egemaps")


def make_view(name: str) -> View:
    """A view by its name.

    Raises:
        ProfileError: There is no such view.
        CheckpointError: Its weights are missing.
    """
    if name not in VIEWS:
        raise ProfileError(f"unknown view {name!r}; choose from {', '.join(VIEWS)}")
    return VIEWS[name]()


def extract_views(
    corpus: str, views: Sequence[str], jobs: int = 1
) -> tuple[pd.DataFrame, MultiViewDataset]:
    """All clips of a corpus through all views, from the cache where they are there.

    Args:
        corpus: Name of the corpus.
        views: Names of views.
        jobs: Worker processes.

    Returns:
        The manifest, numbered from 0, and the clips in its order with emotions as labels.
    """
    loaded = data.load([corpus], jobs=jobs, progress=False)
    table = loaded.corpus(corpus)
    arrays = {
        name: extract_all(make_view(name), table, loaded.roots, paths.features(), jobs=jobs)
        for name in views
    }
    return table, MultiViewDataset(arrays, emotion_codes(table))


def normalised(
    table: pd.DataFrame,
    clips: MultiViewDataset,
    speech: SpeechConfig,
    tested: Collection[str] = (),
) -> MultiViewDataset:
    """Features of a corpus, made ready for encoders.

    Args:
        table: its manifest, in the order of the clips.
        clips: as they come from :func:`extract_views`.
        speech: how.
        tested: test speakers, who do not tell what all speakers are like.
    """
    reference = ~table["speaker"].isin(list(tested)).to_numpy()
    prior = PRIOR_CLIPS if speech.normalise == "speaker" else math.inf
    speakers = table["speaker"].tolist()
    views = {}
    for name, tensors in clips.views.items():
        arrays = [tensor.numpy() for tensor in tensors]
        frames = kind_of(name, arrays[0].ndim) == "spectrogram"
        if frames:
            arrays = [_averaged(array, speech.frames) for array in arrays]
        views[name] = standardise_speakers(arrays, speakers, reference, frames=frames, prior=prior)
    return MultiViewDataset(views, clips.labels)


def _averaged(mel: np.ndarray, frames: int) -> np.ndarray:
    """A spectrogram with so many frames averaged to one; at the end there may be fewer."""
    starts = np.arange(0, mel.shape[1], frames)
    counts = np.diff(starts, append=mel.shape[1])
    averaged: np.ndarray = np.add.reduceat(mel, starts, axis=1) / counts
    return averaged
