"""Measure the synthetic world: how fast it is drawn and what leaks; prints JSON.

    python benchmarks/synthetic.py

`images_per_second` is drawn per core and second of processor time; `medium_world` is
the world of that size as one process writes it to disk, on the clock. `leaks` are
shares of infrared training images whose nearest visible one (by mean-normalised raw
pixels, by colour histogram, by file size) shows the same person: means over several
worlds, to be held against `chance`.
"""

import json
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from ckda_jax.data import catalog, synthetic
from ckda_jax.structs import INFRARED, VISIBLE

SEEDS = range(8)
WORLD = synthetic.Size(identities=24, test_identities=4, images=6, shots=1, height=64)
SIZES = ((64, 32), (128, 64), (256, 128))


def drawing_speed(size: tuple[int, int]) -> float:
    """Draw visible images of many people before many cameras; images a second."""
    group = synthetic.crowd(0, identities=100, cameras=16)
    labels = np.arange(100)
    synthetic.pretraining_images(group, labels, draw=0, size=size)  # draws the places
    start = time.process_time()
    for draw in range(4):
        synthetic.pretraining_images(group, labels, draw=draw, size=size)
    return 4 * len(labels) / (time.process_time() - start)


def medium_world() -> dict[str, float]:
    """Write the medium world, files included."""
    counts = []
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        synthetic.write(
            Path(folder) / "world",
            seed=0,
            size=synthetic.SIZES["medium"],
            progress=lambda _, total: counts.append(total),
        )
        seconds = time.perf_counter() - start
    return {"pictures": counts[-1], "seconds": round(seconds, 1)}


def describe(path: str) -> dict[str, np.ndarray]:
    """Measure what a matcher without any learning could go by."""
    with Image.open(path) as image:
        small = np.asarray(image.convert("L").resize((16, 32)), np.float64).ravel()
        colours = np.asarray(image.convert("RGB")).reshape(-1, 3).T
    centred = small - small.mean()
    bins = [np.histogram(c, 16, (0, 256), density=True)[0] for c in colours]
    return {
        "pixels": centred / np.linalg.norm(centred),
        "histogram": np.concatenate(bins),
        "file_size": np.array([float(Path(path).stat().st_size)]),
    }


def leaks(site: str, root: Path) -> dict[str, float]:
    """Match a site's infrared training images with its visible ones."""
    train = catalog.load(site, root).train
    rows = [describe(path) for path in train.paths]
    infrared, visible = (
        np.flatnonzero(train.modality == m) for m in (INFRARED, VISIBLE)
    )
    shares = {}
    for name in rows[0]:
        values = np.stack([row[name] for row in rows])
        queries = values[infrared] - values[infrared].mean(0)
        gallery = values[visible] - values[visible].mean(0)
        nearest = np.square(queries[:, None] - gallery[None]).sum(-1).argmin(1)
        same = train.identity[visible][nearest] == train.identity[infrared]
        shares[name] = float(same.mean())
    return shares


def main() -> None:
    """Measure, and print one JSON object."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in synthetic.NAMES}
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            roots = synthetic.write(Path(folder) / str(seed), seed=seed, size=WORLD)
            for site, root in roots.items():
                found[site].append(leaks(site, root))
    means = {
        site: {k: round(float(np.mean([s[k] for s in all_])), 3) for k in all_[0]}
        for site, all_ in found.items()
    }
    medium = medium_world()
    speeds = {f"{h}x{w}": round(drawing_speed((h, w))) for h, w in SIZES}
    report = {
        "images_per_second": speeds,
        "medium_world": medium,
        "leaks": means,
        "chance": round(1 / WORLD.identities, 3),
        "worlds": len(SEEDS),
        "machine": f"{platform.machine()} {platform.system()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
