"""Every page, light and dark, at a desk and on a phone: nothing raw, cut, sideways, unlabelled."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Page

BOOK = Path(__file__).resolve().parents[2] / "book"
TOC = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))
PAGES = [TOC["root"], *(entry["file"] for part in TOC["parts"] for entry in part["chapters"])]
AXE = importlib.resources.files("axe_playwright_python").joinpath("axe.min.js")

FINDINGS = """() => {
  const some = (selector, test) => [...document.querySelectorAll(selector)].filter(test)
    .map((element) => element.outerHTML.slice(0, 120));
  return {
    "raw formulas": some(".math", (math) => !math.querySelector("mjx-container svg")),
    "cut code": some("pre", (pre) => pre.scrollWidth > pre.clientWidth + 1),
    "no alt text": some("article img",
      (image) => !image.alt.trim() || /[.](png|svg)$/.test(image.alt)),
    "no caption": some("article table", (table) => !table.querySelector("caption")),
    "sideways": document.documentElement.scrollWidth > window.innerWidth ? ["the page"] : [],
  };
}"""

# Contrast depends on the colours and not on the width, and is what takes most of the time.
SERIOUS = """(contrast) => axe.run(document, {
  resultTypes: ["violations"], rules: { "color-contrast": { enabled: contrast } },
}).then((results) => results.violations
  .filter((rule) => rule.impact === "serious" || rule.impact === "critical")
  .map((rule) => rule.id + ": " + rule.nodes[0].html.slice(0, 160)))"""


@pytest.mark.parametrize("name", PAGES)
def test_page(name: str, open_page: Callable[..., Page]) -> None:
    page = open_page(f"{name}.html")
    page.set_default_timeout(120_000)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    for theme in ("light", "dark"):
        page.evaluate(
            "(theme) => Object.assign(document.documentElement.dataset, { theme, mode: theme })",
            theme,
        )
        for width in (1400, 390):
            page.set_viewport_size({"width": width, "height": 900})
            found = page.evaluate(FINDINGS)
            assert not {key: places for key, places in found.items() if places}, (theme, width)
            assert not page.evaluate(SERIOUS, width == 1400), (theme, width)


def test_phone_reader_can_move_a_wide_figure_and_read_its_labels(
    open_page: Callable[..., Page],
) -> None:
    page = open_page("notebooks/00_start_here.html")
    page.set_viewport_size({"width": 390, "height": 900})
    widths = page.evaluate(
        "() => [...document.querySelectorAll('.figure-scroll img')]"
        ".map((image) => [image.getBoundingClientRect().width, parseInt(image.style.width)])"
    )
    assert widths
    assert all(shown >= meant - 1 for shown, meant in widths)


def test_pages_describe_themselves_and_have_an_icon(open_page: Callable[..., Page]) -> None:
    page = open_page("notebooks/05_byol.html")
    assert page.get_attribute("meta[name=description]", "content")
    assert page.get_attribute("link[rel=icon]", "href")
