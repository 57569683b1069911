"""Compare this implementation with recorded outputs of the released one.

Prints a row per quantity with its largest error, tolerance and verdict. Exit status 0:
everything was compared and agrees, or is different on purpose; 1: a miss, or something
that was not compared; 2: the folder cannot be read.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ckda_jax import config as config_lib
from ckda_jax.parity import golden, run, table


@config_lib.main_guard
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m ckda_jax.parity", description=__doc__
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder of .npz files")
    folder = parser.parse_args(argv).folder
    rows = list(dict.fromkeys(run.compare(folder)))
    print("\n".join(table.lines(sorted(rows, key=lambda row: row.file))))
    failed = table.failures(rows)
    if failed:
        print("\n" + "\n".join(table.lines(failed)))
    absent = golden.absent_files(folder)
    print(f"\n{folder}: {table.summary(rows)}")
    if absent:
        print(f"not in the folder: {', '.join(absent)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
