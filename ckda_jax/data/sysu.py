"""SYSU-MM01: 491 people, four visible and two infrared cameras (Wu et al. 2017)."""

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ckda_jax.data.complaint import Complain, stop, told
from ckda_jax.data.dataset import Dataset, Options, keep_identities, require_pairs
from ckda_jax.data.index import read_lines
from ckda_jax.data.layout import (
    Layout,
    list_folders,
    list_images,
    name_some,
    open_root,
)
from ckda_jax.data.permutations import Permutations
from ckda_jax.data.protocol import LIFELONG, Protocol, of_trials
from ckda_jax.data.row import Row, as_records
from ckda_jax.data.survey import Survey
from ckda_jax.structs import INFRARED, VISIBLE, InputError

CAMERAS = {VISIBLE: (1, 2, 4, 5), INFRARED: (3, 6)}
SPLITS = ("train", "val", "test")
LISTS = ("exp/", *(f"exp/{split}_id.txt" for split in SPLITS))
LAYOUT = Layout(
    title="SYSU-MM01",
    key="sysu",
    entries=(*(f"cam{camera}/" for camera in range(1, 7)), *LISTS),
    lists=LISTS,
)

PERMUTATIONS = "exp/rand_perm_cam.mat"


class Search(NamedTuple):
    """A protocol: what its gallery, the visible test images, is drawn from.

    Attributes:
        cameras: that filmed it.
        shots: images of each identity under each of them.
        trials: draws, whose scores are averaged.
    """

    cameras: tuple[int, ...]
    shots: int
    trials: int = 10


INDOOR = (1, 2)
PROTOCOLS = {
    LIFELONG: Search(CAMERAS[VISIBLE], 1, trials=1),
    "all-single": Search(CAMERAS[VISIBLE], 1),
    "all-multi": Search(CAMERAS[VISIBLE], 10),
    "indoor-single": Search(INDOOR, 1),
    "indoor-multi": Search(INDOOR, 10),
}
"""The four searches of the paper (Wu et al. 2017), each with every infrared query."""

# The names of the images of an identity under a camera; no key where it was not filmed.
Listing = Mapping[tuple[int, int], Sequence[str]]


def read_identities(root: Path, split: str, complain: Complain = stop) -> list[int]:
    """Read a split's identities, ascending; an empty file is an empty split.

    Args:
        root: the dataset's folder.
        split: one of `SPLITS`.
        complain: told of what cannot be used; raises it unless given.

    Raises:
        InputError: an unreadable file, or one that is not a list of integers.
    """
    identities: set[int] = set()
    for line in read_lines(root / "exp" / f"{split}_id.txt", complain):
        fields = [field.strip() for field in line.text.rstrip(",").split(",")]
        with told(complain):
            if not all(field.isdecimal() for field in fields):
                raise line.refuse(
                    "is not a list of integers separated by commas; restore the file as"
                    " released"
                )
            identities.update(map(int, fields))
    return sorted(identities)


def list_identities(
    root: Path, identities: Iterable[int], complain: Complain = stop
) -> Listing:
    """List the images of identities under all cameras that filmed them.

    Args:
        root: the dataset's folder.
        identities: those wanted.
        complain: told of what cannot be used; raises it unless given.

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
    with told(complain):
        _refuse(root, "identities of exp/ without a folder under any camera", absent)
    with told(complain):
        _refuse(root, "folders without an image", empty)
    return listing


def published_listing(permutations: Permutations) -> Listing:
    """List the images of the published dataset, by the permutations of their order.

    Their names are numbers, as the release has them; which of the numbers are left out
    there, nobody can tell from here.
    """
    everyone = range(1, permutations.identities() + 1)
    return {
        (camera, identity): [f"{n:04d}.jpg" for n in range(1, count + 1)]
        for camera in range(1, 7)
        for identity in everyone
        if (count := permutations.count(camera, identity))
    }


def select(listing: Listing, identities: Sequence[int], modality: int) -> list[Row]:
    """Select all images of identities in one modality, identity by identity."""
    return [
        _row(camera, identity, name, modality)
        for identity in identities
        for camera in CAMERAS[modality]
        for name in listing.get((camera, identity), ())
    ]


def draw_gallery(
    listing: Listing, identities: Iterable[int], search: Search, seed: int
) -> list[Row]:
    """Draw the gallery of a trial: some images for each identity and visible camera.

    The single-shot draws are those behind most published numbers (AGW, Ye et al. 2021):
    Python's generator, identities ascending, cameras ascending, a choice among the
    sorted file names. Multi-shot galleries are drawn by the same generator; published
    code takes them from one that it does not seed.
    """
    rng = random.Random(seed)
    rows = []
    for identity in sorted(identities):
        for camera in search.cameras:
            names = listing.get((camera, identity), [])
            if search.shots == 1 and names:
                drawn = [rng.choice(names)]
            else:
                drawn = rng.sample(names, min(search.shots, len(names)))
            rows += [_row(camera, identity, name, VISIBLE) for name in drawn]
    return rows


def permuted_gallery(
    listing: Listing,
    identities: Iterable[int],
    search: Search,
    permutations: Permutations,
    trial: int,
) -> list[Row]:
    """Take the gallery of a 0-based trial as the authors of the dataset publish it.

    The first images of each identity and camera, once the permutation of the trial has
    put the sorted file names in order.

    Raises:
        InputError: a permutation of another number of images than there are.
    """
    rows = []
    for identity in sorted(identities):
        for camera in search.cameras:
            names = listing.get((camera, identity), [])
            order = permutations.order(camera, identity, trial)
            if len(order) != len(names):
                raise InputError(
                    f"{permutations.file} orders {len(order)} images of identity"
                    f" {identity} under camera {camera}, but there are {len(names)};"
                    " restore the images or the file"
                )
            taken = [names[int(place)] for place in order[: search.shots]]
            rows += [_row(camera, identity, name, VISIBLE) for name in taken]
    return rows


def load(root: str | Path, options: Options) -> Dataset:
    """Load SYSU-MM01's training images and the protocols asked for.

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
    records = as_records(folder, _both(listing, learned))
    require_pairs("SYSU-MM01", records)
    return Dataset(
        name="sysu",
        root=folder,
        train=keep_identities(records, options.max_identities),
        protocols=_protocols(folder, listing, test, options),
        resize_train="lanczos",
        resize_test="lanczos",
        drawn_from=as_records(folder, select(listing, test, VISIBLE)),
    )


