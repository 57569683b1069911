"""The command line of an entry point: configuration in, exit status out."""

import argparse
import contextlib
import functools
import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from ckda_jax.config.file import load
from ckda_jax.config.listing import describe
from ckda_jax.config.overrides import PREFIX, assign, overrides
from ckda_jax.structs import InputError, Interrupted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--config`; `--config.key=value` stays unknown, for `resolve` to read."""
    parser.allow_abbrev = False
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--config",
        required=True,
        metavar="FILE[:PRESET]",
        help=f"configuration file and preset; set a key with {PREFIX}KEY=VALUE",
    )


def parse(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None = None
) -> tuple[argparse.Namespace, ConfigDict]:
    """Parse a command line whose parser has `add_arguments`, `--help` with every key.

    Args:
        parser: holds the entry point's own arguments besides `--config`.
        argv: the words after the program's name; None: those of this process.

    Returns:
        The entry point's own arguments and the resolved configuration.

    Raises:
        InputError: as `resolve`.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help"} & set(words):
        parser.epilog = describe(_asked_file(words))
    args, extra = parser.parse_known_args(words)
    return args, resolve(args, extra)


def resolve(args: argparse.Namespace, extra: Sequence[str] = ()) -> ConfigDict:
    """Load the configuration that `--config` names and apply its preset and overrides.

    Args:
        args: has the attribute `config`, `FILE` or `FILE:PRESET`.
        extra: the words argparse did not know; all must be `--config.key=value` or
            `--config.key value`.

    Returns:
        The locked tree, with the name of its preset in `preset`.

    Raises:
        InputError: a file that is missing or does not run, an unknown preset, a
            misspelt key, a value of the wrong type, another unknown argument.
    """
    config = load(args.config)
    for key, text in overrides(extra, config):
        assign(config, key, text)
    return config


def command(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> str:
    """Write an entry point's command line again, for a shell.

    >>> command(argparse.ArgumentParser(prog="python -m m"), ["--workdir", "my runs"])
    "python -m m --workdir 'my runs'"
    """
    return f"{parser.prog} {shlex.join(sys.argv[1:] if argv is None else argv)}"


def main_guard(
    main: Callable[[Sequence[str] | None], int | None],
) -> Callable[..., int]:
    """Make an entry point's `main(argv)` end with a status instead of a traceback.

    Returns:
        A function that returns 0, or what `main` returns; 2 after an `InputError` and 1
        after an `OSError` (a full disk), the message on stderr; 130 when interrupted,
        143 when asked to terminate, a message too; 141 when the reader of stdout has
        gone.
    """

    @functools.wraps(main)
    def guarded(argv: Sequence[str] | None = None) -> int:
        # Orbax logs what it does, and the trace of every error that it also raises.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        try:
            with _terminable():
                status = main(argv) or 0
            sys.stdout.flush()
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
        except Interrupted as asked:
            print(asked, file=sys.stderr)
            return 128 + asked.number
        except BrokenPipeError:
            # Python flushes stdout once more at exit; let it do so into nothing.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        except OSError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        return status

    return guarded


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Raise on SIGTERM, as Python does on Ctrl-C: files and workers are closed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        raise Interrupted(signal.SIGTERM, "terminated")

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _asked_file(words: Sequence[str]) -> str:
    """Find the file whose keys `--help` lists: the one asked for, else the defaults."""
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config", nargs="?")
    asked = finder.parse_known_args(list(words))[0].config
    beside_package = Path(__file__).parents[2] / "configs" / "common.py"
    return asked or os.path.relpath(beside_package)
