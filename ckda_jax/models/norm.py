"""Normalisation with the running statistics that PyTorch keeps, and the layer norm."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

EVAL_STATISTICS = ("running", "instance")
"""What an `InstanceNorm` normalises with at test time."""

Moments = tuple[Array, Array]
Running = tuple[nn.Variable, nn.Variable]


def layer_norm(
    epsilon: float, dtype: Any, param_dtype: Any, name: str | None = None
) -> nn.LayerNorm:
    """Make a layer norm whose variance is the mean of (x - mean)^2."""
    return nn.LayerNorm(
        epsilon=epsilon,
        dtype=dtype,
        param_dtype=param_dtype,
        use_fast_variance=False,
        name=name,
    )


def at_least_float32(x: Array) -> Array:
    """Widen half precision, in which statistics and cosines lose their meaning."""
    return x.astype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x


class BatchNorm(nn.Module):
    """Batch normalisation over any axes, with an optional mask of rows.

    Normalises with the biased variance and keeps the unbiased one, n / (n - 1) times
    larger, in its running statistics (Ioffe and Szegedy 2015, in PyTorch's convention).
    Rows that are masked out enter no statistic; where no row is left the statistics
    stand still and the running ones normalise.

    Attributes:
        axes: axes that share their statistics; None: all but the last.
        momentum: share of the new statistics in the running ones.
        epsilon: added to the variance.
        dtype: of the result; None: that of the input.
        param_dtype: of newly made parameters and statistics.
    """

    axes: tuple[int, ...] | None = None
    momentum: float = 0.1
    epsilon: float = 1e-5
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "..."],
        train: bool = False,
        mask: Bool[Array, "..."] | None = None,
    ) -> Float[Array, "..."]:
        """Normalise.

        Args:
            x: any shape that has the axes.
            train: normalise with the batch's own statistics and move the running ones,
                in the mutable collection `batch_stats`.
            mask: shape `x.shape` with any axis of length 1; false rows are left out.

        Returns:
            The shape of `x`.
        """
        axes = tuple(range(x.ndim - 1)) if self.axes is None else self.axes
        axes = tuple(axis % x.ndim for axis in axes)
        kept = [size for axis, size in enumerate(x.shape) if axis not in axes]
        scale = self.param("scale", nn.initializers.ones, kept, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, kept, self.param_dtype)
        running = _running(self, kept, self.param_dtype)

        wide = at_least_float32(x)
        mean, var = (jnp.expand_dims(r.value, axes) for r in running)
        if train:
            mean, var, count = masked_moments(wide, mask, axes, (mean, var))
            if not self.is_initializing():
                unbiased = var * count / jnp.maximum(count - 1, 1)
                moments = jnp.squeeze(mean, axes), jnp.squeeze(unbiased, axes)
                _move(running, moments, jnp.squeeze(count, axes) > 0, self.momentum)
        scale, bias = jnp.expand_dims(scale, axes), jnp.expand_dims(bias, axes)
        normal = (wide - mean) / jnp.sqrt(var + self.epsilon)
        return (normal * scale + bias).astype(self.dtype or x.dtype)


class InstanceNorm(nn.Module):
    """Instance normalisation over positions, with running statistics over images.

    In training every (image, channel) is normalised by its own moments over the
    positions. In evaluation `running` normalises with the running statistics, which are
    the means over images of the per-image mean and unbiased variance (so the layer acts
    as a frozen batch norm there); `instance` goes on as in training
    (Ulyanov et al. 2016).

    Attributes:
        eval_statistics: `running` or `instance`.
        momentum: share of the new statistics in the running ones.
        epsilon: added to the variance.
        param_dtype: of newly made parameters and statistics.
    """

    eval_statistics: str = "running"
    momentum: float = 0.1
    epsilon: float = 1e-5
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*i n d"],
        train: bool = False,
        mask: Bool[Array, "*i"] | None = None,
    ) -> Float[Array, "*i n d"]:
        """Normalise each channel of each image over its positions.

        Args:
            x: `[..., n, d]`, images, positions, channels.
            train: also move the running statistics (mutable collection `batch_stats`).
            mask: images that enter the running statistics; None: all.

        Returns:
            The shape of `x`.

        Raises:
            ValueError: `eval_statistics` is not one of `EVAL_STATISTICS`.
        """
        if self.eval_statistics not in EVAL_STATISTICS:
            given = self.eval_statistics
            raise ValueError(f"eval_statistics={given!r}: not one of {EVAL_STATISTICS}")
        shape = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, shape, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, shape, self.param_dtype)
        running = _running(self, shape, self.param_dtype)
        vector = (1,) * (x.ndim - 1) + shape

        wide = at_least_float32(x)
        if train or self.eval_statistics == "instance":
            mean = jnp.mean(wide, axis=-2, keepdims=True)
            var = jnp.mean(jnp.square(wide - mean), axis=-2, keepdims=True)
        else:
            mean, var = (r.value.reshape(vector) for r in running)
        if train and not self.is_initializing():
            unbiased = var * (x.shape[-2] / max(x.shape[-2] - 1, 1))
            moments, some = _mean_over_images(mean, unbiased, mask)
            _move(running, moments, some, self.momentum)
        normal = (wide - mean) / jnp.sqrt(var + self.epsilon)
        normal = normal * scale.reshape(vector) + bias.reshape(vector)
        return normal.astype(x.dtype)


def _running(layer: nn.Module, shape: Any, dtype: Any) -> Running:
    """Make or find the running mean and variance of a layer."""
    return (
        layer.variable("batch_stats", "mean", jnp.zeros, shape, dtype),
        layer.variable("batch_stats", "var", jnp.ones, shape, dtype),
    )


def _move(running: Running, moments: Moments, some: Array, momentum: float) -> None:
    """Mix new moments into the running ones where any row gave some."""
    for variable, new in zip(running, moments, strict=True):
        old = variable.value
        mixed = (1 - momentum) * old + momentum * new.astype(old.dtype)
        variable.value = jax.lax.stop_gradient(jnp.where(some, mixed, old))


def masked_moments(
    x: Array, mask: Array | None, axes: tuple[int, ...], empty: Moments
) -> tuple[Array, Array, Array]:
    """Take mean, biased variance and row count over axes, kept with length 1.

    Args:
        x: any shape.
        mask: true where `x` counts, broadcastable to it; None: everywhere.
        axes: axes to reduce, not negative.
        empty: mean and variance to return where nothing counts.

    Returns:
        Mean, variance and count, each of the shape of `x` with `axes` of length 1.

    >>> import jax.numpy as jnp
    >>> x, mask = jnp.array([[1.0], [3.0], [9.0]]), jnp.array([[True], [True], [False]])
    >>> none = jnp.zeros((1, 1)), jnp.ones((1, 1))
    >>> [float(m.item()) for m in masked_moments(x, mask, (0,), none)]
    [2.0, 1.0, 2.0]
    """
    weight = jnp.ones_like(x) if mask is None else mask.astype(x.dtype)
    weight = jnp.broadcast_to(weight, x.shape)
    count = jnp.sum(weight, axis=axes, keepdims=True)
    total = jnp.maximum(count, 1)
    mean = jnp.sum(x * weight, axis=axes, keepdims=True) / total
    var = jnp.sum(jnp.square(x - mean) * weight, axis=axes, keepdims=True) / total
    some = count > 0
    return (
        jnp.where(some, mean, empty[0].astype(x.dtype)),
        jnp.where(some, var, empty[1].astype(x.dtype)),
        count,
    )


def _mean_over_images(
    mean: Array, unbiased: Array, mask: Array | None
) -> tuple[Moments, Array]:
    """Average moments `[..., 1, d]` over the images that count, into `[d]`."""
    images = tuple(range(mean.ndim - 1))
    if mask is not None:
        mask = mask[..., None, None]
    zero = jnp.zeros((1,) * mean.ndim, mean.dtype)

    def average(x: Array) -> tuple[Array, Array]:
        value, _, count = masked_moments(x, mask, images, (zero, zero))
        return value.reshape(-1), count.reshape(-1)

    (means, count), (variances, _) = average(mean), average(unbiased)
    return (means, variances), count > 0
