"""The README's table: every preset with several seeds.

    python benchmarks/presets.py --out runs/presets --jobs 2

A seed changes the world, the initial weights and the batch order; the starting
backbone is the same. Interrupted, the same command goes on; finished runs are not
repeated. Prints the table in Markdown and writes `presets.json`: what each run took.
What a run prints goes to `PRESET-SEED.log`. Jobs share the cores out between them:
small steps on one core each get more done than one after another on all of them.
"""

import argparse
import json
import os
import platform
import queue
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ckda_jax.files import write_json
from ckda_jax.reporting import tables

PRESETS = ("ckda", "reference", "finetune", "joint")
ROOT = Path(__file__).parents[1]


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of all runs")
    parser.add_argument("--config", default=str(ROOT / "configs" / "synthetic.py"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--presets", nargs="+", default=PRESETS)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    args, overrides = parser.parse_known_args()
    if args.jobs < 1:
        parser.error(f"--jobs {args.jobs}: give 1 or more")
    args.out.mkdir(parents=True, exist_ok=True)
    pairs = [(preset, seed) for seed in args.seeds for preset in args.presets]
    shares = queue.SimpleQueue()
    for share in share_out(args.jobs):
        shares.put(share)

    def take(pair: tuple[str, int]) -> None:
        cores = shares.get()
        try:
            run(args.out, args.config, *pair, overrides, cores)
        finally:
            shares.put(cores)

    with ThreadPoolExecutor(args.jobs) as pool:
        for _ in pool.map(take, pairs):
            pass
    results = [
        json.loads((args.out / f"{preset}-{seed}" / "results.json").read_text())
        for preset in args.presets
        for seed in args.seeds
    ]
    print(tables.markdown_seeds(results))
    write_json(args.out / "presets.json", taken(args.out, pairs))


def share_out(jobs: int) -> list[set[int]]:
    """Share the cores of this process out between jobs, where the system can."""
    if jobs == 1 or not hasattr(os, "sched_getaffinity"):
        return [set()] * jobs
    cores = sorted(os.sched_getaffinity(0))
    return [set(cores[job::jobs]) or set(cores) for job in range(jobs)]


def run(
    out: Path,
    config: str,
    preset: str,
    seed: int,
    overrides: list[str],
    cores: set[int],
) -> None:
    """Take one run to its end, on some cores or all, and note how long it took."""
    name = f"{preset}-{seed}"
    note = out / f"{name}.json"
    words = ["--config", f"{config}:{preset}", f"--config.seed={seed}", *overrides]
    if note.exists():
        if json.loads(note.read_text())["words"] != words:
            raise SystemExit(
                f"{name} was made with other options; choose another --out"
            )
        return
    command = [sys.executable, "-m", "ckda_jax.train", *words]
    command += ["--workdir", str(out / name)]
    start = time.time()
    with (out / f"{name}.log").open("a") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        if cores:
            os.sched_setaffinity(process.pid, cores)
        if process.wait():
            raise SystemExit(f"{name} failed; see {log.name}")
    print(f"{name}: {time.time() - start:.0f} s", file=sys.stderr, flush=True)
    facts = {
        "seconds": round(time.time() - start),
        "machine": f"{len(cores) or 'all'} of {os.cpu_count()} cores "
        f"{platform.machine()}",
        "words": words,
    }
    write_json(note, facts)


def taken(out: Path, pairs: list[tuple[str, int]]) -> dict[str, dict]:
    """Gather what every run took."""
    names = [f"{preset}-{seed}" for preset, seed in pairs]
    return {name: json.loads((out / f"{name}.json").read_text()) for name in names}


if __name__ == "__main__":
    main()
