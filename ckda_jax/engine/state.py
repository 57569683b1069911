"""The two pytrees of a training step: what it changes, and what it may only read."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from ckda_jax.structs import StageInfo, Tree


# Fields are not annotated with shapes, for the reason given in `structs`.
class TrainState(struct.PyTreeNode):
    """What a training step changes.

    Attributes:
        params: all trained parameters, a method's own modules under `extra`.
        batch_stats: running statistics of the normalisations.
        opt_state: moments of the optimiser.
        step: `[]` int32, steps taken in this stage.
        skipped: `[]` int32, how many of them changed nothing else, not being finite.
        key: the run key; never changes, step keys are folded from it.
    """

    params: Tree
    batch_stats: Tree
    opt_state: Tree
    step: Any
    skipped: Any
    key: Any

    @classmethod
    def start(
        cls, *, params: Tree, batch_stats: Tree, opt_state: Tree, key: Any
    ) -> "TrainState":
        """Begin a stage: no step is taken yet."""
        return cls(
            params=params,
            batch_stats=batch_stats,
            opt_state=opt_state,
            step=jnp.zeros((), jnp.int32),
            skipped=jnp.zeros((), jnp.int32),
            key=key,
        )

    @property
    def variables(self) -> Tree:
        """The model's variables as Flax takes them."""
        return {"params": self.params, "batch_stats": self.batch_stats}


class Frozen(struct.PyTreeNode):
    """What a training step only reads.

    Attributes:
        teacher: variables of the previous stage's model, None in the first stage. A
            copy: the student's own buffers are donated to each step.
        memory: what the method carries between stages.
        stage: the stage being learned.
    """

    teacher: Tree | None
    memory: Tree
    stage: StageInfo


class Snapshot(struct.PyTreeNode):
    """A model as evaluation uses it.

    Attributes:
        variables: parameters and running statistics.
        memory: what the method carries between stages.
        stage: `[]` int32, 0-based stage last learned, -1 before the first.
    """

    variables: Tree
    memory: Tree
    stage: Any


def copy(tree: Tree) -> Tree:
    """Copy every array of a tree: a copy outlives the donation of its original."""
    return jax.tree.map(jnp.copy, tree)
