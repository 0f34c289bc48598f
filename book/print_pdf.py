"""Print the whole course as one PDF: ``make pdf``, after ``make book``.

The built pages are put one after another into a single page, which Chromium prints. So the PDF has
one numbering, and a link to another chapter leads to its page in the PDF.
"""

from __future__ import annotations

import posixpath
import sys
from pathlib import Path
from typing import Any

import yaml
from bs4 import BeautifulSoup
from playwright.sync_api import sync_playwright

import chromium

BOOK = Path(__file__).parent
HTML = BOOK / "_build" / "html"
PDF = BOOK / "_build" / "lowser.pdf"


def contents(book: Path = BOOK) -> list[str]:
    """Pages in the order of the table of contents, without endings."""
    toc = yaml.safe_load((book / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *(entry["file"] for part in toc["parts"] for entry in part["chapters"])]


def anchor(page: str, place: str = "") -> str:
    """The id that a place of a page has in the single page."""
    return f"{page.replace('/', '-')}--{place}"


def moved(article: Any, page: str, pages: set[str]) -> Any:
    """Make an article fit for the single page: its ids, links and files.

    Args:
        article: The article's element; is changed.
        page: Where it stood.
        pages: All pages that are put together.
    """
    folder = posixpath.dirname(page)
    for element in article.find_all(id=True):
        element["id"] = anchor(page, element["id"])
    for element in article.find_all(src=True):
        if not element["src"].startswith("data:"):
            element["src"] = posixpath.normpath(posixpath.join(folder, element["src"]))
    for element in article.find_all(href=True):
        path, _, place = element["href"].partition("#")
        if ":" in path:
            continue
        target = posixpath.normpath(posixpath.join(folder, path)) if path else f"{page}.html"
        name = target.removesuffix(".html")
        if name in pages:
            element["href"] = "#" + anchor(name, place)
        elif element.find("img"):
            element.unwrap()
    for element in article.find_all(["script", "audio"]):
        element.decompose()
    for element in article.find_all("details"):
        element["open"] = ""
    article["id"] = anchor(page)
    return article


def single_page(html: Path, names: list[str]) -> str:
    """Put the pages' articles together, under the head of one that knows how to set formulas.

    Args:
        html: The built book.
        names: Pages in their order.

    Returns:
        The page as HTML, to be stored in ``html``.
    """
    pages: dict[str, Any] = {
        name: BeautifulSoup((html / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
        for name in names
    }
    with_formulas = (name for name, page in pages.items() if "tex-svg.js" in str(page.head))
    first = next(with_formulas, names[0])
    head = pages[first].head
    for element in head.find_all(["script", "link"]):
        for key in ("src", "href"):
            if element.get(key):
                joined = posixpath.join(posixpath.dirname(first), element[key])
                element[key] = posixpath.normpath(joined)
    articles = []
    for name, page in pages.items():
        article = page.find("article", class_="bd-article")
        articles.append(str(moved(article, name, set(names))))
    style = "<style>article + article { break-before: page; }</style>"
    body = "\n".join(articles)
    return (
        f'<!DOCTYPE html><html lang="en" data-theme="light" data-mode="light">{head}{style}'
        f'<body><main class="bd-main"><div class="bd-content"><div class="bd-article-container">'
        f"{body}</div></div></main></body></html>"
    )


def main() -> int:
    """Print the book that has been built."""
    if chromium.find() is None:
        print(f"The book cannot be printed: {chromium.MISSING}", file=sys.stderr)
        return 1
    page_file = HTML / "_whole.html"
    page_file.write_text(single_page(HTML, contents()), encoding="utf-8")
    try:
        with sync_playwright() as playwright:
            browser = chromium.start(playwright)
            page = browser.new_page()
            page.set_default_timeout(300_000)
            page.goto(page_file.as_uri())
            page.evaluate("() => window.MathJax.startup.promise.then(() => true)")
            page.pdf(
                path=str(PDF),
                format="A4",
                margin={"top": "18mm", "bottom": "18mm", "left": "18mm", "right": "18mm"},
                display_header_footer=True,
                header_template="<span></span>",
                footer_template='<div style="font-size:8px;width:100%;text-align:center">'
                '<span class="pageNumber"></span></div>',
                outline=True,
                tagged=True,
            )
            browser.close()
    finally:
        page_file.unlink()
    print(f"{PDF}: {PDF.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
