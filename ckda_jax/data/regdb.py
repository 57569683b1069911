"""RegDB: 412 people, ten aligned image pairs each, ten splits (Nguyen et al. 2017)."""

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ckda_jax.data.complaint import Complain, stop, told
from ckda_jax.data.dataset import Dataset, Options, keep_identities, require_pairs
from ckda_jax.data.index import Labelled, label_order, require_lines, split_label
from ckda_jax.data.layout import Layout, is_complete, open_root, require_images
from ckda_jax.data.protocol import LIFELONG, Protocol, of_trials
from ckda_jax.data.row import Row, as_records
from ckda_jax.data.survey import Survey, of_splits
from ckda_jax.structs import INFRARED, VISIBLE

FOLDERS = {VISIBLE: "Visible", INFRARED: "Thermal"}
CAMERAS = {VISIBLE: 1, INFRARED: 2}  # a rig of two; the files name neither
PROTOCOLS = {
    LIFELONG: VISIBLE,
    "visible-to-infrared": VISIBLE,
    "infrared-to-visible": INFRARED,
}
"""The modality of each protocol's queries; the other one is its gallery.

The first two are the same. Of the ten trials each is a split of its own, to train on
and to test with, so a run knows one, `data.trial`.
"""


def index_name(split: str, modality: int, trial: int) -> str:
    """Name the index file of a split (`train`, `test`), a modality and a trial.

    >>> index_name("test", INFRARED, 3)
    'idx/test_thermal_3.txt'
    """
    return f"idx/{split}_{FOLDERS[modality].lower()}_{trial}.txt"


def read_index(
    root: Path, split: str, modality: int, trial: int, complain: Complain = stop
) -> list[Labelled]:
    """Read one index file; the images themselves are not looked for.

    Raises:
        InputError: an unreadable file, a line without a label or with a foreign path.
    """
    pattern = re.compile(rf"{FOLDERS[modality]}/(\d+)/[^/]+")
    images = []
    for line in require_lines(root / index_name(split, modality, trial), complain):
        with told(complain):
            path, label = split_label(line)
            match = pattern.fullmatch(path)
            if match is None:
                raise line.refuse(
                    f"is not a path {FOLDERS[modality]}/IDENTITY/NAME; restore the file"
                    " as released"
                )
            row = Row(path, int(match[1]), modality, CAMERAS[modality])
            images.append(Labelled(row, label, line))
    return images


def read_split(
    root: Path, split: str, trial: int, complain: Complain = stop
) -> tuple[dict[int, list[Row]], dict[int, int]]:
    """Read the index files of a split.

    Returns:
        The images of each modality, and the label of each identity.
    """
    lists = [read_index(root, split, m, trial, complain) for m in FOLDERS]
    rows = [[image.row for image in images] for images in lists]
    return dict(zip(FOLDERS, rows, strict=True)), label_order("RegDB", lists, complain)


def layout(trial: int) -> Layout:
    """Describe the root folder, with the index files of one trial."""
    folders = tuple(f"{folder}/" for folder in FOLDERS.values())
    files = tuple(
        index_name(split, modality, trial)
        for split in ("train", "test")
        for modality in FOLDERS
    )
    lists = ("idx/", *files)
    return Layout(title="RegDB", key="regdb", entries=(*folders, *lists), lists=lists)


def trials(root: Path) -> list[int]:
    """List the trials whose index files are all there."""
    return [t for t in range(1, 11) if is_complete(root, layout(t))]


def load(root: str | Path, options: Options) -> Dataset:
    """Load RegDB's training images and the protocols asked for, of one trial.

    Label order is the order of the training lists. The lifelong table of the released
    code trains and tests on trial 1.

    Raises:
        InputError: a wrong or incomplete root, an unusable index file, absent images,
            an identity with one modality only.
    """
    expected = layout(options.trial)
    folder = open_root(root, expected)
    train, order = read_split(folder, "train", options.trial)
    test, _ = read_split(folder, "test", options.trial)
    every = (*train.values(), *test.values())
    require_images(folder, expected, (row.path for rows in every for row in rows))
    records = as_records(folder, itertools.chain(*train.values()))
    require_pairs("RegDB", records)
    return Dataset(
        name="regdb",
        root=folder,
        train=keep_identities(records, options.max_identities, order),
        protocols=_protocols(folder, test, options),
        resize_train=options.chain("regdb"),
        resize_test="lanczos",
    )


def survey(
    root: Path, options: Options, complain: Complain = stop, *, index_only: bool = False
) -> Survey:
    """List what the index files of a trial name, which are all images of the split.

    Args:
        root: the dataset's folder.
        options: as for `load`.
        complain: told of what cannot be used; raises it unless given.
        index_only: there are no images; they are not looked for anyway.
    """
    del index_only
    train, _ = read_split(root, "train", options.trial, complain)
    test, _ = read_split(root, "test", options.trial, complain)
    return of_splits(root, train, test, _protocols(root, test, options))


def _protocols(
    root: Path, tested: Mapping[int, Sequence[Row]], options: Options
) -> dict[str, Protocol]:
    """Make the protocols asked for; every image of the other modality is searched."""
    made = {}
    for name in options.chosen(PROTOCOLS):
        query = PROTOCOLS[name]
        sides = tested[query], tested[INFRARED if query == VISIBLE else VISIBLE]
        made[name] = of_trials(name, root, "standard", [sides])
    return made
