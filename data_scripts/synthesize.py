"""Make the synthetic corpora: ``python data_scripts/synthesize.py FOLDER``.

The course makes them by itself when it needs them; this script makes them somewhere else, with
another seed, or only some of them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lowser_lib.corpora.synthetic import NAMES, synthesize
from lowser_lib.errors import LowserError


def main(arguments: list[str] | None = None) -> int:
    """Run the script; gives the exit status."""
    parser = argparse.ArgumentParser(description="Make the synthetic corpora of the course.")
    parser.add_argument("folder", type=Path, help="folder to make them in, one subfolder each")
    parser.add_argument("--names", nargs="+", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default 0)")
    parser.add_argument("--jobs", type=int, default=2, help="number of processes (default 2)")
    options = parser.parse_args(arguments)
    try:
        hashes = synthesize(
            options.folder, names=options.names, seed=options.seed, jobs=options.jobs
        )
    except (LowserError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name, digest in hashes.items():
        print(f"{digest}  {options.folder / name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
