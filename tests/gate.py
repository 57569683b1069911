"""A toy method that acts on every slot, for what no shipped method needs yet."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ckda_jax.methods.base import Extra, ForwardView, Method, StageEnd, StepView
from ckda_jax.structs import StageInfo
from ckda_jax.trees import map_named, matches
from tests import tiny

OWN = r"extra/(.*\.)?shift/table"
"""Where the gate's own parameters are, under whatever name it is combined."""


class Shift(nn.Module):
    """Add a stage's own vector to every token.

    Attributes:
        stages: rows of the table.
    """

    stages: int

    @nn.compact
    def __call__(self, tokens: jax.Array, stage: jax.Array) -> jax.Array:
        """Shift tokens `[..., d]`."""
        shape = (self.stages, tokens.shape[-1])
        table = self.param("table", nn.initializers.normal(0.1), shape)
        row = jax.lax.dynamic_index_in_dim(table, stage, keepdims=False)
        return tokens + row.reshape((1,) * (tokens.ndim - 1) + row.shape)


def gate(stages: int = tiny.STAGES) -> Method:
    """Multiply the tokens after block 0 by a stage's gate, and shift those after 1.

    The gates are in memory and drawn when their stage begins; the shifts are trained,
    each in its own stage only.
    """

    def init(key: jax.Array, variables: Any) -> Any:
        del key
        width = variables["params"]["neck"]["scale"].shape[0]
        return {"gate": jnp.ones((stages, width)), "ended": jnp.zeros(stages, bool)}

    def begin(memory: Any, variables: Any, stage: StageInfo, key: jax.Array) -> Any:
        drawn = 1 + 0.5 * jax.random.normal(key, memory["gate"].shape[1:])
        gates = memory["gate"].at[stage.index].set(drawn)
        params = variables["params"]
        backbone = {**params["backbone"], "cls_token": drawn}
        params = {**params, "backbone": backbone}
        return {**memory, "gate": gates}, {**variables, "params": params}

    def wrap(call: Any, view: ForwardView) -> Any:
        def gated(tokens: jax.Array) -> jax.Array:
            tokens = call(tokens)
            own = jnp.take(view.memory["gate"], view.stage, axis=0)
            scaled = tokens * own[None, None, None]
            shifted = view.extra("shift", tokens, view.stage)
            return jnp.where(view.layer == 0, scaled, shifted)

        return gated

    def loss(view: StepView) -> Any:
        square = jnp.mean(jnp.square(view.student.feature))
        return square, {"square": square}

    def project(grads: Any, grad_fn: Any, view: StepView) -> Any:
        again = grad_fn(view.params, view.batch)
        return jax.tree.map(lambda g, a: g + a, grads, again)

    def update(updates: Any, view: StepView) -> Any:
        def own_row(name: str, leaf: jax.Array) -> jax.Array:
            if not matches(name, OWN):
                return leaf
            is_own = jnp.arange(stages) == view.stage.index
            return jnp.where(is_own[:, None], leaf, 0)

        return map_named(own_row, updates)

    def consolidate(memory: Any, end: StageEnd) -> Any:
        return {**memory, "ended": memory["ended"].at[end.stage.index].set(True)}

    def examples(memory: Any) -> np.ndarray:
        ended = np.flatnonzero(memory["ended"])
        return np.stack([ended, 10 + ended], axis=1).astype(np.int32)

    def embed(apply: Any, variables: Any, memory: Any, images: Any, modality: Any):
        del memory
        sides = [
            apply(variables, x, modality=modality)[0]
            for x in (images, images[..., ::-1, :])
        ]
        return (sides[0] + sides[1]) / 2

    return Method(
        init=init,
        begin=begin,
        wrap=wrap,
        loss=loss,
        project=project,
        update=update,
        consolidate=consolidate,
        examples=examples,
        embed=embed,
        modules={
            "shift": Extra(Shift(stages), lambda out: (out.patches, jnp.int32(0)))
        },
    )
