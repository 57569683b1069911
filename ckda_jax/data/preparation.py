"""The command `prepare`: a dataset decoded and resized once, for fast training."""

import argparse
from pathlib import Path

from ckda_jax.data import catalog
from ckda_jax.data.command import Command
from ckda_jax.data.images import BAD_IMAGES
from ckda_jax.data.prepare import OWN, Order, prepare
from ckda_jax.data.progress import Progress
from ckda_jax.structs import MODALITIES, InputError


def _arguments(parser: argparse.ArgumentParser) -> None:
    names = (*catalog.DATASETS, *OWN)
    parser.add_argument("name", choices=names, help="of the dataset, or of its kind")
    parser.add_argument("--root", required=True, help="its folder, or the table")
    parser.add_argument("--out", required=True, help="folder to make")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(256, 128),
        metavar=("HEIGHT", "WIDTH"),
        help="of the images in pixels: config.model.image_size",
    )
    parser.add_argument(
        "--resample",
        choices=("direct", "reference"),
        default="direct",
        help="how images are brought to size: config.data.resample",
    )
    parser.add_argument(
        "--modalities",
        nargs="+",
        default=MODALITIES,
        help="of a folder or a table: config.modalities",
    )
    parser.add_argument(
        "--bad-images",
        choices=BAD_IMAGES,
        default="error",
        help="refuse images that cannot be used, or leave a few out",
    )
    parser.add_argument("--threads", type=int, default=4, help="that decode")


def _run(options: argparse.Namespace) -> int:
    size = tuple(options.size)
    if min(*size, options.threads) < 1:
        raise InputError(
            f"--size {size[0]} {size[1]} --threads {options.threads}: all of them must "
            "be at least 1"
        )
    done = prepare(
        Order(
            dataset=options.name,
            root=options.root,
            size=size,
            resample=options.resample,
            modalities=tuple(options.modalities),
        ),
        options.out,
        threads=options.threads,
        bad_images=options.bad_images,
        progress=Progress("preparing", "images"),
    )
    print(f"{options.name}: {done.describe()}")
    key = f"data.roots.{options.name}"
    place = Path(done.root)
    if options.name in OWN:
        key = "data.own=NAME"
    if options.name == "table":
        place = place / Path(options.root).name
    print(f"train on it with --config.{key}={place}")
    return 0


COMMAND = Command(
    "decode and resize a dataset once, for fast training; when interrupted, the same "
    "command goes on",
    _arguments,
    _run,
)
