"""Micro-batches next to the whole batch: values, gradients, statistics, memory."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ckda_jax.engine.distributed import Cluster
from ckda_jax.engine.step import assess, augmented
from ckda_jax.methods import METHODS
from ckda_jax.methods.combined import combine
from ckda_jax.models import micro
from ckda_jax.models.vit import ViT
from tests import tiny
from tests.course import start
from tests.gate import gate
from tests.models.tiny import drawn, shapes

SIZES: dict[str, Any] = {
    **{"image_size": (32, 16), "patch_size": 8, "stride": 8, "width": 12},
    **{"depth": 3, "heads": 3, "dropout": 0.0, "drop_path": 0.0},
}
GATES = jnp.array([1.0, 0.5, 2.0])
TRAINING: dict[str, Any] = {"train": True}


def images(rows: int, seed: int = 0) -> jax.Array:
    """Draw images of two modalities."""
    drawn_images = np.random.default_rng(seed).normal(size=(2, rows, 32, 16, 3))
    return jnp.asarray(drawn_images, jnp.float32)


def scaled(call: Any, layer: jax.Array) -> Any:
    """Wrap a block as a method may: by its number, with values from outside."""
    return lambda tokens: GATES[layer] * call(tokens)


def gradient(**fields: Any) -> Any:
    """Compile the loss of a backbone's tokens and its gradient, for eight rows."""
    module = ViT(**{**SIZES, **fields})
    params = drawn(shapes(module, images(1), (0, 1)))["params"]

    def loss(params: Any, given: jax.Array) -> jax.Array:
        tokens, _ = module.apply(
            {"params": params}, given, (0, 1), wrap=scaled, **TRAINING
        )
        return jnp.mean(jnp.square(1 + jnp.sin(3 * tokens.astype(jnp.float32))))

    inputs = params, images(8)
    compiled = tiny.quick(jax.value_and_grad(loss, (0, 1))).lower(*inputs).compile()
    return compiled, inputs


@functools.cache
def found(**fields: Any) -> Any:
    """Compute that loss and gradient, and the bytes that they take."""
    compiled, inputs = gradient(**fields)
    return compiled(*inputs), compiled.memory_analysis().temp_size_in_bytes


def distance(one: Any, other: Any) -> float:
    """Measure how far two gradients are apart, by the length of the second."""
    away = optax.tree.norm(jax.tree.map(jnp.subtract, one, other))
    return float(away / optax.tree.norm(other))


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("fields", [{}, {"remat": True}])
def test_parts_change_neither_value_nor_gradient(fields, parts):
    (value, slopes), _ = found(**fields)
    (other, others), _ = found(**fields, micro_batches=parts)
    assert float(other) == pytest.approx(float(value), rel=1e-5)
    chex.assert_trees_all_equal_dtypes(others, slopes)
    assert distance(others, slopes) < 1e-5


def test_parts_in_half_precision_differ_by_its_rounding():
    (_, exact), _ = found()
    (value, slopes), _ = found(dtype=jnp.bfloat16)
    (other, others), _ = found(dtype=jnp.bfloat16, micro_batches=2)
    assert float(other) == pytest.approx(float(value), rel=1e-2)
    chex.assert_trees_all_equal_dtypes(others, slopes)
    rounding = distance(slopes, exact)
    assert rounding < 0.05
    assert distance(others, slopes) < rounding


def test_parts_take_less_memory():
    # Deep, so that it is activations that fill it.
    whole, halves, quarters = (
        found(depth=24, micro_batches=parts)[1] for parts in (1, 2, 4)
    )
    assert quarters < halves < whole


def test_maps_of_the_parts_are_those_of_the_whole():
    module = ViT(**SIZES)
    variables = drawn(shapes(module, images(1), (0, 1)))
    whole, halves = (
        jax.jit(
            lambda v, x, m=m: m.apply(v, x, (0, 1), maps=True, **TRAINING),
        )(variables, images(4))
        for m in (module, module.clone(micro_batches=2))
    )
    chex.assert_trees_all_close(halves, whole, atol=1e-5)


def test_every_part_draws_for_itself_and_evaluation_draws_nothing():
    module = ViT(**{**SIZES, "dropout": 0.5, "micro_batches": 2})
    variables = drawn(shapes(module, images(1), (0, 1)))
    same = jnp.broadcast_to(images(1), (2, 2, 32, 16, 3))

    @functools.partial(jax.jit, static_argnums=1)
    def tokens(key: jax.Array, train: bool) -> jax.Array:
        options: dict[str, Any] = {"train": train, "rngs": {"dropout": key}}
        return module.apply(variables, same, (0, 1), **options)[0]

    key = jax.random.key(0, impl="rbg")
    trained, again = tokens(key, True), tokens(key, True)
    chex.assert_trees_all_equal(trained, again)
    assert jnp.abs(trained[:, 0] - trained[:, 1]).max() > 0.1
    still = tokens(key, False)
    chex.assert_trees_all_close(still[:, 0], still[:, 1], atol=1e-6)


def test_rows_that_do_not_divide_are_refused():
    with pytest.raises(AssertionError, match="divisible"):
        micro.split_rows(images(3), 2)


def test_rows_stay_on_their_device():
    # A gather or an exchange of images would cost what the parts save.
    cluster = Cluster.of_all_devices()
    placed = cluster.put(images(8), axis=1)
    split = jax.jit(lambda x: micro.split_rows(x, 4))
    text = split.lower(placed).compile().as_text() or ""
    assert text
    assert not [word for word in ("all-", "collective-permute") if word in text]
    parts = split(placed)
    assert {shard.data.shape for shard in parts.addressable_shards} == {
        (4, 2, 1, 32, 16, 3)
    }
    chex.assert_trees_all_equal(
        micro.join_rows(parts.reshape(4, 2, 2, 32 * 16, 3)),
        images(8).reshape(2, 8, -1, 3),
    )


def learner(parts: int) -> Any:
    """Learn by CKDA and by a method that wraps every block, drawing nothing."""
    both = combine(ckda=METHODS["ckda"](tiny.settings()), gate=gate())
    rates = {"dropout": 0.0, "drop_path": 0.0, "prompt_dropout": 0.0}
    return tiny.learner(both, micro_batches=parts, param_dtype=jnp.float64, **rates)


def assessed(parts: int, place: Any = lambda tree: tree) -> Any:
    """Compute loss, metrics, statistics and gradient of a later stage's step."""
    learns = learner(parts)
    made = start(learns)
    state, frozen = tiny.state(learns, made), tiny.frozen(learns.method, made, 1)

    def differentiate(state: Any, frozen: Any, batch: Any) -> Any:
        batch = augmented(learns, state, frozen, batch)

        def loss(params: Any) -> Any:
            now = state.replace(params=params)
            value, (metrics, statistics, *_) = assess(learns, now, frozen, batch)
            return value, (metrics, statistics)

        return jax.value_and_grad(loss, has_aux=True)(state.params)

    batch = place(tiny.batch(1))
    return jax.device_get(tiny.quick(differentiate)(state, frozen, batch))


@pytest.mark.slow
def test_a_step_in_parts_is_the_step_of_the_whole_batch(x64):
    # Mining and batch statistics included, which see all rows; the halves on a mesh.
    cluster = Cluster.of_all_devices()
    whole = assessed(1)
    chex.assert_trees_all_close(assessed(4), whole, rtol=1e-9, atol=1e-10)
    halves = assessed(2, lambda batch: cluster.put(batch, axis=1))
    chex.assert_trees_all_close(halves, whole, rtol=1e-9, atol=1e-10)
