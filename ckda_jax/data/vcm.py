"""HITSZ-VCM: 927 people in tracklets, twelve cameras (Lin et al. 2022)."""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ckda_jax.data.complaint import Complain, stop, told
from ckda_jax.data.dataset import Dataset, Options, keep_identities, require_pairs
from ckda_jax.data.index import Line, require_lines
from ckda_jax.data.layout import Layout, open_root, require_images
from ckda_jax.data.protocol import LIFELONG, Protocol
from ckda_jax.data.row import Row, as_records
from ckda_jax.data.survey import Survey
from ckda_jax.data.tracks import (
    MODALITY,
    Track,
    draw_frames,
    long_tracks,
    read_queries,
    read_tracks,
    spread_frames,
)
from ckda_jax.structs import INFRARED, VISIBLE, Records

SPLITS = ("train", "test")
FOLDERS = {INFRARED: "ir", VISIBLE: "rgb"}
NAME = re.compile(r"(\d{4})M([12])D(\d+)T(\d+)F(.+)")
LISTS = (
    "info/",
    "info/track_train_info.txt",
    "info/track_test_info.txt",
    "info/query_IDX.txt",
)
NAMES = ("info/train_name.txt", "info/test_name.txt")
LAYOUT = Layout(
    title="HITSZ-VCM",
    key="vcm",
    entries=("Train/", "Test/", *LISTS, *NAMES),
    lists=LISTS,
    hints=(
        (
            "[0-9][0-9][0-9][0-9]/rgb",
            "people lie in the root itself, as in copies without a level for the split:"
            " move those of info/train_name.txt into Train/ and the others into Test/",
        ),
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


def find_frames(
    root: Path,
    split: str,
    frames: Iterable[tuple[Track, int]],
    complain: Complain = stop,
) -> dict[int, Row]:
    """Find the paths of frames through the name list of a split.

    A name `0503M1D4T1F7.jpg` is the file `Test/0503/ir/D4/7.jpg`.

    Args:
        root: the dataset's folder.
        split: `train` or `test`.
        frames: tracklets with positions in the name list.
        complain: told of what cannot be used; raises it unless given.

    Returns:
        The frames by position.

    Raises:
        InputError: a tracklet beyond the end of the list, a name that is not of this
            form, or a name of another identity, modality or camera than its tracklet's.
    """
    names = require_lines(root / "info" / f"{split}_name.txt", complain)
    found: dict[int, Row] = {}
    for track, position in frames:
        with told(complain):
            found[position] = _row(track, _frame_path(track, position, names, split))
    return found


def _frame_path(track: Track, position: int, names: Sequence[Line], split: str) -> str:
    """Name the file of a frame, relative to the root."""
    if track.frames[-1] >= len(names):
        raise track.line.refuse(
            f"reaches beyond the {len(names)} lines of {split}_name.txt; restore"
            " both files as released"
        )
    name = names[position]
    match = NAME.fullmatch(name.text)
    said = match and (int(match[1]), MODALITY[int(match[2])], int(match[3]))
    if not match or said != (track.identity, track.modality, track.camera):
        raise name.refuse(
            f"is not a frame of the tracklet in line {track.line.number} of"
            f" {track.line.file.name}; restore both files as released"
        )
    folder = f"{split.capitalize()}/{match[1]}/{FOLDERS[track.modality]}"
    return f"{folder}/D{match[3]}/{match[5]}"


def _row(track: Track, path: str) -> Row:
    return Row(path, track.identity, track.modality, track.camera, track.number)


def number_frames(split: str, tracks: Iterable[Track]) -> dict[int, Row]:
    """Name the frames of tracklets by their lines in the name list, without reading it.

    Returns:
        The frames by position.
    """
    return {
        place: Row(f"{split}_name.txt:{place + 1}", *facts)
        for track in tracks
        for facts in [(track.identity, track.modality, track.camera, track.number)]
        for place in track.frames
    }


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
    drawn = draw_frames(read_tracks(folder, "train"))
    tested = _used(folder, read_tracks(folder, "test"))
    searches = [PROTOCOLS[name] for name in options.chosen(PROTOCOLS)]
    shown = (frame for s in searches for side in _sides(s, tested) for frame in side)
    learned, listed = (
        find_frames(folder, split, frames)
        for split, frames in (("train", drawn), ("test", shown))
    )
    every = itertools.chain(learned.values(), listed.values())
    require_images(folder, LAYOUT, (row.path for row in every))
    records = _records(folder, learned, drawn)
    require_pairs("HITSZ-VCM", records)
    return Dataset(
        name="vcm",
        root=folder,
        train=keep_identities(records, options.max_identities),
        protocols=_protocols(folder, options, tested, listed),
        resize_train=options.chain("vcm"),
        resize_test=options.chain("bilinear"),
    )


def survey(
    root: Path, options: Options, complain: Complain = stop, *, index_only: bool = False
) -> Survey:
    """List every frame of every tracklet, the short ones included.

    Args:
        root: the dataset's folder.
        options: as for `load`.
        complain: told of what cannot be used; raises it unless given.
        index_only: there are no images and no name lists: frames are named by their
            lines in these.
    """
    tracks = {split: read_tracks(root, split, complain) for split in SPLITS}
    listed = {}
    for split in SPLITS:
        if index_only:
            listed[split] = number_frames(split, tracks[split])
        else:
            frames = ((track, n) for track in tracks[split] for n in track.frames)
            listed[split] = find_frames(root, split, frames, complain)
    tested = _used(root, tracks["test"], complain)
    return Survey(
        splits={s: as_records(root, found.values()) for s, found in listed.items()},
        train=_records(root, listed["train"], draw_frames(tracks["train"])),
        protocols=_protocols(root, options, tested, listed["test"]),
    )


def _used(
    root: Path, tracks: Sequence[Track], complain: Complain = stop
) -> dict[int, list[Track]]:
    """Select the test tracklets of each modality that are searched for or among."""
    queries = read_queries(root, tracks, complain)
    return {
        INFRARED: [t for t in long_tracks(tracks, INFRARED) if t.number in queries],
        VISIBLE: long_tracks(tracks, VISIBLE),
    }


def _sides(
    search: Search, tested: Mapping[int, Sequence[Track]]
) -> tuple[list[tuple[Track, int]], list[tuple[Track, int]]]:
    """Choose the frames of a protocol's queries and of its gallery."""
    gallery = VISIBLE if search.query == INFRARED else INFRARED
    query, searched = (
        spread_frames(tested[modality], search.frames)
        for modality in (search.query, gallery)
    )
    return query, searched


def _protocols(
    root: Path,
    options: Options,
    tested: Mapping[int, Sequence[Track]],
    listed: Mapping[int, Row],
) -> dict[str, Protocol]:
    """Make the protocols asked for of the listed frames."""
    made = {}
    for name in options.chosen(PROTOCOLS):
        search = PROTOCOLS[name]
        query, gallery = (
            _records(root, listed, side) for side in _sides(search, tested)
        )
        made[name] = Protocol(
            name=name,
            query=query,
            gallery=gallery,
            rule=search.rule,
            pooled=search.frames > 1,
        )
    return made


def _records(
    root: Path, listed: Mapping[int, Row], frames: Iterable[tuple[Track, int]]
) -> Records:
    """Make the table of some frames, of those among them that are listed."""
    return as_records(root, (listed[place] for _, place in frames if place in listed))
