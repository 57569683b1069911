"""Our side of benchmarks/step.py and benchmarks/embed.py: the project's own functions.

Put together by hand, so that it runs where only JAX, Flax and Optax are installed.
"""

import resource
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sizes import Size

from ckda_jax.engine.augment import Augment
from ckda_jax.engine.optim import Optimiser
from ckda_jax.engine.state import Frozen, TrainState, copy
from ckda_jax.engine.step import Learner, make_step
from ckda_jax.methods import METHODS, Settings
from ckda_jax.models.reid import ReIDModel
from ckda_jax.models.weights import export_reference
from ckda_jax.structs import Batch, StageInfo


class Ours:
    """A compiled step and what it works on."""

    name = "ckda_jax"

    def __init__(self, size: Size, options: dict[str, Any], folder: Path) -> None:
        self.size, self.options, self.folder = size, options, folder
        if options["dtype"] == "float32":
            jax.config.update("jax_default_matmul_precision", "highest")
        self.learner = learner(size, options["dtype"])
        self.timed: Any = None

    def export(self) -> dict[str, float]:
        """Write weights and prototypes as files; return the learning rates."""
        student, teacher, prototypes = start(self.learner, self.size)
        np.savez(self.folder / "student.npz", **export_reference(student))
        np.savez(self.folder / "teacher.npz", **export_reference(teacher))
        np.save(self.folder / "prototypes.npy", prototypes)
        schedules = self.learner.optimiser.schedules()
        return {group: float(schedule(1)) for group, schedule in schedules.items()}

    def verify(self, steps: int) -> list[float]:
        """Return the losses of the first steps with nothing dropped."""
        size = self.size.without_chance()
        still = learner(size, self.options["dtype"])
        step, (state, frozen) = jax.jit(make_step(still)), inputs(still, size)
        found = []
        for _ in range(steps):
            state, metrics = step(state, frozen, batch(size))
            found.append(float(metrics["loss"]))
        return found

    def compile(self) -> dict[str, float]:
        """Compile, take the first step, and report seconds and temporary memory."""
        self.state, self.frozen = inputs(self.learner, self.size)
        given = batch(self.size)
        begin = time.perf_counter()
        step = jax.jit(make_step(self.learner), donate_argnums=0)
        self.timed = step.lower(self.state, self.frozen, given).compile()
        compiled = time.perf_counter() - begin
        self.batch = jax.device_put(given)
        self.step(1)
        memory = self.timed.memory_analysis()
        return {
            "compile_seconds": compiled,
            "temporary_gib": memory.temp_size_in_bytes / 2**30,
        }

    def step(self, steps: int) -> float:
        """Take steps; return seconds for each."""
        begin = time.perf_counter()
        for _ in range(steps):
            self.state, metrics = self.timed(self.state, self.frozen, self.batch)
        float(metrics["loss"])
        return (time.perf_counter() - begin) / steps

    def compile_embed(self) -> dict[str, float]:
        """Compile the embedding of a batch of normalised images."""
        learns = self.learner
        variables, _, _ = start(learns, self.size)
        memory = learns.method.init(jax.random.key(1), variables)
        images = learns.prepare(jax.random.key(0), batch(self.size).images)

        def embed(variables: Any, images: Any) -> Any:
            return learns.embed(
                variables,
                images,
                memory=memory,
                stage=jnp.int32(0),
                modality=learns.modality,
            )

        begin = time.perf_counter()
        compiled = jax.jit(embed).lower(variables, images).compile()
        self.embed_once = lambda: compiled(variables, images)
        return {"compile_seconds": time.perf_counter() - begin}

    def embed(self, batches: int) -> float:
        """Embed batches; return seconds for each."""
        begin = time.perf_counter()
        for _ in range(batches):
            found = self.embed_once()
        jax.block_until_ready(found)
        return (time.perf_counter() - begin) / batches

    def matrix(self, side: int) -> float:
        """Return the rate of a product of square matrices in FLOP/s."""
        if not hasattr(self, "square"):
            shape, dtype = (side, side), self.options["dtype"]
            # Drawn, as processors run faster on matrices that are all alike.
            self.square = jax.random.normal(jax.random.key(0), shape, dtype)
            self.product = jax.jit(jnp.matmul)
            self.product(self.square, self.square).block_until_ready()
        begin = time.perf_counter()
        for _ in range(3):
            found = self.product(self.square, self.square)
        found.block_until_ready()
        return 3 * 2 * side**3 / (time.perf_counter() - begin)

    def memory(self) -> float:
        """Return the peak of the process, or of the device where it counts, in GiB."""
        stats = jax.devices()[0].memory_stats() or {}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return stats.get("peak_bytes_in_use", peak) / 2**30

    def versions(self) -> dict[str, str]:
        """Name the software and the device."""
        return {"jax": jax.__version__, "device": jax.devices()[0].device_kind}


