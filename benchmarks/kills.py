"""Kill a run again and again, and compare how it ends with one that was left alone.

    python benchmarks/kills.py --kills 10 --seed 0

Three tiny runs of two stages are trained by `python -m ckda_jax.train` with the same
command: two in peace, the first of which fills the compile cache, and one that is
killed (SIGKILL) at a random moment, started again, and so on. What they leave behind is
digested bit by bit. Prints JSON.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from ckda_jax import trees
from ckda_jax.data import synthetic
from ckda_jax.engine.checkpoint import Checkpoints
from ckda_jax.engine.manifest import versions
from ckda_jax.engine.shelf import Shelf
from ckda_jax.files import RESULTS
from ckda_jax.reporting.writer import METRICS_FILE, read_rows

ROOT = Path(__file__).parents[1]
SIZE = synthetic.Size(identities=6, test_identities=4, images=4, shots=2, height=64)
KEYS = {
    "stages": "regdb,sysu",
    "eval_every": 2,
    "model.image_size": "32,16",
    "model.patch_size": 8,
    "model.stride": 8,
    "model.width": 12,
    "model.depth": 2,
    "model.heads": 2,
    "prompts.patch_size": 8,
    "train.identities": 4,
    "train.images": 2,
    "train.epochs": 5,
    "train.steps": 20,
    "train.log_every": 1,
    "train.checkpoint_every": 7,
    "optim.warmup_epochs": 0,
    "eval.batch": 32,
    "data.threads": 0,
    "report.images": "false",
}
PATIENCE = 1800.0
"""Seconds after which a run that has not logged what is awaited ends the benchmark."""

CLOCK = ("time", "images_per_second")


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--kills", type=int, default=10, help="how often to kill")
    made.add_argument("--seed", type=int, default=0, help="of the moments")
    made.add_argument("--out", type=Path, help="also write the JSON there")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 where all runs ended alike."""
    args = parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        found = compare(Path(scratch), args.kills, random.Random(args.seed))
    machine = {"cores": os.cpu_count(), "device": jax.devices()[0].device_kind}
    report = {"seed": args.seed, "machine": machine, "versions": versions(), **found}
    text = json.dumps(report, indent=1)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")
    return 0 if found["equal"] else 1


def compare(folder: Path, kills: int, dice: random.Random) -> dict[str, Any]:
    """Take two runs to their ends in peace and one through the kills."""
    roots = synthetic.write(folder / "world", seed=0, size=SIZE)
    whole, broken = folder / "whole", folder / "broken"
    take(whole, roots)  # also fills the compile cache
    begun = time.monotonic()
    again = folder / "again"
    take(again, roots)
    lasts = time.monotonic() - begun
    killed = []
    for _ in range(kills):
        begun = time.monotonic()
        process = begin(broken, roots)
        # Most come some steps later than the last one, some at any moment of a start.
        rows = dice.randint(1, 24) if dice.random() < 0.8 else 0
        wait(process, broken, place(broken)["steps"] + rows, dice.uniform(0, 0.3))
        process.kill()
        status = process.wait()
        seconds = round(time.monotonic() - begun, 2)
        killed.append({"status": status, "after_s": seconds, **place(broken)})
    take(broken, roots)
    digests = {path.name: digest(path) for path in (whole, again, broken)}
    return {
        "seconds_unbroken": round(lasts, 2),
        "kills": killed,
        "digests": digests,
        "equal": len(set(digests.values())) == 1,
    }


def begin(workdir: Path, roots: dict[str, Path]) -> "subprocess.Popen[bytes]":
    """Start a run, or start it again."""
    keys = KEYS | {f"data.roots.{name}": root for name, root in roots.items()}
    keys["compile_cache"] = str(workdir.parent / "cache")
    options = [f"--config.{key}={value}" for key, value in keys.items()]
    words = ["--config", str(ROOT / "configs" / "common.py"), "--workdir", str(workdir)]
    command = [sys.executable, "-m", "ckda_jax.train", *words, *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)


def take(workdir: Path, roots: dict[str, Path]) -> None:
    """Take a run to its end."""
    status = begin(workdir, roots).wait()
    if status:
        raise SystemExit(f"the run in {workdir} ended with status {status}")


def wait(
    process: "subprocess.Popen[bytes]", workdir: Path, steps: int, pause: float
) -> None:
    """Wait until a run has logged so many steps or has ended, and a little longer."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and place(workdir)["steps"] < steps:
        if time.monotonic() > deadline:
            process.kill()
            raise SystemExit(f"the run in {workdir} does not log {steps} steps")
        time.sleep(0.01)
    time.sleep(pause)


def place(workdir: Path) -> dict[str, Any]:
    """Count the steps a run has logged, and name the last thing it has saved."""
    path = workdir / METRICS_FILE
    steps = path.read_bytes().count(b"\n") if path.exists() else 0
    saved = Shelf(workdir / "checkpoints").positions()[-1:]
    return {"steps": steps, "saved": "".join(map(str, saved))}


def digest(workdir: Path) -> str:
    """Digest all checkpoints of a run, its log but for the clock, and its results."""
    found = hashlib.sha256()
    reader = Checkpoints(workdir / "checkpoints", writes=False)
    for position in reader.positions():
        tree = reader.restore_as_saved(position.stage, position.step)
        found.update(f"{position} {trees.digest(tree)}".encode())
    reader.close()
    for row in read_rows(workdir / METRICS_FILE):
        values = {name: row[name] for name in row if name not in CLOCK}
        found.update(json.dumps(values, sort_keys=True).encode())
    found.update((workdir / RESULTS).read_bytes())
    return found.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
