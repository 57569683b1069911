import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.engine.classifier import STANDARD_DEVIATION, fresh_slice
from ckda_jax.structs import StageInfo

KEY = jax.random.key(3)


def stage(first_row, classes, rows=12):
    return StageInfo(
        index=jnp.int32(1),
        first_row=jnp.int32(first_row),
        classes=jnp.int32(classes),
        steps_per_epoch=jnp.int32(1),
        replayed=jnp.zeros(rows, bool),
    )


def params(rows=12):
    kernel = jnp.asarray(np.random.default_rng(0).normal(size=(5, rows)), jnp.float32)
    return {"classifier": {"kernel": kernel}, "neck": {"scale": jnp.ones(5)}}


def kernel(found):
    return found["classifier"]["kernel"]


def test_the_slice_is_fresh_and_all_else_stays():
    before = params()
    after = fresh_slice(before, stage(4, 3), None, KEY)
    others = np.r_[0:4, 7:12]
    chex.assert_trees_all_equal(kernel(after)[:, others], kernel(before)[:, others])
    chex.assert_trees_all_equal(after["neck"], before["neck"])
    own = kernel(after)[:, 4:7]
    assert 0 < jnp.abs(own).max() < 5 * STANDARD_DEVIATION


def test_fresh_weights_have_the_released_spread():
    wide = {"classifier": {"kernel": jnp.ones((64, 400))}}
    own = kernel(fresh_slice(wide, stage(0, 400, 400), None, KEY))
    assert float(own.std()) == pytest.approx(STANDARD_DEVIATION, rel=0.02)
    assert abs(float(own.mean())) < 2e-5


def test_the_draw_does_not_depend_on_the_classifier_s_length():
    # So a run that is extended starts its stages as one run of all stages does.
    whole = kernel(fresh_slice(params(), stage(4, 3), None, KEY))[:, 4:7]
    alone = kernel(fresh_slice(params(3), stage(0, 3, 3), None, KEY))
    chex.assert_trees_all_equal(whole, alone)


def test_the_draw_depends_on_the_key():
    one, two = (
        kernel(fresh_slice(params(), stage(4, 3), None, jax.random.key(seed)))
        for seed in (0, 1)
    )
    assert (one[:, 4:7] != two[:, 4:7]).all()


def test_equal_count_starts_from_the_previous_slice():
    found = fresh_slice(params(), stage(4, 3), stage(1, 3), KEY)
    chex.assert_trees_all_equal(kernel(found)[:, 4:7], kernel(params())[:, 1:4])


def test_other_counts_start_fresh():
    fresh = fresh_slice(params(), stage(4, 3), None, KEY)
    found = fresh_slice(params(), stage(4, 3), stage(0, 4), KEY)
    chex.assert_trees_all_equal(found, fresh)


def test_half_precision_stays():
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params())
    assert kernel(fresh_slice(half, stage(4, 3), None, KEY)).dtype == jnp.bfloat16
