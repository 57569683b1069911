import chex
import jax
import jax.numpy as jnp
import pytest

from ckda_jax.engine.state import Frozen, Snapshot, TrainState, copy
from tests import tiny


def state():
    return TrainState.start(
        params={"kernel": jnp.ones(2)},
        batch_stats={"mean": jnp.zeros(2)},
        opt_state=(),
        key=jax.random.key(1),
    )


def test_variables_are_what_flax_takes():
    now = state()
    assert now.variables == {"params": now.params, "batch_stats": now.batch_stats}


def test_a_stage_starts_with_no_step_taken():
    now = state()
    assert (int(now.step), int(now.skipped)) == (0, 0)


def test_a_copy_outlives_the_donated_original():
    original = state()
    teacher, alias = copy(original), original.params["kernel"]
    jax.jit(lambda s: jax.tree.map(lambda x: x, s), donate_argnums=0)(original)
    with pytest.raises(RuntimeError, match="deleted"):
        alias.block_until_ready()
    chex.assert_trees_all_equal(teacher.variables, state().variables)
    assert bool(teacher.key == jax.random.key(1))


@pytest.mark.parametrize(
    "made",
    [
        state(),
        Frozen(teacher=None, memory={}, stage=tiny.stage(1)),
        Snapshot(variables={"params": jnp.ones(1)}, memory=None, stage=jnp.int32(-1)),
    ],
)
def test_each_is_a_tree_whose_parts_pass_through_jit(made):
    passed = jax.jit(lambda tree: tree)(made)
    assert type(passed) is type(made)
    same = jax.tree.map(lambda a, b: bool((a == b).all()), made, passed)
    assert all(jax.tree.leaves(same)) and len(jax.tree.leaves(same)) > 1
