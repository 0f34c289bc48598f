"""PWCCA of 10,000 clips, 768 dimensions against 256, beside scikit-learn's CCA.

scikit-learn has canonical correlations, found one after another by iteration, and no projection
weights; only its first 4 components are timed, as all 256 take very long.
Run as ``python benchmarks/bench_pwcca.py``; exits with 1 when PWCCA takes more than 20 s.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.cross_decomposition import CCA

from lowser_lib.evaluation import pwcca

CLIPS, OURS, THEIRS, SHARED = 10_000, 768, 256, 32
COMPONENTS = 4
MOST_SECONDS = 20.0


def make_embeddings() -> tuple[np.ndarray, np.ndarray]:
    """Two made-up embeddings with some directions in common."""
    random = np.random.default_rng(0)
    common = random.normal(size=(CLIPS, SHARED))
    x = random.normal(size=(CLIPS, OURS)) + common @ random.normal(size=(SHARED, OURS))
    y = random.normal(size=(CLIPS, THEIRS)) + common @ random.normal(size=(SHARED, THEIRS))
    return x, y


def timed(function: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def main() -> int:
    """Time both and print the table."""
    x, y = make_embeddings()
    warnings.simplefilter("ignore")
    # Without the warm-up the first would pay for the start of the linear algebra's threads.
    pwcca(x[:1000, :8], y[:1000, :8])
    ours = timed(lambda: pwcca(x, y))
    theirs = timed(lambda: CCA(COMPONENTS, scale=False, max_iter=50).fit(x, y))
    print(f"{CLIPS:,} clips, {OURS} against {THEIRS} dimensions")
    print(f"pwcca, all {THEIRS} directions           {ours:7.2f} s")
    print(f"scikit-learn's CCA, first {COMPONENTS} of them  {theirs:7.2f} s  {theirs / ours:.1f} x")
    if ours > MOST_SECONDS:
        print(f"pwcca took more than {MOST_SECONDS:g} s", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
