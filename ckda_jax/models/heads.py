"""What follows the feature: the neck, the unit embedding and the classifier."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from ckda_jax.models import norm

CLASSIFIER_INIT = nn.initializers.normal(0.001)


def neck(param_dtype: Any = jnp.float32) -> norm.BatchNorm:
    """Make the batch norm between feature and classifier (Luo et al. 2019).

    Its statistics are over all rows of all modalities. Its bias exists, and the
    optimiser keeps it where it is.
    """
    return norm.BatchNorm(param_dtype=param_dtype)


def classifier(classes: int, param_dtype: Any = jnp.float32) -> nn.Dense:
    """Make the linear map, without bias, from the neck to a score per identity."""
    return nn.Dense(
        classes,
        use_bias=False,
        kernel_init=CLASSIFIER_INIT,
        param_dtype=param_dtype,
        precision=jax.lax.Precision.HIGHEST,
    )


def unit(x: Float[Array, "*i d"]) -> Float[Array, "*i d"]:
    """Scale the last axis to length 1; a zero vector stays zero, with zero gradient.

    >>> import jax.numpy as jnp
    >>> [f"{x:.1f}" for x in unit(jnp.array([[3.0, 4.0], [0.0, 0.0]])).ravel()]
    ['0.6', '0.8', '0.0', '0.0']
    """
    square = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    some = square != 0  # true for nan, which must not pass for a zero vector
    return jnp.where(some, x / jnp.sqrt(jnp.where(some, square, 1)), 0)
