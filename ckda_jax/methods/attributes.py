"""Attributes: learn what a person looks like, for people who are described."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Float

from ckda_jax.losses.identity import cross_entropy
from ckda_jax.methods.base import Extra, Method, Metrics, Scalar, StepView
from ckda_jax.methods.reduce import per_image

SPREAD = 1 / 12
"""Variance of a length, drawn uniformly from 0 to 1: what a guess of 1/2 costs is 1."""


def attributes(table: Float[np.ndarray, "k a"], choices: Sequence[int]) -> Method:
    """Predict each image's attributes from its neck by one linear layer.

    The loss of an image is the sum over choices of the cross-entropy, in nats, plus the
    mean square error of the lengths over their variance.

    Args:
        table: attributes of each identity, by row of the classifier: first the lengths,
            on the 0 to 1 scale, then the choices one-hot, one after another.
        choices: how many alternatives each choice has.
    """
    known = jnp.asarray(table, jnp.float32)
    ends = np.cumsum([known.shape[1] - sum(choices), *choices])[:-1]

    def loss(view: StepView) -> tuple[Scalar, Metrics]:
        truth = known[view.batch.labels]
        found = view.extra("head", view.student.neck)
        (lengths, *wanted), (guesses, *logits) = (
            jnp.split(values, ends, axis=-1) for values in (truth, found)
        )
        values = jnp.mean(jnp.square(guesses - lengths), axis=-1) / SPREAD
        hits = jnp.zeros_like(values)
        for one_hot, scores in zip(wanted, logits, strict=True):
            label = jnp.argmax(one_hot, axis=-1)
            values = values + cross_entropy(scores, label)
            hits = hits + (jnp.argmax(scores, axis=-1) == label) / len(choices)
        present = view.batch.present
        return per_image(values, present), {"accuracy": per_image(hits, present)}

    head = Extra(nn.Dense(known.shape[1]), lambda outputs: (outputs.neck,))
    return Method(loss=loss, modules={"head": head})
