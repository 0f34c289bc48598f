"""Fetch the corpora that anyone may have: ``python data_scripts/download_corpora.py --help``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lowser_lib import corpora
from lowser_lib.corpora.download import fetch
from lowser_lib.errors import CorpusError


def main(arguments: list[str] | None = None) -> int:
    """Fetch what was asked for; give 1 when any of it failed."""
    free = [name for name in corpora.names() if corpora.get(name).card.downloadable]
    parser = argparse.ArgumentParser(description="Fetch corpora that need no licence form.")
    parser.add_argument("names", nargs="*", default=free, help=f"which ones ({', '.join(free)})")
    parser.add_argument("--root", type=Path, required=True, help="corpora root (LOWSER_CORPORA)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--keep-archives", action="store_true", help="keep what was unpacked")
    options = parser.parse_args(arguments)
    failed = 0
    for name in options.names:
        try:
            steps = fetch(
                name, options.root, dry_run=options.dry_run, keep_archives=options.keep_archives
            )
        except CorpusError as error:
            failed += 1
            print(f"[FAIL] {name}: {error}", file=sys.stderr)
            continue
        card = corpora.get(name).card
        for step in steps:
            print(f"[{'would' if options.dry_run else 'OK'}] {name}: {step.text}")
        print(f"       terms: {card.licence}; cite: {card.citation}")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
