"""Run our side and PyTorch's as processes of their own, a turn each, and compare.

One process per side, so that memory is each one's own and neither's threads disturb
the other: only one works at a time. Calls and answers are lines of JSON.
"""

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sizes import SIZES, Size

ROOT = Path(__file__).parent.parent
OURS, EAGER, COMPILED = "ckda_jax", "torch eager", "torch.compile"


class Side:
    """A process that measures one implementation."""

    def __init__(self, name: str, request: dict[str, Any]) -> None:
        self.name = name
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        env = {
            **os.environ,
            "PYTHONPATH": path,
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        }
        if request["options"]["device"] == "cpu":
            env["JAX_PLATFORMS"] = "cpu"
        self.process = subprocess.Popen(
            [sys.executable, __file__, json.dumps({"side": name, **request})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )

    def __call__(self, function: str, *arguments: Any) -> Any:
        """Call a method of the side in its process."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps([function, *arguments]) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.name}: {function} failed, see above")
        return json.loads(answer)


def serve(request: dict[str, Any]) -> None:
    """Answer calls until the input ends; what libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    size, options = Size(**request["size"]), request["options"]
    folder = Path(request["folder"])
    if request["side"] == OURS:
        from ours import Ours

        side: Any = Ours(size, options, folder)
    else:
        from theirs import Theirs

        compiled = request["side"] == COMPILED
        side = Theirs(size, {**options, "compiled": compiled}, folder)
    for line in sys.stdin:
        function, *arguments = json.loads(line)
        print(json.dumps(getattr(side, function)(*arguments)), file=answers, flush=True)


def parser(description: str | None) -> argparse.ArgumentParser:
    """Describe the command line that both benchmarks have."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--model", default="vit-b", choices=list(SIZES))
    made.add_argument("--depth", type=int, help="blocks; default: the model's")
    made.add_argument("--identities", type=int, help="in a batch, of 4 images each")
    made.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    made.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    made.add_argument("--rounds", type=int, default=5, help="turns of each side")
    made.add_argument("--repeats", type=int, help="a turn; default: 1, on a GPU 10")
    made.add_argument("--ours-only", action="store_true", help="without PyTorch")
    made.add_argument("--eager-only", action="store_true", help="no torch.compile")
    made.add_argument("--out", type=Path, help="JSON file for the figures")
    return made


def chosen(args: argparse.Namespace) -> Size:
    """Return the size that the command line asks for."""
    changes = {"depth": args.depth, "identities": args.identities}
    given = {name: value for name, value in changes.items() if value}
    return dataclasses.replace(SIZES[args.model], **given)


def start(args: argparse.Namespace, size: Size, folder: str) -> dict[str, Side]:
    """Start the sides; ours writes the weights that all of them have."""
    rates = {"pretrained": 0.0, "base": 0.0}
    options = {"device": args.device, "dtype": args.dtype, "rates": rates}
    request = {"size": dataclasses.asdict(size), "options": options, "folder": folder}
    sides = {OURS: Side(OURS, request)}
    if args.ours_only:
        return sides
    options["rates"] = sides[OURS]("export")
    names = [EAGER] if args.eager_only else [EAGER, COMPILED]
    return sides | {name: Side(name, request) for name in names}


def measure(
    args: argparse.Namespace,
    sides: dict[str, Side],
    prepare: str,
    turn: str,
) -> dict[str, dict[str, Any]]:
    """Prepare each side, then let them take turns; seconds of every turn by side."""
    gpu = args.device == "gpu"
    repeats, square = args.repeats or (10 if gpu else 1), 8192 if gpu else 2048
    found: dict[str, dict[str, Any]] = {}
    for name, side in sides.items():
        found[name] = {**side("versions"), **side(prepare), "seconds": [], "matrix": []}
    for _ in range(args.rounds):
        for name, side in sides.items():
            found[name]["matrix"].append(side("matrix", square))
            found[name]["seconds"].append(side(turn, repeats))
    for name, side in sides.items():
        found[name]["peak_gib"] = side("memory")
    return found


def summary(
    found: dict[str, dict[str, Any]], flops: int, images: int
) -> dict[str, Any]:
    """Add medians, rates and ratios; the machine's rate is the best side's median."""
    rate = max(statistics.median(side["matrix"]) for side in found.values())
    ours = found[OURS]["seconds"]
    for side in found.values():
        seconds = side["seconds"]
        median = statistics.median(seconds)
        side["median_seconds"] = median
        side["images_per_second"] = images / median
        side["matrix_share"] = flops / median / rate
        pairs = zip(seconds, ours, strict=True)
        side["times_ours"] = statistics.median(a / b for a, b in pairs)
    return {"flops": flops, "images": images, "matrix_flops_per_second": rate} | found


def table(result: dict[str, Any], title: str) -> Table:
    """Lay the figures out."""
    columns = "median s", "min", "max", "times ours", "images/s", "of matrix rate"
    made = Table("", *columns, "compile s", "peak GiB", title=title)
    for name in (OURS, EAGER, COMPILED):
        if name in result:
            side = result[name]
            made.add_row(
                name,
                f"{side['median_seconds']:.4g}",
                f"{min(side['seconds']):.4g}",
                f"{max(side['seconds']):.4g}",
                f"{side['times_ours']:.2f}",
                f"{side['images_per_second']:.4g}",
                f"{side['matrix_share']:.0%}",
                f"{side['compile_seconds']:.1f}",
                f"{side['peak_gib']:.2f}",
            )
    return made


def run(
    args: argparse.Namespace, work: Callable[[dict[str, Side], Size], dict[str, Any]]
) -> None:
    """Start the sides, do the work, print the table and write the figures."""
    size = chosen(args)
    with tempfile.TemporaryDirectory() as folder:
        result = work(start(args, size, folder), size)
    result = {"arguments": vars(args) | {"out": None}, "cores": os.cpu_count()} | result
    rate = result["matrix_flops_per_second"] / 1e9
    title = (
        f"{args.model}, depth {size.depth}, {size.rows}+{size.rows} images, "
        f"{args.dtype}, {result['flops'] / 1e12:.4g} TFLOP, "
        f"matrix rate {rate:.0f} GFLOP/s"
    )
    Console(width=120).print(table(result, title))
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
