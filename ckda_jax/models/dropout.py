"""Dropout whose masks are a hash of key and place, cheap enough to draw where used."""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Key, UInt32


class Dropout(nn.Module):
    """Zero elements at random and scale up the others (Srivastava et al. 2014).

    Attributes:
        rate: probability that an element is zeroed.
    """

    rate: float

    @nn.compact
    def __call__(self, x: Float[Array, "..."], train: bool) -> Float[Array, "..."]:
        """Drop in training, with the rng `dropout`; return the input otherwise."""
        if not train or self.rate == 0:
            return x
        keep = 1 - self.rate
        kept = bernoulli(self.make_rng("dropout"), keep, x.shape)
        return x * (kept.astype(x.dtype) / jnp.asarray(keep, x.dtype))


def bernoulli(
    key: Key[Array, ""], probability: float, shape: tuple[int, ...]
) -> Bool[Array, "..."]:
    """Draw booleans, true with a probability, each from key and index alone.

    `jax.random` spends 20 rounds of a cipher on every element, in passes over memory on
    a CPU: more than the matrix product that the mask is for. Here each element hashes
    its index with two words of the key, in two rounds of a mixer of integers: few
    operations that any compiler fuses into the loop that uses the mask. The values do
    not depend on how an array is spread over devices. Good for masks, not for secrets.

    Args:
        key: typed, of any implementation.
        probability: resolved to 2^-32.
        shape: the last two axes hold fewer than 2^32 elements, as do the others.

    >>> key = jax.random.key(0)
    >>> f"{bernoulli(key, 0.97, (1000, 1000)).mean():.3f}"
    '0.970'
    """
    first, second = jax.random.bits(key, (2,), jnp.uint32)
    inner = _index(shape, range(max(len(shape) - 2, 0), len(shape)))
    outer = _index(shape, range(max(len(shape) - 2, 0)))
    word = mix(mix(inner ^ first) + mix(outer ^ second))
    return word < jnp.uint32(min(round(probability * 2**32), 2**32 - 1))


def mix(x: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """Mix the bits of each word, one to one.

    Wellons' `lowbias32`: shifts and odd factors found by search so that flipping any
    input bit flips every output bit with probability 1/2 to within 0.2 %.

    >>> int(mix(jnp.uint32(1)))
    1753845952
    """
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def _index(shape: tuple[int, ...], axes: range) -> UInt32[Array, "..."]:
    """Number the elements along some axes, the last fastest."""

    def advance(index: Array, axis: int) -> Array:
        own = jnp.arange(shape[axis], dtype=jnp.uint32)
        own = own.reshape([-1 if a == axis else 1 for a in range(len(shape))])
        return index * jnp.uint32(shape[axis]) + own

    return functools.reduce(advance, axes, jnp.zeros([1] * len(shape), jnp.uint32))
