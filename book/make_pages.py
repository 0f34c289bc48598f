"""Write what comes from the library and from results: whole pages, and parts of others.

Pages of the book: data cards, model cards, the ledger, what was found, the course in one hour.
Parts stand between ``<!-- NAME -->`` and ``<!-- /NAME -->``: what was reached on people in the
README, ten sentences in the book's introduction. ``make book`` calls it. All of it is committed, so
that it can be read without building, and ``tests/test_book.py`` holds it equal to what cards,
records and chapters say now.
"""

from __future__ import annotations

import argparse
import base64
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lowser_lib import corpora
from lowser_lib.corpora import DataCard
from lowser_lib.evaluation import Interval, chance
from lowser_lib.experiments import frozen_tables, ledger, records
from lowser_lib.experiments.chapters import find_chapters, read_notebook, title
from lowser_lib.experiments.findings import of_people

BOOK = Path(__file__).parent
PROJECT = BOOK.parent
LIBRARY = PROJECT / "lowser_lib"

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


# --- results on people ------------------------------------------------------------------------


def _frozen(encoder: str, answers: str) -> dict[str, Interval]:
    """Macro-F1 by language of a frozen encoder, or of handcrafted measures, on people."""
    found = {}
    runs = records.load_records(PROJECT / "results", "open", f"frozen-{encoder}")
    for language, its in frozen_tables.by_target(runs).items():
        stacked = frozen_tables.stacked([run.metrics["clips"] for run in its])
        found[language] = frozen_tables.score_of(stacked, answers)
    return found


def reached() -> str:
    """What was reached on people without a label of the language: one paragraph for the README."""
    best, plain = _frozen("tiny-en", "rule transductive"), _frozen("egemaps", "corpus svm")
    levels = [chance([number % 4 for number in range(400)], range(4))]
    shown = ", ".join(
        f"{LANGUAGES[language]} {score.estimate:.2f}"
        + (f" ({plain[language].estimate:.2f})" if language in plain else "")
        for language, score in sorted(best.items(), key=lambda item: -item[1].estimate)
    )
    return (
        "**On people, without one label of the language** (macro-F1 of four emotions; in brackets "
        f"eGeMAPS + SVM; a guesser has {levels[0]:.2f}): {shown}. A frozen Whisper tiny.en, taught "
        "the other four languages, on a laptop. Actors were recorded: it says little of calls."
    )


# --- findings of the chapters -----------------------------------------------------------------


def _chapters() -> dict[str, tuple[str, Any]]:
    """Number of a chapter -> a link to it in the book, and its notebook."""
    chapters = {}
    for chapter in find_chapters(PROJECT / "notebooks"):
        notebook = read_notebook(chapter.path)
        link = f"[{title(notebook, chapter.number)}](notebooks/{chapter.path.name})"
        chapters[chapter.number] = link, notebook
    return chapters


def ten_sentences() -> str:
    """The first finding on people of each chapter, or its first one: a list."""
    lines = []
    for number, (link, notebook) in _chapters().items():
        found = of_people(notebook)
        first = [known for _, known, people in found if people] or [f[1] for f in found]
        if first:
            lines.append(f"- {first[0].sentence} ({link.replace(f'[{number} · ', '[')})")
    return "\n".join(lines)


FINDINGS = """\
# What was found

<!-- Written by book/make_pages.py from the findings of the chapters. -->

A *finding* is a sentence whose numbers a chapter computed, and a test of whether it holds. Here are
all of them, first those on people. What was found on synthetic speech says how a method behaves. It
is not known of people unless a sentence of the first part says so: `lowser run --profile open` puts
each to the test where the corpora are in place.
"""


def all_findings() -> str:
    """The page of all findings: on people, and on synthetic speech alone."""
    parts = {True: ["## On people"], False: ["## On synthetic speech"]}
    for link, notebook in _chapters().values():
        found = of_people(notebook)
        for people, lines in parts.items():
            rows = [
                f"- {known.sentence}" + ("" if known.holds else " (*it does not hold now*)")
                for _, known, speaks in found
                if speaks is people
            ]
            lines += ["", f"### {link}", "", *rows] if rows else []
    return "\n".join([FINDINGS, *parts[True], "", *parts[False], ""])


