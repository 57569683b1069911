"""Datasets from the command line: `python -m ckda_jax.data COMMAND`."""

import argparse
import dataclasses
import sys
from collections.abc import Sequence

from ckda_jax.data import prepare, synthetic
from ckda_jax.data.progress import Progress
from ckda_jax.structs import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; return the exit status, 2 for input that cannot be used."""
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
    _add_synthesize(
        commands.add_parser(
            "synthesize",
            help="write the four synthetic datasets",
            description="Write four synthetic datasets, laid out as the real ones.",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
    )
    prepare.add_arguments(
        commands.add_parser(
            "prepare",
            help="decode and resize a dataset once, for fast training",
            description="Decode and resize a dataset's images into records. When it was"
            " interrupted, the same command goes on.",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
    )
    return parser


def _add_synthesize(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_synthesize)
    parser.add_argument("--out", required=True, help="folder to make")
    parser.add_argument("--seed", type=int, default=0, help="of the world")
    parser.add_argument(
        "--size", choices=tuple(synthetic.SIZES), default="medium", help="of the world"
    )
    for field, text in _FIELDS.items():
        option = "--" + field.replace("_", "-")
        parser.add_argument(option, type=int, help=f"{text}; instead of the size's")
    parser.add_argument(
        "--sites", nargs="+", default=synthetic.NAMES, help="which datasets"
    )


_FIELDS = {
    "identities": "training people per site",
    "test_identities": "test people per site",
    "images": "images per person and modality",
    "shots": "test images per person and visible camera of SYSU-MM01",
    "height": "of the pictures in pixels",
}


def _synthesize(options: argparse.Namespace) -> int:
    given = {name: getattr(options, name) for name in _FIELDS}
    numbers = {name: value for name, value in given.items() if value is not None}
    size = dataclasses.replace(synthetic.SIZES[options.size], **numbers)
    roots = synthetic.write(
        options.out,
        seed=options.seed,
        size=size,
        sites=tuple(options.sites),
        progress=Progress("drawing", "pictures"),
    )
    for name, root in roots.items():
        print(f"{name}: {root}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
