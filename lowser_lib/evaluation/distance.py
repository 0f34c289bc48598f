"""How far apart two languages are, by how often they use which sounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable

import numpy as np
from scipy.spatial.distance import jensenshannon

from lowser_lib.errors import EvaluationError


def frequency_distance(first: Iterable[Hashable], second: Iterable[Hashable]) -> float:
    """Jensen–Shannon distance of two samples: the root of the divergence, logarithms to base 2.

    Endres and Schindelin 2003 (*A New Metric for Probability Distributions*) show that it is a
    metric. It compares how often each thing occurs, and knows nothing of order, nor of which things
    are alike: two neighbouring vowels differ as much as a vowel and a click.

    Args:
        first: Things that were counted, such as the phonemes of some sentences.
        second: The same of the other sample.

    Returns:
        0 where all frequencies are equal, 1 where nothing occurs in both.

    Raises:
        EvaluationError: A sample is empty.
    """
    counts = [Counter(first), Counter(second)]
    if not all(counts):
        raise EvaluationError("a sample is empty: there are no frequencies to compare")
    things = list(dict.fromkeys([*counts[0], *counts[1]]))
    shares = [np.array([count[thing] for thing in things]) / count.total() for count in counts]
    # Rounding may leave a tiny negative divergence, whose root is not a number.
    return float(np.nan_to_num(jensenshannon(*shares, base=2)))
