"""Micro-batches: a batch encoded in parts, so that one part's activations live."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from ckda_jax.structs import Tree

Encode = Callable[[Any, Array], Tree]
"""`(module, images [r, b, h, w, c]) -> tree of [..., b, n, d]`, row by row."""


def in_parts(
    encode: Encode, module: nn.Module, images: Float[Array, "r b h w c"], parts: int
) -> Tree:
    """Encode images in equal parts, one after another, and put the rows together.

    The backward pass encodes each part a second time instead of keeping what it
    computed, and adds up the gradients in the parameters' own type. As the images of a
    part are encoded without regard to each other, value and gradient are those of the
    whole batch, but for rounding; what is drawn is drawn for each part anew.

    Args:
        encode: run on each part, with the module's parameters.
        module: the bound module that it is given.
        images: `parts` divides the number of rows.
        parts: more than 0.
    """

    def body(module: nn.Module, carry: tuple[()], part: Array) -> tuple[tuple[()], Any]:
        return carry, encode(module, part)

    scan = nn.scan(
        nn.remat(body, prevent_cse=False),
        variable_broadcast="params",
        split_rngs={"params": False, "dropout": True},
    )
    _, encoded = scan(module, (), split_rows(images, parts))
    return jax.tree.map(join_rows, encoded)


def split_rows(
    images: Float[Array, "r b h w c"], parts: int
) -> Float[Array, "p r q h w c"]:
    """Put every `parts`-th row into a part: rows that lie on a device stay on it.

    >>> rows = jnp.arange(6.0).reshape(1, 6, 1, 1, 1)
    >>> split_rows(rows, 2).reshape(2, 3).tolist()
    [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]
    """
    r, b, *image = images.shape
    chex.assert_is_divisible(b, parts)
    return jnp.moveaxis(images.reshape(r, b // parts, parts, *image), 2, 0)


def join_rows(encoded: Float[Array, "p *i q n d"]) -> Float[Array, "*i b n d"]:
    """Undo `split_rows` for what was made of the parts.

    >>> parts = split_rows(jnp.arange(6.0).reshape(1, 6, 1, 1, 1), 2)
    >>> join_rows(parts[..., 0]).ravel().tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    """
    *lead, n, d = encoded.shape[1:]
    rows = jnp.moveaxis(encoded, 0, -3)
    return rows.reshape(*lead[:-1], -1, n, d)
