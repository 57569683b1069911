import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.models import stem
from tests.models import tiny

IMAGES = np.random.default_rng(0).normal(size=(2, 3, 40, 32, 3)).astype(np.float32)


def start(kind, images=IMAGES, width=16):
    module = stem.Stem(kind, patch_size=16, stride=12, width=width)
    return module, tiny.drawn(tiny.shapes(module, jnp.asarray(images)))


def test_patch_stem_projects_overlapping_patches_row_by_row():
    module, variables = start("patch")
    tokens = tiny.apply(module, variables, jnp.asarray(IMAGES))
    chex.assert_shape(tokens, (2, 3, 6, 16))
    layer = jax.tree.map(np.asarray, variables["params"]["proj"])
    for token, (row, column) in enumerate(np.ndindex(3, 2)):
        patch = IMAGES[:, :, 12 * row : 12 * row + 16, 12 * column : 12 * column + 16]
        expected = np.einsum("mbhwc,hwcd->mbd", patch, layer["kernel"]) + layer["bias"]
        chex.assert_trees_all_close(
            np.asarray(tokens[:, :, token]), expected, atol=1e-5
        )


def test_patch_stem_never_reads_columns_that_fill_no_patch():
    module, variables = start("patch")
    changed = IMAGES.copy()
    changed[..., 28:, :] = 1e6
    tokens = tiny.apply(module, variables, jnp.asarray(IMAGES))
    chex.assert_trees_all_equal(
        tokens, tiny.apply(module, variables, jnp.asarray(changed))
    )


def test_patch_stem_starts_as_the_released_code_does():
    module, _ = start("patch", width=64)
    variables = tiny.init(module, jnp.asarray(IMAGES))
    layer = variables["params"]["proj"]
    assert float(jnp.std(layer["kernel"])) == pytest.approx(
        (2 / (256 * 64)) ** 0.5, rel=0.02
    )
    bound = 768**-0.5
    assert 0.8 * bound < float(jnp.abs(layer["bias"]).max()) <= bound


@pytest.mark.parametrize(("size", "grid"), [((128, 64), (8, 4)), ((40, 32), (3, 2))])
def test_conv_stem_makes_a_token_of_16_pixels(size, grid):
    assert stem.token_grid("conv", size, 16, 12) == grid
    module = stem.Stem("conv", patch_size=16, stride=12, width=16)
    images = jax.ShapeDtypeStruct((1, 1, *size, 3), jnp.float32)
    tokens, variables = jax.eval_shape(
        lambda x: module.init_with_output(jax.random.key(0), x), images
    )
    chex.assert_shape(tokens, (1, 1, grid[0] * grid[1], 16))
    channels = [variables["params"][f"conv{i}"]["bias"].shape[0] for i in range(4)]
    assert channels == [8, 8, 8, 16]


def test_conv_stem_keeps_rows_in_order():
    module, variables = start("conv")
    changed = IMAGES.copy()
    changed[:, :, 39:, 31:] += 1.0
    tokens, other = (
        tiny.apply(module, variables, jnp.asarray(x)) for x in (IMAGES, changed)
    )
    moved = jnp.abs(tokens - other).mean(axis=(0, 1, 3))
    # The statistics of the norms are the image's, so every token moves a little.
    assert moved.argmax() == 5 and moved[5] > 2 * moved[:5].max()


def test_conv_stem_normalises_groups_of_channels_over_the_whole_image():
    module, variables = start("conv", width=192)
    x = IMAGES.reshape(-1, *IMAGES.shape[2:]).astype(np.float64)
    layers = jax.tree.map(np.asarray, variables["params"])
    for index in range(4):
        conv, norm = (layers[f"{name}{index}"] for name in ("conv", "norm"))
        x = np.asarray(
            jax.lax.conv_general_dilated(
                jnp.asarray(x, jnp.float32),
                conv["kernel"],
                (2, 2),
                ((1, 1), (1, 1)),
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
        )
        x = x.astype(np.float64) + conv["bias"]
        groups = x.reshape(len(x), -1, 8, x.shape[-1] // 8)
        mean = groups.mean((1, 3), keepdims=True)
        spread = np.sqrt(groups.var((1, 3), keepdims=True) + 1e-5)
        x = ((groups - mean) / spread).reshape(x.shape)
        x = x * norm["scale"] + norm["bias"]
        x = np.asarray(jax.nn.gelu(jnp.asarray(x, jnp.float32)))
    proj = layers["proj"]
    expected = x.reshape(2, 3, 6, 192) @ proj["kernel"][0, 0] + proj["bias"]
    tokens = tiny.apply(module, variables, jnp.asarray(IMAGES))
    chex.assert_trees_all_close(np.asarray(tokens), expected, rtol=1e-3, atol=1e-3)


def test_token_grid_agrees_with_the_patch_stem():
    module, variables = start("patch")
    rows, columns = stem.token_grid("patch", (40, 32), 16, 12)
    assert tiny.apply(module, variables, jnp.asarray(IMAGES)).shape[2] == rows * columns


def test_unknown_stem_is_refused():
    with pytest.raises(ValueError, match="stem='mlp': not one of"):
        start("mlp")


@pytest.mark.parametrize(("size", "stride"), [(16, 12), (16, 16), (16, 5), (8, 12)])
def test_matrix_product_is_the_convolution_and_has_its_gradient(size, stride):
    images = jnp.asarray(IMAGES[0])
    kernel = jax.random.normal(jax.random.key(0), (size, size, 3, 4))
    strides, names = (stride, stride), ("NHWC", "HWIO", "NHWC")

    def convolve(images, kernel):
        return jax.lax.conv_general_dilated(
            images, kernel, strides, "VALID", dimension_numbers=names
        )

    def product(images, kernel):
        return stem.matrix_product(images, kernel, strides, "VALID")

    def gradient(function):
        loss = jax.grad(lambda *x: jnp.sum(jnp.sin(function(*x))), argnums=(0, 1))
        return loss(images, kernel)

    expected = convolve(images, kernel)
    chex.assert_trees_all_close(product(images, kernel), expected, atol=1e-4)
    chex.assert_trees_all_close(gradient(product), gradient(convolve), atol=1e-3)
