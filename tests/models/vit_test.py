from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.models.vit import ViT
from tests.models import tiny

IMAGES = np.random.default_rng(0).normal(size=(2, 2, 28, 16, 3)).astype(np.float32)
BOTH = (0, 1)
SIZES: dict[str, Any] = {"image_size": (28, 16), "width": 12, "depth": 3, "heads": 3}


def start(**fields):
    module = ViT(**{**SIZES, **fields})
    return module, tiny.drawn(tiny.shapes(module, jnp.asarray(IMAGES), BOTH))


def run(module, variables, modality=BOTH, **options):
    images = jnp.asarray(IMAGES[list(modality)])
    return jax.jit(lambda v, x: module.apply(v, x, modality, **options))(
        variables, images
    )


def test_blocks_are_stacked_on_a_leading_depth_axis():
    _, variables = start()
    shapes = jax.tree.map(jnp.shape, variables["params"])
    assert shapes["blocks"]["attn"]["qkv"]["kernel"] == (3, 12, 36)
    assert shapes["blocks"]["norm1"]["scale"] == (3, 12)
    assert shapes["pos_embed"] == (3, 12) and shapes["mod_embed"] == (2, 12)


def test_weights_start_with_the_released_spread():
    module = ViT(**{**SIZES, "width": 96})
    params = tiny.init(module, jnp.asarray(IMAGES), BOTH)["params"]
    for leaf in ("pos_embed", "mod_embed", "cls_token"):
        assert float(jnp.std(params[leaf])) == pytest.approx(0.02, rel=0.25)
    qkv = params["blocks"]["attn"]["qkv"]
    assert float(jnp.std(qkv["kernel"])) == pytest.approx(0.02, rel=0.02)
    assert not qkv["bias"].any()
    first, second, _ = qkv["kernel"]
    assert jnp.abs(first - second).max() > 0.01


def test_tokens_are_cls_and_patches_with_position_and_modality():
    module, variables = start()
    _, maps = run(module, variables, maps=True)
    params = variables["params"]
    first = jnp.broadcast_to(params["cls_token"], (2, 2, 1, 12))
    expected = jnp.concatenate([first, maps["patch_embed"]], axis=2)
    expected += params["pos_embed"][None, None]
    expected += params["mod_embed"][:, None, None]
    chex.assert_trees_all_close(maps["tokens"], expected, atol=1e-6)


def test_after_convolutions_every_place_and_channel_has_a_gain():
    module, variables = start(stem="conv")
    _, maps = run(module, variables, maps=True)
    params = variables["params"]
    first = jnp.broadcast_to(params["cls_token"], (2, 2, 1, 12))
    expected = jnp.concatenate([first, maps["patch_embed"]], axis=2)
    expected *= params["pos_gain"][None, None]
    expected += params["pos_embed"][None, None]
    expected += params["mod_embed"][:, None, None]
    chex.assert_trees_all_close(maps["tokens"], expected, atol=1e-6)


def test_patches_have_no_gain():
    assert "pos_gain" not in start(stem="patch")[1]["params"]


def test_maps_follow_the_depth():
    module, variables = start()
    tokens, maps = run(module, variables, maps=True)
    chex.assert_shape([maps["attention"], maps["block"]], (3, 2, 2, 3, 12))
    chex.assert_trees_all_equal(maps["norm"], tokens)
    assert run(module, variables)[1] is None


def test_modality_decides_the_embedding_of_a_row():
    module, variables = start()
    both, _ = run(module, variables)
    alone, _ = run(module, variables, (1,))
    chex.assert_trees_all_close(both[1], alone[0], atol=1e-5)
    params = variables["params"]
    params["mod_embed"] = params["mod_embed"][::-1]
    other, _ = run(module, variables, (1,))
    assert jnp.abs(other - alone).max() > 1e-3


def test_remat_changes_no_value_and_no_gradient():
    # In training mode with a fixed key: the recomputed pass must draw the same.
    results = []
    for remat in (False, True):
        module, variables = start(remat=remat, drop_path=0.5, dropout=0.2, depth=2)

        def loss(params, module=module):
            options: dict[str, Any] = {
                "train": True,
                "rngs": {"dropout": jax.random.key(3, impl="rbg")},
            }
            tokens, _ = module.apply(
                {"params": params}, jnp.asarray(IMAGES), BOTH, **options
            )
            return jnp.mean(jnp.sin(tokens))

        results.append(jax.jit(jax.value_and_grad(loss))(variables["params"]))
    chex.assert_trees_all_close(*results, rtol=1e-4, atol=1e-6)


def test_wrap_reaches_every_layer_by_its_number():
    gates = jnp.array([1.0, 0.0, 1.0])

    def gate(call, layer):
        kept = gates[layer]
        return lambda tokens: tokens + kept * (call(tokens) - tokens)

    module, variables = start()
    wrapped, _ = run(module, variables, wrap=gate)
    shorter = jax.tree.map(
        lambda x: x[jnp.array([0, 2])], variables["params"]["blocks"]
    )
    skipped = {"params": {**variables["params"], "blocks": shorter}}
    expected, _ = run(module.clone(depth=2), skipped)
    chex.assert_trees_all_close(wrapped, expected, atol=1e-5)


def test_dropout_depends_on_the_key_and_only_in_training():
    module, variables = start(dropout=0.5)

    @jax.jit
    def train(key):
        options: dict[str, Any] = {"train": True, "rngs": {"dropout": key}}
        return module.apply(variables, jnp.asarray(IMAGES), BOTH, **options)[0]

    first, again, other = (
        train(jax.random.key(seed, impl="rbg")) for seed in (0, 0, 1)
    )
    chex.assert_trees_all_equal(first, again)
    assert jnp.abs(first - other).max() > 0.1
    plain, _ = run(module.clone(dropout=0.0), variables)
    chex.assert_trees_all_equal(run(module, variables)[0], plain)
