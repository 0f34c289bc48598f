"""Tables of what is on the data cards and in the profiles, for chapters to show."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from lowser_lib import corpora
from lowser_lib.experiments.profiles import Profile

_OF_MANY = ("speakers", "elicitation", "licence")
_OF_ONE = ("title", "size", "speakers", "elicitation", "licence", "citation", "notes")


def overview(profiles: Iterable[Profile]) -> pd.DataFrame:
    """Shorten the cards of all corpora that profiles use; corpora alike share a row.

    Args:
        profiles: Which.

    Returns:
        One row a card, with the corpora's names, languages, speakers, elicitation and licence, and
        whether the speech is synthetic.
    """
    names = list(dict.fromkeys(name for profile in profiles for name in profile.corpora))
    cards = [corpora.get(name).card for name in names]
    table = pd.DataFrame([[getattr(card, field) for field in _OF_MANY] for card in cards])
    table.columns = list(_OF_MANY)
    table["corpus"] = names
    table["language"] = ["/".join(card.languages) for card in cards]
    table["synthetic"] = ["yes" if card.synthetic else "no" for card in cards]
    alike = table.groupby([*_OF_MANY, "synthetic"], sort=False, as_index=False).agg(", ".join)
    return alike[["corpus", "language", "speakers", "elicitation", "synthetic", "licence"]]


def whole(name: str) -> pd.DataFrame:
    """The card of one corpus, one row a field.

    Args:
        name: The corpus.
    """
    card = corpora.get(name).card
    rows = [(field, getattr(card, field)) for field in _OF_ONE]
    return pd.DataFrame(rows, columns=["", card.name])


def of_profiles(profiles: Iterable[Profile]) -> pd.DataFrame:
    """What tells profiles apart, one row a profile.

    Args:
        profiles: Which.
    """
    return pd.DataFrame(
        [
            {
                "name": profile.name,
                "what": profile.title,
                "learned from": ", ".join(profile.sources)
                + (" and all other languages" if profile.protocol == "others" else ""),
                "tested on": ", ".join(profile.targets.values()),
                "encoder": profile.encoder,
                "seeds": len(profile.seeds),
                "folds": profile.folds,
            }
            for profile in profiles
        ]
    )
