import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ckda_jax.data import transforms
from ckda_jax.engine.augment import FILLS, Augment, Draws
from ckda_jax.structs import InputError

SIZE = (48, 24)
LEVEL = 1 / 255 / 0.224  # one of 255 grey levels after normalisation, at most


def images(b=16, size=SIZE) -> np.ndarray:
    """Draw smooth colour images `[2, b, h, w, 3]`."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (2 * b, 9, 5, 3), dtype=np.uint8)
    height, width = size
    smooth = [np.asarray(Image.fromarray(x).resize((width, height))) for x in coarse]
    return np.stack(smooth).reshape(2, b, height, width, 3)


def apply(augment: Augment, draws: Draws, batch: np.ndarray) -> jax.Array:
    """Apply given draws, compiled."""
    return jax.jit(augment.apply)(draws, batch)


def neutral(m=2, b=16) -> Draws:
    """Make draws that change nothing, blur apart."""
    no, one = jnp.zeros((m, b), bool), jnp.ones((m, b))
    return Draws(
        flip=no,
        blur=no,
        sigma=one,
        brightness=one,
        contrast=one,
        contrast_first=no,
        box=jnp.zeros((m, b, 4), int),
    )


def on_host(draws: Draws, m: int, b: int) -> transforms.ImageDraws:
    """Take the draws of one image."""
    box = tuple(draws.box[m, b].tolist())
    scalars = {
        field.name: getattr(draws, field.name)[m, b].item()
        for field in dataclasses.fields(draws)
        if field.name != "box"
    }
    return transforms.ImageDraws(**scalars, box=box if box[2] else None)


@pytest.mark.parametrize("fill", FILLS)
def test_device_equals_the_host_twin_with_the_same_draws(fill):
    augment = Augment(image_size=SIZE, fill=fill)
    batch = images()
    key = jax.random.key(0)
    got = np.asarray(jax.jit(augment)(key, batch))
    draws = jax.device_get(augment.draw(key, (2, 16)))
    want = np.stack(
        [
            [
                transforms.transform(
                    batch[m, b],
                    on_host(draws, m, b),
                    infrared=m == 1,
                    fill=FILLS[fill],
                )
                for b in range(16)
            ]
            for m in range(2)
        ]
    )
    error = np.abs(got - want)
    assert error.max() < LEVEL * 1.01
    # A value on the edge between two levels may round either way, few do.
    assert (error > 1e-5).mean() < 1e-4


def test_every_branch_is_drawn_and_within_its_range():
    augment = Augment(image_size=SIZE, flip=0.25, erasing=0.75)
    draws = jax.device_get(augment.draw(jax.random.key(1), (2, 2000)))
    for name, share in (("flip", 0.25), ("blur", 0.5), ("contrast_first", 0.5)):
        assert abs(getattr(draws, name).mean() - share) < 0.03
    for name, low, high in (
        ("brightness", 0.7, 1.3),
        ("contrast", 0.7, 1.3),
        ("sigma", 0.1, 3.0),
    ):
        values = getattr(draws, name)
        assert low <= values.min() < low + 0.02 and high - 0.02 < values.max() <= high
    top, left, h, w = draws.box[draws.box[..., 2] > 0].T
    assert abs(len(top) / 4000 - 0.75) < 0.03
    assert top.min() == 0 and (top + h).max() <= 48 and h.max() < 48
    assert left.min() == 0 and (left + w).max() <= 24 and w.max() < 24
    assert (top + h).max() == 48 and (left + w).max() == 24


def test_boxes_follow_the_distribution_of_the_host_twin():
    augment = Augment(image_size=(256, 128), erasing=1.0)
    device = np.asarray(augment.draw(jax.random.key(2), (2, 4000)).box).reshape(-1, 4)
    rng = np.random.default_rng(0)
    host = np.array([transforms.draw_box(rng, (256, 128)) for _ in range(8000)])
    chex.assert_shape([device, host], (8000, 4))
    for side in range(4):
        # Kolmogorov-Smirnov distance; .1 % of equal samples exceed 0.031.
        grid = np.arange(257)
        ours, theirs = (
            np.searchsorted(np.sort(x[:, side]), grid, side="right") / 8000
            for x in (device, host)
        )
        assert np.abs(ours - theirs).max() < 0.031


def test_draws_come_from_the_key_alone():
    augment = Augment(image_size=SIZE)
    key = jax.random.key(3)
    chex.assert_trees_all_equal(augment.draw(key, (2, 8)), augment.draw(key, (2, 8)))
    other = augment.draw(jax.random.key(4), (2, 8))
    assert (other.sigma != augment.draw(key, (2, 8)).sigma).all()


def test_neutral_draws_leave_the_normalised_image():
    augment = Augment(image_size=SIZE)
    batch = images()
    got = apply(augment, neutral(), batch)
    chex.assert_trees_all_close(got, augment.normalise(batch), atol=1e-6)


def test_visible_images_are_neither_jittered_nor_blurred():
    augment = Augment(image_size=SIZE)
    batch = images()
    disturbed = neutral().replace(
        blur=jnp.ones((2, 16), bool), sigma=jnp.full((2, 16), 3.0)
    )
    got, plain = apply(augment, disturbed, batch), augment.normalise(batch)
    chex.assert_trees_all_close(got[0], plain[0], atol=1e-6)
    assert jnp.abs(got[1] - plain[1]).max() > LEVEL
    off = Augment(image_size=SIZE, infrared=())
    chex.assert_trees_all_close(apply(off, disturbed, batch), plain, atol=1e-6)


def test_normalise_equals_the_reference(golden):
    values = golden("transforms")
    augment = Augment(image_size=(256, 128))
    got = augment.normalise(values["lanczos_128x256"][None])
    want = values["test_pipeline"].transpose(1, 2, 0)[None]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_result_has_the_dtype_asked_for(dtype):
    augment = Augment(image_size=SIZE, dtype=dtype)
    got = augment(jax.random.key(0), images())
    assert got.dtype == dtype
    exact = Augment(image_size=SIZE)(jax.random.key(0), images())
    tolerance = {"float32": 0.0, "bfloat16": 2**-7}[dtype]
    np.testing.assert_allclose(got.astype("float32"), exact, rtol=tolerance, atol=1e-7)


def test_float64_is_kept(x64):
    augment = Augment(image_size=SIZE, dtype="float64")
    got = apply(augment, neutral(), images())
    assert got.dtype == "float64"
    mean, std = (np.array(x) for x in (augment.mean, augment.std))
    np.testing.assert_allclose(got, (images() / 255 - mean) / std, rtol=0, atol=1e-14)


def test_one_trace_serves_all_keys():
    augment = Augment(image_size=SIZE)
    counted = jax.jit(chex.assert_max_traces(augment.__call__, n=1))
    for seed in range(3):
        counted(jax.random.key(seed), images())


def test_images_smaller_than_the_blur_are_refused():
    with pytest.raises(InputError, match=r"\(32, 10\) is too small for the blur"):
        Augment(image_size=(32, 10))
    Augment(image_size=(32, 11))
    Augment(image_size=(32, 10), infrared=())


def test_images_of_another_size_are_an_error():
    with pytest.raises(AssertionError, match="shape"):
        Augment(image_size=(32, 16))(jax.random.key(0), images())
