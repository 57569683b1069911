"""The tracklets of HITSZ-VCM, as its track files list them."""

import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ckda_jax.data.complaint import Complain, stop, told
from ckda_jax.data.index import Line, require_lines
from ckda_jax.structs import INFRARED, VISIBLE

MODALITY = {1: INFRARED, 2: VISIBLE}  # as the track files number it
SHORTEST = 12  # frames of the shortest tracklet that is used
TRAIN_FRAMES = 3  # frames drawn from each training tracklet
TRAIN_SEED = 0  # of that draw: it belongs to the dataset as published, not to a run


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


def read_tracks(root: Path, split: str, complain: Complain = stop) -> list[Track]:
    """Read the tracklets of a split (`train`, `test`), short ones included.

    Args:
        root: the dataset's folder.
        split: `train` or `test`.
        complain: told of what cannot be used; raises it unless given.

    Raises:
        InputError: an unreadable file, a line that describes no tracklet, or two that
            share frames.
    """
    tracks = []
    lines = require_lines(root / "info" / f"track_{split}_info.txt", complain)
    for number, line in enumerate(lines, start=1):
        with told(complain):
            tracks.append(_track(number, line))
    by_frame = sorted(tracks, key=lambda track: track.frames.start)
    for earlier, later in itertools.pairwise(by_frame):
        if later.frames.start < earlier.frames.stop:
            complain(
                later.line.refuse(
                    f"shares frames with line {earlier.line.number}; restore the file"
                    " as released"
                )
            )
    return tracks


def _track(number: int, line: Line) -> Track:
    modality, first, last, identity, camera = line.integers(5)
    if modality not in MODALITY or not 1 <= first <= last:
        raise line.refuse(
            "is not `modality first last identity camera` with modality 1 or 2 and"
            " first at most last; restore the file as released"
        )
    frames = range(first - 1, last)
    return Track(number, MODALITY[modality], frames, identity, camera, line)


def read_queries(
    root: Path, tracks: Sequence[Track], complain: Complain = stop
) -> set[int]:
    """Read the numbers of the query tracklets, the infrared ones of the test split.

    Args:
        root: the dataset's folder.
        tracks: those of the test split.
        complain: told of what cannot be used; raises it unless given.

    Raises:
        InputError: an unreadable file, or a number that is no infrared tracklet's.
    """
    queries: set[int] = set()
    infrared = {track.number for track in tracks if track.modality == INFRARED}
    for line in require_lines(root / "info" / "query_IDX.txt", complain):
        for field in line.text.split():
            if field.isdecimal() and int(field) in infrared:
                queries.add(int(field))
            else:
                short = line._replace(text=field)
                complain(
                    short.refuse(
                        "is not the number of an infrared row of track_test_info.txt;"
                        " restore the file as released"
                    )
                )
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
