"""``lowser corpora list | verify | prepare | new``."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from lowser_lib import audio, corpora, files
from lowser_lib.corpora.table import propose, words_shown, write
from lowser_lib.errors import CorpusError, LowserError, ProfileError
from lowser_lib.experiments import data, paths, preparation


def show(names: Sequence[str]) -> int:
    """Print what there is; with names, their whole data cards.

    Args:
        names: Corpora whose cards are wanted; none lists all in one line each.

    Returns:
        Exit status 0.
    """
    for name in names:
        _print_card(name)
    if names:
        return 0
    root = paths.corpora_root()
    print(f"real corpora: {root or f'{paths.CORPORA_VARIABLE} is not set'}")
    print(f"made by the course: {paths.made_corpora()}\n")
    tables = [name for name in (corpora.found(root) if root else ()) if name.startswith("table:")]
    known = (*corpora.names(), *tables)
    width = max(map(len, known))
    for name in known:
        card = corpora.get(name).card
        print(f"{name:{width}}  {_state(name, root):12}  {'/'.join(card.languages)}  {card.title}")
    print("\n`lowser corpora list NAME` tells size, terms, and where to get it.")
    return 0


def verify(names: Sequence[str], jobs: int) -> int:
    """Compare corpora with their data cards, reading every file to its end.

    Args:
        names: Corpora; none takes the real ones that are in place.
        jobs: Threads.

    Returns:
        Exit status: 1 where a named corpus is missing or a file cannot be read.
    """
    root = paths.corpora_root()
    failed = False
    for name in names or _in_place(root):
        try:
            place = _root(name, root)
            check = audio.faulty_rows(place, jobs)
            verification = corpora.verify(name, place, jobs=jobs, check=check)
        except LowserError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = True
            continue
        print(verification.summary(), flush=True)
        failed = failed or not verification.ok
    return int(failed)


def prepare_all(names: Sequence[str], jobs: int) -> int:
    """Make corpora and manifests ready, so that no notebook has to wait for them.

    Args:
        names: Corpora; none takes the synthetic ones and the real ones in place.
        jobs: Worker processes.

    Returns:
        Exit status: 1 where a corpus could not be made ready.
    """
    synthetic = [name for name in corpora.names() if corpora.get(name).card.synthetic]
    wanted = list(names) or [*synthetic, *_in_place(paths.corpora_root())]
    failed = False
    # All synthetic corpora in one go: their workers start once.
    data.make([name for name in wanted if name in synthetic], jobs=jobs, progress=True)
    for name in wanted:
        try:
            ready = data.load([name], jobs=jobs, progress=sys.stderr.isatty())
        except LowserError as error:
            print(f"[FAIL] {name}: {error}", flush=True)
            failed = True
            continue
        left_out = len(ready.exclusions)
        print(f"[OK]   {name}: {len(ready.manifest)} clips, {left_out} left out", flush=True)
        for exclusion in ready.exclusions[:10]:
            print(f"       {exclusion.path}: {exclusion.reason}")
        if left_out > 10:
            print(f"       ... and {left_out - 10} more")
        for note in ready.notes[:10]:
            print(f"       note: {note}")
    return int(failed)


def new(
    name: str,
    folder: Path,
    pattern: str,
    fixed: Mapping[str, str],
    words: Mapping[str, str],
    own_classes: bool,
    dry_run: bool,
) -> int:
    """Write ``corpus.csv`` for a folder of sounds; a folder elsewhere is linked, not copied.

    Args:
        name: Name of the corpus to come, ``table:NAME`` or ``NAME``.
        folder: Where the sounds lie.
        pattern: See :func:`lowser_lib.corpora.table.propose`; as the next three.
        fixed: Values for all clips.
        words: What codes among the labels stand for.
        own_classes: Whether each label is a class.
        dry_run: Only show what would be written.

    Returns:
        Exit status 0.

    Raises:
        CorpusError: No line can be written, or the table is there already.
        ProfileError: ``LOWSER_CORPORA`` is not set.
    """
    name = name.removeprefix("table:")
    corpora.get(f"table:{name}")  # the name has to be a good one
    root = paths.corpora_root()
    if root is None:
        raise ProfileError(f"set {paths.CORPORA_VARIABLE} to the folder that holds your corpora")
    if not folder.is_dir():
        raise CorpusError(f"{folder} is no folder; give the one that holds the sounds")
    target = root / name
    inside = folder.resolve() == target.resolve()
    table = propose(folder, pattern, fixed, words, own_classes, "" if inside else "audio/")
    print("\n".join(table.summary()))
    print(textwrap.fill(f"understood: {words_shown()}", 96, subsequent_indent="  "))
    if dry_run:
        shown = table.text().splitlines()
        print(f"would write {target / 'corpus.csv'}:", *shown[:6], sep="\n  ")
        return 0
    if not inside:
        link = target / "audio"
        with files.writing(link, CorpusError, "choose another name"):
            target.mkdir(exist_ok=True)
            if not (link.is_symlink() and link.resolve() == folder.resolve()):
                link.symlink_to(folder.resolve(), target_is_directory=True)
    print(f"[OK]   {write(table, target)}; next: lowser corpora verify table:{name}")
    return 0


def _in_place(root: Path | None) -> tuple[str, ...]:
    return corpora.found(root) if root is not None else ()


def _root(name: str, root: Path | None) -> Path:
    """Where a corpus lies as it came: joined words are verified as single words."""
    card = corpora.get(name).card
    if card.synthetic:
        return paths.made_corpora()
    if root is None:
        raise ProfileError(preparation.missing_message(name, card, root))
    return root


def _state(name: str, root: Path | None) -> str:
    """Whether a corpus is in place, in a word or two."""
    corpus = corpora.get(name)
    if corpus.card.synthetic:
        made = paths.made_corpora() / corpus.name
        return "made" if (made / "complete.json").is_file() else "on demand"
    if root is not None and (root / corpus.name).is_dir():
        return "in place"
    return "to download" if corpus.card.downloadable else "to ask for"


def _print_card(name: str) -> None:
    card = corpora.get(name).card
    print(f"{name}: {card.title}")
    entries = {
        "state": _state(name, paths.corpora_root()),
        "languages": ", ".join(card.languages),
        "size": card.size,
        "speakers": card.speakers,
        "elicitation": card.elicitation,
        "licence": card.licence,
        "citation": card.citation,
        "where": card.where,
        "layout": card.layout,
        "notes": card.notes,
    }
    for what, text in entries.items():
        if text:
            print(
                textwrap.fill(f"{what}: {text}", 96, initial_indent="  ", subsequent_indent="    ")
            )
    print()
