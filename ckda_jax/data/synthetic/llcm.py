"""A synthetic LLCM: nine cameras in low light, each recording both modalities."""

import numpy as np

from ckda_jax.data.synthetic.layout import Layout, Picture, Size
from ckda_jax.data.synthetic.streams import stream

_WORDS = {False: "vis", True: "nir"}
_SHARES = {
    False: (2, 1, 33, 34, 22, 1, 3, 4, 1),
    True: (1, 2, 0, 2, 30, 56, 3, 4, 2),
}
"""Images of cameras 1 to 9, in percent: about the real shares; no infrared camera 3."""


def layout(size: Size, *, seed: int) -> Layout:
    """Lay out LLCM: `vis/`, `nir/`, the copies in `test_vis/`, `test_nir/`, and `idx/`.

    Identities divisible by three are the test's. Labels count identities in a random
    order, the same in both modalities; files within an identity are unsorted.
    """
    rng = stream(seed, "llcm", "layout")
    test = [3 * n for n in range(size.test_identities)]
    train = [n // 2 * 3 + n % 2 + 1 for n in range(size.identities)]
    people = {pid: n for n, pid in enumerate(sorted(train + test))}
    pictures: list[Picture] = []
    texts: dict[str, str] = {}
    copies: dict[str, str] = {}
    for part, pids in (("train", train), ("test", test)):
        order = rng.permutation(pids).tolist()
        lines: dict[bool, list[str]] = {False: [], True: []}
        for label, pid in enumerate(order):
            cameras = _cameras(rng, shared=label == 0)
            for infrared in (False, True):
                for camera, name in _names(pid, cameras[infrared], infrared, size, rng):
                    path = f"{_WORDS[infrared]}/{pid:04d}/{name}"
                    picture = Picture(
                        path=path,
                        person=people[pid],
                        camera=(infrared, camera),
                        shot=len(pictures),
                    )
                    pictures.append(picture)
                    lines[infrared].append(f"{path} {label}\n")
                    if part == "test":
                        tree = f"test_{_WORDS[infrared]}/cam{camera}/{pid:04d}"
                        copies[f"{tree}/{name}"] = path
        for infrared, word in _WORDS.items():
            texts[f"idx/{part}_{word}.txt"] = "".join(lines[infrared])
        if part == "test":
            texts["idx/test_id.txt"] = ",".join(f"{pid:04d}" for pid in order)
    return Layout(folder="LLCM", pictures=pictures, texts=texts, copies=copies)


def _cameras(rng: np.random.Generator, *, shared: bool) -> dict[bool, list[int]]:
    """Choose a person's cameras: mostly one, seldom the same for both modalities."""
    chosen = {}
    for infrared, shares in _SHARES.items():
        weights = np.asarray(shares) / sum(shares)
        count = 1 + int(rng.uniform() < 0.35)
        chosen[infrared] = (1 + rng.choice(9, count, replace=False, p=weights)).tolist()
    if shared:
        chosen[True][0] = chosen[False][0] = 5
    return {infrared: sorted(set(cameras)) for infrared, cameras in chosen.items()}


def _names(
    pid: int, cameras: list[int], infrared: bool, size: Size, rng: np.random.Generator
) -> list[tuple[int, str]]:
    """Name a person's files of one modality: camera, session time and frame."""
    names = []
    for k, camera in enumerate(cameras):
        count = size.images // len(cameras) + (k < size.images % len(cameras))
        hour, minute, second = rng.integers((18, 0, 0), (22, 60, 60)).tolist()
        frames = 15 * rng.choice(np.arange(1, 1500), count, replace=False)
        names += [
            (
                camera,
                f"{pid:04d}_c{camera:02d}_s{hour:02d}{minute:02d}{second:02d}"
                f"_f{frame}_{_WORDS[infrared]}.jpg",
            )
            for frame in frames.tolist()
        ]
    return names
