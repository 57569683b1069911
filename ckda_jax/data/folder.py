"""A folder of one's own as a dataset: SPLIT/MODALITY/IDENTITY/CAMERA_NAME.jpg."""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ckda_jax.data import own
from ckda_jax.data.complaint import Complain, stop, told
from ckda_jax.data.dataset import Dataset, Options
from ckda_jax.data.layout import SEARCHED, list_folders, list_images, name_some
from ckda_jax.data.own import SPLITS, Entry
from ckda_jax.data.survey import Survey
from ckda_jax.structs import InputError

LINES = 24
"""Lines of a found tree that are shown."""


def load(name: str, root: str | Path, options: Options) -> Dataset:
    """Load a folder `ROOT/SPLIT/MODALITY/IDENTITY/[CAMERA_]NAME.{jpg,jpeg,png,bmp}`.

    Splits are `train`, and `test` or `query` and `gallery`; modalities those of the
    run; identities may have any name. What stands before the first `_` of a file's name
    is its camera if it is made of letters and digits alone; else the camera is unknown.
    Hidden files are left out.

    Args:
        name: of the dataset.
        root: the folder.
        options: what is asked of it.

    Raises:
        InputError: another tree, drawn beside the expected one; or what `own.assemble`
            refuses.
    """
    folder = Path(os.path.abspath(Path(root).expanduser()))
    problem = _problem(folder, options.modalities)
    option = f"config.data.own={name}="
    if problem:
        raise InputError(
            f"{name}: {folder} {problem}; {_remedy(option, folder)}\n"
            f"{draw(folder, options.modalities)}"
        )
    entries = list(list_entries(folder, options.modalities))
    return own.assemble(name, folder, entries, options)


def survey(
    root: Path, options: Options, complain: Complain = stop, *, index_only: bool = False
) -> Survey:
    """List the images of a folder by split.

    Args:
        root: the folder.
        options: as for `load`.
        complain: told of what cannot be used; raises it unless given.
        index_only: cannot be, a folder has nothing but images.
    """
    with told(complain):
        if index_only:
            raise InputError("--index-only: a folder has no index files; leave it out")
        problem = _problem(root, options.modalities)
        if problem:
            raise InputError(f"{root} {problem}; {_remedy('--root ', root)}")
    entries = list(list_entries(root, options.modalities))
    return own.survey("folder", root, entries, options, complain)


def list_entries(folder: Path, modalities: Sequence[str]) -> Iterator[Entry]:
    """List the images of a folder, whatever else lies in it."""
    for split, (number, modality) in itertools.product(SPLITS, enumerate(modalities)):
        place = folder / split / modality
        for identity in list_folders(place):
            for image in list_images(place / identity):
                path = f"{split}/{modality}/{identity}/{image}"
                yield Entry(path, split, number, identity, camera_of(image))


def camera_of(image: str) -> str:
    """Read the camera off the name of an image; "" where it is unknown.

    >>> camera_of("c3_0001.jpg"), camera_of("0001.jpg"), camera_of("c-3_1.jpg")
    ('c3', '', '')
    """
    camera, line, _ = image.partition("_")
    return camera if line and camera.isalnum() else ""


def draw(folder: Path, modalities: Sequence[str]) -> str:
    """Draw the tree that is expected beside the one that a folder holds."""
    left = ["expected"]
    for split in ("train", "test"):
        left.append(f"  {split}/")
        for place, modality in enumerate(modalities):
            left.append(f"    {modality}/")
            if place == 0:
                left += ["      IDENTITY/", "        CAMERA_NAME.jpg or NAME.jpg"]
    tree = list(itertools.islice(_tree(folder, modalities), LINES + 1))
    more = ["  ..."] if len(tree) > LINES else []
    right = [f"found in {folder}", *tree[:LINES], *more]
    width = max(map(len, left)) + 4
    pairs = itertools.zip_longest(left, right, fillvalue="")
    return "\n".join(f"{one:<{width}}{other}".rstrip() for one, other in pairs)


def _problem(folder: Path, modalities: Sequence[str]) -> str:
    """Say what keeps a folder from being a dataset; nothing where it can be one."""
    if not folder.is_dir():
        is_file = "is neither a folder nor a .csv or .parquet table"
        return is_file if folder.exists() else "does not exist"
    splits = list_folders(folder)
    if not set(splits) & set(SPLITS):
        near = [f", but {s}/{own.nearest(s, SPLITS)}" for s in splits]
        meant = next((text for text in near if text.endswith(")")), "")
        return f"has none of the folders {', '.join(SPLITS)}{meant}"
    odd = [split for split in splits if split not in SPLITS]
    if odd:
        near = own.nearest(odd[0], SPLITS)
        return f"holds {odd[0]}/, which is none of {', '.join(SPLITS)}{near}"
    problems = (_problem_in(folder, split, modalities) for split in splits)
    return next(filter(None, problems), own.problem_of_splits(splits))


def _problem_in(folder: Path, split: str, modalities: Sequence[str]) -> str:
    """Say what is wrong with one split."""
    found = list_folders(folder / split)
    odd = [modality for modality in found if modality not in modalities]
    if odd:
        near = own.nearest(odd[0], modalities, own.ABBREVIATED)
        return (
            f"holds {split}/{odd[0]}/, which is none of config.modalities, "
            f"{', '.join(modalities)}{near}"
        )
    for modality in found:
        place = folder / split / modality
        stray = list_images(place)
        if stray:
            images = name_some([f"{split}/{modality}/{image}" for image in stray])
            return f"holds images outside the folder of an identity: {images}"
        deep = [i for i in list_folders(place) if list_folders(place / i)]
        if deep:
            inner = f"{split}/{modality}/{deep[0]}/{list_folders(place / deep[0])[0]}/"
            return f"holds a folder inside that of an identity: {inner}"
    return ""


def _remedy(option: str, folder: Path) -> str:
    """Name the neighbouring folder that fits, or what to do when none does."""
    found = list_folders(folder)
    if set(found) & set(SPLITS):
        return "rename what is there, or add what is missing"
    below = [folder / inner for inner in found[:SEARCHED]]
    for where, places in (("above", [folder.parent]), ("below", below)):
        for place in places:
            if {"train", "test"} & set(list_folders(place)):
                return (
                    f"the dataset seems to lie one level {where}: set {option}{place}"
                )
    if not folder.is_dir():
        return f"correct {option}{folder}"
    return "rename what is there, or add what is missing"


def _tree(folder: Path, modalities: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a folder's tree, images of its first branches included."""
    for split in sorted(list_folders(folder), key=_place_in(SPLITS)):
        yield f"  {split}/"
        inner_folders = list_folders(folder / split)
        for modality in sorted(inner_folders, key=_place_in(modalities)):
            yield f"    {modality}/"
            for depth, inner in enumerate(_first_branch(folder / split / modality)):
                yield f"      {'  ' * depth}{inner}"


def _place_in(known: Sequence[str]) -> Callable[[str], int]:
    """Give the key that sorts known names as they are, others after them."""
    return lambda name: known.index(name) if name in known else len(known)


def _first_branch(folder: Path) -> Iterator[str]:
    """Yield the first image in a folder, or its first folder and the first in that."""
    images = list_images(folder)
    if images:
        yield images[0]
        return
    for inner in list_folders(folder)[:1]:
        yield f"{inner}/"
        yield from _first_branch(folder / inner)
