import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.models import block, norm
from tests.models import tiny

TOKENS = np.random.default_rng(0).normal(size=(2, 3, 5, 12)).astype(np.float32)
LAYER = jnp.asarray(7)
NEVER = jnp.asarray(0.0)


def start(**fields):
    module = block.Block(heads=3, hidden=24, **fields)
    # Parameters do not depend on what a method wraps around the block.
    bare = block.Block(heads=3, hidden=24)
    return module, tiny.drawn(tiny.shapes(bare, jnp.asarray(TOKENS), LAYER, NEVER))


def test_attention_equals_a_loop_over_heads():
    module = block.Attention(heads=3)
    tokens = jnp.asarray(TOKENS)
    drawn = tiny.drawn(tiny.shapes(module, tokens, False))
    # Far from zero, so that attention is far from uniform.
    variables = jax.tree.map(lambda x: 5 * x, drawn)
    params = jax.tree.map(np.asarray, variables["params"])
    qkv = TOKENS @ params["qkv"]["kernel"] + params["qkv"]["bias"]
    mixed = np.zeros_like(TOKENS)
    for head in range(3):
        query, key, value = (
            qkv[..., part + 4 * head : part + 4 * head + 4] for part in (0, 12, 24)
        )
        scores = np.exp(np.einsum("mbqd,mbkd->mbqk", query, key) / 2)
        weights = scores / scores.sum(-1, keepdims=True)
        mixed[..., 4 * head : 4 * head + 4] = weights @ value
    expected = mixed @ params["proj"]["kernel"] + params["proj"]["bias"]
    out = module.apply(variables, tokens, False)
    chex.assert_trees_all_close(np.asarray(out), expected, rtol=1e-4, atol=1e-5)


def test_mlp_uses_the_exact_gelu():
    module = block.Mlp(hidden=12)
    identity = {"kernel": jnp.eye(12), "bias": jnp.zeros(12)}
    out = module.apply(
        {"params": {"fc1": identity, "fc2": identity}}, jnp.asarray(TOKENS), False
    )
    erf = np.asarray(jax.lax.erf(jnp.asarray(TOKENS) / 2**0.5))
    chex.assert_trees_all_close(np.asarray(out), TOKENS * (1 + erf) / 2, atol=1e-6)


@pytest.mark.parametrize("rate", [0.0, 0.25])
def test_stochastic_depth_drops_whole_branches_of_an_image(rate):
    module, _ = start(train=True, stochastic=True)
    branch = jnp.ones((2, 500, 3, 4))
    drop = functools.partial(block.Block._drop, probability=jnp.asarray(rate))
    out = module.apply({}, branch, method=drop, rngs={"dropout": jax.random.key(1)})
    images = np.asarray(out).reshape(1000, 12)
    assert (images == images[:, :1]).all()
    assert np.unique(images[:, 0]).tolist() == pytest.approx(
        [0, 1 / (1 - rate)] if rate else [1]
    )
    assert images.mean() == pytest.approx(1, abs=0.06)


def test_stochastic_depth_draws_the_branches_independently():
    tokens = jnp.zeros((1, 400, 2, 12))
    module, variables = start(train=True, stochastic=True)
    params = jax.tree.map(jnp.zeros_like, variables["params"])
    params["attn"]["proj"]["bias"] = jnp.full(12, 1.0)
    params["mlp"]["fc2"]["bias"] = jnp.full(12, 10.0)
    keys = {"dropout": jax.random.key(0)}
    out, _ = tiny.apply(
        module, {"params": params}, tokens, LAYER, jnp.asarray(0.5), rngs=keys
    )
    values, counts = np.unique(np.asarray(out[0, :, 0, 0]), return_counts=True)
    assert values.tolist() == [0.0, 2.0, 20.0, 22.0]
    assert (counts > 60).all()


def test_evaluation_drops_nothing():
    module, variables = start(stochastic=True, dropout=0.5, attention_dropout=0.5)
    plain, _ = start()
    tokens = jnp.asarray(TOKENS)
    out = tiny.apply(module, variables, tokens, LAYER, jnp.asarray(0.9))
    chex.assert_trees_all_equal(out, tiny.apply(plain, variables, tokens, LAYER, NEVER))


def test_wrap_acts_around_the_block_and_knows_its_layer():
    def wrap(call, layer):
        return lambda tokens: tokens + layer.astype(tokens.dtype) * call(tokens)

    tokens = jnp.asarray(TOKENS)
    module, variables = start(wrap=wrap)
    plain, _ = start()
    out, _ = tiny.apply(module, variables, tokens, LAYER, NEVER)
    bare, _ = tiny.apply(plain, variables, tokens, LAYER, NEVER)
    chex.assert_trees_all_close(out, tokens + 7 * bare, rtol=1e-6)


def test_wrap_may_lengthen_the_tokens_and_call_twice():
    def wrap(call, layer):
        del layer
        extra = jnp.zeros((2, 3, 4, 12))
        return lambda x: call(call(jnp.concatenate([x, extra], axis=2)))[:, :, :5]

    tokens = jnp.asarray(TOKENS)
    module, variables = start(wrap=wrap, maps=True)
    out, maps = tiny.apply(module, variables, tokens, LAYER, NEVER)
    chex.assert_trees_all_equal(maps, {"block": out})
    chex.assert_shape(out, TOKENS.shape)


def test_maps_are_the_branch_and_the_sum():
    module, variables = start(maps=True)
    out, maps = tiny.apply(module, variables, jnp.asarray(TOKENS), LAYER, NEVER)
    attention = {"params": variables["params"]["attn"]}
    first = {"params": variables["params"]["norm1"]}
    layer_norm = norm.layer_norm(1e-5, None, jnp.float32)
    normal = tiny.apply(layer_norm, first, jnp.asarray(TOKENS))
    expected = block.Attention(heads=3).apply(attention, normal, False)
    chex.assert_trees_all_close(maps["attention"], expected, atol=1e-5)
    chex.assert_trees_all_equal(maps["block"], out)
