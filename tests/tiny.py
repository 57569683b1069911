"""A learner small enough to compile in seconds, with everything a step is given."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ckda_jax import keys
from ckda_jax.engine.optim import Optimiser
from ckda_jax.engine.state import Frozen, TrainState, copy
from ckda_jax.engine.step import Learner
from ckda_jax.methods import Settings
from ckda_jax.methods.base import Method, StageEnd, StepView
from ckda_jax.models.reid import ReIDModel
from ckda_jax.structs import Batch, Outputs, StageInfo
from tests.models.tiny import drawn, model_shapes

IMAGE_SIZE = (32, 16)
WIDTH = 12
STAGES = 3
CLASSES = 4
STEPS_PER_EPOCH = 2
IDENTITIES, IMAGES = 2, 2
ROWS = IDENTITIES * IMAGES
QUICKLY = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
"""Compiler options with which a step compiles five times as fast and runs slower."""
CAPACITY = CLASSES + 1
"""Room for one identity more than any stage has, so that the padding is tried."""


def model(**changes: Any) -> ReIDModel:
    """Make a model of two narrow blocks with a slice for each of three stages."""
    sizes = {
        "classes": STAGES * CLASSES,
        "image_size": IMAGE_SIZE,
        "patch_size": 8,
        "stride": 8,
        "width": WIDTH,
        "depth": 2,
        "heads": 2,
        "mlp_ratio": 2.0,
        "dropout": 0.1,
        "prompt_patch_size": 8,
        "common_width": 4,
        "specific_width": 2,
    }
    return ReIDModel(**(sizes | changes))


def _variables(module: ReIDModel) -> Any:
    """Draw the variables of a model; not to be changed or donated."""
    return drawn(model_shapes(module))


# Through `Any`: type checkers do not know that Flax modules are hashable.
variables: Any = functools.cache(_variables)


def teacher(student: Any) -> Any:
    """Make variables that differ from the student's a little everywhere."""
    return jax.tree.map(lambda x: jnp.asarray(0.9 * np.asarray(x)), student)


def prepare(key: jax.Array, images: jax.Array) -> jax.Array:
    """Scale pixels to -1/2 .. 1/2, and shift all of them by what the key draws."""
    shift = 0.1 * jax.random.normal(key, (1,) * images.ndim)
    return images.astype(jnp.result_type(float)) / 255 - 0.5 + shift


def learner(method: Method, **model_changes: Any) -> Learner:
    """Make a learner of the tiny model."""
    return Learner(
        model=model(**model_changes),
        method=method,
        optimiser=Optimiser(epochs=5),
        prepare=prepare,
    )


@functools.cache
def quickly() -> dict[str, Any]:
    """List those options of `QUICKLY` that this version of XLA still knows."""

    def is_known(name: str) -> bool:
        try:
            jax.jit(lambda x: -x, compiler_options={name: QUICKLY[name]})(1.0)
        except jax.errors.JaxRuntimeError:
            return False
        return True

    return {name: value for name, value in QUICKLY.items() if is_known(name)}


def quick(function: Any, **options: Any) -> Any:
    """Compile a function so that compiling takes little time."""
    return jax.jit(function, compiler_options=quickly(), **options)


def settings(**changes: Any) -> Settings:
    """Make a method's settings, with room for the identities of any stage."""
    aligned = {"capacity": CAPACITY} | changes.pop("alignment", {})
    return Settings(alignment=aligned, **changes)


def stage(index: int = 0) -> StageInfo:
    """Describe a stage of the tiny run."""
    return StageInfo(
        index=jnp.int32(index),
        first_row=jnp.int32(index * CLASSES),
        classes=jnp.int32(CLASSES),
        steps_per_epoch=jnp.int32(STEPS_PER_EPOCH),
        replayed=jnp.zeros(STAGES * CLASSES, bool),
    )


