"""Take a corpus's level and channel back out of its spectrograms, without looking at a label.

A microphone, a room or a line multiplies the spectrum, which *shifts* each band of a log-mel
spectrogram; noise and compression narrow it. Two corpora therefore differ in the mean and the
deviation of each band before anybody has felt anything. :func:`match_bands` gives all corpora the
means and deviations of one of them: mean and variance normalisation of the kind that speech
recognition has long used (Viikki and Laurila 1998), by corpus instead of by clip, because a clip's
own mean holds part of what an emotion does.

A voice is a channel too: :func:`standardise_speakers` takes it out where each speaker's clips are
known to hold all emotions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lowser_lib.errors import AudioError

#: Smallest deviation that is divided by: a band above a line's cut-off hardly moves.
FLOOR = 1e-3

#: How many clips of its own a speaker needs for them to count as much as everybody's. Our choice:
#: with two clips a mean is mostly what was said, with twenty it is the voice.
PRIOR_CLIPS = 4.0


@dataclass(frozen=True)
class BandStatistics:
    """Mean and standard deviation of each mel band over the frames of many clips.

    Attributes:
        mean: ``(n_mels,)`` float64.
        deviation: ``(n_mels,)`` float64, at least :data:`FLOOR`.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def of(cls, mels: Sequence[np.ndarray]) -> BandStatistics:
        """Measure a corpus; every frame counts alike.

        Args:
            mels: log-mel spectrograms ``(n_mels, T)``, T may differ.

        Raises:
            AudioError: there is no spectrogram.
        """
        if not len(mels):
            raise AudioError("no spectrograms to take statistics of: the corpus has no clip")
        frames = sum(mel.shape[1] for mel in mels)
        mean = sum(mel.sum(axis=1, dtype=np.float64) for mel in mels) / frames
        squares = sum(np.square(mel - mean[:, None], dtype=np.float64).sum(axis=1) for mel in mels)
        return cls(np.asarray(mean), np.maximum(np.sqrt(squares / frames), FLOOR))


def match_bands(
    mels: Sequence[np.ndarray], reference: BandStatistics, own: BandStatistics | None = None
) -> list[np.ndarray]:
    """Give the bands of a corpus the mean and deviation of another.

    Args:
        mels: log-mel spectrograms ``(n_mels, T)`` of one corpus.
        reference: statistics to be had afterwards, usually those of the training clips.
        own: statistics of the corpus; None measures these clips. All clips of a corpus should be
            given at once, or its statistics.

    Returns:
        float32 arrays of the same shapes.

    Raises:
        AudioError: there is no spectrogram.
    """
    own = own or BandStatistics.of(mels)
    scale = (reference.deviation / own.deviation)[:, None]
    shift = reference.mean[:, None] - own.mean[:, None] * scale
    return [(mel * scale + shift).astype(np.float32) for mel in mels]


def standardise_speakers(
    arrays: Sequence[np.ndarray],
    speakers: Sequence[str],
    reference: Sequence[bool] | np.ndarray,
    *,
    frames: bool = False,
    prior: float = PRIOR_CLIPS,
) -> list[np.ndarray]:
    """Give each speaker's features mean 0 and deviation 1, shrunk towards those of all speakers.

    Only for corpora whose speakers say everything in all emotions. A speaker who is heard in one
    emotion alone has that emotion's mean, and loses it here. Labels are not looked at, but some
    clips of each speaker are, also of those who are tested: a system that is used hears a voice for
    a while before it can do the same (Schuller et al. 2010, *Cross-corpus acoustic emotion
    recognition*, compare this with normalisation by corpus).

    Args:
        arrays: one a clip, of one shape ``(...)``; or spectrograms ``(n_mels, T)`` with
            ``frames``.
        speakers: ``(N,)``, who speaks in each clip.
        reference: ``(N,)``, true where a clip tells what all speakers are like; false for those of
            test speakers.
        frames: the last axis is time, over which statistics are taken besides.
        prior: clips of their own that count as much as everybody's, at least 0. A speaker of n
            clips has n / (n + prior) of their own mean and variance.

    Returns:
        float32 arrays of the same shapes.

    Raises:
        AudioError: there is no reference clip.
        ValueError: numbers do not agree, or ``prior`` is negative.
    """
    chosen = np.asarray(reference, dtype=bool)
    if not len(arrays) == len(speakers) == len(chosen):
        raise ValueError(
            f"there are {len(arrays)} arrays, {len(speakers)} speakers and {len(chosen)} marks; "
            "each clip needs one of each"
        )
    if not prior >= 0:
        raise ValueError(f"prior must be at least 0, not {prior!r}")
    if not chosen.any():
        raise AudioError("no reference clip: there is nothing to tell what speakers are like")
    rows = [np.asarray(one) if frames else np.asarray(one)[..., None] for one in arrays]
    all_mean, all_variance = _moments([row for row, mark in zip(rows, chosen, strict=True) if mark])
    by_speaker: dict[str, list[int]] = {}
    for index, speaker in enumerate(speakers):
        by_speaker.setdefault(speaker, []).append(index)
    found: list[np.ndarray] = [np.empty(0)] * len(rows)
    for indices in by_speaker.values():
        mean, variance = _moments([rows[index] for index in indices])
        own = len(indices) / (len(indices) + prior)
        mean = own * mean + (1 - own) * all_mean
        deviation = np.sqrt(own * variance + (1 - own) * all_variance)
        # What does not vary stays at zero, as in the encoders' own statistics.
        scale = np.where(deviation > FLOOR**2, 1 / np.maximum(deviation, FLOOR**2), 0.0)
        for index in indices:
            changed = (rows[index] - mean) * scale
            found[index] = (changed if frames else changed[..., 0]).astype(np.float32)
    return found


def _moments(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance over all observations, which are along the last axis; float64."""
    together = np.concatenate(rows, axis=-1).astype(np.float64)
    return together.mean(axis=-1, keepdims=True), together.var(axis=-1, keepdims=True)
