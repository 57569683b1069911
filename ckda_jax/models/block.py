"""The transformer block, with what a method may put around it."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from ckda_jax.models import norm
from ckda_jax.models.dropout import Dropout

INIT = nn.initializers.normal(0.02)

BlockCall = Callable[[Array], Array]
Wrap = Callable[[BlockCall, Array], BlockCall]
"""`(block call, [] int32 layer) -> block call`, tokens `[r, b, n, d]` in and out."""


def product(
    inputs: Float[Array, "*i d"], kernel: Float[Array, "d e"], axes: Any, **options: Any
) -> Float[Array, "*i e"]:
    """Map every vector by a kernel, as a product of two matrices.

    Takes the place of `jax.lax.dot_general` in a dense layer: the gradient of the
    kernel is then such a product too; with more axes, both operands would first be
    transposed. The first axis should be the one that is spread over devices.
    """
    del axes
    rows = inputs.reshape(-1, inputs.shape[-1])
    mapped = jax.lax.dot_general(rows, kernel, (((1,), (0,)), ((), ())), **options)
    return mapped.reshape(*inputs.shape[:-1], kernel.shape[-1])


def dense(dtype: Any, param_dtype: Any) -> Callable[..., nn.Dense]:
    """Make the constructor of a block's dense layers from its types."""
    return functools.partial(
        nn.Dense,
        kernel_init=INIT,
        dtype=dtype,
        param_dtype=param_dtype,
        dot_general=product,
    )


class Attention(nn.Module):
    """Multi-head self-attention with one projection to queries, keys and values.

    Attributes:
        heads: attention heads; the columns of `qkv` run over q|k|v, head, channel.
        dropout: rate after the output projection.
        attention_dropout: rate on the attention weights.
        dtype: compute dtype; None: that of tokens and parameters.
        param_dtype: of newly made parameters.
    """

    heads: int
    dropout: float = 0.0
    attention_dropout: float = 0.0
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, tokens: Float[Array, "r b n d"], train: bool
    ) -> Float[Array, "r b n d"]:
        """Mix the tokens of each image."""
        r, b, n, d = tokens.shape
        linear = dense(self.dtype, self.param_dtype)
        qkv = linear(3 * d, name="qkv")(tokens)
        qkv = qkv.reshape(r, b, n, 3, self.heads, d // self.heads)
        # Heads before tokens: what follows is then plain products of matrices.
        query, key, value = qkv.transpose(3, 0, 1, 4, 2, 5)
        scores = jnp.einsum("...qd,...kd->...qk", query * query.shape[-1] ** -0.5, key)
        weights = nn.softmax(norm.at_least_float32(scores)).astype(scores.dtype)
        weights = Dropout(self.attention_dropout)(weights, train)
        mixed = jnp.swapaxes(weights @ value, 2, 3).reshape(r, b, n, d)
        return Dropout(self.dropout)(linear(d, name="proj")(mixed), train)


class Mlp(nn.Module):
    """Two linear layers with the exact (erf) GELU between them, dropout after both.

    Attributes:
        hidden: hidden channels.
        dropout: rate.
        dtype: compute dtype; None: that of tokens and parameters.
        param_dtype: of newly made parameters.
    """

    hidden: int
    dropout: float = 0.0
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, tokens: Float[Array, "r b n d"], train: bool
    ) -> Float[Array, "r b n d"]:
        """Map every token by itself."""
        linear = dense(self.dtype, self.param_dtype)
        hidden = nn.gelu(linear(self.hidden, name="fc1")(tokens), approximate=False)
        hidden = Dropout(self.dropout)(hidden, train)
        hidden = linear(tokens.shape[-1], name="fc2")(hidden)
        return Dropout(self.dropout)(hidden, train)


class Block(nn.Module):
    """A pre-norm transformer block with stochastic depth, as the body of a scan.

    Attributes:
        heads: attention heads.
        hidden: hidden channels of the MLP.
        dropout: rate after projections and both MLP layers.
        attention_dropout: rate on the attention weights.
        epsilon: of the layer norms.
        stochastic: whether branches are dropped in training.
        train: training mode.
        wrap: what a method puts around the block; None: nothing.
        maps: also return what the block computed.
        dtype: compute dtype; None: that of tokens and parameters.
        param_dtype: of newly made parameters.
    """

    heads: int
    hidden: int
    dropout: float = 0.0
    attention_dropout: float = 0.0
    epsilon: float = 1e-5
    stochastic: bool = False
    train: bool = False
    wrap: Wrap | None = None
    maps: bool = False
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def setup(self) -> None:
        types = self.dtype, self.param_dtype
        self.norm1 = norm.layer_norm(self.epsilon, *types)
        self.attn = Attention(self.heads, self.dropout, self.attention_dropout, *types)
        self.norm2 = norm.layer_norm(self.epsilon, *types)
        self.mlp = Mlp(self.hidden, self.dropout, *types)

    def __call__(
        self,
        tokens: Float[Array, "r b n d"],
        layer: Int[Array, ""],
        drop_path: Float[Array, ""],
    ) -> tuple[Float[Array, "r b n d"], dict[str, Array] | None]:
        """Apply the block, inside what a method wraps around it.

        Args:
            tokens: `[r, b, n, d]`.
            layer: 0-based position in the backbone.
            drop_path: probability of leaving out a branch for an image, in training.

        Returns:
            The tokens, and with `maps` the last call's output of the `attention` branch
            before the residual sum and the `block`'s.
        """
        if self.wrap is None:
            tokens, attention = self._forward(tokens, drop_path)
            maps = {"attention": attention, "block": tokens}
        else:
            call = self.wrap(lambda x: self._forward(x, drop_path)[0], layer)
            # A method computes in its own precision, the next block in the model's.
            tokens = call(tokens).astype(tokens.dtype)
            maps = {"block": tokens}
        return tokens, maps if self.maps else None

    def _forward(self, tokens: Array, drop_path: Array) -> tuple[Array, Array]:
        # Images first, which devices share among them, see `product`.
        tokens = jnp.swapaxes(tokens, 0, 1)
        attention = self.attn(self.norm1(tokens), self.train)
        tokens = tokens + self._drop(attention, drop_path)
        branch = self.mlp(self.norm2(tokens), self.train)
        tokens = tokens + self._drop(branch, drop_path)
        return jnp.swapaxes(tokens, 0, 1), jnp.swapaxes(attention, 0, 1)

    def _drop(self, branch: Array, probability: Array) -> Array:
        """Leave out a branch image by image; what is kept is scaled up in turn."""
        if not (self.train and self.stochastic):
            return branch
        keep = 1 - probability  # in its own type: half precision would round it
        key = self.make_rng("dropout")
        kept = jax.random.bernoulli(key, keep, (*branch.shape[:2], 1, 1))
        return branch * (kept / keep).astype(branch.dtype)
