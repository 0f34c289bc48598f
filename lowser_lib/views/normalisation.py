"""Take a corpus's level and channel back out of its spectrograms, without looking at a label.

A microphone, a room or a line multiplies the spectrum, which *shifts* each band of a log-mel
spectrogram; noise and compression narrow it. Two corpora therefore differ in the mean and the
deviation of each band before anybody has felt anything. :func:`match_bands` gives all corpora the
means and deviations of one of them: mean and variance normalisation of the kind that speech
recognition has long used (Viikki and Laurila 1998), by corpus instead of by clip, because a clip's
own mean holds part of what an emotion does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lowser_lib.errors import AudioError

#: Smallest deviation that is divided by: a band above a line's cut-off hardly moves.
FLOOR = 1e-3


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
