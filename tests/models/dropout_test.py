import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.models.dropout import Dropout, bernoulli, mix

SHAPE = (4, 8, 211, 48)
KEYS = jax.random.split(jax.random.key(0), 2)
MIX = jax.jit(mix)
DRAW = jax.jit(bernoulli, static_argnums=(1, 2))


def masks(probability=0.97):
    return [np.asarray(DRAW(key, probability, SHAPE)) for key in KEYS]


def test_kept_elements_are_scaled_up_and_the_others_zero():
    x = jnp.full((4, 3, 5, 7), 3.0)
    out = Dropout(0.25).apply({}, x, True, rngs={"dropout": KEYS[0]})
    assert np.unique(np.asarray(out)).tolist() == [0.0, 4.0]


@pytest.mark.parametrize(("rate", "train"), [(0.0, True), (0.5, False)])
def test_nothing_is_drawn_where_nothing_is_dropped(rate, train):
    x = jnp.ones((2, 3))
    assert Dropout(rate).apply({}, x, train) is x


@pytest.mark.parametrize("probability", [0.5, 0.97, 1.0])
def test_share_of_kept_elements_is_the_probability(probability):
    for mask in masks(probability):
        deviation = (probability * (1 - probability) / mask.size) ** 0.5
        assert mask.mean() == pytest.approx(probability, abs=4 * deviation + 1e-9)


def test_masks_of_neighbours_rows_and_keys_are_independent():
    first, second = (mask - 0.97 for mask in masks())
    pairs = [(first, second)]
    for axis in range(4):
        for shift in (1, 2):
            pairs.append((first, np.roll(first, shift, axis)))
    for a, b in pairs:
        # A mean of products of variables with variance 0.97 x 0.03.
        assert abs((a * b).mean()) < 4 * 0.97 * 0.03 / a.size**0.5


def test_a_part_of_the_rows_is_drawn_as_it_is_within_the_whole():
    whole = DRAW(KEYS[0], 0.5, (8, 5, 6))
    assert (DRAW(KEYS[0], 0.5, (3, 5, 6)) == whole[:3]).all()


def test_any_implementation_of_keys_serves():
    key = jax.random.key(0, impl="rbg")
    assert 0.4 < DRAW(key, 0.5, (100, 100)).mean() < 0.6


def test_mix_is_one_to_one_and_every_bit_reaches_every_bit():
    drawn = np.random.default_rng(0).integers(0, 1 << 32, 1 << 16, dtype=np.uint32)
    words = np.unique(drawn)
    mixed = np.asarray(MIX(words))
    assert len(np.unique(mixed)) == len(words)
    for bit in range(32):
        changed = mixed ^ np.asarray(MIX(words ^ np.uint32(1 << bit)))
        flipped = (changed[:, None] >> np.arange(32, dtype=np.uint32)) & 1
        assert np.abs(flipped.mean(axis=0) - 0.5).max() < 0.02
