"""What Sphinx is told beyond the configuration: launch buttons, descriptions, names of things."""

from __future__ import annotations

import base64
import hashlib
import html
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from sphinx.application import Sphinx

import cluster_simulation

DESCRIPTION_LENGTH = 155
"""Characters of a description that search engines show."""


def offer_launch(app: Any, config: Any) -> None:
    """Show the buttons of source and Binder where the configuration names the repository.

    Jupyter Book fills an empty address with its own, so that one counts as none too.
    """
    options = config.html_theme_options
    address = str(options.get("repository_url", ""))
    if not address or "executablebooks/jupyter-book" in address:
        options["repository_url"] = ""
        return
    options["use_repository_button"] = True
    options.setdefault("launch_buttons", {}).update(
        binderhub_url="https://mybinder.org", colab_url="https://colab.research.google.com"
    )


def describe(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Give each page its first paragraph as a description."""
    if doctree is None:
        return
    first = next(iter(doctree.findall(nodes.paragraph)), None)
    text = " ".join(first.astext().split()) if first is not None else ""
    if len(text) > DESCRIPTION_LENGTH:
        text = text[:DESCRIPTION_LENGTH].rsplit(" ", 1)[0] + " …"
    if text:
        content = html.escape(text, quote=True)
        context["metatags"] = context.get("metatags", "") + (
            f'\n<meta name="description" content="{content}" />'
        )


def alt_texts(notebook: Any) -> dict[str, str]:
    """SHA-256 of each figure of a notebook, by which MyST-NB names its file, to its alt text."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    figures = (output for output in outputs if "image/png" in output.get("data", {}))
    return {
        hashlib.sha256(base64.b64decode(figure.data["image/png"])).hexdigest(): alt
        for figure in figures
        if (alt := figure.metadata.get("image/png", {}).get("alt"))
    }


def describe_figures(app: Sphinx, doctree: nodes.document) -> None:
    """Carry alt texts over, which MyST-NB leaves behind in the notebook."""
    source = Path(app.env.doc2path(app.env.docname))
    if source.suffix != ".ipynb":
        return
    texts = alt_texts(nbformat.read(str(source), as_version=4))
    for image in doctree.findall(nodes.image):
        alt = texts.get(Path(image["uri"]).stem)
        if alt:
            image["alt"] = alt


def name_tables(app: Sphinx, doctree: nodes.document) -> None:
    """Give a table that has no caption the title of its section; chapters' have theirs already."""
    for table in doctree.findall(nodes.table):
        if not any(isinstance(child, nodes.title) for child in table.children):
            section: Any = table
            while section is not None and not isinstance(section, nodes.section):
                section = section.parent
            if section is not None:
                table.insert(0, nodes.title("", section.next_node(nodes.title).astext()))
                doctree.note_implicit_target(table)  # Sphinx asks for an id where there is a title


def fill_tables(app: Sphinx | None, docname: str, source: list[str]) -> None:
    """Put what is computed from records into the page that asks for it."""
    if cluster_simulation.MARK in source[0]:
        source[0] = source[0].replace(cluster_simulation.MARK, cluster_simulation.table())


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("config-inited", offer_launch, priority=900)
    app.connect("doctree-read", describe_figures)
    app.connect("doctree-read", name_tables)
    app.connect("source-read", fill_tables)
    app.connect("html-page-context", describe)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
