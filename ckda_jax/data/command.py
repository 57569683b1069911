"""The command: one verb of `python -m ckda_jax.data`."""

import argparse
from collections.abc import Callable
from typing import NamedTuple


class Command(NamedTuple):
    """A verb of the command line.

    Attributes:
        summary: one line, for the list of commands.
        arguments: adds its arguments to its parser.
        run: does it and returns the exit status.
    """

    summary: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
