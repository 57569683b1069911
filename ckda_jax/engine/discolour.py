"""Discolouring: take the colour out of images, so that a model must look at outlines."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, UInt8

from ckda_jax import keys

LUMA = (0.299, 0.587, 0.114)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Discolour:
    """Turns some images grey, and some of these into their negative.

    The grey ones get a random contrast and level as well: what is light in one spectrum
    is dark in another, but an outline is an outline in both.

    Attributes:
        grey: probability of a grey image.
        negative: probability that a grey image is inverted.
        gain: contrast factors are uniform in 1 -+ this.
    """

    grey: float = 0.0
    negative: float = 0.5
    gain: float = 0.5

    def __call__(
        self, key: Key[Array, ""], images: UInt8[Array, "m b h w 3"]
    ) -> UInt8[Array, "m b h w 3"]:
        """Discolour a batch of uint8 images with what `key` draws."""

        def uniform(name: str, low: float = 0.0, high: float = 1.0) -> Array:
            shape = (*images.shape[:2], 1, 1, 1)
            return jax.random.uniform(keys.stream(key, name), shape, None, low, high)

        luma = jnp.tensordot(images.astype(jnp.float32), jnp.array(LUMA), 1)[..., None]
        mean = jnp.mean(luma, axis=(2, 3), keepdims=True)
        sign = jnp.where(uniform("negative") < self.negative, -1, 1)
        gain = sign * uniform("gain", 1 - self.gain, 1 + self.gain)
        level = uniform("level", 64.0, 192.0)
        changed = jnp.clip(level + gain * (luma - mean), 0, 255).astype(images.dtype)
        grey = uniform("grey") < self.grey
        return jnp.where(grey, jnp.broadcast_to(changed, images.shape), images)
