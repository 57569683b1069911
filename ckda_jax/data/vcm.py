"""HITSZ-VCM: 927 people in tracklets, twelve cameras (Lin et al. 2022)."""

import itertools
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ckda_jax.data.dataset import Dataset, Options, keep_identities, require_pairs
from ckda_jax.data.index import Line, require_lines
from ckda_jax.data.layout import Layout, open_root, require_images
from ckda_jax.data.protocol import LIFELONG, Protocol
from ckda_jax.data.row import Row, as_records
from ckda_jax.structs import INFRARED, VISIBLE

MODALITY = {1: INFRARED, 2: VISIBLE}  # as the track files number it
FOLDERS = {INFRARED: "ir", VISIBLE: "rgb"}
SHORTEST = 12  # frames of the shortest tracklet that is used
TRAIN_FRAMES = 3  # frames drawn from each training tracklet
TRAIN_SEED = 0  # of that draw: it belongs to the dataset as published, not to a run
NAME = re.compile(r"(\d{4})M([12])D(\d+)T(\d+)F(.+)")
LAYOUT = Layout(
    title="HITSZ-VCM",
    key="vcm",
    entries=(
        "Train/",
        "Test/",
        "info/",
        "info/train_name.txt",
        "info/track_train_info.txt",
        "info/test_name.txt",
        "info/track_test_info.txt",
        "info/query_IDX.txt",
    ),
)


class Search(NamedTuple):
    """A protocol: tracklets of one modality, searched for among those of the other.

    Attributes:
        query: modality of the tracklets searched for.
        frames: of each tracklet that are embedded.
        rule: name of the scoring rule.
    """

    query: int
    frames: int = 6
    rule: str = "vcm"


PROTOCOLS = {
    LIFELONG: Search(INFRARED, 1, "standard"),
    "infrared-to-visible": Search(INFRARED),
    "visible-to-infrared": Search(VISIBLE),
    "infrared-to-visible-first-frame": Search(INFRARED, 1),
    "visible-to-infrared-first-frame": Search(VISIBLE, 1),
}
"""Both directions of the paper (Lin et al. 2022), with six frames and with one."""


class Track(NamedTuple):
    """A tracklet: its 1-based number, by which the query list names it, and its line.

    Its frames are positions in the name list.
    """

    number: int
    modality: int
    frames: range
    identity: int
    camera: int
    line: Line


def read_tracks(root: Path, split: str) -> list[Track]:
    """Read the tracklets of a split (`train`, `test`), short ones included.

    Raises:
        InputError: an unreadable file, a line that describes no tracklet, or two that
            share frames.
    """
    tracks = []
    lines = require_lines(root / "info" / f"track_{split}_info.txt")
    for number, line in enumerate(lines, start=1):
        modality, first, last, identity, camera = line.integers(5)
        if modality not in MODALITY or not 1 <= first <= last:
            raise line.refuse(
                "is not `modality first last identity camera` with modality 1 or 2 and"
                " first at most last; restore the file as released"
            )
        frames = range(first - 1, last)
        tracks.append(Track(number, MODALITY[modality], frames, identity, camera, line))
    by_frame = sorted(tracks, key=lambda track: track.frames.start)
    for earlier, later in itertools.pairwise(by_frame):
        if later.frames.start < earlier.frames.stop:
            raise later.line.refuse(
                f"shares frames with line {earlier.line.number}; restore the file as"
                " released"
            )
    return tracks


def read_queries(root: Path, tracks: Sequence[Track]) -> set[int]:
    """Read the numbers of the query tracklets, the infrared ones of the test split.

    Raises:
        InputError: an unreadable file, or a number that is no infrared tracklet's.
    """
    queries: set[int] = set()
    infrared = {track.number for track in tracks if track.modality == INFRARED}
    for line in require_lines(root / "info" / "query_IDX.txt"):
        fields = line.text.split()
        for field in fields:
            if not field.isdecimal() or int(field) not in infrared:
                short = line._replace(text=field)
                raise short.refuse(
                    "is not the number of an infrared row of track_test_info.txt;"
                    " restore the file as released"
                )
        queries.update(map(int, fields))
    return queries


def long_tracks(tracks: Sequence[Track], modality: int) -> list[Track]:
    """Select the tracklets of a modality that are long enough to be used."""
    return [t for t in tracks if t.modality == modality and len(t.frames) >= SHORTEST]


