"""The registry, the data cards, and what every corpus has to keep."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lowser_lib import corpora
from lowser_lib.corpora import synthetic
from lowser_lib.corpora.folders import is_stray, list_sounds
from lowser_lib.errors import CorpusError

NAMES = corpora.names()


def parsers() -> Iterator[type[corpora.Corpus]]:
    """Every parser with a data card that a file of the package defines."""
    for module in pkgutil.iter_modules(corpora.__path__, f"{corpora.__name__}."):
        for member in vars(importlib.import_module(module.name)).values():
            its_own = getattr(member, "__module__", "") == module.name and hasattr(member, "card")
            if its_own and isinstance(member, type) and issubclass(member, corpora.Corpus):
                yield member


@pytest.mark.parametrize("parser", list(parsers()), ids=lambda parser: parser.__name__)
def test_every_parser_is_registered(parser: type[corpora.Corpus]) -> None:
    name = parser.card.name
    assert name in NAMES, f"add {parser.__name__} to lowser_lib/corpora/registry.py"
    assert type(corpora.get(name)) is parser


def test_registry_holds_the_corpora_of_the_papers_and_the_synthetic_ones() -> None:
    assert {"msp_podcast", "iemocap", "common_voice", "urdu", "emodb", "subesco"} < set(NAMES)
    assert {name for name in NAMES if name.startswith("synthetic_")} == set(synthetic.NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_card_is_complete(name: str) -> None:
    card = corpora.get(name).card
    assert card.name == corpora.get(name).name == name
    for field in dataclasses.fields(card):
        value = getattr(card, field.name)
        if isinstance(value, str):
            assert value == value.strip()
            assert value, f"{name}: {field.name} is empty"
    assert card.languages
    assert all(re.fullmatch("[a-z]{2,3}", language) for language in card.languages)
    for download in card.downloads:
        assert re.match(r"https?://", download.url)
        assert "/" not in download.filename
        assert download.sha256 is None or re.fullmatch("[0-9a-f]{64}", download.sha256)
        assert download.md5 is None or re.fullmatch("[0-9a-f]{32}", download.md5)


@pytest.mark.parametrize("name", NAMES)
def test_expected_counts_add_up(name: str) -> None:
    expected = corpora.get(name).card.expected
    by_gender = [expected.get(f"{gender} speakers") for gender in ("female", "male")]
    if None not in by_gender:
        assert sum(number for number in by_gender if number) == expected["speakers"]
    by_emotion = [number for what, number in expected.items() if what.startswith("emotion ")]
    if by_emotion and name != "iemocap":  # IEMOCAP's card lists the four classes only
        assert sum(by_emotion) == expected["clips"]


def test_iemocap_card_holds_the_published_four_classes() -> None:
    expected = corpora.get("iemocap").card.expected
    assert expected["emotion happy"] + expected["emotion excited"] == 1636
    assert (expected["emotion neutral"], expected["emotion angry"]) == (1708, 1103)
    assert expected["emotion sad"] == 1084


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("synthetic_")])
def test_synthetic_cards_say_so(name: str) -> None:
    card = corpora.get(name).card
    assert card.synthetic
    for text in (card.title, card.speakers, card.elicitation, card.notes):
        assert "SYNTHETIC" in text
    assert card.labelled == (name != "synthetic_voices")


def test_derived_corpus_says_so() -> None:
    derived = [name for name in NAMES if corpora.get(name).card.derived]
    assert derived == ["urdu_words"]
    assert "DERIVED" in corpora.get("urdu_words").card.notes


def test_unknown_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(CorpusError, match=r"'ravdes'; did you mean ravdess\?"):
        corpora.get("ravdes")
    with pytest.raises(CorpusError, match=r"'own_talks'; did you mean table:own_talks\?"):
        corpora.get("own_talks")


@pytest.mark.parametrize(
    "name", ["table:", "table:../up", "table:a/b", "table:.hidden", "table:a b"]
)
def test_own_corpus_needs_a_plain_name(name: str) -> None:
    with pytest.raises(CorpusError, match="cannot name a corpus"):
        corpora.get(name)


def test_own_corpus_may_not_take_a_registered_name() -> None:
    with pytest.raises(CorpusError, match="registered corpus already"):
        corpora.get("table:ravdess")


@pytest.mark.parametrize("name", [*NAMES, "table:mine"])
def test_missing_folder_names_folder_layout_and_remedy(name: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        corpora.read(name, tmp_path)
    card = corpora.get(name).card
    message = str(caught.value)
    assert str(tmp_path / card.name) in message
    assert card.layout in message
    assert card.where in message
    assert ("download_corpora.py" in message) == card.downloadable


def test_found_lists_registered_folders_first_and_own_tables_after(tmp_path: Path) -> None:
    for folder in ("zebra", "urdu", "ravdess", "mine", "no_table", ".hidden"):
        (tmp_path / folder).mkdir()
    for folder in ("zebra", "mine", ".hidden"):
        (tmp_path / folder / "corpus.csv").touch()
    assert corpora.found(tmp_path) == ("ravdess", "urdu", "table:mine", "table:zebra")
    assert corpora.found(tmp_path / "nowhere") == ()


def test_stray_files_are_no_sound(tmp_path: Path) -> None:
    for name in ("._a.wav", "__MACOSX/a.wav", ".cache/a.wav", "desktop.ini", "b.WAV", "c/d.mp3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list_sounds(tmp_path).sounds == ("b.WAV", "c/d.mp3")
    assert is_stray(Path("desktop.ini"))
    assert not is_stray(Path("a/b.wav"))
