"""A synthetic HITSZ-VCM: tracklets, twelve cameras, any of them in either modality."""

import dataclasses

import numpy as np

from ckda_jax.data.synthetic.layout import Layout, Picture, Size
from ckda_jax.data.synthetic.streams import stream

CHUNK = 24
"""Longer tracks are cut into pieces of this many frames and a remainder."""
USABLE = 12
"""Shorter tracklets are ignored by every loader."""
SAMPLED = 3
"""Training images that loaders take from a tracklet."""
CAMERAS = 3
"""Cameras that film a person in one modality."""
_FIRST_TEST = 503
_MODALITIES = {False: (2, "rgb"), True: (1, "ir")}


@dataclasses.dataclass
class _Part:
    """One of the two halves, as its lists grow."""

    folder: str
    names: list[str] = dataclasses.field(default_factory=list)
    tracks: list[str] = dataclasses.field(default_factory=list)
    infrared_rows: list[int] = dataclasses.field(default_factory=list)


def layout(size: Size, *, seed: int) -> Layout:
    """Lay out HITSZ-VCM: `Train/`, `Test/` and the lists in `info/`.

    A person's colour and infrared cameras are disjoint. Rows of a track list name lines
    of the name list, from 1, ends included; the last lines belong to no tracklet.
    """
    rng = stream(seed, "vcm", "layout")
    pictures: list[Picture] = []
    train = _numbers(1, size.identities, rng)
    test = _numbers(max(_FIRST_TEST, train[-1] + 1), size.test_identities, rng)
    parts = (_Part("Train"), _Part("Test"))
    people = {pid: n for n, pid in enumerate(train + test)}
    for part, pids, cameras in zip(parts, (train, test), (6, 12), strict=True):
        for pid in pids:
            order = (1 + rng.permutation(cameras)).tolist()
            for infrared in (False, True):
                first = CAMERAS * infrared
                mine = sorted(order[first : first + CAMERAS])
                _walk(part, (pid, people[pid], infrared), mine, size, rng, pictures)
        _stragglers(part, pictures)
    texts = {
        "info/train_name.txt": "".join(f"{name}\n" for name in parts[0].names),
        "info/track_train_info.txt": "".join(f"{row}\n" for row in parts[0].tracks),
        "info/test_name.txt": "".join(f"{name}\n" for name in parts[1].names),
        "info/track_test_info.txt": "".join(f"{row}\n" for row in parts[1].tracks),
        "info/query_IDX.txt": " ".join(map(str, parts[1].infrared_rows)),
    }
    return Layout(folder="HITSZ-VCM", pictures=pictures, texts=texts, shrink=0.75)


def _numbers(first: int, count: int, rng: np.random.Generator) -> list[int]:
    """Number people upwards with a gap now and then."""
    steps = 1 + (rng.uniform(size=count) < 0.05)
    return (first - 1 + np.cumsum(steps)).tolist()


def _lengths(size: Size, rng: np.random.Generator) -> list[int]:
    """Draw lengths of a person's tracks: all usable, now and then a long one.

    Every camera has one at least: the frames of a single tracklet all look alike.
    """
    usable = max(CAMERAS, -(-size.images // SAMPLED))
    lengths = rng.integers(USABLE, USABLE + 4, usable).tolist()
    if rng.uniform() < 0.25:
        lengths[0] = CHUNK + int(rng.integers(1, USABLE))
    return lengths


def _walk(
    part: _Part,
    who: tuple[int, int, bool],
    cameras: list[int],
    size: Size,
    rng: np.random.Generator,
    pictures: list[Picture],
) -> None:
    """Add a person's tracks of one modality to a part, camera by camera."""
    pid, person, infrared = who
    lengths = _lengths(size, rng)
    for k, camera in enumerate(cameras):
        frame, tracklet = 0, 0
        for length in lengths[k :: len(cameras)]:
            shot = len(pictures)
            rows = []
            for step in range(length):
                frame += 1 + int(rng.uniform() < 0.1)
                rows.append((step, frame))
            for start in range(0, length, CHUNK):
                tracklet += 1
                chunk = rows[start : start + CHUNK]
                _add_tracklet(part, (pid, infrared, camera, tracklet), chunk)
                for step, number in chunk:
                    path = _path(part.folder, pid, infrared, camera, number)
                    pictures.append(
                        Picture(
                            path=path,
                            person=person,
                            camera=(infrared, camera),
                            shot=shot,
                            frame=step,
                        )
                    )


def _add_tracklet(
    part: _Part, key: tuple[int, bool, int, int], chunk: list[tuple[int, int]]
) -> None:
    pid, infrared, camera, tracklet = key
    modality = _MODALITIES[infrared][0]
    start = len(part.names) + 1
    part.names += [
        f"{pid:04d}M{modality}D{camera}T{tracklet}F{frame}.jpg" for _, frame in chunk
    ]
    part.tracks.append(f"{modality} {start} {len(part.names)} {pid:04d} {camera}")
    if infrared:
        part.infrared_rows.append(len(part.tracks))


def _stragglers(part: _Part, pictures: list[Picture]) -> None:
    """Add two frames that belong to no tracklet, after a part's last one."""
    last = pictures[-1]
    stem, number = part.names[-1].removesuffix(".jpg").rsplit("F", 1)
    folder = last.path.rsplit("/", 1)[0]
    for more in (1, 2):
        frame = int(number) + more
        part.names.append(f"{stem}F{frame}.jpg")
        path = f"{folder}/{frame}.jpg"
        pictures.append(dataclasses.replace(last, path=path, frame=last.frame + more))


def _path(folder: str, pid: int, infrared: bool, camera: int, frame: int) -> str:
    return f"{folder}/{pid:04d}/{_MODALITIES[infrared][1]}/D{camera}/{frame}.jpg"
