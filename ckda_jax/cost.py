"""Say what a model costs: parameters, FLOPs, latency, memory, and what prompts add.

On paper, for any config: parameters and FLOPs of every part. Measured, on the devices
of this machine: how long it takes to embed images of one modality as evaluation does,
by batch size, from uint8 images that are on the device already; how long to compile;
and how much memory. The prompts' share is measured in pairs: each batch is embedded
with prompts and by the bare backbone in turns, and the ratios of the pairs are told by
their median, with an interval that holds the true one with 95 %. In the same rounds the
prompts are computed by themselves, which tells their share on a machine that others use
as well. Weights are random and no data are read.
"""

import argparse
import dataclasses
import functools
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from ml_collections import ConfigDict
from rich.console import Console

from ckda_jax import build
from ckda_jax import config as config_lib
from ckda_jax.engine import timing
from ckda_jax.engine.step import Learner
from ckda_jax.files import write_json
from ckda_jax.models import flops
from ckda_jax.models.plain import bare
from ckda_jax.reporting import costs, tables
from ckda_jax.reporting.progress import QUICK, Pace, duration
from ckda_jax.structs import InputError, Tree

MOST_IDENTITIES, MOST_IMAGES = 10**8, 2**16
"""Beyond them no machine has the memory for a classifier, or for a batch."""

Function = Callable[[Tree, Tree, Array], Array]
"""`(variables, memory, images [b, h, w, 3] uint8) -> array`."""


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(prog="python -m ckda_jax.cost", description=__doc__)
    config_lib.add_arguments(made)
    made.add_argument(
        "--batches", default="1,8,32", help="batch sizes to measure (%(default)s)"
    )
    made.add_argument(
        "--repeats",
        type=int,
        default=30,
        help="rounds for each batch size; a 99th percentile wants hundreds "
        "(%(default)s)",
    )
    made.add_argument(
        "--modality", help="whose images are embedded; the first when absent"
    )
    made.add_argument(
        "--identities",
        type=int,
        default=395,
        help="rows of the classifier (%(default)s, those of SYSU-MM01)",
    )
    made.add_argument(
        "--no-timing", action="store_true", help="count on paper only: seconds"
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="also write this file")
    return made


@config_lib.main_guard
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    args, config = config_lib.parse(parser(), argv)
    build.check_limits(config)
    batches, modality = _batches(args), _modality(args, config)
    _check_json(args.json)
    console = Console(highlight=False)
    content = facts(config) | on_paper(config, args.identities)
    tables.print_tables(costs.paper_tables(content), console)
    if not args.no_timing:
        plan = Plan(
            identities=args.identities,
            modality=modality,
            batches=batches,
            repeats=args.repeats,
        )
        content |= measure(config, plan, Console(stderr=True, highlight=False))
        tables.print_tables(costs.measured_tables(content), console)
    if args.json is not None:
        write_json(args.json, content)
    return 0


def _batches(args: argparse.Namespace) -> list[int]:
    """Read the batch sizes, and refuse numbers that nothing can be measured with."""
    if args.repeats < timing.FEWEST:
        raise InputError(
            f"--repeats {args.repeats}: must be at least {timing.FEWEST}, or no "
            "interval holds a median with 95 %"
        )
    if not 1 <= args.identities <= MOST_IDENTITIES:
        raise InputError(
            f"--identities {args.identities}: must be from 1 to {MOST_IDENTITIES}"
        )
    try:
        batches = [int(word) for word in args.batches.split(",")]
    except ValueError:
        batches = []
    if not batches or not 1 <= min(batches) <= max(batches) <= MOST_IMAGES:
        raise InputError(
            f"--batches {args.batches}: give numbers from 1 to {MOST_IMAGES}, as in "
            "--batches 1,32"
        )
    return batches


def _check_json(path: Path | None) -> None:
    """Refuse, before anything is measured, a file that cannot be written."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            cause = "it is a directory" if path.is_dir() else ""
    except OSError as error:
        cause = error.strerror or str(error)
    if cause:
        raise InputError(f"--json {path}: cannot be written ({cause}); give a file")


def _modality(args: argparse.Namespace, config: ConfigDict) -> int:
    names = build.modalities(config)
    if args.modality not in (None, *names):
        raise InputError(
            f"--modality {args.modality}: the config has {', '.join(names)}"
        )
    return 0 if args.modality is None else names.index(args.modality)


def facts(config: ConfigDict) -> dict[str, Any]:
    """Say what is measured, and on what."""
    size = config.model
    return {
        "model": f"stem {size.stem}, width {size.width}, depth {size.depth}, "
        f"{size.image_size[0]} x {size.image_size[1]} pixels",
        "dtype": size.dtype,
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "jax": jax.__version__,
    }


def on_paper(config: ConfigDict, identities: int) -> dict[str, Any]:
    """Count parameters and FLOPs by part, and the FLOPs of training steps.

    A step takes the forward pass of each image three times, as the backward pass is two
    of them, once more where blocks are recomputed and once more in micro-batches; and
    the teacher's.
    """
    learns = build.learner(config, identities, identities)
    params = build.shapes(config, learns)["params"]
    parts = flops.parts(build.model(config, identities), params)
    forward = sum(part.flops for part in parts)
    images = build.images_per_step(config)
    passes = 3 + config.model.remat + (build.micro_batches(config) > 1)
    return {
        "convention": flops.CONVENTION,
        "parts": [part._asdict() for part in parts],
        "images_per_step": images,
        "step_flops": {
            "the first stage": images * passes * forward,
            "later ones": images * (passes + 1) * forward,
        },
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compiled:
    """A program that embeds a batch, and what compiling it took."""

    call: Any
    seconds: float

    @property
    def memory(self) -> int:
        """Bytes of weights, images, embeddings and everything on the way."""
        found = self.call.memory_analysis()
        return (
            found.argument_size_in_bytes
            + found.output_size_in_bytes
            + found.temp_size_in_bytes
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure.

    Attributes:
        identities: rows of the classifier.
        modality: id of the modality that is embedded.
        batches: images at a time.
        repeats: rounds for each number of images.
    """

    identities: int
    modality: int
    batches: Sequence[int]
    repeats: int


