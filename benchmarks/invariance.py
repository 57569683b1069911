"""The same training steps on several meshes of devices: what they differ by, as JSON.

    XLA_FLAGS=--xla_force_host_platform_device_count=8 \
        python benchmarks/invariance.py --config configs/smoke.py --meshes 1x1 2x1 4x2

Every mesh (devices along `data` x along `model`, `:fsdp` where parameters are shared
out) takes the steps of a later stage, with a teacher and full prototypes, from the same
start on the same random batches. The first mesh is what the others are compared with.
With --float64 all but augmentation is computed in double precision, so that what is
left of a difference is no rounding.
"""

import argparse
import dataclasses
import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ckda_jax import build
from ckda_jax import config as config_lib
from ckda_jax.engine.distributed import Cluster
from ckda_jax.engine.layout import LARGE, Layout
from ckda_jax.engine.state import Frozen, TrainState
from ckda_jax.engine.step import Learner, make_step
from ckda_jax.structs import Batch, StageInfo, Tree
from ckda_jax.trees import named_leaves

CLASSES = 16  # identities of a stage
COLLECTIVES = re.compile(
    r" (all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute)[a-z-]*\("
)


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(description=__doc__)
    config_lib.add_arguments(made)
    made.add_argument("--meshes", nargs="+", default=["1x1", "2x1"], help="see above")
    made.add_argument("--steps", type=int, default=3, help="steps to take")
    made.add_argument("--float64", action="store_true", help="in double precision")
    made.add_argument(
        "--large", type=int, default=LARGE, help="numbers from which arrays are shared"
    )
    return made


def main(argv: Sequence[str] | None = None) -> None:
    """Take the steps on every mesh and print how they compare."""
    args, config = config_lib.parse(parser(), argv)
    if args.float64:
        jax.config.update("jax_enable_x64", True)
    rows, reference = [], None
    for mesh in args.meshes:
        row, params = take(config, args, cluster(config, mesh, args.large))
        reference = reference or (row["losses"], params)
        row["mesh"] = mesh
        row["loss_difference"] = relative(row["losses"], reference[0])
        row["parameter_difference"] = furthest(params, reference[1])
        rows.append(row)
    about = {"device": jax.devices()[0].device_kind, "jax": jax.__version__}
    about["precision"] = "float64" if args.float64 else "float32"
    print(json.dumps({**about, "steps": args.steps, "rows": rows}, indent=1))


def cluster(config: Any, mesh: str, large: int) -> Cluster:
    """Read `4x2:fsdp` as a mesh of the first eight devices."""
    sizes, _, parameters = mesh.partition(":")
    data, model = map(int, sizes.split("x"))
    layout = Layout(
        parameters=parameters or "replicated", heads=config.model.heads, large=large
    )
    return Cluster.of(jax.devices()[: data * model], model, layout)


def take(
    config: Any, args: argparse.Namespace, devices: Cluster
) -> tuple[dict[str, Any], Tree]:
    """Take the steps; return figures and the parameters after them."""
    learner = make_learner(config, args.float64, devices)
    state, frozen = devices.lay_out(start(config, learner))
    batches = [devices.put(batch(config, seed), axis=1) for seed in range(args.steps)]
    before = jax.tree.map(lambda leaf: leaf.sharding, state.params)
    step = jax.jit(devices.keep_layout(make_step(learner)), donate_argnums=0)
    compiled = step.lower(state, frozen, batches[0]).compile()
    memory: Any = compiled.memory_analysis()
    found = {
        "argument_bytes": memory.argument_size_in_bytes,
        "temporary_bytes": memory.temp_size_in_bytes,
        "collectives": Counter(COLLECTIVES.findall(compiled.as_text() or "")),
    }
    losses = []
    for given in batches:
        state, metrics = compiled(state, frozen, given)
        losses.append(float(metrics["loss"]))
    after = jax.tree.map(lambda leaf: leaf.sharding, state.params)
    return {**found, "losses": losses, "layout_kept": before == after}, jax.device_get(
        state.params
    )


def make_learner(config: Any, float64: bool, devices: Cluster) -> Learner:
    """Make a learner with a slice of the classifier for each of two stages."""
    learner = build.learner(config, 2 * CLASSES, CLASSES, devices)
    if not float64:
        return learner
    model = learner.model.clone(param_dtype=jnp.float64)
    return dataclasses.replace(learner, model=model)


def start(config: Any, learner: Learner) -> tuple[TrainState, Frozen]:
    """Make the start of a second stage: its teacher is not quite the student."""
    variables = jax.device_get(build.variables(config, learner))
    params = variables["params"]
    memory = learner.method.init(jax.random.key(1), variables)
    if "alignment" in memory:
        table = memory["alignment"]["prototypes"]
        unit = np.random.default_rng(0).normal(size=table.shape)
        unit = (unit / np.linalg.norm(unit, axis=-1, keepdims=True)).astype(table.dtype)
        mask = np.ones(table.shape[:-1], bool)
        memory = {**memory, "alignment": {"prototypes": unit, "mask": mask}}
    info = StageInfo(
        index=jnp.int32(1),
        first_row=jnp.int32(CLASSES),
        classes=jnp.int32(CLASSES),
        steps_per_epoch=jnp.int32(100),
        replayed=jnp.zeros(2 * CLASSES, bool),
    )
    state = TrainState.start(
        params=params,
        batch_stats=variables["batch_stats"],
        opt_state=learner.optimiser.transform(params).init(params),
        key=jax.random.key(0),
    )
    teacher = jax.tree.map(lambda leaf: 0.9 * leaf, variables)
    return state, Frozen(teacher=teacher, memory=memory, stage=info)


def batch(config: Any, seed: int) -> Batch:
    """Draw a batch: each identity has a colour, and every image noise of its own."""
    rng = np.random.default_rng(seed)
    m, people = len(build.modalities(config)), config.train.identities
    labels = np.repeat(rng.choice(CLASSES, people, replace=False), config.train.images)
    colour = np.random.default_rng(0).integers(0, 200, (CLASSES, 1, 1, 3))[labels]
    noise = rng.integers(0, 56, (m, len(labels), *config.model.image_size, 3))
    return Batch(
        images=(colour + noise).astype(np.uint8),
        labels=np.tile(labels + CLASSES, (m, 1)).astype(np.int32),
        example=np.zeros((m, len(labels)), np.int32),
        present=np.ones(m, bool),
    )


def relative(losses: Sequence[float], others: Sequence[float]) -> float:
    """Return the largest relative difference between two rows of losses."""
    pairs = zip(losses, others, strict=True)
    return max(abs(a - b) / abs(b) for a, b in pairs)


def furthest(params: Tree, others: Tree) -> dict[str, Any]:
    """Find where two trees of parameters differ most."""
    left, right = named_leaves(params), named_leaves(others)
    gaps = {name: float(np.abs(left[name] - right[name]).max()) for name in left}
    name = max(gaps, key=lambda name: gaps[name])
    return {"largest": gaps[name], "where": name}


if __name__ == "__main__":
    main()
