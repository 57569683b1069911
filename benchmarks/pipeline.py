"""Measure how fast training images reach the step, per core; prints a table and JSON.

    python benchmarks/pipeline.py --folder FOLDER > pipeline.json

Draws people at twice the size, resizes them to 256 x 128 and saves them as JPEG and as
BMP, prepares the former, and reads batches of 64 from all of it for a while. All of
this runs on one core (`--core`), workers included, so that images a second are images a
second and core. Each measurement is a process of its own and is repeated, in turn with
the others; medians are reported. `first_batch` is in seconds from opening the stream,
what is imported for it included. Pillow alone opens and decodes the JPEGs into arrays
in a plain loop, which takes turns with the batches of the JPEG folder in one process.

The two targets: `prepared_over_3000` (3,000 images a second and core) is to be above 1,
`pillow_alone_over_jpeg_folder` below 1.3. Both compare processor seconds, which other
programs on the core do not change much; without threads and workers.
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grain
import numpy as np
import PIL
from PIL import Image

from ckda_jax.data import catalog, synthetic
from ckda_jax.data.pipeline import Loading, TrainingStream
from ckda_jax.data.prepare import Order, prepare
from ckda_jax.data.sampling import PairedSampler
from ckda_jax.structs import Records

SIZE = (256, 128)
SOURCES = {
    "JPEG folder": ("llcm", "LLCM"),
    "BMP folder": ("regdb", "RegDB"),
    "prepared": ("llcm", "prepared"),
    "prepared, in memory": ("llcm", "prepared"),
}
"""What is read: the dataset in whose layout it is, and its folder."""

SETTINGS = ((0, 0), (1, 0), (2, 0), (1, 1), (1, 2))
"""Threads (in each process) and worker processes."""

ROWS = 64
"""Images in a batch."""

PAIRED = ("JPEG folder", (0, 0))
"""The source and setting that Pillow alone is compared with."""


def write_folders(folder: Path) -> None:
    """Write both image folders and prepare one of them, unless they are there."""
    if (folder / "prepared").exists():
        return
    size = synthetic.Size(
        identities=32, test_identities=2, images=10, shots=1, height=2 * SIZE[0]
    )
    print("drawing", file=sys.stderr)
    synthetic.write(folder, seed=0, size=size, sites=("regdb", "llcm"))
    for name in ("RegDB", "LLCM"):
        for path in (folder / name).rglob("*"):
            if path.suffix in (".bmp", ".jpg"):
                shrink(path)
    order = Order(dataset="llcm", root=str(folder / "LLCM"), size=SIZE)
    prepare(order, folder / "prepared")


def shrink(path: Path) -> None:
    """Bring an image to the size that is measured."""
    with Image.open(path) as image:
        height, width = SIZE
        small = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    if path.suffix == ".jpg":
        small.save(path, quality=95)
    else:
        small.save(path)


def measure(folder: Path, source: str, setting: tuple[int, int], seconds: float):
    """Measure one source and setting in this process."""
    name, root = SOURCES[source]
    table = catalog.load(name, folder / root).train
    memory = source.endswith("in memory")
    start = time.perf_counter()
    with stream_of(table, setting, memory) as stream:
        next(stream)
        first = time.perf_counter() - start
        # Until all images were shown: kept in memory, or by the system at least.
        seen: set[int] = set()
        while len(seen) < len(table):
            seen.update(next(stream).example.ravel().tolist())
        rates = {"first_batch": first, **rate(stream, seconds)}
        if (source, setting) == PAIRED:
            rates["alone"] = beside_pillow(stream, table.paths.tolist(), seconds)
    return rates


def stream_of(table: Records, setting: tuple[int, int], memory: bool) -> TrainingStream:
    """Open a stream of batches of 64 that does not end."""
    sampler = PairedSampler(
        table.identity, table.modality, identities=8, images=4, steps=10**6
    )
    threads, workers = setting
    loading = Loading(
        size=SIZE,
        threads=threads,
        workers=workers,
        cache_bytes=max(workers, 1) * len(table) * SIZE[0] * SIZE[1] * 3 * memory,
    )
    return TrainingStream(table, sampler, loading)


def alone(paths: list[str]) -> Iterator[np.ndarray]:
    """Decode images without end, with nothing but Pillow."""
    for path in itertools.cycle(paths):
        with Image.open(path) as image:
            yield np.asarray(image)


def beside_pillow(stream: TrainingStream, paths: list[str], seconds: float) -> float:
    """Let Pillow and a stream decode in turn; processor time of stream over Pillow."""
    decoded, ratios = alone(paths), []
    start = time.perf_counter()
    while time.perf_counter() - start < 2 * seconds:
        before = time.process_time()
        for _ in range(ROWS):
            next(decoded)
        between = time.process_time()
        next(stream)
        ratios.append((time.process_time() - between) / (between - before))
    return statistics.median(ratios)


def rate(stream: TrainingStream, seconds: float) -> dict[str, float]:
    """Take batches for a while; images a second by the clock and by the processor."""
    count = 0
    clock, processor = time.perf_counter(), time.process_time()
    while time.perf_counter() - clock < seconds:
        next(stream)
        count += ROWS
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    return {"by_clock": count / clock, "by_processor": count / processor}


def repeated(
    options: argparse.Namespace, run: Callable[[str, tuple[int, int]], dict]
) -> dict[tuple[str, int, int], dict[str, float]]:
    """Repeat all measurements in turn; return medians."""
    wanted = [(source, setting) for source in SOURCES for setting in SETTINGS]
    found: dict[tuple[str, int, int], list[dict[str, float]]] = {}
    for repeat in range(options.repeats):
        for source, setting in wanted:
            found.setdefault((source, *setting), []).append(run(source, setting))
        print(f"{repeat + 1} of {options.repeats} rounds", file=sys.stderr)
    return {
        key: {n: statistics.median(row[n] for row in rows) for n in rows[0]}
        for key, rows in found.items()
    }


def report(found: dict[tuple[str, int, int], dict[str, float]]) -> dict[str, Any]:
    """Arrange medians; a worker's processor time is not known, so only the clock's."""
    rows = []
    for (source, threads, workers), row in found.items():
        rows.append(
            {
                "source": source,
                "threads": threads,
                "workers": workers,
                "images_per_second": round(row["by_clock"]),
                "per_processor_second": None if workers else round(row["by_processor"]),
                "first_batch": round(row["first_batch"], 2),
            }
        )
    per_core = {key: row["by_processor"] for key, row in found.items()}
    return {
        "rows": rows,
        "prepared_over_3000": round(per_core["prepared", 0, 0] / 3000, 2),
        "pillow_alone_over_jpeg_folder": round(found["JPEG folder", 0, 0]["alone"], 2),
        "prepared_over_jpeg_folder": round(
            per_core["prepared", 0, 0] / per_core["JPEG folder", 0, 0], 2
        ),
        "machine": f"{platform.machine()} {platform.system()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "grain": grain.__version__,
    }


def markdown(content: dict[str, Any]) -> str:
    """Write the rows as a table."""
    lines = [
        "| source | threads | workers | images/s | per processor s | first batch, s |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in content["rows"]:
        cells = [
            "" if value is None else f"{value:,}" for value in list(row.values())[1:]
        ]
        lines.append(f"| {row['source']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", required=True, type=Path, help="for the images")
    parser.add_argument("--core", type=int, default=0, help="that everything runs on")
    parser.add_argument("--repeats", type=int, default=3, help="of every measurement")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each of them")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        os.sched_setaffinity(0, {options.core})
        source, threads, workers = options.one
        setting = (int(threads), int(workers))
        print(json.dumps(measure(options.folder, source, setting, options.seconds)))
        return
    write_folders(options.folder)

    def run(source: str, setting: tuple[int, int]) -> dict:
        one = ["--one", source, *map(str, setting)]
        command = [sys.executable, __file__, *sys.argv[1:], *one]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        return json.loads(done.stdout)

    content = report(repeated(options, run))
    print(markdown(content), file=sys.stderr)
    print(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