def draw_frames(tracks: Sequence[Track]) -> list[tuple[Track, int]]:
    """Draw three frames of each long tracklet, as the released code prepares training.

    Python's generator, seed 0, infrared tracklets before visible ones.

    Returns:
        The tracklets with the drawn positions in the name list.
    """
    rng = random.Random(TRAIN_SEED)
    return [
        (track, track.frames[position])
        for modality in (INFRARED, VISIBLE)
        for track in long_tracks(tracks, modality)
        for position in rng.sample(range(len(track.frames)), TRAIN_FRAMES)
    ]


def spread_frames(tracks: Sequence[Track], count: int) -> list[tuple[Track, int]]:
    """Take frames of each tracklet, spread over it, by their places in the name list.

    Every `ceil(n / count)`-th of the n frames, from the first; the last one again where
    these are too few (Lin et al. 2022).
    """
    chosen = []
    for track in tracks:
        step = -(-len(track.frames) // count)
        places = np.minimum(step * np.arange(count), len(track.frames) - 1)
        chosen += [(track, track.frames[place]) for place in places.tolist()]
    return chosen


def find_frames(
    root: Path, split: str, frames: Sequence[tuple[Track, int]]
) -> list[Row]:
    """Find the paths of frames through the name list of a split.

    A name `0503M1D4T1F7.jpg` is the file `Test/0503/ir/D4/7.jpg`.

    Raises:
        InputError: a tracklet beyond the end of the list, a name that is not of this
            form, or a name of another identity, modality or camera than its tracklet's.
    """
    names = require_lines(root / "info" / f"{split}_name.txt")
    rows = []
    for track, position in frames:
        if track.frames[-1] >= len(names):
            raise track.line.refuse(
                f"reaches beyond the {len(names)} lines of {split}_name.txt; restore"
                " both files as released"
            )
        name = names[position]
        match = NAME.fullmatch(name.text)
        told = match and (int(match[1]), MODALITY[int(match[2])], int(match[3]))
        if not match or told != (track.identity, track.modality, track.camera):
            raise name.refuse(
                f"is not a frame of the tracklet in line {track.line.number} of"
                f" {track.line.file.name}; restore both files as released"
            )
        folder = f"{split.capitalize()}/{match[1]}/{FOLDERS[track.modality]}"
        path = f"{folder}/D{match[3]}/{match[5]}"
        rows.append(
            Row(path, track.identity, track.modality, track.camera, track.number)
        )
    return rows


def load(root: str | Path, options: Options) -> Dataset:
    """Load HITSZ-VCM image by image: training frames and the protocols asked for.

    As in the released code, three frames of each tracklet are trained on, among
    tracklets of at least twelve frames; in the lifelong table each test tracklet is its
    first frame. Label order is ascending identity.

    Raises:
        InputError: a wrong or incomplete root, an unusable index file, absent images,
            an identity with one modality only.
    """
    folder = open_root(root, LAYOUT)
    tracks = read_tracks(folder, "test")
    queries = read_queries(folder, tracks)
    tested = {
        INFRARED: [t for t in long_tracks(tracks, INFRARED) if t.number in queries],
        VISIBLE: long_tracks(tracks, VISIBLE),
    }
    rows = find_frames(folder, "train", draw_frames(read_tracks(folder, "train")))
    sides = {
        name: _find_sides(folder, PROTOCOLS[name], tested)
        for name in options.chosen(PROTOCOLS)
    }
    every = (row for side in itertools.chain(*sides.values()) for row in side)
    require_images(folder, LAYOUT, (row.path for row in (*rows, *every)))
    records = as_records(folder, rows)
    require_pairs("HITSZ-VCM", records)
    return Dataset(
        name="vcm",
        root=folder,
        train=keep_identities(records, options.max_identities),
        protocols={
            name: _protocol(folder, name, *found) for name, found in sides.items()
        },
        resize_train=options.chain("vcm"),
        resize_test=options.chain("bilinear"),
    )


def _find_sides(
    root: Path, search: Search, tested: Mapping[int, Sequence[Track]]
) -> list[list[Row]]:
    """Find the frames of a protocol's queries and of its gallery."""
    gallery = VISIBLE if search.query == INFRARED else INFRARED
    return [
        find_frames(root, "test", spread_frames(tested[modality], search.frames))
        for modality in (search.query, gallery)
    ]


def _protocol(
    root: Path, name: str, query: Sequence[Row], gallery: Sequence[Row]
) -> Protocol:
    search = PROTOCOLS[name]
    return Protocol(
        name=name,
        query=as_records(root, query),
        gallery=as_records(root, gallery),
        rule=search.rule,
        pooled=search.frames > 1,
    )
