"""A synthetic SYSU-MM01: four colour and two near-infrared cameras, indoors and out."""

import numpy as np

from ckda_jax.data.synthetic.layout import Layout, Picture, Size
from ckda_jax.data.synthetic.streams import stream

INFRARED = (3, 6)
_ALL = (1, 2, 3, 4, 5, 6)
_OUTDOOR = (3, 4, 5, 6)
_FEW = (3, 4, 5)


def layout(size: Size, *, seed: int) -> Layout:
    """Lay out SYSU-MM01: `camK/PPPP/FFFF.jpg` and the lists of identities in `exp/`.

    A quarter of the training people are the validation list, as loaders merge the two.
    As in the real one, not everybody passes every camera, and a folder or two belong to
    people in no list.
    """
    rng = stream(seed, "sysu", "layout")
    held = max(1, size.identities // 4)
    early = size.identities - held + size.test_identities
    pids = np.sort(
        rng.choice(np.arange(1, round(1.1 * early) + 2), early, replace=False)
    )
    unlisted = int(pids[-1]) + 1
    mixed = rng.permutation(pids).tolist()
    parts = {
        "train": sorted(mixed[size.test_identities :]),
        "val": [unlisted + 1 + k for k in range(held)],
        "test": sorted(mixed[: size.test_identities]),
    }
    counts: dict[tuple[int, int], int] = {(unlisted, 3): 2}
    for part, members in parts.items():
        for rank, pid in enumerate(members):
            cameras = _cameras(part, rank)
            counts |= {(pid, c): n for c, n in _counts(part, cameras, size).items()}
    texts = {
        f"exp/{part}_id.txt": _line(members) for part, members in parts.items()
    } | {"exp/available_id.txt": _line(sorted(sum(parts.values(), [])))}
    people = {pid: n for n, pid in enumerate(sorted({pid for pid, _ in counts}))}
    places = [(pid, c, k) for (pid, c), n in sorted(counts.items()) for k in range(n)]
    pictures = [
        Picture(
            path=f"cam{camera}/{pid:04d}/{k + 1:04d}.jpg",
            person=people[pid],
            camera=(camera in INFRARED, camera),
            shot=shot,
        )
        for shot, (pid, camera, k) in enumerate(places)
    ]
    return Layout(folder="SYSU-MM01", pictures=pictures, texts=texts)


def _cameras(part: str, rank: int) -> tuple[int, ...]:
    """Choose who passes which cameras, in about the real proportions."""
    if part == "val":
        return _FEW
    if part == "test":
        return _OUTDOOR if rank % 5 in (1, 3) else _ALL
    return _FEW if rank % 3 == 2 else _ALL


def _counts(part: str, cameras: tuple[int, ...], size: Size) -> dict[int, int]:
    """Spread a person's images over the cameras."""
    counts = {}
    for infrared in (False, True):
        mine = [c for c in cameras if (c in INFRARED) == infrared]
        for k, camera in enumerate(mine):
            count = size.images // len(mine) + (k < size.images % len(mine))
            if part == "test":
                count = max(1, count) if infrared else size.shots
            if count:
                counts[camera] = count
    return counts


def _line(pids: list[int]) -> str:
    return ",".join(map(str, pids)) + "\n"
