"""Weight merge: average the new model with the previous one at a stage's end."""

import jax

from ckda_jax.methods.base import Method, StageEnd
from ckda_jax.structs import Tree


def weight_merge(*, old_weight: float = 0.7, carry_classifier: str = "never") -> Method:
    """Merge `(1 - a) new + a old` over all parameters and running statistics.

    The classifier is left out: its slice belongs to other identities than any slice of
    the previous model.

    Args:
        old_weight: a, the weight of the previous model.
        carry_classifier: `equal_count` merges the stage's slice with the previous
            stage's where both are as long, as the released code does; `never` does not.
    """

    def merge(variables: Tree, teacher: Tree | None, end: StageEnd) -> Tree:
        if teacher is None:
            return variables
        new = variables["params"]["classifier"]["kernel"]
        old = teacher["params"]["classifier"]["kernel"]
        mixed = jax.tree.map(
            lambda n, o: (1 - old_weight) * n + old_weight * o, variables, teacher
        )
        kernel = new
        previous = end.previous if carry_classifier == "equal_count" else None
        if previous is not None and int(previous.classes) == int(end.stage.classes):
            own = (1 - old_weight) * end.stage.slice_of(new)
            own = own + old_weight * previous.slice_of(old)
            kernel = end.stage.put_slice(new, own)
        params = {**mixed["params"], "classifier": {"kernel": kernel}}
        return {**mixed, "params": params}

    return Method(merge=merge)
