"""A synthetic RegDB: one colour and one thermal camera, ten paired frames a person."""

import numpy as np

from ckda_jax.data.synthetic.layout import Layout, Picture, Size
from ckda_jax.data.synthetic.streams import stream

FRAMES = 10
TRIALS = 10
_FOLDERS = {False: ("Visible", "v"), True: ("Thermal", "t")}
_VIEWS = ("front", "back")


def layout(size: Size, *, seed: int) -> Layout:
    """Lay out RegDB: `Visible/`, `Thermal/` and the lists of ten trials in `idx/`.

    Visible and thermal files are twins by name and line; the moments they show are not
    the same, or their outlines would coincide. Labels restart at 0 in every list.
    """
    rng = stream(seed, "regdb", "layout")
    total = size.identities + size.test_identities
    names = {pid: _frame_names(pid, rng) for pid in range(1, total + 1)}
    pictures = [
        Picture(
            path=_path(pid, name, infrared),
            person=pid - 1,
            camera=(infrared, 1),
            shot=2 * ((pid - 1) * FRAMES + k) + infrared,
            view=_VIEWS.index(name.split("_")[1]),
        )
        for pid, frames in names.items()
        for infrared in (False, True)
        for k, name in enumerate(frames)
    ]
    texts = {}
    for trial in range(1, TRIALS + 1):
        order = rng.permutation(total) + 1
        parts = {"train": order[: size.identities], "test": order[size.identities :]}
        for part, pids in parts.items():
            for infrared, word in ((False, "visible"), (True, "thermal")):
                lines = [
                    f"{_path(int(pid), name, infrared)} {label}\r\n"
                    for label, pid in enumerate(pids)
                    for name in names[int(pid)]
                ]
                texts[f"idx/{part}_{word}_{trial}.txt"] = "".join(lines)
    return Layout(folder="RegDB", pictures=pictures, texts=texts)


def _frame_names(pid: int, rng: np.random.Generator) -> list[str]:
    """Name a person's frames: gender, side seen, modality (open), frame, person."""
    gender = ("male", "female")[int(rng.integers(2))]
    frames = int(rng.integers(0, 14700)) + np.cumsum(rng.integers(2, 4, FRAMES))
    views = rng.integers(2, size=FRAMES)
    return [
        f"{gender}_{_VIEWS[view]}_%s_{frame:05d}_{pid}.bmp"
        for frame, view in zip(frames.tolist(), views.tolist(), strict=True)
    ]


def _path(pid: int, name: str, infrared: bool) -> str:
    folder, letter = _FOLDERS[infrared]
    return f"{folder}/{pid}/{name % letter}"
