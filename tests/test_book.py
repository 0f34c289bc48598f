"""The book's pages: complete, consistent, and built without a warning."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
import yaml
from distributed.cli import dask_scheduler, dask_worker

import cluster_simulation
import lowser_book
from lowser_lib import corpora
from lowser_lib.corpora.base import EMOTIONS
from lowser_lib.course import cli

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def read(name: str) -> str:
    return (BOOK / name).read_text(encoding="utf-8")


def contents() -> list[str]:
    """Files of the table of contents, in order, without endings."""
    toc = yaml.safe_load(read("_toc.yml"))
    return [
        toc["root"],
        *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"]),
    ]


def prose() -> dict[str, str]:
    """Text of each page and of each notebook's text cells."""
    pages = {path.name: path.read_text(encoding="utf-8") for path in BOOK.glob("*.md")}
    for path in NOTEBOOKS:
        cells = nbformat.read(str(path), as_version=4).cells
        pages[path.name] = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return pages


def glossary_terms() -> list[str]:
    block = read("glossary.md").split("```{glossary}")[1].split("```")[0]
    return re.findall(r"^(\S.*)$", block, flags=re.MULTILINE)


def bibliography_keys() -> list[str]:
    return re.findall(r"^@\w+\{([^,]+),", read("references.bib"), flags=re.MULTILINE)


def test_contents_hold_every_page_and_every_notebook() -> None:
    listed = contents()
    assert len(listed) == len(set(listed))
    pages = {path.stem for path in BOOK.glob("*.md")}
    notebooks = {f"notebooks/{path.stem}" for path in NOTEBOOKS}
    assert set(listed) == pages | notebooks


def test_glossary_is_sorted_without_doubles() -> None:
    terms = glossary_terms()
    assert terms == sorted(set(terms), key=str.casefold)
    assert len(terms) > 40


def test_terms_used_are_in_the_glossary() -> None:
    known = {term.casefold() for term in glossary_terms()}
    for name, text in prose().items():
        for used in re.findall(r"\{term\}`([^`]+)`", text):
            target = re.sub(r".*<(.+)>", r"\1", used, flags=re.DOTALL)
            assert " ".join(target.split()).casefold() in known, f"{name}: {used}"


def test_citations_are_in_the_bibliography() -> None:
    keys = bibliography_keys()
    assert not [key for key, count in Counter(keys).items() if count > 1]
    for name, text in prose().items():
        for used in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text):
            assert {key.strip() for key in used.split(",")} <= set(keys), f"{name}: {used}"


def test_every_reference_has_a_doi_or_an_address() -> None:
    entries = re.split(r"^@", read("references.bib"), flags=re.MULTILINE)[1:]
    assert not [
        entry[:40] for entry in entries if not re.search(r"^\s*(?:doi|url)\s*=", entry, re.M)
    ]


def test_data_cards_page_says_what_the_cards_say() -> None:
    make_pages = runpy.run_path(str(BOOK / "make_pages.py"))
    text = make_pages["page"](corpora.get(name).card for name in corpora.names())
    assert read("data_cards.md") == text, "run `make book`"
    for name in corpora.names():
        assert f"### {name}\n" in text


def test_the_ledger_is_that_of_the_records() -> None:
    make_pages = runpy.run_path(str(BOOK / "make_pages.py"))
    assert read("ledger.md") == make_pages["pages"]()["ledger.md"], "run `make book`"


@pytest.mark.parametrize("name", ["../README.md", "findings.md", "intro.md", "one_hour.md"])
def test_what_was_found_is_what_chapters_and_records_say(name: str) -> None:
    make_pages = runpy.run_path(str(BOOK / "make_pages.py"))
    assert read(name) == make_pages["pages"]()[name], "run `make book`"


def test_the_readme_begins_with_what_was_reached_on_people() -> None:
    first = read("../README.md").splitlines()[:10]
    for word in ("course", "students", "laptop", "Urdu", "eGeMAPS + SVM", "a guesser has 0.25"):
        assert any(word in line for line in first), word


