"""Make the copies of the chapters that the book is built from, and place MathJax beside them.

``make book`` calls it. The notebooks stay as JupyterLab needs them; what only the book can show is
added to the copies in ``book/notebooks``: links to the glossary, to chapters, data cards and the
bibliography; captions of tables; alt text of figures; and what a reader of the book need not see
is folded or left out.
"""

from __future__ import annotations

import argparse
import ast
import html
import importlib.metadata
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from pybtex.database import parse_file

from lowser_lib import corpora, files

BOOK = Path(__file__).parent

MATHJAX = "tex-svg.js"
"""One file, formulas as SVG: no fonts, nothing that is loaded later."""

PEOPLE = "listening_people.js"
"""What ``book/make_sounds.py`` makes from a reader's own corpora."""

AMBIGUOUS = {"cell", "class", "control", "frame", "head", "lean", "point", "positive", "negative",
             "precision", "spread", "view", "fold", "stem", "matched", "anchor", "skew", "seed",
             "F1", "cosine", "corpus"}  # fmt: skip
"""Terms that are everyday words too: they are linked only where a chapter sets them in bold."""

UNTOUCHED = re.compile(
    r"^(?:Not yet: .*|(?:People: )?no records? yet.*)\n?", re.IGNORECASE | re.MULTILINE
)
"""What an exercise says that nobody has tried, and what says that a record is missing."""

# Code, formulas, links, roles, HTML and headings: links are put only between these.
_KEPT = re.compile(
    r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$\n]+\$|!?\[[^\]]*\]\([^)]*\)|\{[\w:]+\}`[^`]*`"
    r"|<[^<>\n]+>|^#.*?$|^\|.*?$|https?://\S+",
    re.DOTALL | re.MULTILINE,
)
_ROWS = re.compile(r"(?:^\|.*\|[ ]*(?:\n|\Z))+", re.MULTILINE)
_CHAPTERS = re.compile(r"\b[Cc]hapters? \d\d(?:(?:, | and | or | to |–)\d\d)*")
_NAME = r"[A-Z][\w'’-]+"
_CITED = re.compile(
    rf"(?P<names>(?:(?:van der|de) )?{_NAME}(?:(?:, {_NAME})*,? and {_NAME}| et al\.)?)"
    r",? \(?(?P<year>(?:19|20)\d\d)\b"
)
_LISTED = re.compile(r"^- (?P<authors>[^*\n]+?) \((?P<year>\d{4})\)", re.MULTILINE)
_SENTENCE = re.compile(r"(?<!al\.)(?<=[.!?:])\s+(?=[A-Z*`(])")

NAMED_CORPORA = {
    "RAVDESS": "ravdess",
    "CREMA-D": "crema_d",
    "IEMOCAP": "iemocap",
    "MSP-Podcast": "msp_podcast",
    "URDU": "urdu",
    "EmoDB": "emodb",
    "SUBESCO": "subesco",
    "Common Voice": "common_voice",
    "nEMO": "nemo",
}
"""How chapters call a corpus, and the name of its data card."""


@dataclass
class Targets:
    """Where links lead.

    Attributes:
        terms: Glossary terms, each as written there.
        chapters: Two digits to the file's name.
        cited: Family names of the authors, and year, to the key of the bibliography.
        cards: Names of corpora that have a data card.
    """

    terms: list[str]
    chapters: Mapping[str, str]
    cited: Mapping[tuple[tuple[str, ...], str], str]
    cards: frozenset[str]

    @classmethod
    def of(cls, book: Path, notebooks: Path) -> Targets:
        """Read them from the book's pages and the folder of notebooks."""
        glossary = (book / "glossary.md").read_text(encoding="utf-8")
        block = glossary.split("```{glossary}", 1)[1].split("```", 1)[0]
        entries = parse_file(book / "references.bib").entries
        cited = {
            (tuple(_plain(" ".join([*one.prelast_names, *one.last_names]))
                   for one in entry.persons.get("author", [])), entry.fields.get("year", "")): key
            for key, entry in entries.items()
        }  # fmt: skip
        return cls(
            re.findall(r"^(\S.*)$", block, flags=re.MULTILINE),
            {path.name[:2]: path.name for path in sorted(notebooks.glob("[0-9][0-9]_*.ipynb"))},
            cited,
            frozenset(corpora.names()),
        )

    def key_of(self, names: str, year: str) -> str | None:
        """Find a citation such as ``Park et al.`` of 2019 in the bibliography; None if absent."""
        first = re.split(r",? and |, | et al", names)[0]
        family = [
            key
            for (authors, published), key in self.cited.items()
            if published == year and authors and authors[0] == first
        ]
        return family[0] if len(family) == 1 else None


