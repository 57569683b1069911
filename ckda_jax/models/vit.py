"""The vision transformer with overlapping patches and a modality embedding."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from ckda_jax.models import micro, norm
from ckda_jax.models.block import INIT, Block, Wrap
from ckda_jax.models.dropout import Dropout
from ckda_jax.models.stem import Stem


class ViT(nn.Module):
    """A vision transformer over `[modality, row]` images (Dosovitskiy et al. 2021).

    Attributes:
        image_size: height and width in pixels; decides the positional table.
        stem: `patch` or `conv`, see `Stem`.
        patch_size: side of a patch in pixels.
        stride: step between patches in pixels.
        width: channels of a token.
        depth: blocks.
        heads: attention heads.
        mlp_ratio: hidden width of a block's MLP over the token width.
        dropout: rate after embeddings, projections and both MLP layers.
        attention_dropout: rate on attention weights.
        drop_path: stochastic depth of the last block; rises linearly to it from 0.
        epsilon: of the layer norms.
        modalities: rows of the modality embedding.
        remat: recompute whole blocks in the backward pass, their products too.
        micro_batches: parts that a training batch is encoded in, one after another.
        dtype: compute dtype; None: that of images and parameters.
        param_dtype: of newly made parameters.
    """

    image_size: tuple[int, int] = (256, 128)
    stem: str = "patch"
    patch_size: int = 16
    stride: int = 12
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    dropout: float = 0.03
    attention_dropout: float = 0.0
    drop_path: float = 0.1
    epsilon: float = 1e-5
    modalities: int = 2
    remat: bool = False
    micro_batches: int = 1
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "r b h w c"],
        modality: tuple[int, ...],
        *,
        train: bool = False,
        wrap: Wrap | None = None,
        maps: bool = False,
    ) -> tuple[Float[Array, "r b n d"], dict[str, Array] | None]:
        """Encode images.

        Args:
            images: normalised images with their prompts added.
            modality: modality id of each row of axis 0.
            train: drop.
            wrap: put around every block, see `Wrap`.
            maps: also return what each layer computed.

        Returns:
            Tokens `[r, b, 1 + n, d]` after the last norm, CLS first, and with `maps`
            the entries `patch_embed`, `tokens`, `attention` and `block` (leading depth
            axis) and `norm`.
        """
        chex.assert_shape(images, (len(modality), None, *self.image_size, None))

        def encode(vit: ViT, images: Array) -> Any:
            return vit._encode(images, modality, train, wrap, maps)

        if train and self.micro_batches > 1:
            return micro.in_parts(encode, self, images, self.micro_batches)
        return encode(self, images)

    def _encode(
        self,
        images: Array,
        modality: tuple[int, ...],
        train: bool,
        wrap: Wrap | None,
        maps: bool,
    ) -> tuple[Array, dict[str, Array] | None]:
        """Encode images, each without regard to the others."""
        tokens = Stem(
            self.stem,
            self.patch_size,
            self.stride,
            self.width,
            self.dtype,
            self.param_dtype,
            name="patch_embed",
        )(images)
        patches = tokens
        tokens = self._embed(tokens, modality)
        tokens = Dropout(self.dropout)(tokens, train)
        embedded = tokens
        rates = jnp.linspace(0, self.drop_path, self.depth)
        blocks = self._blocks(train, wrap, maps)
        tokens, block_maps = blocks(tokens, jnp.arange(self.depth), rates)
        last = norm.layer_norm(self.epsilon, self.dtype, self.param_dtype, "norm")
        tokens = last(tokens)
        if not maps:
            return tokens, None
        seen = {"patch_embed": patches, "tokens": embedded, "norm": tokens}
        return tokens, {**seen, **block_maps}

    def _embed(self, tokens: Array, modality: tuple[int, ...]) -> Array:
        """Put CLS first and add position and modality.

        After convolutions, which see the same everywhere, each place and channel first
        has a gain of its own: attention that is still uniform averages tokens, and an
        added position does not tell the average what was where.
        """
        r, b, n, d = tokens.shape
        cls_token = self.param("cls_token", INIT, (d,), self.param_dtype)
        pos_embed = self.param("pos_embed", INIT, (1 + n, d), self.param_dtype)
        table = (self.modalities, d)
        mod_embed = self.param("mod_embed", INIT, table, self.param_dtype)
        first = jnp.broadcast_to(cls_token.astype(tokens.dtype), (r, b, 1, d))
        tokens = jnp.concatenate([first, tokens], axis=2)
        if self.stem == "conv":
            spread = nn.initializers.normal(1.0)
            pos_gain = self.param("pos_gain", spread, (1 + n, d), self.param_dtype)
            tokens = tokens * pos_gain[None, None].astype(tokens.dtype)
        own = mod_embed[jnp.array(modality)].reshape(r, 1, 1, d)
        return tokens + (pos_embed[None, None] + own).astype(tokens.dtype)

    def _blocks(self, train: bool, wrap: Wrap | None, maps: bool) -> nn.Module:
        """Make the scan over all blocks, parameters with a leading depth axis."""
        # Products are kept for the backward pass; what lies between is cheaper to
        # compute again than to store and fetch.
        keep = jax.checkpoint_policies.dots_saveable
        policy = None if self.remat else keep
        block = nn.remat(Block, prevent_cse=False, policy=policy)
        scan = nn.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=0,
            length=self.depth,
        )
        return scan(
            heads=self.heads,
            hidden=int(self.width * self.mlp_ratio),
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            epsilon=self.epsilon,
            stochastic=self.drop_path > 0,
            train=train,
            wrap=wrap,
            maps=maps,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="blocks",
        )
