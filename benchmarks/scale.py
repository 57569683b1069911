"""What a training step would cost on 8, 64 and 256 devices, read from its program.

    python benchmarks/scale.py > scale.jsonl            # every case, a JSON line each
    python benchmarks/scale.py --devices 8 --case base  # one of them
    python benchmarks/scale.py --table scale.jsonl      # as Markdown

The step of a later stage (student, teacher, losses, optimiser) is compiled ahead of
time for as many devices as asked for, which are made up on the CPU; no array is
allocated and nothing runs. Bytes of collectives, memory and operations are those of the
compiled program; what a link or a chip makes of them is stated in `MACHINES`.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from typing import Any

import hlo
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from ckda_jax import build
from ckda_jax import config as config_lib
from ckda_jax.engine.distributed import Cluster
from ckda_jax.engine.state import Frozen, TrainState
from ckda_jax.engine.step import Learner
from ckda_jax.structs import Batch, StageInfo, Tree

DEVICES = (8, 64, 256)
STAGES = 4
IMAGES = 4  # of an identity and modality in a batch
LATENCY = 10e-6  # seconds before a collective moves its first byte


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A step to compile.

    Attributes:
        title: as in the table.
        rows: of a modality: on each device, or in all where `fixed`.
        fixed: whether the batch stays the same on more devices.
        identities: rows of the classifier.
        keys: of the config that differ from `configs/lifelong.py`.
    """

    title: str
    rows: int = 32
    fixed: bool = False
    identities: int = 1_580
    keys: tuple[str, ...] = ()

    def batch(self, devices: int) -> int:
        """Rows of a modality in the global batch."""
        return self.rows if self.fixed else self.rows * devices


LARGE = ("model.width=1024", "model.depth=24", "model.heads=16")
FSDP = ("mesh.parameters=fsdp",)
MILLION = 1_000_000
CASES = {
    "base": Case(title="ViT-B/16"),
    "base_fsdp": Case(title="ViT-B/16, FSDP", keys=FSDP),
    "fixed": Case(title="ViT-B/16, 256 + 256 rows in all", rows=256, fixed=True),
    "large": Case(title="ViT-L/16", keys=LARGE),
    "large_fsdp": Case(title="ViT-L/16, FSDP", keys=LARGE + FSDP),
    "million": Case(title="ViT-B/16, 1 M identities", identities=MILLION),
    "million_fsdp": Case(title="the same, FSDP", identities=MILLION, keys=FSDP),
    "million_model": Case(
        title="the same, `mesh.model=4`", identities=MILLION, keys=("mesh.model=4",)
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """What a device does in a second.

    Attributes:
        title: as in the table.
        flops: bfloat16 operations, as achieved in such models and not at best.
        link: bytes that it sends to its neighbour in a ring.
        devices: for how many the link is this one.
    """

    title: str
    flops: float
    link: float
    devices: range = range(1, 257)


MACHINES = (
    Machine(title="H100, NVLink", flops=400e12, link=450e9, devices=range(1, 9)),
    Machine(title="H100, network", flops=400e12, link=50e9, devices=range(9, 257)),
    Machine(title="TPU v5e", flops=100e12, link=100e9),
    Machine(title="TPU v5p", flops=230e12, link=300e9),
)


def main() -> None:
    """Compile each case for each number of devices, or print the table of a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, nargs="+", default=DEVICES)
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--table", help="print what such a file says as Markdown")
    args = parser.parse_args()
    if args.table:
        with open(args.table) as file:
            print(table([json.loads(line) for line in file]))
    elif len(args.devices) * len(args.case) > 1:
        # JAX makes its devices once in a process.
        for devices in args.devices:
            for case in args.case:
                options = ["--devices", str(devices), "--case", case]
                subprocess.run([sys.executable, __file__, *options], check=True)
    else:
        print(json.dumps(measure(args.case[0], args.devices[0])), flush=True)


def measure(name: str, devices: int) -> dict[str, Any]:
    """Compile a case and read the program."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", devices)
    case = CASES[name]
    config = settings(case, devices)
    cluster = build.cluster(config)
    capacity = case.identities // STAGES
    learner = build.learner(config, case.identities, capacity, cluster)
    start = time.perf_counter()
    step = build.compiled_step(config, learner, cluster)
    lowered = step.lower(*arguments(config, case, learner, cluster))
    # The machine code is never run: what it is read for is decided before.
    compiled = lowered.compile({"xla_backend_optimization_level": 0})
    seconds = time.perf_counter() - start
    program = hlo.read(compiled.as_text())
    memory = compiled.memory_analysis()
    return {
        "case": name,
        "devices": devices,
        "batch": case.batch(devices),
        "jax": jax.__version__,
        "compile_seconds": round(seconds, 1),
        "flops": program.flops,
        "sent": program.sent(),
        "sent_in_loops": sum(c.sent for c in program.collectives if c.times > 1),
        "collectives": program.count(),
        "collectives_in_loops": sum(
            c.times for c in program.collectives if c.times > 1
        ),
        "largest": largest(program),
        "arguments": memory.argument_size_in_bytes,
        "temporary": memory.temp_size_in_bytes,
        "new_output": memory.output_size_in_bytes - memory.alias_size_in_bytes,
    }


def settings(case: Case, devices: int) -> ConfigDict:
    """Resolve the config of a case."""
    keys = (f"train.identities={case.batch(devices) // IMAGES}", *case.keys)
    words = ["--config", "configs/lifelong.py", *(f"--config.{key}" for key in keys)]
    parser = argparse.ArgumentParser()
    config_lib.add_arguments(parser)
    return config_lib.parse(parser, words)[1]


def arguments(
    config: ConfigDict, case: Case, learner: Learner, cluster: Cluster
) -> tuple[TrainState, Frozen, Batch]:
    """Describe what a step is given, laid out as a run does, allocating nothing."""
    variables = build.shapes(config, learner)
    key = jax.eval_shape(lambda: jax.random.key(0))
    memory = jax.eval_shape(learner.method.init, key, variables)

    def start(variables: Tree, key: Any) -> TrainState:
        params = variables["params"]
        moments = learner.optimiser.transform(params).init(params)
        stats = variables["batch_stats"]
        return TrainState.start(
            params=params, batch_stats=stats, opt_state=moments, key=key
        )

    state = jax.eval_shape(start, variables, key)
    number = jax.ShapeDtypeStruct((), jnp.int32)
    info = StageInfo(
        index=number,
        first_row=number,
        classes=number,
        steps_per_epoch=number,
        replayed=jax.ShapeDtypeStruct((case.identities,), bool),
    )
    frozen = Frozen(teacher=variables, memory=memory, stage=info)
    m, b = len(build.modalities(config)), case.batch(cluster.mesh.size)
    rows = jax.ShapeDtypeStruct((m, b), jnp.int32)
    images = jax.ShapeDtypeStruct((m, b, *config.model.image_size, 3), jnp.uint8)
    present = jax.ShapeDtypeStruct((m,), bool)
    batch = Batch(images=images, labels=rows, example=rows, present=present)
    shared = jax.tree.map(
        lambda x: cluster.over_devices(1) if x.ndim > 1 else cluster.replicated(), batch
    )
    state, frozen = (placed(x, cluster.shardings(x)) for x in (state, frozen))
    return state, frozen, placed(batch, shared)


def placed(tree: Tree, shardings: Tree) -> Tree:
    """Lay out descriptions of arrays."""
    return jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        tree,
        shardings,
    )


