"""SYSU-MM01: 491 people, four visible and two infrared cameras (Wu et al. 2017)."""

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ckda_jax.data.dataset import (
    Dataset,
    Options,
    Protocol,
    Row,
    as_records,
    keep_identities,
    require_pairs,
)
from ckda_jax.data.index import read_lines
from ckda_jax.data.layout import (
    Layout,
    list_folders,
    list_images,
    name_some,
    open_root,
)
from ckda_jax.structs import INFRARED, VISIBLE, InputError

CAMERAS = {VISIBLE: (1, 2, 4, 5), INFRARED: (3, 6)}
SPLITS = ("train", "val", "test")
LAYOUT = Layout(
    title="SYSU-MM01",
    key="sysu",
    entries=(
        *(f"cam{camera}/" for camera in range(1, 7)),
        "exp/",
        *(f"exp/{split}_id.txt" for split in SPLITS),
    ),
)

# The names of the images of an identity under a camera; no key where it was not filmed.
Listing = Mapping[tuple[int, int], Sequence[str]]


def read_identities(root: Path, split: str) -> list[int]:
    """Read a split's identities, ascending; an empty file is an empty split.

    Raises:
        InputError: an unreadable file, or one that is not a list of integers.
    """
    identities: set[int] = set()
    for line in read_lines(root / "exp" / f"{split}_id.txt"):
        fields = [field.strip() for field in line.text.rstrip(",").split(",")]
        if not all(field.isdecimal() for field in fields):
            raise line.refuse(
                "is not a list of integers separated by commas; restore the file as"
                " released"
            )
        identities.update(map(int, fields))
    return sorted(identities)


def list_identities(root: Path, identities: Iterable[int]) -> Listing:
    """List the images of identities under all cameras that filmed them.

    Raises:
        InputError: identities without a folder under any camera, or empty folders.
    """
    listing: dict[tuple[int, int], list[str]] = {}
    absent, empty = [], []
    filmed = {c: set(list_folders(root / f"cam{c}")) for c in range(1, 7)}
    for identity in identities:
        cameras = [c for c in filmed if f"{identity:04d}" in filmed[c]]
        if not cameras:
            absent.append(identity)
        for camera in cameras:
            folder = f"cam{camera}/{identity:04d}"
            listing[camera, identity] = list_images(root / folder)
            if not listing[camera, identity]:
                empty.append(folder)
    _refuse(root, "identities of exp/ without a folder under any camera", absent)
    _refuse(root, "folders without an image", empty)
    return listing


def select(listing: Listing, identities: Sequence[int], modality: int) -> list[Row]:
    """Select all images of identities in one modality, identity by identity."""
    return [
        _row(camera, identity, name, modality)
        for identity in identities
        for camera in CAMERAS[modality]
        for name in listing.get((camera, identity), ())
    ]


def draw_gallery(listing: Listing, identities: Sequence[int], seed: int) -> list[Row]:
    """Draw the single-shot gallery: an image for each identity and visible camera.

    The draws behind most published numbers (AGW, Ye et al. 2021): Python's generator,
    identities ascending, cameras 1, 2, 4, 5, a choice among the sorted file names.
    """
    rng = random.Random(seed)
    return [
        _row(camera, identity, rng.choice(listing[camera, identity]), VISIBLE)
        for identity in sorted(identities)
        for camera in CAMERAS[VISIBLE]
        if (camera, identity) in listing
    ]


def load(root: str | Path, options: Options) -> Dataset:
    """Load SYSU-MM01's training images and its single-shot all-search protocol.

    Training and validation identities are trained on together, as is usual. Label order
    is ascending identity.

    Raises:
        InputError: a wrong or incomplete root, an unusable split file, listed
            identities without images, an identity with one modality only.
    """
    folder = open_root(root, LAYOUT)
    train, val, test = (read_identities(folder, split) for split in SPLITS)
    learned = sorted({*train, *val})
    listing = list_identities(folder, sorted({*learned, *test}))
    rows = [*select(listing, learned, VISIBLE), *select(listing, learned, INFRARED)]
    records = as_records(folder, rows)
    require_pairs("SYSU-MM01", records)
    protocol = Protocol(
        name="all-search",
        query=as_records(folder, select(listing, test, INFRARED)),
        gallery=as_records(folder, draw_gallery(listing, test, options.seed)),
        rule="sysu",
    )
    return Dataset(
        name="sysu",
        root=folder,
        train=keep_identities(records, options.max_identities),
        protocols={protocol.name: protocol},
        resize_train="lanczos",
        resize_test="lanczos",
    )


def _row(camera: int, identity: int, name: str, modality: int) -> Row:
    return Row(f"cam{camera}/{identity:04d}/{name}", identity, modality, camera)


def _refuse(root: Path, cause: str, values: Sequence[int | str]) -> None:
    """Raise on values, naming the first three of them."""
    if values:
        raise InputError(
            f"SYSU-MM01: {len(values)} {cause} in {root}: {name_some(values)}; unpack"
            " the images again"
        )
