"""Find results that somebody typed: every figure is computed by a cell or read from ``results/``.

A typed figure outlives the run that it came from. :func:`problems` reads a notebook,
:func:`markdown_problems` a page, and both list

- a row of a Markdown table that holds a share (``.547``, ``0.57``), a percentage, points or a ±, or
  a cell with nothing but a decimal;
- a sentence that holds such a figure beside a word about results (F1, recall, gap, better, ...),
  in Markdown or in a text of the code (``print``, a title);
- a literal of three or more shares, or decimals up to 100, in code (``scores = [.61, .58, .55]``),
  or a text that is a table of such.

What is no result may be typed: a question, guessing's score, the level of an interval, an aim ("at
least 5 points"), a size with its unit, a setting (``τ = 0.07``; in code a name such as
``TEMPERATURES``). The figures of a paper, of an invented example and of our own choice may be typed
where the sentence, table or line of code says so: "Gong et al. (2025) report", or *made up*,
or *our choice*. A paragraph may say it for all its sentences in a comment that readers do not see:
``<!-- made up -->``. A sentence that sets a paper's figures beside *ours* is no quotation.
These are rules of thumb for honest authors: they find what slipped in, not what is hidden.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from typing import Any

FEWEST = 3
"""So many shares in one literal look like results."""

_SHARE = (
    r"(?<![\w.,^])[+−-]?0?\.\d+(?!\w|\.\d|\s?(?:s|ms|k?Hz|dB|semitones?|seconds?|MB|GB|hours?)\b)"
)
_FIGURE = re.compile(
    rf"{_SHARE}|\d\s?%|\bper\s?cent\b|\d\s(?:percentage\s)?points?\b|\d\s?±\s?[\d.]", re.IGNORECASE
)
_ALONE = re.compile(r"[*_\s]*[+−-]?\d{0,3}\.\d+[*_\s]*")
_RESULT = re.compile(
    r"\b(?:f1|macro-f1|uar|accura\w+|recalls?|precision|scor\w+|gaps?|leaks?|gain\w*|improv\w+|"
    r"beats?|fell|falls?|rises?|rose|drops?|dropped|better|worse|correct\w*|is right|error rates?|"
    r"(?:above|below|over|ahead of|behind) the (?:\w+\s)?(?:baseline|yardstick))\b",
    re.IGNORECASE,
)
# What is no result, whatever stands beside it.
_HARMLESS = re.compile(
    r"[τλαβγσ]\s*(?:=|of|at|from|to)?\s*(?:[\d.]+(?:,| to| and| or)?\s?)+"
    r"|\bp\s*[=<>≤]\s*[\d.]+|\b(?:99|95|90|2\.5|5)\s?%"
    r"|(?<![\d.])(?:0?\.25|25\s?%)(?!\d)"  # guessing among four classes
    r"|\d+ points?(?: \w+)? or (?:more|fewer|less)|\b(?:at least|at most) \d+ points?"  # an aim
    r"|\d\s?%\s(?:(?:fe)?male|(?:wo)?men)\b"
)
_EXCUSE = re.compile(
    r"et al\.|\((?:19|20)\d\d\)|\{cite|\bthe papers?\b|\bits authors\b|\bas published\b"
    r"|\bmade up\b|\binvented\b|\bour choice\b|\bguess\w*\b|\bsaying always\b",
    re.IGNORECASE,
)
_OURS = re.compile(r"\b(?:ours?|we|here)\b(?! choice)", re.IGNORECASE)
_SETTING = re.compile(
    r"tau|temp|strength|speed|share|rate|lam|budget|quantile|level|lim|width|height|size|proba|prior"
    r"|weight|seed|sigma|colou?r|mask|second|hour|dur|degree|step",
    re.IGNORECASE,
)
_UNREAD = re.compile(r"```.*?```|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$|\]\([^)]*\)", re.DOTALL)
_COMMENT = re.compile(r"<!--(.*?)-->", re.DOTALL)
_SENTENCE = re.compile(
    r"(?<=[.!?])(?<!al\.)(?<!e\.g\.)(?<!vs\.)[*_\"')]*\s+(?=[^a-z])|\n(?=[-*] |\d+\. )"
)
_REFERENCES = re.compile(r"^#+ (?:\d+ · )?References\b.*", re.MULTILINE | re.DOTALL)


def problems(notebook: Any) -> list[str]:
    """List the figures that look typed in a chapter; nothing, when all is well.

    Args:
        notebook: A notebook node of nbformat 4.
    """
    found, code = [], 0
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "markdown":
            found += [f"cell {number}: {one}" for one in markdown_problems(cell.source)]
        elif cell.cell_type == "code":
            code += 1
            found += [f"code cell {code}: {one}" for one in code_problems(cell.source)]
    return found


def markdown_problems(text: str) -> list[str]:
    """List the figures that look typed in Markdown: a cell of a notebook, or a page.

    Args:
        text: The Markdown; its section of references is passed over.
    """
    found = []
    for paragraph in re.split(r"\n\s*\n", _UNREAD.sub(" ", _REFERENCES.sub("", text))):
        if any(_EXCUSE.search(comment) for comment in _COMMENT.findall(paragraph)):
            continue
        lines = _COMMENT.sub("", paragraph).splitlines()
        rows = [line for line in lines if line.lstrip().startswith("|")]
        prose = "\n".join(line for line in lines if not line.lstrip().startswith("|"))
        found += [*_table_problems(rows), *_prose_problems(prose)]
    return found


def code_problems(source: str) -> list[str]:
    """List the figures that look typed in a code cell.

    Args:
        source: The cell's code.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []  # papermill and nbval say so better
    lines = source.splitlines()
    found: list[str] = []
    for statement in _simple_statements(tree):
        first = statement.lineno - 1
        first -= first > 0 and lines[first - 1].lstrip().startswith("#")  # said in the line above
        held = "\n".join(lines[first : statement.end_lineno])
        if _EXCUSE.search(held):
            continue
        for node, name in _with_names(statement):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found += _prose_problems(node.value)
                if len(_FIGURE.findall(node.value)) >= FEWEST and "\n" in node.value:
                    found.append(f"a text that is a table of figures: {_short(node.value)}")
            elif not _SETTING.search(name) and _look_like_results(node):
                found.append(f"a literal of results: {_short(ast.unparse(node))}")
    return found


