"""One lifelong training step at full size: compile time, step time, memory, as JSON.

    python benchmarks/full_step.py --config configs/lifelong.py

The step is that of a later stage: student forward and backward, teacher forward, losses
and optimiser, on a random batch. Any config works; no data is read.
"""

import argparse
import json
import resource
import time

import jax
import jax.numpy as jnp
import numpy as np

from ckda_jax import build
from ckda_jax import config as config_lib
from ckda_jax.engine.state import Frozen, TrainState, copy
from ckda_jax.engine.step import Learner, make_step
from ckda_jax.structs import Batch, StageInfo

CLASSES = 395  # identities of SYSU-MM01's training split


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    config_lib.add_arguments(parser)
    parser.add_argument("--steps", type=int, default=1, help="steps to time")
    args, config = config_lib.parse(parser)
    with config.unlocked():
        config.init.weights = ""
    learner = Learner(
        model=build.model(config, 2 * CLASSES),
        method=build.method(config, CLASSES),
        optimiser=build.optimiser(config),
        prepare=build.augment(config),
    )
    state, frozen, batch = inputs(config, learner)
    start = time.perf_counter()
    step = jax.jit(make_step(learner), donate_argnums=0)
    compiled = step.lower(state, frozen, batch).compile()
    compile_seconds = time.perf_counter() - start
    seconds = []
    for _ in range(args.steps):
        start = time.perf_counter()
        state, metrics = compiled(state, frozen, batch)
        loss = float(metrics["loss"])
        seconds.append(time.perf_counter() - start)
    print(json.dumps(report(compiled, compile_seconds, seconds, loss), indent=1))


def inputs(config, learner: Learner) -> tuple[TrainState, Frozen, Batch]:
    """Make a state, a teacher equal to it, full prototypes and a random batch."""
    variables = build.variables(config, learner)
    memory = learner.method.init(jax.random.key(1), variables)
    known = memory["alignment"]
    memory["alignment"] = {
        "prototypes": jax.random.normal(jax.random.key(2), known["prototypes"].shape),
        "mask": jnp.ones_like(known["mask"]),
    }
    info = StageInfo(
        index=jnp.int32(1),
        first_row=jnp.int32(CLASSES),
        classes=jnp.int32(CLASSES),
        steps_per_epoch=jnp.int32(100),
        replayed=jnp.zeros(2 * CLASSES, bool),
    )
    params = variables["params"]
    state = TrainState.start(
        params=params,
        batch_stats=variables["batch_stats"],
        opt_state=learner.optimiser.transform(params).init(params),
        key=jax.random.key(0),
    )
    m, people = len(build.modalities(config)), config.train.identities
    labels = np.repeat(CLASSES + np.arange(people), config.train.images)
    shape = (m, len(labels), *config.model.image_size, 3)
    batch = Batch(
        images=np.random.default_rng(0).integers(0, 256, shape, np.uint8),
        labels=np.tile(labels, (m, 1)).astype(np.int32),
        example=np.zeros((m, len(labels)), np.int32),
        present=np.ones(m, bool),
    )
    frozen = Frozen(teacher=variables, memory=memory, stage=info)
    return copy(state), frozen, batch


def report(compiled, compile_seconds: float, seconds: list[float], loss: float) -> dict:
    """Collect the figures."""
    memory = compiled.memory_analysis()
    return {
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "compile_seconds": round(compile_seconds, 1),
        "step_seconds": round(float(np.median(seconds)), 2),
        "temporary_gib": round(memory.temp_size_in_bytes / 2**30, 2),
        "arguments_gib": round(memory.argument_size_in_bytes / 2**30, 2),
        "peak_process_gib": round(
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2
        ),
        "loss": loss,
    }


if __name__ == "__main__":
    main()
