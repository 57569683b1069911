import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ckda_jax.methods.merge import weight_merge
from ckda_jax.structs import StageInfo
from tests import tiny

SLICES = {0: (0, 3), 1: (3, 2), 2: (5, 3), 3: (8, 2)}


def stage(index):
    first_row, classes = SLICES[index]
    return StageInfo(
        index=jnp.int32(index),
        first_row=jnp.int32(first_row),
        classes=jnp.int32(classes),
        steps_per_epoch=jnp.int32(1),
        replayed=jnp.zeros(10, bool),
    )


def variables(seed):
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    params = {
        "classifier": {"kernel": draw(4, 10)},
        "backbone": {"cls_token": draw(4)},
        "extra": {"gate": draw(3)},
    }
    return {"params": params, "batch_stats": {"neck": {"mean": draw(4)}}}


def merged(index, previous, **options):
    end = tiny.stage_end(
        variables(0),
        stage=stage(index),
        previous=None if previous is None else stage(previous),
    )
    return weight_merge(**options).merge(variables(0), variables(1), end)


def test_everything_but_the_classifier_is_averaged():
    new, old = variables(0), variables(1)
    expected = jax.tree.map(lambda n, o: 0.3 * n + 0.7 * o, new, old)
    expected["params"]["classifier"] = new["params"]["classifier"]
    found = merged(2, 1)
    chex.assert_trees_all_close(found, expected, rtol=1e-6)
    chex.assert_trees_all_equal(
        found["params"]["classifier"], new["params"]["classifier"]
    )


@pytest.mark.parametrize(("old_weight", "seed"), [(0.0, 0), (1.0, 1)])
def test_old_weight_is_the_share_of_the_previous_model(old_weight, seed):
    found = merged(1, 0, old_weight=old_weight)
    expected = variables(seed)
    expected["params"]["classifier"] = variables(0)["params"]["classifier"]
    chex.assert_trees_all_equal(found, expected)


def test_equal_count_merges_the_slices_of_stages_as_long():
    new, old = (variables(seed)["params"]["classifier"]["kernel"] for seed in (0, 1))
    found = merged(2, 0, carry_classifier="equal_count")
    kernel = found["params"]["classifier"]["kernel"]
    expected = 0.3 * new[:, 5:8] + 0.7 * old[:, 0:3]
    chex.assert_trees_all_close(kernel[:, 5:8], expected, rtol=1e-6)
    others = np.r_[0:5, 8:10]
    chex.assert_trees_all_equal(kernel[:, others], new[:, others])


@pytest.mark.parametrize(
    ("index", "previous", "carry"),
    [(2, 1, "equal_count"), (2, None, "equal_count"), (2, 0, "never")],
)
def test_no_other_slice_is_merged(index, previous, carry):
    found = merged(index, previous, carry_classifier=carry)
    kernel = found["params"]["classifier"]["kernel"]
    chex.assert_trees_all_equal(kernel, variables(0)["params"]["classifier"]["kernel"])


def test_the_first_stage_has_nothing_to_merge_with():
    new = variables(0)
    assert weight_merge().merge(new, None, tiny.stage_end(new)) is new