def largest(program: hlo.Program) -> dict[str, Any]:
    """Name the collective that sends most."""
    if not program.collectives:
        return {}
    found = max(program.collectives, key=lambda each: each.sent)
    return {"kind": found.kind, "sent": found.sent, "source": found.source[-100:]}


def efficiency(row: dict[str, Any], useful: float, machine: Machine) -> list[float]:
    """Say what part of the time computes what has to be: without and with overlap.

    Without, a device computes or sends. With, what is sent inside the loops over the
    blocks, which is the gradient of one block while that of the next is computed, takes
    no time as long as the computation takes longer.

    Args:
        row: of `measure`.
        useful: operations that a device would do, were the work shared out evenly.
        machine: what a device does in a second.
    """

    def seconds(sent: float, collectives: int) -> float:
        return sent / machine.link + collectives * LATENCY

    compute = row["flops"] / machine.flops
    loops = seconds(row["sent_in_loops"], row["collectives_in_loops"])
    whole = seconds(sum(row["sent"].values()), row["collectives"])
    hidden = min(loops, compute)
    needed = useful / machine.flops
    return [needed / (compute + whole), needed / (compute + whole - hidden)]


def table(rows: list[dict[str, Any]]) -> str:
    """Write the rows as a Markdown table, machines side by side."""
    head = [
        "case",
        "devices",
        "TFLOP",
        "sent MB",
        "collectives",
        "arguments + temporary GiB",
    ]
    head += [machine.title for machine in MACHINES]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
    first = {row["case"]: row for row in reversed(rows)}
    for row in rows:
        one = first[row["case"]]
        case = CASES[row["case"]]
        share = one["devices"] / row["devices"] if case.fixed else 1
        kinds = sorted(row["sent"].items(), key=lambda item: -item[1])
        told = ", ".join(f"{kind} {sent / 1e6:,.0f}" for kind, sent in kinds)
        cells = [
            case.title,
            str(row["devices"]),
            f"{row['flops'] / 1e12:.2f}",
            told,
            str(row["collectives"]),
            f"{row['arguments'] / 2**30:.1f} + {row['temporary'] / 2**30:.1f}",
        ]
        for machine in MACHINES:
            parts = efficiency(row, one["flops"] * share, machine)
            told = " / ".join(f"{part:.0%}" for part in parts)
            cells.append(told if row["devices"] in machine.devices else "")
        lines.append(cells)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
