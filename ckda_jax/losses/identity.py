"""Identity loss: which person is it?"""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def cross_entropy(
    logits: Float[Array, "*i k"],
    labels: Int[Array, "*i"],
    *,
    mask: Bool[Array, " k"] | None = None,
) -> Float[Array, "*i"]:
    """Compute -log softmax(logits)[label] over the classes in the mask.

    Args:
        logits: `[..., k]`.
        labels: `[...]`, each a class in the mask.
        mask: classes that take part; None: all. The others get no gradient.

    Returns:
        `[...]`, one value per example, in nats.

    >>> import jax.numpy as jnp
    >>> logits, labels = jnp.zeros((1, 4)), jnp.array([1])
    >>> f"{cross_entropy(logits, labels).item():.3f}"  # ln 4
    '1.386'
    >>> two = jnp.array([True, True, False, False])
    >>> f"{cross_entropy(logits, labels, mask=two).item():.3f}"  # ln 2
    '0.693'
    """
    chex.assert_equal_shape_prefix([logits, labels], labels.ndim)
    if mask is not None:
        shape = (1,) * labels.ndim + mask.shape
        lowest = jnp.finfo(logits.dtype).min / 2
        logits = jnp.where(mask.reshape(shape), logits, lowest)
    own = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - own