def batch(
    index: int = 0, *, seed: int = 0, present: tuple[bool, ...] = (True, True)
) -> Batch:
    """Draw a batch of a stage: the same identities in the same rows of a modality."""
    rng = np.random.default_rng(seed)
    m = len(present)
    shape = (m, ROWS, *IMAGE_SIZE, 3)
    people = rng.choice(CLASSES, IDENTITIES, replace=False) + index * CLASSES
    labels = np.broadcast_to(np.repeat(people, IMAGES), (m, ROWS))
    return Batch(
        images=rng.integers(0, 256, shape, np.uint8),
        labels=labels.astype(np.int32),
        example=np.arange(m * ROWS, dtype=np.int32).reshape(m, ROWS),
        present=np.array(present),
    )


def prepared() -> jax.Array:
    """Prepare the images of a batch."""
    return prepare(jax.random.key(0), jnp.asarray(batch().images))


def state(learns: Learner, made: Any) -> TrainState:
    """Start a stage from given variables; a copy, which a step may consume."""
    params = made["params"]
    return TrainState.start(
        params=copy(params),
        batch_stats=copy(made["batch_stats"]),
        opt_state=learns.optimiser.transform(params).init(params),
        key=jax.random.key(0),
    )


def stage_end(made: Any, index: int = 0, **changes: Any) -> StageEnd:
    """End a stage of three images of each identity and modality."""
    labels = np.tile(np.arange(CLASSES), 6)
    modality = np.repeat([0, 1], 3 * CLASSES)
    rng = np.random.default_rng(index)
    table = rng.normal(size=(2, len(labels), WIDTH)).astype(np.float32)
    table /= np.linalg.norm(table, axis=-1, keepdims=True)

    def sums(rows: np.ndarray, through: int, count: int) -> jax.Array:
        found = np.zeros((count, WIDTH), np.float32)
        np.add.at(found, own["labels"][rows], table[through, rows])
        return jnp.asarray(found)

    own = {"labels": labels, "modality": modality} | changes
    given = {
        "variables": made,
        "stage": stage(index),
        "previous": stage(index - 1) if index else None,
        "datasets": ("regdb",),
        "labels": labels,
        "modality": modality,
        "sums": sums,
        "key": jax.random.key(index),
    }
    return StageEnd(**(given | changes))


def memory(method: Method, made: Any) -> Any:
    """Make the memory that a first stage leaves behind."""
    start = method.init(keys.stream(jax.random.key(0), "memory"), made)
    return method.consolidate(start, stage_end(made))


def frozen(method: Method, made: Any, index: int = 0) -> Frozen:
    """Make what a stage only reads; every stage but the first has a teacher."""
    if index == 0:
        start = method.init(keys.stream(jax.random.key(0), "memory"), made)
        return Frozen(teacher=None, memory=start, stage=stage(0))
    return Frozen(
        teacher=teacher(made), memory=memory(method, made), stage=stage(index)
    )


def outputs(seed: int = 0) -> Outputs:
    """Draw everything that a model returns, without a model."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(rng.normal(size=shape), jnp.result_type(float))

    image = (2, ROWS, *IMAGE_SIZE, 3)
    common, specific = draw(*image), draw(*image)
    return Outputs(
        prompt=common + specific,
        common_prompt=common,
        specific_prompt=specific,
        patches=draw(2, ROWS, 8, WIDTH),
        feature=draw(2, ROWS, WIDTH),
        neck=draw(2, ROWS, WIDTH),
        logits=draw(2, ROWS, STAGES * CLASSES),
    )


def view(memory: Any = None, **changes: Any) -> StepView:
    """Look at a step of stage 1 (the second) without a model; `changes` are fields."""
    index = 1
    student = changes.get("student", outputs())
    given: Mapping[str, Any] = {
        "batch": jax.tree.map(jnp.asarray, batch(index)),
        "student": student,
        "teacher": outputs(1),
        "clean_prompt": lambda: student.prompt,
        "extra": lambda name, *inputs: None,
        "params": {},
        "memory": memory,
        "stage": stage(index),
        "epoch": jnp.int32(1),
        "key": jax.random.key(0),
    }
    return StepView(**{**given, **changes})
