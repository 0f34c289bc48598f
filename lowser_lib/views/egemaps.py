"""The eGeMAPS view: 88 acoustic measures of a clip that voice researchers agreed on.

Eyben et al. 2016, *The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for Voice Research and
Affective Computing*, IEEE Transactions on Affective Computing 7(2). A clip becomes 88 numbers with
names: means, spreads and percentiles of pitch, loudness, spectral balance and voice quality.

They are computed by openSMILE (feature set eGeMAPSv02, functionals). **openSMILE may be used for
research, teaching and private purposes only**; for a product, audEERING sells a licence.

Python's threads do not make openSMILE faster; processes do: ``extract_all(..., jobs=2)``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowser_lib.errors import AudioError

SAMPLE_RATE = 16000
MINIMUM_SAMPLES = SAMPLE_RATE // 10
"""The shortest clip, 0.1 s. Of less, openSMILE finds too few frames and returns NaN."""

# What is measured every 10 ms (`_sma3`: smoothed over three frames; `nz`: voiced frames only), and
# how the whole clip is summed up. Families as in Eyben et al. 2016, section 3.
_MEAN = ("amean",)
_MEAN_SPREAD = ("amean", "stddevNorm")
_CONTOUR = (
    *_MEAN_SPREAD,
    *("percentile20.0", "percentile50.0", "percentile80.0", "pctlrange0-2"),
    *("meanRisingSlope", "stddevRisingSlope", "meanFallingSlope", "stddevFallingSlope"),
)
_DESCRIPTORS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("F0semitoneFrom27.5Hz_sma3nz", _CONTOUR, "frequency"),
    ("loudness_sma3", _CONTOUR, "energy"),
    ("spectralFlux_sma3", _MEAN_SPREAD, "spectral"),
    *((f"mfcc{band}_sma3", _MEAN_SPREAD, "spectral") for band in (1, 2, 3, 4)),
    ("jitterLocal_sma3nz", _MEAN_SPREAD, "frequency"),
    ("shimmerLocaldB_sma3nz", _MEAN_SPREAD, "energy"),
    ("HNRdBACF_sma3nz", _MEAN_SPREAD, "energy"),
    ("logRelF0-H1-H2_sma3nz", _MEAN_SPREAD, "spectral"),
    ("logRelF0-H1-A3_sma3nz", _MEAN_SPREAD, "spectral"),
    *(
        (f"F{formant}{what}_sma3nz", _MEAN_SPREAD, family)
        for formant in (1, 2, 3)
        for what, family in (
            ("frequency", "frequency"),
            ("bandwidth", "frequency"),
            ("amplitudeLogRelF0", "spectral"),
        )
    ),
    *(
        (f"{what}_sma3nz", _MEAN_SPREAD, "spectral")
        for what in ("alphaRatioV", "hammarbergIndexV", "slopeV0-500", "slopeV500-1500")
    ),
    ("spectralFluxV_sma3nz", _MEAN_SPREAD, "spectral"),
    *((f"mfcc{band}V_sma3nz", _MEAN_SPREAD, "spectral") for band in (1, 2, 3, 4)),
    *(
        (f"{what}_sma3nz", _MEAN, "spectral")
        for what in ("alphaRatioUV", "hammarbergIndexUV", "slopeUV0-500", "slopeUV500-1500")
    ),
    ("spectralFluxUV_sma3nz", _MEAN, "spectral"),
    ("loudnessPeaksPerSec", (), "temporal"),
    ("VoicedSegmentsPerSec", (), "temporal"),
    ("MeanVoicedSegmentLengthSec", (), "temporal"),
    ("StddevVoicedSegmentLengthSec", (), "temporal"),
    ("MeanUnvoicedSegmentLength", (), "temporal"),
    ("StddevUnvoicedSegmentLength", (), "temporal"),
    ("equivalentSoundLevel_dBp", (), "energy"),
)

FAMILY: Mapping[str, str] = MappingProxyType(
    {
        name: family
        for stem, functionals, family in _DESCRIPTORS
        for name in ([f"{stem}_{functional}" for functional in functionals] or [stem])
    }
)
"""The family of each feature: ``frequency``, ``energy``, ``spectral`` or ``temporal``."""

FEATURE_NAMES: tuple[str, ...] = tuple(FAMILY)
"""openSMILE's names of the 88 features, in the order of :meth:`EgemapsView.extract`."""

_BEGINNINGS = {
    "pitch": "F0",
    "voice quality": "jitter|shimmer|HNR|logRelF0",
    "formants": "F[123]",
    "timing": "loudnessPeaks|.*Segment",
    "loudness": "loudness|equivalent",
    "spectrum": "",
}

SIX_FAMILIES: Mapping[str, str] = MappingProxyType(
    {
        name: next(family for family, first in _BEGINNINGS.items() if re.match(first, name))
        for name in FEATURE_NAMES
    }
)
"""What each feature describes, by its name; the families of :data:`FAMILY`, told apart further."""


class EgemapsView:
    """The 88 functionals of eGeMAPSv02.

    Attributes:
        name: ``"egemaps"``.
        settings: Feature set and the version of openSMILE that computes it.
    """

    name = "egemaps"

    def __init__(self) -> None:
        self.settings: Mapping[str, object] = {
            "feature_set": "eGeMAPSv02",
            "level": "functionals",
            "opensmile": version("opensmile"),
            "version": 1,
        }

    def extract(self, waveform: NDArray[Any]) -> NDArray[np.float32]:
        """Measure one clip.

        Args:
            waveform: float32, shape (samples,), 16 kHz, in [-1, 1]; at least 0.1 s.

        Returns:
            float32, shape (88,), in the order of :data:`FEATURE_NAMES`, each in its own unit:
            semitones above 27.5 Hz, Hz, dB, seconds, ...

        Raises:
            AudioError: The clip is shorter than 0.1 s or not finite, or openSMILE gives a value
                that is not finite.
            ValueError: The waveform has not exactly one dimension.
        """
        if waveform.ndim != 1:
            raise ValueError(f"waveform must have shape (samples,), not {waveform.shape}")
        if len(waveform) < MINIMUM_SAMPLES:
            raise AudioError(
                f"a clip of {len(waveform) / SAMPLE_RATE:.3f} s is too short for eGeMAPS, which "
                "needs 0.1 s: leave it out with lowser_lib.manifest.keep_durations"
            )
        if not np.isfinite(waveform).all():
            raise AudioError("the waveform holds NaN or infinity: check the file that it is from")
        # openSMILE reads 16-bit numbers, in which a sample of exactly 1.0 would wrap round to -1.
        samples = np.clip(waveform, -1.0, 32767 / 32768).astype(np.float32)
        features = np.asarray(_extractor()(samples, SAMPLE_RATE), dtype=np.float32).reshape(-1)
        if not np.isfinite(features).all():
            strange = FEATURE_NAMES[int(np.flatnonzero(~np.isfinite(features))[0])]
            raise AudioError(
                f"openSMILE gives {features[FEATURE_NAMES.index(strange)]} for {strange}: listen "
                "to the clip, and leave it out of the manifest if it holds no speech"
            )
        return features

    def __repr__(self) -> str:
        return "EgemapsView()"


@cache
def _extractor() -> Any:
    """Set openSMILE up once a process; imported here, as reading the names alone needs none."""
    import opensmile

    return opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
