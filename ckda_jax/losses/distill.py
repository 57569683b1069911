"""Distillation losses: how far is the new model from the previous one?"""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

NEAR = 0.5
"""Divergence below which the series of `kl` is used; any value up to ~50 is safe."""


def kl(new: Float[Array, "*i x"], old: Float[Array, "*i x"]) -> Float[Array, "*i"]:
    """Compute the divergence KL(softmax(old) || softmax(new)) of each row.

    Equals sum w (log w - log p) with w = softmax(old), p = softmax(new). That form
    loses its digits where the divergence is small, so there, with d = (new - old) minus
    its mean under w, it is computed as log1p(sum w (exp(d) - 1 - d)), whose terms are
    not negative. The old logits are constants.

    Args:
        new: finite logits, of any offset.
        old: finite logits; entries to be ignored are very negative in both.

    Returns:
        One value per row, in nats, never negative.

    >>> import jax.numpy as jnp
    >>> old = jnp.log(jnp.array([[0.5, 0.5]]))
    >>> new = jnp.log(jnp.array([[0.25, 0.75]]))
    >>> f"{kl(new, old).item():.4f}"  # 0.5 ln 2 + 0.5 ln(2 / 3)
    '0.1438'
    >>> kl(old + 3.0, old).tolist()
    [0.0]
    """
    chex.assert_equal_shape([new, old])
    old = jax.lax.stop_gradient(old)
    log_w = jax.nn.log_softmax(old, axis=-1)
    w = jnp.exp(log_w)
    plain = jnp.sum(w * (log_w - jax.nn.log_softmax(new, axis=-1)), axis=-1)
    difference = new - old
    d = difference - jnp.sum(w * difference, axis=-1, keepdims=True)
    # Rows that use the plain form must not overflow here: 0 x inf in the gradient.
    d = jnp.where((plain < NEAR)[..., None], d, 0)
    excess = jnp.where(
        jnp.abs(d) < 1,
        w * _curvature(jnp.where(jnp.abs(d) < 1, d, 0)),
        jnp.exp(log_w + d) - w * (1 + d),
    )
    return jnp.where(plain < NEAR, jnp.log1p(jnp.sum(excess, axis=-1)), plain)


def _curvature(d: Array) -> Array:
    """Compute exp(d) - 1 - d by its series, to full precision for |d| < 1."""
    total = jnp.zeros_like(d)
    for order in range(20, 2, -1):
        total = d / order * (1 + total)
    return jnp.square(d) / 2 * (1 + total)


def absolute(
    new: Float[Array, "*i h w c"], old: Float[Array, "*i h w c"]
) -> Float[Array, "*i"]:
    """Compute the mean absolute difference of each pair of images.

    Holds a model's prompts to those of the previous model, which are constants.

    >>> import jax.numpy as jnp
    >>> absolute(jnp.ones((1, 2, 2, 3)), jnp.full((1, 2, 2, 3), 3.0)).tolist()
    [2.0]
    """
    chex.assert_equal_shape([new, old])
    return jnp.mean(jnp.abs(new - jax.lax.stop_gradient(old)), axis=(-3, -2, -1))
