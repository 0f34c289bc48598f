"""From rows of a manifest to clips that a model learns from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lowser_lib.manifest import EMOTIONS
from lowser_lib.sampling.clips import UNLABELLED, ClipDataset
from lowser_lib.views.cache import extract_all
from lowser_lib.views.mel import MelView


def mel_clips(
    manifest: pd.DataFrame,
    roots: Sequence[Path] | Path,
    *,
    n_mels: int = 80,
    cache: Path | None = None,
    jobs: int = 1,
) -> ClipDataset:
    """Spectrograms of a manifest's clips, labelled with their emotions.

    Args:
        manifest: A manifest.
        roots: Folders below which its paths are found.
        n_mels: Mel bands, as the encoder hears them (``encoder.n_mels``).
        cache: Folder that keeps spectrograms for the next time; None keeps none.
        jobs: Workers that read files.

    Returns:
        The clips in the manifest's order. Labels are places in the manifest's ``EMOTIONS``, and
        :data:`~lowser_lib.sampling.UNLABELLED` where a row has no emotion.

    Raises:
        AudioError: A file is missing or cannot be used.
    """
    folders = [roots] if isinstance(roots, Path) else list(roots)
    mels = extract_all(MelView(n_mels), manifest, folders, cache, jobs)
    numbers = {emotion: number for number, emotion in enumerate(EMOTIONS)}
    labels = manifest["emotion"].map(numbers).fillna(UNLABELLED).astype(int)
    return ClipDataset(mels, labels.to_numpy())