@dataclass
class Seen:
    """What a chapter has linked already."""

    terms: set[str] = field(default_factory=set)
    cards: set[str] = field(default_factory=set)


def chapter(notebook: Any, targets: Targets, number: str) -> None:
    """Change a notebook in place into its page of the book.

    Args:
        notebook: A notebook node of nbformat 4.
        targets: Where links lead.
        number: Two digits of the chapter, for the captions of its tables.
    """
    seen = Seen()
    _caption_tables(notebook, number)
    _describe_figures(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = linked(cell.source, targets, seen, number)
        elif cell.cell_type == "code":
            _fold(cell)


def linked(text: str, targets: Targets, seen: Seen, number: str) -> str:
    """Put links into a text: chapters, citations, first use of terms and corpora.

    Args:
        text: Markdown of one cell.
        targets: Where links lead.
        seen: What the chapter has linked so far; is added to.
        number: The chapter itself, which is not linked.
    """
    prose, heading, listed = text.partition("## References\n")
    if heading:
        listed = _LISTED.sub(lambda match: _listed(match, targets), listed)
        return linked(prose, targets, seen, number) + heading + listed
    parts, end = [], 0
    for kept in _KEPT.finditer(text):
        parts += [_between(text[end : kept.start()], targets, seen, number), kept[0]]
        end = kept.end()
    parts.append(_between(text[end:], targets, seen, number))
    return "".join(parts)


def _listed(match: re.Match[str], targets: Targets) -> str:
    """A line of a chapter's references, its year linked to the bibliography."""
    # Here authors are written "T. Wang, P. Isola" or "Z. Gong et al.": the first has initials.
    first = re.sub(r"^(?:[A-Z]\S*\.\s*)+", "", re.split(r", | et al", match["authors"])[0])
    key = targets.key_of(first, match["year"])
    if key is None:
        return match[0]
    link = f'<a href="../references.html#cite-{key}">{match["year"]}</a>'
    return f"- {match['authors']} ({link})"


def _between(text: str, targets: Targets, seen: Seen, number: str) -> str:
    # Each link is put aside under a mark, so that no second one is put inside it.
    links: list[str] = []

    def aside(link: str) -> str:
        links.append(link)
        return f"\0{len(links) - 1}\0"

    def to_chapters(match: re.Match[str]) -> str:
        def one(digits: re.Match[str]) -> str:
            name = targets.chapters.get(digits[0])
            if name is None or digits[0] == number:
                return digits[0]
            return aside(f"[{digits[0]}]({name})")

        if re.fullmatch(r"[Cc]hapter \d\d", match[0]):
            name = targets.chapters.get(match[0][-2:])
            same = name is None or match[0][-2:] == number
            return match[0] if same else aside(f"[{match[0]}]({name})")
        return re.sub(r"\d\d", one, match[0])

    def to_reference(match: re.Match[str]) -> str:
        key = targets.key_of(match["names"], match["year"])
        if key is None:
            return match[0]
        return aside(f'<a href="../references.html#cite-{key}">{match[0]}</a>')

    text = _CHAPTERS.sub(to_chapters, text)
    text = _CITED.sub(to_reference, text)
    for name, card in NAMED_CORPORA.items():
        if card in targets.cards and card not in seen.cards:
            link = aside(f"[{name}](../data_cards.md#{card})")
            text, count = re.subn(rf"(?<![\w-]){re.escape(name)}(?![\w-])", link, text, count=1)
            if count:
                seen.cards.add(card)
    for term in sorted(targets.terms, key=len, reverse=True):
        if term in seen.terms:
            continue
        words = re.escape(term).replace(r"\ ", r"\s+")
        plain = rf"(?<![\w-]){words}s?(?![\w-])"
        pattern = rf"(?<=\*\*){words}s?(?=\*\*)" if term in AMBIGUOUS else plain
        match = re.search(pattern, text, flags=re.IGNORECASE)
        if match and "\0" not in match[0]:
            shown = " ".join(match[0].split())
            target = term.replace("'", "’")  # as the glossary's own quotes are set
            link = aside(f"{{term}}`{shown} <{target}>`")
            text = text[: match.start()] + link + text[match.end() :]
            seen.terms.add(term)
    return re.sub("\0(\\d+)\0", lambda mark: links[int(mark[1])], text)


def _fold(cell: Any) -> None:
    """Fold imports, leave out what untouched exercises say, call solutions solutions."""
    tags = list(cell.metadata.get("tags", []))
    if "solution" in tags:
        cell.metadata.setdefault("mystnb", {}).update(
            code_prompt_show="Show the solution", code_prompt_hide="Hide the solution"
        )
    elif _only_imports(cell.source):
        tags.append("hide-input")
        cell.metadata.setdefault("mystnb", {}).update(
            code_prompt_show="Show the imports", code_prompt_hide="Hide the imports"
        )
    cell.metadata["tags"] = list(dict.fromkeys(tags))
    for output in cell.outputs:
        if output.output_type == "stream":
            output.text = UNTOUCHED.sub("", output.text)
    cell.outputs = [o for o in cell.outputs if o.output_type != "stream" or o.text.strip()]


def _only_imports(source: str) -> bool:
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return False
    return bool(body) and all(isinstance(one, ast.Import | ast.ImportFrom) for one in body)


def _places(notebook: Any) -> Iterator[tuple[Any, str, str, str]]:
    """Each cell with its section, the sentence before it and the one behind it."""
    section, cells = "", list(notebook.cells)
    for index, cell in enumerate(cells):
        if cell.cell_type == "markdown":
            headings = re.findall(r"^#{1,4} +(.+)$", cell.source, flags=re.MULTILINE)
            section = re.sub(r"^\d+ · ", "", headings[-1]) if headings else section
        before = cells[index - 1].source if cells[index - 1].cell_type == "markdown" else ""
        following = cells[index + 1] if index + 1 < len(cells) else None
        behind = following.source if following and following.cell_type == "markdown" else ""
        yield cell, section, _sentences(before)[-1], _sentences(behind)[0]


def _sentences(text: str) -> list[str]:
    paragraphs = [one for one in re.split(r"\n\s*\n", text.strip()) if not one.startswith("#")]
    plain = [re.sub(r"\s+", " ", re.sub(r"^\s*[-*] ", "", one)) for one in paragraphs]
    sentences = [one for paragraph in plain for one in _SENTENCE.split(paragraph)]
    return [one for one in sentences if not re.fullmatch(r"\*\d+ minutes\.\*", one)] or [""]


def _caption_tables(notebook: Any, number: str) -> None:
    """Give each table a numbered caption: its own, else what leads to it, else its section."""
    count = 0
    for cell, section, before, _ in _places(notebook):
        if cell.cell_type == "markdown":
            for rows in _ROWS.findall(cell.source):
                count += 1
                lead = _sentences(cell.source.split(rows)[0])[-1]
                text = _plain(lead.rstrip(" :") if _leads(lead) else section)
                titled = (
                    f"```{{table}} Table {int(number)}.{count} · {text}\n{rows.rstrip()}\n```\n"
                )
                cell.source = cell.source.replace(rows, titled)
        given = cell.metadata.get("captions", [])
        tables = [
            o for o in cell.get("outputs", ()) if "<table" in o.get("data", {}).get("text/html", "")
        ]
        for place, output in enumerate(tables):
            count += 1
            content = output.data["text/html"]
            content = re.sub(r"<style scoped>.*?</style>", "", content, flags=re.DOTALL)
            held = re.search(r"<caption[^>]*>(.*?)</caption>", content, flags=re.DOTALL)
            if held:
                text = re.sub("<[^>]+>", "", held[1]).strip()
                content = content.replace(held[0], "", 1)
            elif place < len(given):
                text = html.escape(given[place])
            else:
                text = html.escape(_plain(before.rstrip(" :") if _leads(before) else section))
                text += f" ({place + 1} of {len(tables)})" if len(tables) > 1 else ""
            caption = f"<caption>Table {int(number)}.{count} · {text}</caption>"
            content = re.sub(r"<table([^>]*)>", rf"<table\1>{caption}", content, count=1)
            label = f"Table {int(number)}.{count}"
            output.data["text/html"] = (
                f'<div class="table-scroll" role="region" tabindex="0" aria-label="{label}">'
                f"{content}</div>"
            )


def _leads(sentence: str) -> bool:
    """Whether a sentence leads to what stands below it, and is short enough to be its name."""
    return sentence.rstrip().endswith(":") and len(sentence) < 110


def _describe_figures(notebook: Any) -> None:
    """Give each figure an alt text: what is drawn on it, and the sentence that reads it."""
    for cell, section, _, behind in _places(notebook):
        figures = [o for o in cell.get("outputs", ()) if "image/png" in o.get("data", {})]
        for output in figures:
            about = output.metadata.setdefault("image/png", {})
            drawn = about.get("alt") or _title_in(cell.source) or f"Figure: {_plain(section)}"
            reading = _plain(behind) if len(figures) == 1 else ""
            # One line, without quotes: it goes into an attribute.
            about["alt"] = " ".join(f"{drawn.rstrip('.')}. {reading}".split()).replace('"', "'")


def _title_in(source: str) -> str:
    """The longest text that the last call of a cell is given, which is a figure's title."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return ""
    texts = []
    for node in ast.walk(body[-1]) if body else ():
        if isinstance(node, ast.JoinedStr):
            texts.append("".join(str(p.value) for p in node.values if isinstance(p, ast.Constant)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.append(node.value)
    titles = (text for text in texts if " " in text.strip() and not UNTOUCHED.search(text))
    return max(titles, key=len, default="")


def _plain(text: str) -> str:
    """A text without marks of Markdown, LaTeX's braces or the letters that only these need."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r'\{\\"\{?(\w)\}?\}|\\"\{?(\w)\}?', _umlaut, text)
    return re.sub(r"[*`${}\\]|(?<!\w)_|_(?!\w)", "", text).strip()


def _umlaut(match: re.Match[str]) -> str:
    letter = match[1] or match[2]
    return {"a": "ä", "o": "ö", "u": "ü"}.get(letter, letter)


def place_mathjax(folder: Path) -> None:
    """Copy MathJax from its package, so that pages need no network for their formulas.

    Args:
        folder: Where ``mathjax/tex-svg.js`` goes; Sphinx copies what lies there as it is.
    """
    held = importlib.metadata.files("sphinx-mathjax-offline") or []
    source = next(Path(str(one.locate())) for one in held if one.name == MATHJAX)
    (folder / "mathjax").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, folder / "mathjax" / MATHJAX)


def place_sounds(book: Path) -> None:
    """Copy the sounds of the listening page: synthetic ones, and people where this reader has some.

    Args:
        book: The book's folder.
    """
    shutil.copytree(BOOK / "sounds", book / "_extra" / "sounds")
    people = files.home() / "book" / PEOPLE
    held = people.read_text(encoding="utf-8") if people.is_file() else ""
    files.write_text(book / "_extra" / "sounds" / PEOPLE, held)


def prepare(book: Path, notebooks: Path) -> None:
    """Fill ``book/notebooks`` and ``book/_extra`` anew.

    Args:
        book: The book's folder, with its pages.
        notebooks: The chapters.
    """
    for name in ("notebooks", "_extra"):
        shutil.rmtree(book / name, ignore_errors=True)
    (book / "notebooks").mkdir()
    if (notebooks / "images").is_dir():
        shutil.copytree(notebooks / "images", book / "notebooks" / "images")
    targets = Targets.of(book, notebooks)
    for digits, name in targets.chapters.items():
        notebook = nbformat.read(str(notebooks / name), as_version=4)
        chapter(notebook, targets, digits)
        files.write_text(book / "notebooks" / name, nbformat.writes(notebook))
    place_mathjax(book / "_extra")
    place_sounds(book)


def main(arguments: list[str] | None = None) -> int:
    """Prepare the book; with ``--book`` another copy of it."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--book", type=Path, default=BOOK, help="folder of the book")
    parser.add_argument("--notebooks", type=Path, default=BOOK.parent / "notebooks")
    given = parser.parse_args(arguments)
    prepare(given.book, given.notebooks)
    return 0


if __name__ == "__main__":
    sys.exit(main())
