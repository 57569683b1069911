"""Finiteness: what is found in a tree, and what a step that is not finite changes."""

import chex
import jax
import jax.numpy as jnp
import pytest

from ckda_jax.engine.finiteness import NONE, all_finite, first_not_finite, guarded
from ckda_jax.engine.state import TrainState

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("leaves", "place"),
    [([1.0, 0.0], NONE), ([1.0, NAN], 1), ([INF, NAN], 0), ([1e30, 1.0], 0)],
)
def test_the_first_leaf_that_is_not_finite_is_found(leaves, place):
    tree = {str(i): jnp.array([0.0, value]) for i, value in enumerate(leaves)}
    assert int(first_not_finite(tree)) == place


def test_every_number_counts():
    assert bool(all_finite({"a": jnp.ones(3), "b": jnp.array(1e30)}))
    assert not bool(all_finite({"a": jnp.ones(3), "b": jnp.array([1.0, INF])}))


@pytest.mark.parametrize("sound", [True, False])
def test_an_outcome_that_is_not_sound_is_only_counted(sound):
    before, after = (
        TrainState(
            params={"a": jnp.full(2, value)},
            batch_stats={"mean": jnp.full(1, value)},
            opt_state=(jnp.full(2, value), None),
            step=jnp.int32(step),
            skipped=jnp.int32(3),
            key=jax.random.key(0),
        )
        for value, step in ((1.0, 7), (NAN, 8))
    )
    found = guarded(before, after, jnp.array(sound))
    assert (int(found.step), int(found.skipped)) == (8, 3 if sound else 4)
    wanted = after if sound else before
    for name in ("params", "batch_stats", "opt_state"):
        chex.assert_trees_all_equal(getattr(found, name), getattr(wanted, name))
