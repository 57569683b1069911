"""Datasets from the command line: `python -m ckda_jax.data COMMAND`."""

import argparse
import sys
from collections.abc import Sequence

from ckda_jax import config
from ckda_jax.data import checkup, description, preparation, synthesis
from ckda_jax.data.command import Command

COMMANDS: dict[str, Command] = {
    "synthesize": synthesis.COMMAND,
    "prepare": preparation.COMMAND,
    "describe": description.COMMAND,
    "check": checkup.COMMAND,
}


@config.main_guard
def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status, 2 for input that cannot be used."""
    options = _parser().parse_args(arguments)
    return options.run(options)


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
