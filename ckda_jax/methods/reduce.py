"""From one value per image to the scalar of a loss, absent modalities left out."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def per_modality(
    values: Float[Array, "m b"], present: Bool[Array, " m"]
) -> Float[Array, " m"]:
    """Average the images of each modality, `[m]`; 0 for an absent one."""
    return jnp.where(present, values.mean(axis=1), 0)


def per_image(
    values: Float[Array, "m b"], present: Bool[Array, " m"]
) -> Float[Array, ""]:
    """Average over the images of the modalities that are present."""
    count = jnp.maximum(jnp.sum(present), 1).astype(values.dtype)
    return jnp.sum(per_modality(values, present)) / count
