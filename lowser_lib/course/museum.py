"""A small museum of sound files, good and bad, for chapter 01 to walk through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

_RATE = 16_000


def build(folder: Path, clip: NDArray[np.float32]) -> None:
    """Make the museum from one good clip.

    Args:
        folder: Where to; it is made.
        clip: (samples,) at 16 kHz, longer than a second and shorter than 1.5 s or so: ten copies of
            it are longer than the course's limit of 12 s.
    """
    folder.mkdir(parents=True)

    def put(
        name: str, samples: NDArray[np.floating], rate: int = _RATE, kind: str = "PCM_16",
        form: str = "WAV",
    ) -> None:  # fmt: skip
        soundfile.write(folder / name, samples, rate, subtype=kind, format=form)

    put("good.wav", clip)
    put("rate_8k.wav", soxr.resample(clip, _RATE, 8_000), rate=8_000)
    put("rate_96k.wav", soxr.resample(clip, _RATE, 96_000), rate=96_000, kind="PCM_24")
    put("eight_bit.wav", clip, kind="PCM_U8")
    put("stereo.wav", np.stack([clip, 0.5 * clip], axis=1))
    put("flac_inside.wav", clip, form="FLAC")
    put("opposite.wav", np.stack([clip, -clip], axis=1))
    put("silent.wav", np.zeros(_RATE))
    put("not_a_number.wav", np.where(np.arange(len(clip)) == 100, np.nan, clip), kind="FLOAT")
    put("unscaled.wav", clip * 32_768, kind="FLOAT")
    put("no_samples.wav", np.zeros(0))
    put("too_short.wav", clip[:4_000])
    put("too_long.wav", np.tile(clip, 10))
    (folder / "empty.wav").touch()
    (folder / "truncated.wav").write_bytes((folder / "good.wav").read_bytes()[:20_000])
    (folder / "web_page.wav").write_text("<html><title>404 Not Found</title></html>")
