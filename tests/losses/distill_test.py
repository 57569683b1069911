import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.losses import distill

RNG = np.random.default_rng(0)
KL = jax.jit(distill.kl)


def exact(new, old):
    """KL(softmax(old) || softmax(new)) in the plain form, in extended precision."""
    new, old = (np.asarray(x, np.longdouble) for x in (new, old))

    def log_softmax(x):
        x = x - x.max(-1, keepdims=True)
        return x - np.log(np.exp(x).sum(-1, keepdims=True))

    w, p = log_softmax(old), log_softmax(new)
    return np.asarray((np.exp(w) * (w - p)).sum(-1), np.float64)


@pytest.mark.parametrize("scale", [0.003, 0.1, 0.8, 3.0, 30.0])
def test_kl_equals_the_plain_form(scale):
    old = RNG.normal(size=(50, 8)).astype(np.float32)
    new = old + np.float32(scale) * RNG.normal(size=(50, 8)).astype(np.float32)
    found = KL(jnp.asarray(new), jnp.asarray(old))
    chex.assert_trees_all_close(np.asarray(found), exact(new, old), rtol=2e-4)


def test_kl_keeps_its_digits_where_it_is_tiny():
    # Relations of a batch as the released code makes them: cosines times .1.
    old = RNG.uniform(0.09, 0.1, size=(32, 32)).astype(np.float32)
    new = old + RNG.normal(scale=1e-3, size=(32, 32)).astype(np.float32)
    expected = exact(new, old)
    assert 1e-7 < expected.min() and expected.max() < 1e-5
    found = KL(jnp.asarray(new), jnp.asarray(old))
    chex.assert_trees_all_close(np.asarray(found), expected, rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 0.5, 5.0])
def test_kl_gradient_is_the_difference_of_probabilities(x64, scale):
    old = jnp.asarray(RNG.normal(size=(20, 6)))
    new = old + scale * jnp.asarray(RNG.normal(size=(20, 6)))
    gradient = jax.grad(lambda x: KL(x, old).sum())(new)
    expected = jax.nn.softmax(new) - jax.nn.softmax(old)
    chex.assert_trees_all_close(gradient, expected, atol=1e-13)


def test_kl_holds_the_old_logits_constant():
    new, old = (jnp.asarray(RNG.normal(size=(4, 6)), jnp.float32) for _ in range(2))
    gradient = jax.grad(lambda x: KL(new, x).sum())(old)
    assert not gradient.any()


def test_kl_of_equals_is_zero_with_zero_gradient():
    old = jnp.asarray(RNG.normal(size=(4, 6)), jnp.float32)
    value, gradient = jax.value_and_grad(lambda x: KL(x, old).sum())(old)
    assert value == 0 and not gradient.any()


def test_kl_ignores_an_offset():
    new, old = (jnp.asarray(RNG.normal(size=(4, 6)), jnp.float32) for _ in range(2))
    found = KL(new + 10, old - 3)
    chex.assert_trees_all_close(found, KL(new, old), rtol=1e-4)


def test_kl_is_finite_far_apart_and_with_masked_entries():
    lowest = jnp.finfo(jnp.float32).min / 2
    old = jnp.array([[0.0, 0.0, lowest], [100.0, -100.0, lowest]])
    new = jnp.array([[1.0, 0.0, lowest], [-100.0, 100.0, lowest]])
    value, gradient = jax.value_and_grad(lambda x: KL(x, old).sum())(new)
    chex.assert_tree_all_finite((value, gradient))
    assert not gradient[:, 2].any()
    expected = exact(new[:, :2], old[:, :2])
    found = np.asarray(KL(new, old), np.float64)
    chex.assert_trees_all_close(found, expected, rtol=1e-5)


def test_absolute_equals_the_recorded_one(x64, golden):
    arrays = golden("losses")
    new, old = (
        jnp.moveaxis(jnp.asarray(arrays[f"random/prompt_{n}"], jnp.float64), 1, -1)
        for n in ("new", "old")
    )
    values, pull = jax.vjp(lambda x: distill.absolute(x, old), new)
    chex.assert_shape(values, (32,))
    assert abs(values.mean() - arrays["random/f64/prompt_l1"]) < 1e-12
    (gradient,) = pull(jnp.full(32, 1 / 32))
    expected = np.moveaxis(arrays["random/f64/grad_prompt_new"], 1, -1)
    chex.assert_trees_all_close(np.asarray(gradient), expected, atol=1e-15)
    constant = jax.grad(lambda x: distill.absolute(new, x).sum())(old)
    assert not constant.any()
