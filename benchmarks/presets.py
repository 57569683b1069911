"""The README's table: every preset with several seeds, run one after another.

    python benchmarks/presets.py --out runs/presets

A seed changes the world, the initial weights and the batch order; the starting
backbone is the same. Interrupted, the same command goes on; finished runs are not
repeated. Prints the table in Markdown and writes `presets.json`: what each run took.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
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
    args, overrides = parser.parse_known_args()
    for seed in args.seeds:
        for preset in args.presets:
            run(args.out, args.config, preset, seed, overrides)
    results = [
        json.loads((folder(args.out, preset, seed) / "results.json").read_text())
        for preset in args.presets
        for seed in args.seeds
    ]
    print(tables.markdown_seeds(results))


def folder(out: Path, preset: str, seed: int) -> Path:
    """Name the directory of one run."""
    return out / f"{preset}-{seed}"


def run(out: Path, config: str, preset: str, seed: int, overrides: list[str]) -> None:
    """Take one run to its end and note how long it took."""
    log = out / "presets.json"
    taken = json.loads(log.read_text()) if log.exists() else {}
    name = f"{preset}-{seed}"
    if name in taken:
        return
    command = [sys.executable, "-m", "ckda_jax.train", "--config", f"{config}:{preset}"]
    command += ["--workdir", str(folder(out, preset, seed))]
    command += [f"--config.seed={seed}", *overrides]
    start = time.time()
    subprocess.run(command, check=True)
    machine = f"{os.cpu_count()} cores {platform.machine()}"
    taken[name] = {"seconds": round(time.time() - start), "machine": machine}
    write_json(log, taken)


if __name__ == "__main__":
    main()
