"""The ledger as tables for a notebook: how many claims meet which verdict, and which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from lowser_lib.experiments.ledger import VERDICTS, Entry, ours


def counts(found: Sequence[Entry]) -> pd.DataFrame:
    """How many claims meet which verdict.

    Args:
        found: As of :func:`lowser_lib.experiments.ledger.entries`.

    Returns:
        A row a verdict, a column a profile. A claim counts once for each corpus that it is tested
        on.
    """
    names = list(dict.fromkeys(entry.profile for entry in found))
    met = Counter((entry.verdict, entry.profile) for entry in found)
    rows = [[met[verdict, name] for name in names] for verdict in VERDICTS]
    return pd.DataFrame(rows, index=pd.Index(VERDICTS, name="verdict"), columns=names)


def claims(found: Sequence[Entry], *verdicts: str) -> pd.DataFrame:
    """The claims that meet some verdicts.

    Args:
        found: As of :func:`lowser_lib.experiments.ledger.entries`.
        *verdicts: Some of :data:`lowser_lib.experiments.ledger.VERDICTS`.

    Returns:
        A row a claim and corpus, in the order of the claims: ``claim``, ``paper``, ``on``, ``ours``
        and ``verdict``; nothing but words.

    Raises:
        ValueError: There is no such verdict.
    """
    unknown = [verdict for verdict in verdicts if verdict not in VERDICTS]
    if unknown:
        raise ValueError(f"no verdict {unknown[0]!r}, only {', '.join(VERDICTS)}")
    rows = [
        {
            "claim": f"{entry.claim.paper} {entry.claim.name}: {entry.claim.reading}",
            "paper": entry.claim.figure,
            "on": entry.profile if entry.figure is None else entry.figure.corpus,
            "ours": ours(entry),
            "verdict": entry.verdict + (f": {entry.remark}" if entry.remark else ""),
        }
        for entry in found
        if entry.verdict in verdicts
    ]
    return pd.DataFrame(rows, columns=["claim", "paper", "on", "ours", "verdict"])
