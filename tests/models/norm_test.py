import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.models import norm
from tests.models import tiny

X = np.random.default_rng(0).normal(3.0, 2.0, (2, 3, 4)).astype(np.float32)


def start(layer, x):
    return layer.init(jax.random.key(0), jnp.asarray(x))


def train(layer, variables, x, *rest):
    apply = jax.jit(
        lambda v, x, *rest: layer.apply(v, x, True, *rest, mutable=["batch_stats"])
    )
    y, moved = apply(variables, jnp.asarray(x), *rest)
    return np.asarray(y), jax.tree.map(np.asarray, moved["batch_stats"])


def test_batch_norm_normalises_biased_and_remembers_unbiased():
    layer = norm.BatchNorm()
    y, stats = train(layer, start(layer, X), X)
    rows = X.reshape(6, 4)
    expected = (X - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-5)
    chex.assert_trees_all_close(y, expected, atol=2e-6)
    chex.assert_trees_all_close(stats["mean"], 0.1 * rows.mean(0), rtol=1e-6)
    var = 0.9 + 0.1 * rows.var(0, ddof=1)
    chex.assert_trees_all_close(stats["var"], var, rtol=1e-6)


def test_batch_norm_evaluates_with_running_statistics():
    layer = norm.BatchNorm()
    variables = start(layer, X)
    _, stats = train(layer, variables, X)
    y = layer.apply({**variables, "batch_stats": stats}, jnp.asarray(X))
    expected = (X - stats["mean"]) / np.sqrt(stats["var"] + 1e-5)
    chex.assert_trees_all_close(np.asarray(y), expected, rtol=1e-5)


def test_batch_norm_leaves_masked_rows_out():
    layer = norm.BatchNorm()
    variables = start(layer, X)
    mask = jnp.array([[True], [False]])[:, :, None]
    y, stats = train(layer, variables, X, mask)
    alone, stats_alone = train(layer, variables, X[:1])
    chex.assert_trees_all_close(y[:1], alone, rtol=1e-6)
    chex.assert_trees_all_close(stats, stats_alone, rtol=1e-6)


def test_batch_norm_stands_still_without_rows():
    layer = norm.BatchNorm()
    variables = start(layer, X)
    y, stats = train(layer, variables, X, jnp.zeros((1, 1, 1), bool))
    chex.assert_trees_all_equal(stats, dict(variables["batch_stats"]))
    evaluated = layer.apply(variables, jnp.asarray(X))
    chex.assert_trees_all_close(y, np.asarray(evaluated), atol=1e-6)


def test_batch_norm_axes_choose_what_shares_statistics():
    layer = norm.BatchNorm(axes=(1,))
    variables = start(layer, X)
    chex.assert_shape(variables["params"]["scale"], (2, 4))
    y, _ = train(layer, variables, X)
    expected = (X - X.mean(1, keepdims=True)) / np.sqrt(X.var(1, keepdims=True) + 1e-5)
    chex.assert_trees_all_close(y, expected, atol=5e-6)


def test_batch_norm_of_one_row_is_finite():
    layer = norm.BatchNorm()
    y, stats = train(layer, start(layer, X), X[:1, :1])
    chex.assert_tree_all_finite((y, stats))
    chex.assert_trees_all_close(stats["var"], np.full(4, 0.9, np.float32))


def test_batch_norm_sums_half_precision_in_float32():
    x = jnp.full((1, 4096, 1), 1.0, jnp.bfloat16)
    layer = norm.BatchNorm()
    y, stats = train(layer, start(layer, x), x)
    assert y.dtype == jnp.bfloat16
    assert stats["mean"].item() == pytest.approx(0.1)


def test_batch_norm_keeps_float64(x64):
    layer = norm.BatchNorm(param_dtype=jnp.float64)
    y, stats = train(layer, start(layer, X.astype(np.float64)), X.astype(np.float64))
    assert y.dtype == stats["var"].dtype == np.float64


def test_initialisation_leaves_statistics_alone():
    variables = tiny.init(norm.BatchNorm(), jnp.asarray(X), True)
    assert not variables["batch_stats"]["mean"].any()


def test_instance_norm_trains_per_image():
    layer = norm.InstanceNorm()
    y, stats = train(layer, start(layer, X), X)
    mean, var = X.mean(1, keepdims=True), X.var(1, keepdims=True)
    chex.assert_trees_all_close(y, (X - mean) / np.sqrt(var + 1e-5), atol=5e-6)
    chex.assert_trees_all_close(stats["mean"], 0.1 * X.mean((0, 1)), rtol=1e-5)
    unbiased = X.var(1, ddof=1).mean(0)
    chex.assert_trees_all_close(stats["var"], 0.9 + 0.1 * unbiased, rtol=1e-5)


def test_instance_norm_masks_images_out_of_running_statistics():
    layer = norm.InstanceNorm()
    variables = start(layer, X)
    y, stats = train(layer, variables, X, jnp.array([True, False]))
    all_images, _ = train(layer, variables, X)
    _, stats_alone = train(layer, variables, X[:1])
    chex.assert_trees_all_equal(y, all_images)
    chex.assert_trees_all_close(stats, stats_alone, rtol=1e-6)
    _, none = train(layer, variables, X, jnp.array([False, False]))
    chex.assert_trees_all_equal(none, dict(variables["batch_stats"]))


def test_eval_statistics_running_is_not_instance():
    x = jnp.asarray(X)
    running = norm.InstanceNorm("running")
    variables = start(running, X)
    trained, _ = train(running, variables, X)
    # Fresh running statistics, mean 0 and variance 1, change nothing.
    chex.assert_trees_all_close(running.apply(variables, x), x, rtol=1e-5)
    instance = norm.InstanceNorm("instance").apply(variables, x)
    chex.assert_trees_all_close(np.asarray(instance), trained, atol=1e-6)


def test_eval_statistics_must_be_known():
    with pytest.raises(ValueError, match="'batch': not one of"):
        start(norm.InstanceNorm("batch"), X)


def test_layer_norm_survives_a_large_offset():
    x = X[0, :, :] + np.float32(1e4)
    layer = norm.layer_norm(1e-5, None, jnp.float32)
    y = layer.apply(layer.init(jax.random.key(0), jnp.asarray(x)), jnp.asarray(x))
    wide = x.astype(np.float64)
    scale = np.sqrt(wide.var(1, keepdims=True) + 1e-5)
    expected = (wide - wide.mean(1, keepdims=True)) / scale
    chex.assert_trees_all_close(np.asarray(y, np.float64), expected, atol=2e-3)


def test_masked_moments_are_those_of_the_rows_left():
    mask = np.array([[True, False, True], [True, True, False]])[:, :, None]
    empty = jnp.zeros((1, 1, 4)), jnp.zeros((1, 1, 4))
    mean, var, count = norm.masked_moments(
        jnp.asarray(X), jnp.asarray(mask), (0, 1), empty
    )
    rows = X[mask[:, :, 0]]
    chex.assert_trees_all_close(np.asarray(mean)[0, 0], rows.mean(0), rtol=1e-6)
    chex.assert_trees_all_close(np.asarray(var)[0, 0], rows.var(0), rtol=1e-5)
    assert count[0, 0].tolist() == [4.0] * 4


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_at_least_float32_widens_halves(dtype):
    assert norm.at_least_float32(jnp.ones(2, dtype)).dtype == jnp.float32