def test_the_hour_has_a_figure_and_a_finding_of_each_of_its_chapters() -> None:
    make_pages = runpy.run_path(str(BOOK / "make_pages.py"))
    pictures = re.findall(r"!\[([^\]]+)\]\((images/hour_(\d\d)\.png)\)", read("one_hour.md"))
    assert [number for *_, number in pictures] == list(make_pages["SIX"])
    drawn = make_pages["in_one_hour"]()[1]
    for alt, place, _ in pictures:
        assert len(alt.split()) > 3 and (BOOK / place).read_bytes() == drawn[place]
    assert read("one_hour.md").count("\n**") == len(make_pages["SIX"])


def test_a_part_is_written_between_its_marks_alone() -> None:
    filled = runpy.run_path(str(BOOK / "make_pages.py"))["filled"]
    text = "a\n<!-- x -->\nold\n<!-- /x -->\nb"
    assert filled(text, "x", "new") == "a\n<!-- x -->\nnew\n<!-- /x -->\nb"
    with pytest.raises(ValueError, match="no place <!-- y -->"):
        filled(text, "y", "new")


def test_model_cards_page_holds_the_cards_beside_the_weights() -> None:
    make_pages = runpy.run_path(str(BOOK / "make_pages.py"))
    text = make_pages["pages"]()["model_cards.md"]
    assert read("model_cards.md") == text, "run `make book`"
    weights = sorted((BOOK.parent / "lowser_lib").glob("*/*/*.safetensors"))
    assert weights
    for file in weights:
        card = file.with_suffix(".md").read_text(encoding="utf-8")
        assert card.split("## ", 1)[1].splitlines()[0] in text


def test_map_is_drawn_by_its_script(tmp_path: Path) -> None:
    drawn = tmp_path / "map.png"
    runpy.run_path(str(BOOK / "images" / "make_map.py"))["draw"](drawn)
    assert drawn.stat().st_size > 20_000