def learner(size: Size, dtype: str) -> Learner:
    """Make the method of the paper, its images normalised and not augmented."""
    image_size = (size.height, size.width_pixels)
    prepare = Augment(image_size=image_size, dtype=dtype)
    return Learner(
        model=ReIDModel(
            classes=2 * size.classes,
            image_size=image_size,
            patch_size=size.patch,
            stride=size.stride,
            width=size.width,
            depth=size.depth,
            heads=size.heads,
            dropout=size.dropout,
            drop_path=size.drop_path,
            prompt_patch_size=size.prompt_patch,
            prompt_dropout=size.prompt_dropout,
            dtype=None if dtype == "float32" else jnp.dtype(dtype),
        ),
        method=METHODS["ckda"](Settings(alignment={"capacity": size.classes})),
        optimiser=Optimiser(),
        prepare=lambda key, images: prepare.normalise(images),
    )


def start(learns: Learner, size: Size) -> tuple[Any, Any, np.ndarray]:
    """Draw a student, another teacher and prototypes."""
    images = jnp.zeros((2, 1, size.height, size.width_pixels, 3))

    def init(key: Any) -> Any:
        return learns.model.init(key, images, learns.modality)

    student, teacher = (jax.jit(init)(jax.random.key(seed)) for seed in (0, 1))
    drawn = np.random.default_rng(2).standard_normal((2, size.classes, size.width))
    return student, teacher, drawn.astype(np.float32)


def inputs(learns: Learner, size: Size) -> tuple[TrainState, Frozen]:
    """Make the state and what a step only reads: those of a second stage."""
    student, teacher, prototypes = start(learns, size)
    memory = learns.method.init(jax.random.key(1), student)
    memory["alignment"] = {
        "prototypes": jnp.asarray(prototypes),
        "mask": jnp.ones_like(memory["alignment"]["mask"]),
    }
    info = StageInfo(
        index=jnp.int32(1),
        first_row=jnp.int32(size.classes),
        classes=jnp.int32(size.classes),
        steps_per_epoch=jnp.int32(10**6),
        replayed=jnp.zeros(2 * size.classes, bool),
    )
    params = student["params"]
    state = TrainState.start(
        params=params,
        batch_stats=student["batch_stats"],
        opt_state=learns.optimiser.transform(params).init(params),
        key=jax.random.key(0),
    )
    return copy(state), Frozen(teacher=teacher, memory=memory, stage=info)


def batch(size: Size) -> Batch:
    """Draw random images, as read, of as many identities as the size says."""
    shape = (2, size.rows, size.height, size.width_pixels, 3)
    labels = np.repeat(size.classes + np.arange(size.identities), size.images)
    return Batch(
        images=np.random.default_rng(0).integers(0, 256, shape, np.uint8),
        labels=np.tile(labels, (2, 1)).astype(np.int32),
        example=np.zeros((2, size.rows), np.int32),
        present=np.ones(2, bool),
    )
