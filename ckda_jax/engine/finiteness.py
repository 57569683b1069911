"""Finiteness: what a step must be for its outcome to count, judged on the device."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Int

from ckda_jax.engine.state import TrainState
from ckda_jax.structs import Tree

NONE = -1
"""The place of the first leaf that is not finite, where all are."""


def first_not_finite(tree: Tree) -> Int[Array, ""]:
    """Find the first leaf, in tree order, that is not finite; `NONE` if all are.

    A leaf counts as finite when the sum of its squares is, which a norm of the tree
    needs as well, so that looking costs next to nothing.

    >>> tree = {"a": jnp.ones(2), "b": jnp.array([0.0, jnp.nan])}
    >>> int(first_not_finite(tree)), int(first_not_finite(tree["a"]))
    (1, -1)
    """
    squares = [optax.tree.norm(leaf, squared=True) for leaf in jax.tree.leaves(tree)]
    bad = ~jnp.isfinite(jnp.stack(squares))
    return jnp.where(bad.any(), jnp.argmax(bad), NONE).astype(jnp.int32)


def all_finite(tree: Tree) -> Bool[Array, ""]:
    """Whether every number of a tree is finite."""
    leaves = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]
    return jnp.stack(leaves).all()


def guarded(before: TrainState, after: TrainState, sound: Array) -> TrainState:
    """Take a step's outcome where it is sound; else count the step and change nothing.

    Args:
        before: the state that the step was given.
        after: the state that it would leave.
        sound: `[]` bool.
    """

    def choose(new: Tree, old: Tree) -> Tree:
        return jax.tree.map(lambda n, o: jnp.where(sound, n, o), new, old)

    return after.replace(
        params=choose(after.params, before.params),
        batch_stats=choose(after.batch_stats, before.batch_stats),
        opt_state=choose(after.opt_state, before.opt_state),
        skipped=before.skipped + ~sound,
    )
