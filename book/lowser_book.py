"""What Sphinx is told beyond the configuration: launch buttons, descriptions, alt texts."""

from __future__ import annotations

import base64
import hashlib
import html
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from sphinx.application import Sphinx

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
    options.setdefault("launch_buttons", {})["binderhub_url"] = "https://mybinder.org"


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


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("config-inited", offer_launch, priority=900)
    app.connect("doctree-read", describe_figures)
    app.connect("html-page-context", describe)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
