"""What a reader does: play, answer, search, unfold, print."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page

import print_pdf

ROOT = Path(__file__).resolve().parents[2]


def test_one_player_stops_the_other(open_page: Callable[..., Page]) -> None:
    page = open_page("notebooks/00_start_here.html")
    page.evaluate(
        "async () => { const [first, second] = document.querySelectorAll('audio');"
        "first.muted = second.muted = true; await first.play(); await second.play(); }"
    )
    page.wait_for_function("() => document.querySelectorAll('audio')[0].paused")
    assert not page.evaluate("() => document.querySelectorAll('audio')[1].paused")


def test_first_answer_of_a_quiz_counts_and_is_kept(open_page: Callable[..., Page]) -> None:
    page = open_page("notebooks/00_start_here.html")
    scored = page.locator(".text_html", has=page.locator(".quiz-score")).first
    answers = scored.locator("details")
    answers.first.locator("summary").click()
    answers.nth(1).locator("summary").click()
    line = scored.locator(".quiz-score")
    assert re.search(r"1 of \d+ answered", line.inner_text())
    right = answers.first.locator("div").inner_text().startswith("Right")
    stored = page.evaluate("() => localStorage.getItem('lowser-quiz-00')")
    assert json.loads(stored) == {"0": "right" if right else "wrong"}
    front = open_page("intro.html")
    assert "chapter 00" in front.locator("#quiz-scores").inner_text()
    page.reload()
    page.locator(".quiz-score button").first.click()
    assert page.evaluate("() => localStorage.getItem('lowser-quiz-00')") is None


# Where a reader's own build has people, their clips lie under another name.
PEOPLE = (
    "Object.defineProperty(window, 'lowserListeningPeople', { get: () => window.lowserListening });"
)


@pytest.mark.parametrize(("name", "script"), [("synthetic", ""), ("people", PEOPLE)])
def test_listening_test_ends_in_two_matrices(
    open_page: Callable[..., Page], name: str, script: str
) -> None:
    page = open_page("listening.html", script=script)
    place = page.locator(f"#listening-{name}")
    asked = 0
    while place.locator("table").count() == 0:
        assert str(place.locator("audio").get_attribute("src")).startswith("data:audio/mpeg")
        place.get_by_role("button", name="neutral").press("Enter")
        asked += 1
    assert asked == 12
    captions = place.locator("caption").all_inner_texts()
    assert captions[0] == "You: 3 of 12 right"
    assert re.fullmatch(r"The model: \d+ of 12 right", captions[1])
    assert "Guessing gets 3 of 12" in place.inner_text()


def test_a_build_without_people_says_how_to_get_them(
    open_page: Callable[..., Page], html: Path
) -> None:
    if (html / "sounds" / "listening_people.js").read_text().strip():
        pytest.skip("this build has people")
    place = open_page("listening.html").locator("#listening-people")
    assert "make sounds book" in place.inner_text()
    assert place.locator("button").count() == 0


def test_every_transform_can_be_heard_at_three_strengths(open_page: Callable[..., Page]) -> None:
    page = open_page("listening.html")
    sounds = page.locator("#transform-grid td audio")
    assert sounds.count() == 7 * 3
    first = page.evaluate(
        "() => new Promise((done) => {"
        "const player = document.querySelector('#transform-grid td audio');"
        "player.onloadedmetadata = () => done(player.duration); player.load(); })"
    )
    assert first > 0.5


def test_search_goes_to_the_first_hit_and_marks_it(open_page: Callable[..., Page]) -> None:
    page = open_page("search.html", "?q=harmonics")
    link = page.locator("#search-results a[href*='02_augmentation']").first
    link.wait_for()
    assert "highlight=harmonics" in str(link.get_attribute("href"))
    link.click()
    hit = page.locator("mark.hit-first")
    hit.wait_for()
    page.wait_for_timeout(300)
    assert "harmonics" in hit.inner_text().lower()
    box = hit.bounding_box()
    assert box is not None and 0 < box["y"] < 900


def test_solution_unfolds_by_keyboard_and_is_called_solution(
    open_page: Callable[..., Page],
) -> None:
    page = open_page("notebooks/05_byol.html")
    fold = page.locator("details", has_text="Show the solution").first
    assert fold.get_attribute("open") is None
    fold.locator("summary").press("Enter")
    assert fold.get_attribute("open") is not None
    assert "Not yet:" not in page.locator("article").inner_text()


def test_glossary_has_letters_that_lead_to_terms(open_page: Callable[..., Page]) -> None:
    page = open_page("glossary.html")
    links = page.locator(".letters a")
    assert [text[:1] for text in links.all_inner_texts()][:3] == ["A", "B", "C"]
    for address in (link.get_attribute("href") for link in links.all()):
        assert page.locator(f"[id='{str(address)[1:]}']").count() == 1


def test_no_launch_buttons_without_an_address(open_page: Callable[..., Page]) -> None:
    page = open_page("notebooks/00_start_here.html")
    assert page.locator("a[href*='mybinder'], a[href*='github.com/executablebooks']").count() == 0


def test_print_holds_every_line_of_code(chromium: Browser, html: Path, tmp_path: Path) -> None:
    reader = shutil.which("pdftotext")
    if reader is None:
        pytest.skip("no pdftotext here; on Debian: apt-get install poppler-utils")
    file = html / "_print_test.html"
    name = "notebooks/04_speaker_contrastive"
    file.write_text(print_pdf.single_page(html, [name]), encoding="utf-8")
    try:
        page = chromium.new_page()
        page.goto(file.as_uri())
        page.pdf(path=str(tmp_path / "page.pdf"), format="A4")
        page.close()
    finally:
        file.unlink()
    command = [reader, "-layout", str(tmp_path / "page.pdf"), "-"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    printed = re.sub(r"\s+", "", told)
    notebook = nbformat.read(str(ROOT / f"{name}.ipynb"), as_version=4)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    lines = [re.sub(r"\s+", "", line) for source in code for line in source.splitlines()]
    assert not [line for line in lines if line not in printed]