def test_book_builds_without_a_warning(tmp_path: Path) -> None:
    source = tmp_path / "book"
    shutil.copytree(BOOK, source, ignore=shutil.ignore_patterns("_build", "notebooks", "_extra"))
    runpy.run_path(str(BOOK / "prepare.py"))["prepare"](source, ROOT / "notebooks")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", source]
    answer = subprocess.run(
        [*map(str, command), "--all", "-n", "-W", "--keep-going"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, (answer.stdout + answer.stderr)[-3000:]
    page = (source / "_build" / "html" / "glossary.html").read_text(encoding="utf-8")
    assert 'id="term-macro-F1"' in page
    assert (source / "_build" / "html" / "mathjax" / "tex-svg.js").is_file()
    for path in sorted((source / "_build" / "html" / "notebooks").glob("*.html")):
        page = path.read_text(encoding="utf-8")
        alts = re.findall(r'<img alt="([^"]*)"', page)
        assert alts and not [alt for alt in alts if not alt.strip() or alt.endswith(".png")], path
        assert 'src="http' not in page, path.name


def prepared(tmp_path: Path) -> dict[str, Any]:
    """The chapters as the book shows them."""
    book = tmp_path / "book"
    book.mkdir()
    for name in ("glossary.md", "references.bib"):
        shutil.copyfile(BOOK / name, book / name)
    runpy.run_path(str(BOOK / "prepare.py"))["prepare"](book, ROOT / "notebooks")
    paths = sorted((book / "notebooks").glob("*.ipynb"))
    return {path.stem: nbformat.read(str(path), as_version=4) for path in paths}


def test_prepared_chapters_have_captions_links_and_no_noise(tmp_path: Path) -> None:
    for name, notebook in prepared(tmp_path).items():
        prose = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
        assert "{term}`" in prose, name
        assert re.search(r"\]\(\d\d_\w+\.ipynb\)", prose), name
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
        shown = [output.get("data", {}).get("text/html", "") for output in outputs]
        tables = [html for html in shown if "<table" in html]
        assert all(html.count("<caption>Table ") == 1 for html in tables), name
        rows = re.findall(r"^.*\n(?=\|[ :|-]+\|$)", prose, flags=re.MULTILINE)
        assert len(rows) == len(re.findall(r"^```\{table\} Table \d\.\d+ · \S", prose, re.M)), name
        numbers = re.findall(r"Table \d+\.(\d+) · ", "".join([prose, *tables]))
        assert sorted(map(int, numbers)) == list(range(1, len(numbers) + 1)), name
        figures = [output for output in outputs if "image/png" in output.get("data", {})]
        assert all(output.metadata["image/png"]["alt"].strip() for output in figures), name
        streams = [output.text for output in outputs if output.output_type == "stream"]
        assert not [text for text in streams if text.startswith("Not yet: ")], name


def test_drawings_lie_beside_the_chapters_and_have_words(tmp_path: Path) -> None:
    used = set()
    for name, notebook in prepared(tmp_path).items():
        prose = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
        for alt, target in re.findall(r"!\[([^\]]*)\]\(([^)]*)\)", prose):
            assert len(alt.split()) > 10, f"{name}: {target} is not described"
            assert (ROOT / "notebooks" / target).is_file(), f"{name}: {target}"
            assert (tmp_path / "book" / "notebooks" / target).is_file(), f"{name}: {target}"
            used.add(Path(target).name)
    assert used == {path.name for path in (ROOT / "notebooks" / "images").iterdir()}


def test_links_are_put_once_and_never_into_code_or_links(tmp_path: Path) -> None:
    prepare = runpy.run_path(str(BOOK / "prepare.py"))
    targets = prepare["Targets"].of(BOOK, ROOT / "notebooks")
    seen = prepare["Seen"]()
    text = "`embedding` and an embedding, an embedding; chapters 03 and 04 (Park et al. 2019)."
    linked = prepare["linked"](text, targets, seen, "04")
    assert linked == (
        "`embedding` and an {term}`embedding <embedding>`, an embedding; chapters "
        "[03](03_whisper_baseline.ipynb) and 04 "
        '(<a href="../references.html#cite-park2019specaugment">Park et al. 2019</a>).'
    )
    assert prepare["linked"]("[RAVDESS](x.md)", targets, seen, "04") == "[RAVDESS](x.md)"


@pytest.mark.parametrize("address", ["", "https://github.com/executablebooks/jupyter-book"])
def test_without_an_address_there_are_no_launch_buttons(address: str) -> None:
    config = SimpleNamespace(html_theme_options={"repository_url": address})
    lowser_book.offer_launch(None, config)
    assert config.html_theme_options == {"repository_url": ""}


def test_an_address_in_the_configuration_brings_the_buttons() -> None:
    config = SimpleNamespace(html_theme_options={"repository_url": "https://github.com/a/b"})
    lowser_book.offer_launch(None, config)
    assert config.html_theme_options["launch_buttons"] == {
        "binderhub_url": "https://mybinder.org",
        "colab_url": "https://colab.research.google.com",
    }
    assert config.html_theme_options["use_repository_button"] is True


def test_sounds_of_the_listening_page_are_whole() -> None:
    text = (BOOK / "sounds" / "listening.js").read_text(encoding="utf-8")
    test = json.loads(text.removeprefix("window.lowserListening = ").rstrip(";\n"))
    assert test["corpus"].startswith("synthetic")
    assert Counter(clip["emotion"] for clip in test["clips"]) == dict.fromkeys(EMOTIONS, 3)
    assert {clip["model"] for clip in test["clips"]} <= set(EMOTIONS)
    text = (BOOK / "sounds" / "transforms.js").read_text(encoding="utf-8")
    grid = json.loads(text.removeprefix("window.lowserTransforms = ").rstrip(";\n"))
    sounds = [sound for row in grid["rows"] for sound in row["sounds"].values()]
    assert len(sounds) == len(set(sounds)) == 7 * 3


def test_people_of_a_readers_own_come_into_their_own_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOWSER_HOME", str(tmp_path / "home"))
    place = runpy.run_path(str(BOOK / "prepare.py"))["place_sounds"]
    place(tmp_path / "without")
    sounds = tmp_path / "without" / "_extra" / "sounds"
    assert sorted(path.name for path in sounds.iterdir()) == [
        "listening.js", "listening_people.js", "transforms.js",
    ]  # fmt: skip
    assert (sounds / "listening_people.js").read_text() == ""
    (tmp_path / "home" / "book").mkdir(parents=True)
    (tmp_path / "home" / "book" / "listening_people.js").write_text("window.lowser = 1;\n")
    place(tmp_path / "within")
    held = tmp_path / "within" / "_extra" / "sounds" / "listening_people.js"
    assert held.read_text() == "window.lowser = 1;\n"


@pytest.mark.slow
def test_a_listening_test_with_people(corpora_root: Path, whisper_weights: Path) -> None:
    made = runpy.run_path(str(BOOK / "make_sounds.py"))["listening_test"]("ravdess", "tiny.en")
    assert Counter(clip["emotion"] for clip in made["clips"]) == dict.fromkeys(EMOTIONS, 3)
    assert {clip["model"] for clip in made["clips"]} <= set(EMOTIONS)
    sounds = [clip["sound"] for clip in made["clips"]]
    assert len(set(sounds)) == 12
    assert all(sound.startswith("data:audio/mpeg;base64,") for sound in sounds)
    assert re.search(r"400 clips of \d+ other speakers of ravdess", made["model"])


def test_copies_for_the_lab_know_their_kernel_and_are_left_alone(tmp_path: Path) -> None:
    copy = runpy.run_path(str(BOOK / "lab_copies.py"))["copy_chapters"]
    (tmp_path / NOTEBOOKS[1].name).write_text("what a student wrote")
    copy(tmp_path)
    assert (tmp_path / NOTEBOOKS[1].name).read_text() == "what a student wrote"
    assert (tmp_path / "images").is_dir()
    for chapter in (NOTEBOOKS[0], NOTEBOOKS[-1]):
        copied = nbformat.read(str(tmp_path / chapter.name), as_version=4)
        assert copied.cells == nbformat.read(str(chapter), as_version=4).cells
        language = copied.metadata["language_info"]
        assert language["version"] == ".".join(map(str, sys.version_info[:3]))
        assert language["codemirror_mode"] == {"name": "ipython", "version": 3}
        assert copied.metadata["kernelspec"]["display_name"].startswith("Python 3")


def test_more_workers_are_simulated_by_who_is_free_first() -> None:
    finish, limit = cluster_simulation.finish, cluster_simulation.limit
    assert finish([3, 3, 2, 2], 1) == 10
    assert finish([3, 3, 2, 2], 2) == 5
    assert finish([2, 2, 3], 2) == 5  # the last one begins at 2
    assert finish([3, 3, 2, 2], 64) == 3
    assert limit([3, 3, 2, 2], 64) == "the longest training"
    assert limit([2, 2, 3], 2) == "the last trainings, while others idle"
    assert limit([3, 3, 2, 2], 2) == ""
    rows = cluster_simulation.rows("`x`", [60.0] * 8)
    assert rows[2] == "|  | 8 | 60 s | 8.0 | 100 % | the longest training |"
    assert rows[3] == "|  | 64 | 60 s | 8.0 | 12 % | the longest training |"


def test_the_cluster_page_gets_its_table_and_names_options_that_exist() -> None:
    page = read("from_laptop_to_cluster.md")
    source = [page]
    lowser_book.fill_tables(None, "from_laptop_to_cluster", source)
    assert "| trainings | workers |" in source[0]
    assert cluster_simulation.MARK not in source[0]
    code = "\n".join(re.findall(r"```(?:bash|yaml)\n(.*?)```", page, flags=re.DOTALL))
    known = {
        "scheduler": {option for each in dask_scheduler.main.params for option in each.opts},
        "worker": {option for each in dask_worker.main.params for option in each.opts},
    }
    for command, options in known.items():
        options |= {"--no-dashboard"}  # the other half of a switch
        calls = re.findall(rf"dask,? {command}((?:\\\n|[^&>\n])*)", code)
        assert calls
        used = set(re.findall(r"--[a-z-]+", " ".join(calls)))
        assert used and used <= options, used - options
    for call in re.findall(r"(?<=lowser )sweep [^\n]+", code):
        cli.build_parser().parse_args(shlex.split(call))
    manifest = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)[0])
    worker = manifest["spec"]["worker"]["spec"]["containers"][0]
    assert worker["args"][:2] == ["dask", "worker"]
    assert worker["env"] == manifest["spec"]["scheduler"]["spec"]["containers"][0]["env"]
