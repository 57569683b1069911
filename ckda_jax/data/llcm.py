"""LLCM: 1,064 people under low light, nine cameras (Zhang and Wang 2023)."""

import itertools
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ckda_jax.data.complaint import Complain, stop, told
from ckda_jax.data.dataset import Dataset, Options, keep_identities, require_pairs
from ckda_jax.data.index import Labelled, label_order, require_lines, split_label
from ckda_jax.data.layout import Layout, open_root, require_images
from ckda_jax.data.protocol import LIFELONG, Protocol, of_trials
from ckda_jax.data.row import Row, as_records
from ckda_jax.data.survey import Survey, of_splits
from ckda_jax.structs import INFRARED, VISIBLE

FOLDERS = {VISIBLE: "vis", INFRARED: "nir"}
LISTS = (
    "idx/",
    "idx/train_vis.txt",
    "idx/train_nir.txt",
    "idx/test_vis.txt",
    "idx/test_nir.txt",
)
# The test_vis/ and test_nir/ trees of the release are copies of images in vis/ and nir/
# and are not read.
LAYOUT = Layout(
    title="LLCM",
    key="llcm",
    entries=("vis/", "nir/", *LISTS),
    lists=LISTS,
)


class Search(NamedTuple):
    """A protocol: whose galleries are drawn, in which modality, how often, and how.

    Attributes:
        drawn: modality of the drawn images, one of each identity and camera.
        trials: draws, whose scores are averaged.
        rule: name of the scoring rule.
        swapped: whether the drawn images are the queries and all others the gallery.
    """

    drawn: int
    trials: int = 10
    rule: str = "llcm"
    swapped: bool = False


PROTOCOLS = {
    LIFELONG: Search(VISIBLE, trials=1, rule="standard"),
    "infrared-to-visible": Search(VISIBLE),
    "visible-to-infrared": Search(INFRARED),
    "visible-to-infrared-released": Search(INFRARED, swapped=True),
}
"""The paper's two directions (Zhang and Wang 2023), and what the released test code
computes for the second: it draws the infrared gallery, then swaps the two roles."""


def read_index(
    root: Path, split: str, modality: int, complain: Complain = stop
) -> list[Labelled]:
    """Read one index file; the images themselves are not looked for.

    Raises:
        InputError: an unreadable file, a line without a label or with a foreign path.
    """
    folder = FOLDERS[modality]
    pattern = re.compile(rf"{folder}/(\d+)/\1_c(\d+)_s\d+_f\d+_{folder}\.jpg")
    images = []
    for line in require_lines(root / "idx" / f"{split}_{folder}.txt", complain):
        with told(complain):
            path, label = split_label(line)
            match = pattern.fullmatch(path)
            if match is None:
                raise line.refuse(
                    f"is not a path {folder}/ID/ID_cCAMERA_sTIME_fFRAME_{folder}.jpg;"
                    " restore the file as released"
                )
            row = Row(path, int(match[1]), modality, int(match[2]))
            images.append(Labelled(row, label, line))
    return images


def read_split(
    root: Path, split: str, complain: Complain = stop
) -> tuple[dict[int, list[Row]], dict[int, int]]:
    """Read the index files of a split.

    Returns:
        The images of each modality, and the label of each identity.
    """
    lists = [read_index(root, split, m, complain) for m in FOLDERS]
    rows = [[image.row for image in images] for images in lists]
    return dict(zip(FOLDERS, rows, strict=True)), label_order("LLCM", lists, complain)


def draw_gallery(rows: Iterable[Row], seed: int) -> list[Row]:
    """Draw one image for each identity and camera.

    The draws of the released LLCM code: Python's generator, identities ascending,
    cameras ascending, one choice among the sorted file names.
    """
    groups: dict[tuple[int, int], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.identity, row.camera].append(row)
    rng = random.Random(seed)
    return [rng.choice(sorted(groups[group])) for group in sorted(groups)]


def load(root: str | Path, options: Options) -> Dataset:
    """Load LLCM's training images and the protocols asked for.

    Label order is the order of the training lists; the released CKDA code keeps the
    first 500 identities of it. The lifelong table scores by the standard rule. Camera
    and identity come from the file names.

    Raises:
        InputError: a wrong or incomplete root, an unusable index file, absent images,
            an identity with one modality only.
    """
    folder = open_root(root, LAYOUT)
    train, order = read_split(folder, "train")
    test, _ = read_split(folder, "test")
    every = (*train.values(), *test.values())
    require_images(folder, LAYOUT, (row.path for rows in every for row in rows))
    records = as_records(folder, itertools.chain(*train.values()))
    require_pairs("LLCM", records)
    return Dataset(
        name="llcm",
        root=folder,
        train=keep_identities(records, options.max_identities, order),
        protocols=_protocols(folder, test, options),
        resize_train="lanczos",
        resize_test="lanczos",
        drawn_from=as_records(folder, itertools.chain(*test.values())),
    )


def survey(
    root: Path, options: Options, complain: Complain = stop, *, index_only: bool = False
) -> Survey:
    """List what the index files name, which are all images of the dataset.

    Args:
        root: the dataset's folder.
        options: as for `load`.
        complain: told of what cannot be used; raises it unless given.
        index_only: there are no images; they are not looked for anyway.
    """
    del index_only
    train, _ = read_split(root, "train", complain)
    test, _ = read_split(root, "test", complain)
    return of_splits(root, train, test, _protocols(root, test, options))


def _protocols(
    root: Path, tested: Mapping[int, Sequence[Row]], options: Options
) -> dict[str, Protocol]:
    return {
        name: _protocol(root, name, tested, options.seed)
        for name in options.chosen(PROTOCOLS)
    }


def _protocol(
    root: Path, name: str, tested: Mapping[int, Sequence[Row]], seed: int
) -> Protocol:
    """Draw the trials of a protocol, the first with the seed, and so on."""
    search = PROTOCOLS[name]
    others = tested[INFRARED if search.drawn == VISIBLE else VISIBLE]
    trials = []
    for trial in range(search.trials):
        drawn = draw_gallery(tested[search.drawn], seed + trial)
        trials.append((drawn, others) if search.swapped else (others, drawn))
    return of_trials(name, root, search.rule, trials)
