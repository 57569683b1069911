"""Compare this implementation with recorded outputs of the released one.

python -m ckda_jax.parity DIR prints a row per quantity with its largest error, tolerance
and verdict. Exit status 0: all there is was compared or is different on purpose; 1: a
miss, or something that was not compared; 2: the folder cannot be read.
"""

import argparse
import sys
from pathlib import Path

from ckda_jax.parity import run, table
from ckda_jax.structs import InputError


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison and print its table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ckda_jax.parity", description=__doc__)
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder of .npz files")
    folder = parser.parse_args(arguments).folder
    try:
        rows = list(dict.fromkeys(run.compare(folder)))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(table.lines(sorted(rows, key=lambda row: row.file))))
    failed = table.failures(rows)
    if failed:
        print("\n" + "\n".join(table.lines(failed)))
    print(f"\n{folder}: {table.summary(rows)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
