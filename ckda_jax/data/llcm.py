"""LLCM: 1,064 people under low light, nine cameras (Zhang and Wang 2023)."""

import random
import re
from collections import defaultdict
from collections.abc import Iterable
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
from ckda_jax.data.index import Labelled, label_order, require_lines, split_label
from ckda_jax.data.layout import Layout, open_root, require_images
from ckda_jax.structs import INFRARED, VISIBLE

FOLDERS = {VISIBLE: "vis", INFRARED: "nir"}
# The test_vis/ and test_nir/ trees of the release are copies of images in vis/ and nir/
# and are not read.
LAYOUT = Layout(
    title="LLCM",
    key="llcm",
    entries=(
        "vis/",
        "nir/",
        "idx/",
        "idx/train_vis.txt",
        "idx/train_nir.txt",
        "idx/test_vis.txt",
        "idx/test_nir.txt",
    ),
)


def read_index(root: Path, split: str, modality: int) -> list[Labelled]:
    """Read one index file; the images themselves are not looked for.

    Raises:
        InputError: an unreadable file, a line without a label or with a foreign path.
    """
    folder = FOLDERS[modality]
    pattern = re.compile(rf"{folder}/(\d+)/\1_c(\d+)_s\d+_f\d+_{folder}\.jpg")
    images = []
    for line in require_lines(root / "idx" / f"{split}_{folder}.txt"):
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
    """Load LLCM's training images and its infrared-to-visible protocol.

    Label order is the order of the training lists; the released CKDA code keeps the
    first 500 identities of it. Scored as in the lifelong table, by the standard rule;
    camera and identity come from the file names.

    Raises:
        InputError: a wrong or incomplete root, an unusable index file, absent images,
            an identity with one modality only.
    """
    folder = open_root(root, LAYOUT)
    train = [read_index(folder, "train", m) for m in FOLDERS]
    test = [read_index(folder, "test", m) for m in FOLDERS]
    order = label_order("LLCM", train)
    label_order("LLCM", test)
    tables = [[image.row for image in images] for images in (*train, *test)]
    require_images(folder, LAYOUT, (row.path for rows in tables for row in rows))
    records = as_records(folder, [*tables[0], *tables[1]])
    require_pairs("LLCM", records)
    protocol = Protocol(
        name="infrared-to-visible",
        query=as_records(folder, tables[3]),
        gallery=as_records(folder, draw_gallery(tables[2], options.seed)),
        rule="standard",
    )
    return Dataset(
        name="llcm",
        root=folder,
        train=keep_identities(records, options.max_identities, order),
        protocols={protocol.name: protocol},
        resize_train="lanczos",
        resize_test="lanczos",
    )
