"""Write the pages of the book that come from the library: data cards, model cards, the ledger.

``make book`` calls it. The pages are committed, so that they can be read without building, and
``tests/test_book.py`` holds them equal to what cards and records say now.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from lowser_lib import corpora
from lowser_lib.corpora import DataCard
from lowser_lib.experiments import ledger

BOOK = Path(__file__).parent
LIBRARY = BOOK.parent / "lowser_lib"

LANGUAGES = {
    "ar": "Arabic",
    "bn": "Bangla",
    "de": "German",
    "pl": "Polish",
    "en": "English",
    "ur": "Urdu",
}

OPENING = """\
# Data cards

<!-- Written by book/make_pages.py from the cards in lowser_lib/corpora: change those. -->

What to know of a corpus before listening to it. `lowser corpora list` prints them, `lowser corpora
verify` checks what is in place below `LOWSER_CORPORA`, and `lowser corpora prepare` makes it ready.
No recorded speech comes with the course; please keep to the terms of each corpus.
"""


MODELS = """\
# Model cards

<!-- Written by book/make_pages.py from the cards beside the weights, in lowser_lib. -->

What the small encoders that come with the course have heard, and how well. They stand in for
encoders that are too large to come with it.
"""


def languages(card: DataCard) -> str:
    """Name the languages of a corpus in English, with unknown codes as they are."""
    return ", ".join(LANGUAGES.get(code, f"`{code}`") for code in card.languages) or "any"


def cell(text: str) -> str:
    """Make a text fit for one cell of a table: one line, no bars."""
    return " ".join(text.split()).replace("|", "\\|")


def overview(cards: Iterable[DataCard]) -> str:
    """Write one row a corpus, each linked to its card below."""
    lines = ["| corpus | language | size | licence |", "|---|---|---|---|"]
    for card in cards:
        facts = (languages(card), cell(card.size), cell(card.licence))
        lines.append(f"| [{card.name}](#{card.name}) | {' | '.join(facts)} |")
    return "\n".join(lines) + "\n"


def section(card: DataCard) -> str:
    """Write one card: a heading, which the overview links to, and a list of what is known."""
    facts = {
        "Language": languages(card),
        "Size": card.size,
        "Speakers": card.speakers,
        "Elicitation": card.elicitation,
        "Licence": card.licence,
        "Cite": card.citation,
        "Where": card.where,
        "Layout": card.layout,
    }
    if card.notes:
        facts["Beware"] = card.notes
    for download in card.downloads:
        size = f", {download.bytes / 1e6:.0f} MB" if download.bytes else ""
        facts[f"Archive {download.filename}"] = f"<{download.url}>{size}"
    kinds = [
        kind
        for kind, true in (
            ("synthetic", card.synthetic),
            ("unlabelled", not card.labelled),
            ("free to download", card.downloadable),
        )
        if true
    ]
    lines = [f"### {card.name}", ""]
    lines += [f"**{cell(card.title)}**" + (f" ({', '.join(kinds)})" if kinds else ""), ""]
    lines += [f"- **{name}**: {cell(text)}" for name, text in facts.items()]
    return "\n".join(lines)


def page(cards: Iterable[DataCard]) -> str:
    """Write the whole page: recorded corpora first, then synthetic ones.

    Args:
        cards: All cards, in the order of the registry.
    """
    cards = list(cards)
    recorded = [card for card in cards if not card.synthetic]
    synthetic = [card for card in cards if card.synthetic]
    parts = [OPENING, overview(recorded + synthetic)]
    parts += ["## Recorded speech\n", *map(section, recorded)]
    parts += ["## Synthetic speech\n", *map(section, synthetic)]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def models() -> str:
    """Write the page of model cards: those beside weights, their headings one level down."""
    cards = sorted(path.with_suffix(".md") for path in LIBRARY.glob("*/*/*.safetensors"))
    texts = (card.read_text(encoding="utf-8") for card in cards)
    return "\n".join([MODELS, *(re.sub("^#", "##", text, flags=re.MULTILINE) for text in texts)])


def pages() -> dict[str, str]:
    """Write all pages; names of files in the book to their content."""
    cards = (corpora.get(name).card for name in corpora.names())
    project = BOOK.parent
    return {
        "data_cards.md": page(cards),
        "model_cards.md": models(),
        "ledger.md": ledger.text(project / "results", project / "notebooks"),
    }


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or with ``--check`` only say whether they are up to date.

    Args:
        arguments: Command line; None takes that of the process.

    Returns:
        0, or 1 where ``--check`` finds a difference.
    """
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if out of date")
    check = parser.parse_args(arguments).check
    for name, text in pages().items():
        file = BOOK / name
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            continue
        if check:
            print(f"{file} is not what cards and records say: run `make book`", file=sys.stderr)
            return 1
        file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
