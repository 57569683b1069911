import chex
import jax
import jax.numpy as jnp
import pytest

from ckda_jax import trees
from ckda_jax.models.plain import PlainModel, bare, fold_modality
from ckda_jax.models.reid import ReIDModel
from ckda_jax.models.vit import ViT

SIZE = {"image_size": (16, 8), "patch_size": 8, "stride": 8, "width": 12, "depth": 2}
RATES = {"heads": 3, "dropout": 0.0, "drop_path": 0.0}


@pytest.fixture(scope="module")
def plain():
    return PlainModel(5, ViT(modalities=1, **SIZE, **RATES))


@pytest.fixture(scope="module")
def images():
    return jax.random.normal(jax.random.key(1), (1, 4, 16, 8, 3))


@pytest.fixture(scope="module")
def variables(plain, images):
    return jax.jit(plain.init)(jax.random.key(0), images)


def test_is_the_full_model_without_prompts(plain, variables, images):
    full = ReIDModel(5, modalities=1, prompt_patch_size=8, **SIZE, **RATES)
    made = jax.jit(full.init, static_argnums=2)(jax.random.key(2), images, (0,))
    params = {**made["params"], **variables["params"]}
    silent = {
        name: jax.tree.map(jnp.zeros_like, params[name])
        for name in ("common", "specific")
    }
    stats = {**made["batch_stats"], **variables["batch_stats"]}
    filled = {"params": params | silent, "batch_stats": stats}
    wanted = full.apply(filled, images, modality=(0,))
    chex.assert_trees_all_equal_shapes(made["params"], filled["params"])
    chex.assert_trees_all_close(plain.apply(variables, images), wanted, atol=1e-6)


def test_bare_is_the_full_model_whose_prompts_are_nothing(images):
    full = ReIDModel(5, prompt_patch_size=8, stem="conv", **SIZE, **RATES)
    made = jax.jit(full.init, static_argnums=2)(
        jax.random.key(2), jnp.concatenate([images, images]), (0, 1)
    )
    params = made["params"]
    silent = {
        name: {**params[name], "up": jax.tree.map(jnp.zeros_like, params[name]["up"])}
        for name in ("common", "specific")
    }
    filled = {**made, "params": params | silent}
    wanted, _ = full.apply(filled, images, modality=(1,))
    found, _ = bare(full).apply(filled, images, modality=(1,))
    chex.assert_trees_all_close(found, wanted, atol=1e-6)
    other, _ = bare(full).apply(filled, images, modality=(0,))
    assert jnp.abs(other - wanted).max() > 1e-3


def test_training_renews_the_neck_alone(plain, variables, images):
    (_, outputs), changed = plain.apply(
        variables, images, train=True, mutable=["batch_stats"]
    )
    assert set(trees.named_leaves(changed["batch_stats"])) == {"neck/mean", "neck/var"}
    mean = 0.1 * outputs.feature[0].mean(axis=0)
    chex.assert_trees_all_close(changed["batch_stats"]["neck"]["mean"], mean, atol=1e-6)


def test_wrap_is_put_around_every_block(plain, variables, images):
    _, skipped = plain.apply(variables, images, wrap=lambda call, layer: lambda x: x)
    still = dict(variables["params"]["backbone"])
    still["blocks"] = jax.tree.map(jnp.zeros_like, still["blocks"])
    tokens, _ = plain.backbone.apply({"params": still}, images, (0,))
    chex.assert_trees_all_close(skipped.feature, tokens[:, :, 0], atol=1e-6)


def test_folding_the_modality_changes_no_output(plain, variables, images):
    folded = fold_modality(variables)
    table = folded["params"]["backbone"]["mod_embed"]
    chex.assert_trees_all_equal(table, jnp.zeros_like(table))
    chex.assert_trees_all_close(
        plain.apply(folded, images), plain.apply(variables, images), atol=1e-6
    )
    assert float(jnp.abs(variables["params"]["backbone"]["mod_embed"]).max()) > 0


def test_two_modalities_are_refused(plain, variables, images):
    with pytest.raises(AssertionError):
        plain.apply(variables, images, modality=(0, 1))
