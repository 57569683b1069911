"""Each loss term's share of the gradient: does what should protect act at all?"""

from collections.abc import Callable, Mapping

import chex
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from ckda_jax.engine.optim import only_own, only_trained
from ckda_jax.engine.state import Frozen, TrainState
from ckda_jax.engine.step import Learner, assess, augmented
from ckda_jax.methods.base import Metrics, Scalar
from ckda_jax.structs import Batch, Tree

Shares = Callable[[TrainState, Frozen, Batch], Metrics]

TERM = "loss/"
SHARE = "gradient_share/"


def make_shares(learner: Learner) -> Shares:
    """Make the measurement `(state, frozen, batch) -> {gradient_share/<part>: share}`.

    A part's share is the L2 norm of the gradient of its loss, weight included, over the
    sum of these norms of all parts. Left out are parameters that are frozen, classifier
    rows of other stages and what belongs to an absent modality; what a method's
    `project` and `update` make of the gradient is not looked at.
    Augmentation, dropout and the method's keys are those of the step about to be taken.

    A pure function that changes nothing. It compiles once without and once with a
    teacher. Both models run forward once, and the student backward once per part, all
    parts at a time: where a step fills the memory, this does not fit.
    """

    def shares(state: TrainState, frozen: Frozen, batch: Batch) -> Metrics:
        chex.assert_rank([batch.images, batch.labels, batch.present], [5, 2, 1])
        batch = augmented(learner, state, frozen, batch)

        def terms(params: Tree) -> Metrics:
            now = state.replace(params=params)
            _, (metrics, *_) = assess(learner, now, frozen, batch)
            return {n: value for n, value in metrics.items() if n.startswith(TERM)}

        values, pull_back = jax.vjp(terms, state.params)

        def norm(cotangent: Metrics) -> Scalar:
            (grads,) = pull_back(cotangent)
            rows = frozen.stage.rows()
            own = only_own(only_trained(grads), present=batch.present, rows=rows)
            return optax.tree.norm(own)

        if not values:
            return {}
        norms = jax.vmap(norm)(one_hot(values))
        total = norms.sum()
        found = norms / jnp.where(total > 0, total, 1)
        return {
            SHARE + name.removeprefix(TERM): share
            for name, share in zip(values, found, strict=True)
        }

    return shares


def one_hot(values: Mapping[str, Scalar]) -> dict[str, Float[Array, " n"]]:
    """Stack `n` cotangents of `n` scalars, each 1 at the scalar of its place.

    >>> import jax.numpy as jnp
    >>> found = one_hot({"a": jnp.float32(5), "b": jnp.float32(7)})
    >>> {name: row.tolist() for name, row in found.items()}
    {'a': [1.0, 0.0], 'b': [0.0, 1.0]}
    """
    rows = jnp.eye(len(values))
    return {
        name: row.astype(value.dtype)
        for (name, value), row in zip(values.items(), rows, strict=True)
    }
