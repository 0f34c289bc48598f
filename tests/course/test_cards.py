"""The tables of data cards and profiles that chapter 00 shows."""

from __future__ import annotations

from lowser_lib import corpora
from lowser_lib.course import material
from lowser_lib.experiments.profiles import PROFILES


def test_every_corpus_of_the_profiles_is_in_the_overview_once() -> None:
    table = material.cards(PROFILES.values())
    named = [name for names in table["corpus"] for name in names.split(", ")]
    assert sorted(named) == sorted({n for p in PROFILES.values() for n in p.corpora})
    for _, row in table.iterrows():
        for name in row["corpus"].split(", "):
            assert corpora.get(name).card.licence == row["licence"]
            assert ("yes" if corpora.get(name).card.synthetic else "no") == row["synthetic"]


def test_a_whole_card_says_what_the_card_says() -> None:
    card = corpora.get("urdu").card
    table = material.card("urdu").set_index("")
    assert list(table.columns) == ["urdu"]
    assert table.loc["notes", "urdu"] == card.notes
    assert table.loc["licence", "urdu"] == card.licence


def test_profiles_are_told_apart_by_what_they_work_with() -> None:
    table = material.profile_table(PROFILES.values()).set_index("name")
    assert list(table.index) == list(PROFILES)
    for name, profile in PROFILES.items():
        assert table.loc[name, "encoder"] == profile.encoder
        others = "all other languages" in str(table.loc[name, "learned from"])
        assert others == (profile.protocol == "others")
        assert table.loc[name, "seeds"] == len(profile.seeds)
        assert str(table.loc[name, "tested on"]).split(", ") == list(profile.targets.values())
