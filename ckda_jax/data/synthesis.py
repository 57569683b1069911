"""The command `synthesize`: the four synthetic datasets, written to a folder."""

import argparse
import dataclasses

from ckda_jax.data import synthetic
from ckda_jax.data.command import Command
from ckda_jax.data.progress import Progress

_FIELDS = {
    "identities": "training people per site",
    "test_identities": "test people per site",
    "images": "images per person and modality",
    "shots": "test images per person and visible camera of SYSU-MM01",
    "height": "of the pictures in pixels",
}


def _arguments(parser: argparse.ArgumentParser) -> None:
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


def _run(options: argparse.Namespace) -> int:
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


COMMAND = Command("write the four synthetic datasets", _arguments, _run)
