"""The stem: how an image becomes tokens."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

STEMS = ("patch", "conv")
"""How an image becomes tokens, see `Stem`."""
GROUPS = 8
"""Groups that the convolutional stem splits channels into, where they can be split."""


def token_grid(
    stem: str, image_size: tuple[int, int], patch_size: int, stride: int
) -> tuple[int, int]:
    """Count the rows and columns of tokens that a stem makes of an image.

    >>> token_grid("patch", (256, 128), 16, 12)
    (21, 10)
    >>> token_grid("conv", (128, 64), 16, 12)
    (8, 4)
    """
    if stem == "conv":
        return -(-image_size[0] // 16), -(-image_size[1] // 16)
    rows, columns = ((side - patch_size) // stride + 1 for side in image_size)
    return rows, columns


class Stem(nn.Module):
    """Turn images into patch tokens.

    `patch` is one convolution without padding, its patches overlapping where the stride
    is smaller (columns and rows that do not fill a patch are never read). `conv`, for
    small models, is four stride-2 3x3 convolutions, each with group norm and GELU, and
    a projection: one token for 16 x 16 pixels (Xiao et al. 2021). The norm's statistics
    are an image's: a layer norm at every pixel would forget how strong an edge is.

    Attributes:
        kind: `patch` or `conv`.
        patch_size: side of a patch in pixels (`patch`).
        stride: step between patches in pixels (`patch`).
        width: channels of a token.
        dtype: compute dtype; None: that of images and parameters.
        param_dtype: of newly made parameters.
    """

    kind: str
    patch_size: int
    stride: int
    width: int
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "*i h w c"]) -> Float[Array, "*i n d"]:
        """Return the tokens, row by row."""
        if self.kind not in STEMS:
            raise ValueError(f"stem={self.kind!r}: not one of {STEMS}")
        conv = functools.partial(
            nn.Conv, dtype=self.dtype, param_dtype=self.param_dtype
        )
        # Convolutions merge the leading axes. With rows before modalities, rows that
        # are shared out over devices stay where they are.
        images = jnp.swapaxes(images, 0, -4)
        if self.kind == "patch":
            tokens = self._patch(conv, images)
        else:
            tokens = self._conv(conv, images)
        *lead, rows, columns, d = tokens.shape
        return jnp.swapaxes(tokens.reshape(*lead, rows * columns, d), 0, -3)

    def _patch(self, conv: Callable[..., nn.Conv], images: Array) -> Array:
        """Project each patch, with the released code's initialisation."""
        size = (self.patch_size, self.patch_size)
        area = math.prod(size)
        bound = (area * images.shape[-1]) ** -0.5

        def uniform(key: Array, shape: Any, dtype: Any) -> Array:
            return jax.random.uniform(key, shape, dtype, -bound, bound)

        return conv(
            self.width,
            size,
            self.stride,
            "VALID",
            kernel_init=nn.initializers.normal(math.sqrt(2 / (area * self.width))),
            bias_init=uniform,
            conv_general_dilated=matrix_product,
            name="proj",
        )(images)

    def _conv(self, conv: Callable[..., nn.Conv], x: Array) -> Array:
        """Halve the sides four times, doubling the channels, and project."""
        for index in range(4):
            channels = max(self.width >> (3 - index), 8)
            x = conv(channels, (3, 3), 2, ((1, 1), (1, 1)), name=f"conv{index}")(x)
            group_norm = nn.GroupNorm(
                math.gcd(channels, GROUPS),
                epsilon=1e-5,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                reduction_axes=(-3, -2, -1),
                use_fast_variance=False,
                name=f"norm{index}",
            )
            x = nn.gelu(group_norm(x))
        init = nn.initializers.normal(0.02)
        return conv(self.width, (1, 1), kernel_init=init, name="proj")(x)


def matrix_product(
    images: Array, kernel: Array, strides: Any, padding: Any, **options: Any
) -> Float[Array, "i rows columns d"]:
    """Convolve without padding as one product of a matrix of windows.

    Takes the place of `jax.lax.conv_general_dilated`: the gradient of a strided
    convolution is a dilated one, which CPUs compute pixel by pixel.
    """
    del padding, options
    size, (_, _, channels, width) = kernel.shape[:2], kernel.shape
    rows = windows(images, 1, size[0], strides[0])
    cut = windows(rows, 3, size[1], strides[1])
    i, rows, _, columns, *_ = cut.shape
    cut = cut.transpose(0, 1, 3, 2, 4, 5)
    cut = cut.reshape(i, rows, columns, math.prod(size) * channels)
    return cut @ kernel.reshape(-1, width)


def windows(x: Array, axis: int, size: int, stride: int) -> Float[Array, "..."]:
    """Cut an axis into windows: it becomes two, windows and places in a window.

    Cut first into blocks as long as the stride; a window is a block and what it needs
    of the next ones, so that its gradient is a sum of a few shifted blocks.

    >>> windows(jnp.arange(5.0), 0, size=3, stride=2).tolist()
    [[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]]
    """
    count = (x.shape[axis] - size) // stride + 1
    pieces = -(-size // stride)
    blocks = count + pieces - 1
    rest = blocks * stride - x.shape[axis]
    margin = [(0, rest if a == axis else 0, 0) for a in range(x.ndim)]
    x = jax.lax.pad(x, jnp.zeros((), x.dtype), margin)
    x = x.reshape(*x.shape[:axis], blocks, stride, *x.shape[axis + 1 :])

    def piece(index: int) -> Array:
        own = jax.lax.slice_in_dim(x, index, index + count, axis=axis)
        length = min(stride, size - index * stride)
        return jax.lax.slice_in_dim(own, 0, length, axis=axis + 1)

    return jnp.concatenate([piece(index) for index in range(pieces)], axis=axis + 1)
