"""Datasets from the command line: `python -m ckda_jax.data COMMAND`."""

import argparse
import sys
from collections.abc import Sequence

from ckda_jax.data import description, prepare, synthesis
from ckda_jax.data.command import Command
from ckda_jax.structs import InputError

COMMANDS: dict[str, Command] = {
    "synthesize": synthesis.COMMAND,
    "prepare": prepare.COMMAND,
    "describe": description.COMMAND,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status, 2 for input that cannot be used."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ckda_jax.data", description="Make and inspect datasets."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        own = commands.add_parser(
            name,
            help=command.summary,
            description=f"{command.summary[0].upper()}{command.summary[1:]}.",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        command.arguments(own)
        own.set_defaults(run=command.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