def survey(
    root: Path, options: Options, complain: Complain = stop, *, index_only: bool = False
) -> Survey:
    """List the images of every listed identity.

    Args:
        root: the dataset's folder.
        options: as for `load`.
        complain: told of what cannot be used; raises it unless given.
        index_only: there are no images: they are those of the published permutations.
    """
    identities = {split: read_identities(root, split, complain) for split in SPLITS}
    if index_only:
        listing = published_listing(_permutations(root, options))
    else:
        everyone = sorted({i for split in identities.values() for i in split})
        listing = list_identities(root, everyone, complain)
    learned = sorted({*identities["train"], *identities["val"]})
    return Survey(
        splits={
            split: as_records(root, _both(listing, own))
            for split, own in identities.items()
        },
        train=as_records(root, _both(listing, learned)),
        protocols=_protocols(root, listing, identities["test"], options),
    )


def permutation_file(root: Path, options: Options) -> Path:
    """Name the file of the published permutations."""
    return Path(options.permutations or root / PERMUTATIONS)


def _permutations(root: Path, options: Options) -> Permutations:
    """Open the permutations where nothing else tells how many images there are."""
    file = permutation_file(root, options)
    if not file.is_file():
        raise InputError(
            f"SYSU-MM01: without images they are counted by {file}, which does not"
            " exist; it comes with the dataset's evaluation code: name it by"
            " --permutations"
        )
    return Permutations(file)


def _both(listing: Listing, identities: Sequence[int]) -> list[Row]:
    """Select all images of identities, the visible ones first."""
    return [row for m in CAMERAS for row in select(listing, identities, m)]


def _protocols(
    root: Path, listing: Listing, identities: Sequence[int], options: Options
) -> dict[str, Protocol]:
    return {
        name: _protocol(root, name, listing, identities, options)
        for name in options.chosen(PROTOCOLS)
    }


def _protocol(
    root: Path,
    name: str,
    listing: Listing,
    identities: Sequence[int],
    options: Options,
) -> Protocol:
    """Draw the galleries of a protocol; the lifelong one is always drawn by seed.

    The name tells galleries that were not drawn by seed.
    """
    search = PROTOCOLS[name]
    query = select(listing, identities, INFRARED)
    if options.galleries == "seeded" or name == LIFELONG:
        galleries = [
            draw_gallery(listing, identities, search, options.seed + trial)
            for trial in range(search.trials)
        ]
    else:
        name = f"{name}-permutation"
        order = Permutations(permutation_file(root, options))
        galleries = [
            permuted_gallery(listing, identities, search, order, trial)
            for trial in range(search.trials)
        ]
    return of_trials(name, root, "sysu", [(query, gallery) for gallery in galleries])


def _row(camera: int, identity: int, name: str, modality: int) -> Row:
    return Row(f"cam{camera}/{identity:04d}/{name}", identity, modality, camera)


def _refuse(root: Path, cause: str, values: Sequence[int | str]) -> None:
    """Raise on values, naming the first three of them."""
    if values:
        raise InputError(
            f"SYSU-MM01: {len(values)} {cause} in {root}: {name_some(values)}; unpack"
            " the images again"
        )
