"""Make what is made from corpora: ``python data_scripts/prepare_corpora.py --help``.

Joins the Urdu words to clips and, when asked, writes one manifest of all corpora in place.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lowser_lib import audio, corpora, manifest
from lowser_lib.corpora.urdu_words import UrduWords
from lowser_lib.errors import CorpusError


def main(arguments: list[str] | None = None) -> int:
    """Prepare what is in place; give 1 when any of it failed."""
    parser = argparse.ArgumentParser(description="Join words to clips; write one manifest.")
    parser.add_argument("--root", type=Path, required=True, help="corpora root (LOWSER_CORPORA)")
    parser.add_argument("--target", type=Path, required=True, help="root of what is made")
    parser.add_argument("--manifest", type=Path, help="also write all rows to this Parquet file")
    parser.add_argument("--jobs", type=int, default=1, help="threads that read file headers")
    options = parser.parse_args(arguments)
    failed = 0
    rows: list[corpora.Row] = []
    words = UrduWords.card.name
    if (options.root / words).is_dir():
        try:
            digest = UrduWords().build(options.root / words, options.target / words)
            print(f"[OK] {words}: {options.target / words}, sha256 {digest[:12]}")
        except CorpusError as error:
            failed += 1
            print(f"[FAIL] {words}: {error}", file=sys.stderr)
    # What is made goes by the name of its source and takes its place.
    places = dict.fromkeys(corpora.found(options.root), options.root)
    places |= dict.fromkeys(corpora.found(options.target), options.target)
    for name, root in places.items():
        try:
            found, exclusions = corpora.read(name, root, options.jobs)
        except CorpusError as error:
            failed += 1
            print(f"[FAIL] {name}: {error}", file=sys.stderr)
            continue
        bad = audio.faulty_rows(root, options.jobs)(found)
        exclusions += bad
        found = [row for row in found if row.path not in {item.path for item in bad}]
        rows += found
        print(f"[OK] {name}: {len(found)} clips, {len(exclusions)} left out")
        for exclusion in exclusions:
            print(f"       left out: {exclusion.path}: {exclusion.reason}")
    if options.manifest is not None:
        table, exclusions = manifest.keep_durations(manifest.from_rows(rows))
        manifest.save(table, options.manifest)
        print(f"[OK] {options.manifest}: {len(table)} rows; {len(exclusions)} too short or long")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