HOUR = """\
# The course in one hour

<!-- Written by book/make_pages.py from the chapters' figures and findings. -->

Six figures and six findings, all on recordings of people unless a figure says *synthetic*. Ten
minutes each: look at the figure, read the sentence, and ask what else could explain it. Then open
the chapter.
"""

SIX = {
    "01": ("With speakers on both sides", "ravdess; urdu; emodb"),
    "03": ("first block", "People, tiny.en"),
    "04": ("Subtracting the speaker's mean", "speaker's mean subtracted"),
    "05": ("self-training adds", "self-training − none, macro-F1, people"),
    "07": ("significantly better", "pairwise − scratch"),
    "09": ("where words go with emotions", "people, nEMO"),
}
"""Chapters that the hour goes through, with words of a finding and of a figure of each; where a
chapter has none with these words, its first ones on people are taken."""


def in_one_hour() -> tuple[str, dict[str, bytes]]:
    """The page, and its pictures by name: of each chapter a finding on people, and a figure."""
    lines, pictures = [HOUR], {}
    chapters = _chapters()
    for number, (words, drawn) in SIX.items():
        link, notebook = chapters[number]
        found = [(cell, known.sentence) for cell, known, people in of_people(notebook) if people]
        figures = [
            (cell, " ".join(output["metadata"]["image/png"]["alt"].split()), output)
            for cell, place in enumerate(notebook.cells)
            for output in place.get("outputs", [])
            if "image/png" in output.get("data", {})
        ]
        if not found or not figures:
            continue
        _, sentence = next((one for one in found if words in one[1]), found[0])
        behind = [figure for figure in figures if figure[0] >= found[0][0]] or figures
        _, alt, output = next((figure for figure in figures if drawn in figure[1]), behind[0])
        name = f"images/hour_{number}.png"
        pictures[name] = base64.b64decode(output["data"]["image/png"])
        lines += [f"## {link}", "", f"![{alt}]({name})", "", f"**{sentence}**", ""]
    return "\n".join(lines), pictures


def filled(text: str, name: str, part: str) -> str:
    """A text with a part between its marks written anew.

    Raises:
        ValueError: The text has no such marks.
    """
    start, end = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
    if start not in text or end not in text:
        raise ValueError(f"there is no place {start.strip()} ... {end.strip()}")
    head, rest = text.split(start, 1)
    return head + start + part + end + rest.split(end, 1)[1]


def with_minutes(readme: str) -> str:
    """The README's chapter table, with the minutes that each chapter says it takes."""
    for number, (_, notebook) in _chapters().items():
        prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        minutes = re.search(r"\*\*Time:\*\* about (\d+) minutes", prose)
        if minutes:
            row = rf"^(\| {number} \| \[[^|]*\) \|)[^|]*\|"
            readme = re.sub(row, rf"\1 {minutes[1]} |", readme, flags=re.MULTILINE)
    return readme


def pages() -> dict[str, str]:
    """Write all pages; names of files, from the book, to their content."""
    cards = (corpora.get(name).card for name in corpora.names())
    readme, intro = (
        place.read_text("utf-8") for place in (PROJECT / "README.md", BOOK / "intro.md")
    )
    return {
        "data_cards.md": page(cards),
        "model_cards.md": models(),
        "ledger.md": ledger.text(PROJECT / "results", PROJECT / "notebooks"),
        "findings.md": all_findings(),
        "one_hour.md": in_one_hour()[0],
        "intro.md": filled(intro, "ten sentences", ten_sentences()),
        "../README.md": with_minutes(filled(readme, "reached", reached())),
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
    if not check:
        for name, content in in_one_hour()[1].items():
            (BOOK / name).write_bytes(content)
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