def measure(config: ConfigDict, plan: Plan, console: Console) -> dict[str, Any]:
    """Embed random images with prompts and without, batch size by batch size."""
    learns = build.learner(config, plan.identities, plan.identities)
    variables = build.variables(config, learns)
    memory = learns.method.init(jax.random.key(1), variables)
    model = build.model(config, plan.identities)
    without = dataclasses.replace(learns, model=bare(model))
    sides = {
        "prompted": embedding(learns, plan.modality),
        "bare": embedding(without, plan.modality),
        "prompts": prompting(learns, plan.modality),
    }
    progress = _Told(console, sum(plan.batches) * (plan.repeats + 1))
    rows = []
    for batch in plan.batches:
        shape = (batch, *config.model.image_size, 3)
        images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        inputs = variables, memory, jax.device_put(images)
        programs = {name: compiled(side, inputs) for name, side in sides.items()}
        calls = {
            name: functools.partial(_wait, program.call, *inputs)
            for name, program in programs.items()
        }
        told = functools.partial(progress, batch)
        seconds = timing.in_turns(calls, plan.repeats, told=told)
        rows.append(_row(batch, programs, seconds))
    return {
        "modality": build.modalities(config)[plan.modality],
        "repeats": plan.repeats,
        "batches": rows,
        "peak_bytes": peak(),
    }


def embedding(learns: Learner, modality: int) -> Function:
    """Embed images of one modality, as evaluation does."""

    def embed(variables: Tree, memory: Tree, images: Array) -> Array:
        prepared = learns.prepare.normalise(images)[None]
        given = {"memory": memory, "stage": jnp.int32(0), "modality": (modality,)}
        return learns.embed(variables, prepared, **given)[0].astype("float32")

    return embed


def prompting(learns: Learner, modality: int) -> Function:
    """Compute the prompts of images, and nothing after them."""

    def prompt(variables: Tree, memory: Tree, images: Array) -> Array:
        del memory
        prepared = learns.prepare.normalise(images)[None]
        apply = functools.partial(learns.model.apply, method="prompt")
        return apply(variables, prepared, modality=(modality,))[0]

    return prompt


def compiled(function: Function, inputs: tuple[Any, ...]) -> Compiled:
    """Compile a function for inputs of given shapes."""
    start = time.perf_counter()
    call = jax.jit(function).lower(*inputs).compile()
    return Compiled(call=call, seconds=time.perf_counter() - start)


def _wait(call: Any, *inputs: Any) -> None:
    jax.block_until_ready(call(*inputs))


def _row(
    batch: int, programs: dict[str, Compiled], seconds: dict[str, np.ndarray]
) -> dict[str, Any]:
    row: dict[str, Any] = {"batch": batch}
    for name, program in programs.items():
        found = timing.latency(seconds[name])
        row[name] = {
            "compile_seconds": program.seconds,
            "p50_seconds": found.p50,
            "p99_seconds": found.p99,
            "images_per_second": batch / found.p50,
            "memory_bytes": program.memory,
            "seconds": seconds[name],
        }
    for name in ("prompted", "prompts"):
        ratio = timing.ratio(seconds[name], seconds["bare"])
        row[name]["to_bare"] = ratio._asdict()
    return row


def peak() -> dict[str, int | None]:
    """Return the most bytes that this process, and its first device, ever held."""
    unit = 1 if sys.platform == "darwin" else 1024
    device = jax.devices()[0].memory_stats() or {}
    return {
        "process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        "device": device.get("peak_bytes_in_use"),
    }


class _Told:
    """Says how far measuring is, at most every few seconds."""

    def __init__(self, console: Console, images: int) -> None:
        self._console, self._images = console, images
        self._before, self._batch, self._last = 0, (0, 0), time.monotonic()
        self._pace = Pace()

    def __call__(self, batch: int, rounds: int) -> None:
        """Take notice of rounds at a batch size."""
        if batch != self._batch[0]:
            self._before += self._batch[0] * self._batch[1]
            self._pace.start(self._before)
        self._batch = batch, rounds
        done = self._before + batch * rounds
        self._pace.lap(done)
        left = (self._pace.seconds_per_step or 0.0) * (self._images - done)
        if time.monotonic() - self._last < QUICK:
            return
        self._last = time.monotonic()
        self._console.print(
            f"batch {batch}: round {rounds}, about {duration(left)} left", markup=False
        )


if __name__ == "__main__":
    sys.exit(main())
