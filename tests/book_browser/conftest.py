"""A Chromium without a network, and the built book: for ``make browser``.

Without Chromium or without a built book every test here is skipped, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

import chromium as system_chromium

BOOK = Path(__file__).resolve().parents[2] / "book"
HTML = BOOK / "_build" / "html"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if system_chromium.find() is None:
        pytest.skip(system_chromium.MISSING)
    with sync_playwright() as playwright:
        browser = system_chromium.start(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def html() -> Path:
    if not (HTML / "index.html").is_file():
        pytest.skip("the book is not built; run: make book")
    return HTML


@pytest.fixture
def open_page(chromium: Browser, html: Path) -> Iterator[Callable[..., Page]]:
    """Open a page of the book from its file; whatever asks for the network fails the test."""
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    outside: list[str] = []

    def refuse(route: Route) -> None:
        if route.request.url.startswith(("file:", "data:", "blob:")):
            route.continue_()
        else:
            outside.append(route.request.url)
            route.abort()

    context.route("**/*", refuse)

    def opened(name: str, query: str = "", script: str = "") -> Page:
        page = context.new_page()
        page.add_init_script(script)
        page.goto((html / name).as_uri() + query)
        page.evaluate("() => window.MathJax && window.MathJax.startup.promise.then(() => true)")
        return page

    yield opened
    context.close()
    assert not outside, f"asked the network for {outside}"
