"""Randomness by name, so that a draw never depends on the draws made before it."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return the random generator that belongs to ``seed`` and ``names``.

    Python's own ``hash`` differs between runs; SHA-256 does not, so one clip draws the same numbers
    in whichever process and order it is made.

    Args:
        seed: seed of the whole corpus, at least 0.
        names: what the numbers are for, such as a corpus, a speaker and a clip.
    """
    digest = hashlib.sha256("\x1f".join(names).encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
    return np.random.default_rng(np.random.SeedSequence([seed, *words]))
