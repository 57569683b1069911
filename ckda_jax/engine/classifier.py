"""The classifier's slices: each stage of a run owns the rows of its identities."""

import jax
from jaxtyping import Array, Key

from ckda_jax.structs import StageInfo, Tree

STANDARD_DEVIATION = 0.001
"""Of freshly drawn classifier weights, as in the released code."""


def fresh_slice(
    params: Tree, stage: StageInfo, carried: StageInfo | None, key: Key[Array, ""]
) -> Tree:
    """Initialise a stage's slice of the classifier; leave the other slices alone.

    What is drawn depends on the key and the slice's size alone, not on the
    classifier's, so that a run and its extension learn from the same start.

    Args:
        params: all parameters, `classifier/kernel [d, k]` among them.
        stage: the stage that begins.
        carried: the previous stage, to start from its slice if it is as long; None:
            always start afresh.
        key: of the draw.
    """
    kernel = params["classifier"]["kernel"]
    if carried is not None and int(carried.classes) == int(stage.classes):
        fresh = carried.slice_of(kernel)
    else:
        shape = (kernel.shape[0], int(stage.classes))
        fresh = STANDARD_DEVIATION * jax.random.normal(key, shape, kernel.dtype)
    kernel = stage.put_slice(kernel, fresh)
    return {**params, "classifier": {**params["classifier"], "kernel": kernel}}
