import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.models import heads
from tests.models import tiny


def test_unit_of_zero_is_zero_with_finite_gradient():
    x = jnp.array([[0.0, 0.0], [3.0, -4.0]])
    chex.assert_trees_all_close(heads.unit(x), jnp.array([[0, 0], [0.6, -0.8]]))
    gradient = jax.grad(lambda x: jnp.sum(heads.unit(x)[:, 0]))(x)
    # d(x / |x|) = (1 - u u^T) / |x|
    expected = jnp.array([[0, 0], [(1 - 0.36) / 5, 0.48 / 5]])
    chex.assert_trees_all_close(gradient, expected, atol=1e-7)


def test_unit_of_nan_is_nan():
    assert jnp.isnan(heads.unit(jnp.array([[jnp.nan, 1.0]]))).all()


def test_unit_keeps_the_type(x64):
    assert heads.unit(jnp.ones((2, 3), jnp.float64)).dtype == jnp.float64


def test_classifier_is_linear_without_bias():
    layer = heads.classifier(300)
    params = tiny.init(layer, jnp.zeros((1, 64)))["params"]
    assert list(params) == ["kernel"]
    chex.assert_shape(params["kernel"], (64, 300))
    assert float(jnp.std(params["kernel"])) == pytest.approx(0.001, rel=0.05)


def test_neck_normalises_over_all_modalities():
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    x[1] += 3
    layer = heads.neck()
    variables = layer.init(jax.random.key(0), jnp.asarray(x))
    y, _ = layer.apply(variables, jnp.asarray(x), True, mutable=["batch_stats"])
    chex.assert_trees_all_close(np.asarray(y).mean((0, 1)), np.zeros(4), atol=1e-6)
    assert (np.asarray(y)[1].mean(0) > 0.5).all()