def _table_problems(rows: list[str]) -> Iterator[str]:
    if not rows or _EXCUSE.search(rows[0]):
        return
    for row in rows:
        cells = [_HARMLESS.sub(" ", cell) for cell in row.strip().strip("|").split("|")]
        typed = any(_FIGURE.search(cell) or _ALONE.fullmatch(cell) for cell in cells)
        if typed and not _EXCUSE.search(row):
            yield f"a row of a table with typed figures: {_short(row)}"


def _prose_problems(text: str) -> Iterator[str]:
    for sentence in _SENTENCE.split(text):
        left = _HARMLESS.sub(" ", sentence)
        quoted = _EXCUSE.search(sentence) and not _OURS.search(sentence)
        asked = sentence.rstrip("*_\"') ").endswith("?")
        if _FIGURE.search(left) and _RESULT.search(left) and not quoted and not asked:
            yield f"a typed result: {_short(sentence)}"


def _simple_statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that hold no others; of a compound one, those in its body."""
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and not hasattr(node, "body"):
            yield node


def _with_names(statement: ast.stmt) -> Iterator[tuple[ast.AST, str]]:
    """The outermost literals and all texts of a statement, with the name they are given."""
    assigned = isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign)
    name = ast.unparse(statement).partition("=")[0] if assigned else ""
    waiting: list[tuple[ast.AST, str, bool]] = [(statement, name, False)]
    while waiting:
        node, name, inside = waiting.pop()
        literal = _is_literal(node)
        if isinstance(node, ast.Constant) or (literal and not inside):
            yield node, name
        if isinstance(node, ast.keyword):
            name = node.arg or name
        elif isinstance(node, ast.comprehension):
            name = ast.unparse(node.target)
        waiting += [(child, name, inside or literal) for child in ast.iter_child_nodes(node)]


def _is_literal(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "dict"
    return isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict)


def _look_like_results(node: ast.AST) -> bool:
    """Whether a literal holds several shares, or several decimals that may be percentages."""
    values = [abs(value) for value in _decimals(node)]
    shares = sum(value < 1 for value in values)
    return max(shares, sum(1 < value < 100 for value in values)) >= FEWEST


def _decimals(node: ast.AST) -> Iterator[float]:
    """The decimals of a literal, those in calls inside it left out."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, float) and not node.value.is_integer():
            yield node.value
    elif isinstance(node, ast.UnaryOp | ast.Starred | ast.keyword) or _is_literal(node):
        for child in ast.iter_child_nodes(node):
            yield from _decimals(child)


def _short(text: str) -> str:
    return textwrap.shorten(text, 90, placeholder="…")
