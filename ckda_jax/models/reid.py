"""The re-identification model: prompts, backbone, neck and classifier."""

from typing import Any

import chex
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from ckda_jax.models import block, heads, norm, prompts, vit
from ckda_jax.structs import Outputs


class ReIDModel(nn.Module):
    """Embed images of several modalities; the defaults are the released code's sizes.

    Attributes:
        classes: rows of the classifier.
        modalities: length of the modality axis m.
        image_size: height and width in pixels, multiples of the prompt patch.
        stem: `patch` or `conv`, see `stem.Stem`.
        patch_size: side of a backbone patch in pixels.
        stride: step between backbone patches in pixels.
        width: channels of a token, and of the embedding.
        depth: transformer blocks.
        heads: attention heads.
        mlp_ratio: hidden width of a block's MLP over the token width.
        dropout: rate in the backbone.
        attention_dropout: rate on attention weights.
        drop_path: stochastic depth of the last block.
        epsilon: of the layer norms.
        prompt_patch_size: side of a prompt patch in pixels.
        common_width: hidden channels of the common prompt.
        specific_width: hidden channels of each specific prompt.
        prompt_dropout: rate on both prompts.
        eval_statistics: of the common prompt's instance norm, `running` or `instance`.
        remat: recompute blocks in the backward pass.
        micro_batches: parts that the backbone encodes a training batch in.
        dtype: compute dtype; None: that of images and parameters.
        param_dtype: of newly made parameters and statistics.
    """

    classes: int
    modalities: int = 2
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
    prompt_patch_size: int = 16
    common_width: int = 8
    specific_width: int = 16
    prompt_dropout: float = 0.1
    eval_statistics: str = "running"
    remat: bool = False
    micro_batches: int = 1
    dtype: Any = None
    param_dtype: Any = jnp.float32

    def setup(self) -> None:
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        self.common = prompts.CommonPrompt(
            patch_size=self.prompt_patch_size,
            width=self.common_width,
            dropout=self.prompt_dropout,
            eval_statistics=self.eval_statistics,
            **types,
        )
        self.specific = prompts.SpecificPrompts(
            patch_size=self.prompt_patch_size,
            width=self.specific_width,
            dropout=self.prompt_dropout,
            **types,
        )
        self.backbone = vit.ViT(
            image_size=self.image_size,
            stem=self.stem,
            patch_size=self.patch_size,
            stride=self.stride,
            width=self.width,
            depth=self.depth,
            heads=self.heads,
            mlp_ratio=self.mlp_ratio,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            drop_path=self.drop_path,
            epsilon=self.epsilon,
            modalities=self.modalities,
            remat=self.remat,
            micro_batches=self.micro_batches,
            **types,
        )
        self.neck = heads.neck(self.param_dtype)
        self.classifier = heads.classifier(self.classes, self.param_dtype)

    def __call__(
        self,
        images: Float[Array, "r b h w c"],
        modality: tuple[int, ...] = (0, 1),
        train: bool = False,
        present: Bool[Array, " m"] | None = None,
        *,
        wrap: block.Wrap | None = None,
        blocks: bool = False,
    ) -> tuple[Float[Array, "r b d"], Outputs]:
        """Embed images.

        Args:
            images: normalised; axis 0 runs over the modalities asked for.
            modality: static modality id of each row of axis 0, each at most once.
            train: drop (rngs `dropout`), normalise with the batch's statistics and move
                the running ones (mutable collection `batch_stats`).
            present: `[m]`, false for modalities whose rows are stand-ins and enter no
                statistic; None: all are there.
            wrap: put around every block of the backbone, see `block.Wrap`.
            blocks: also return what each layer computed, in `Outputs.blocks`: the
                entries of `vit.ViT` and `images`, the images with their prompts.

        Returns:
            Unit embeddings `[r, b, d]` and all outputs, at least in float32.

        Raises:
            ValueError: images or modality ids do not fit the model.
        """
        prompt, common, specific = self.prompt(images, modality, train, present)
        prompted = norm.at_least_float32(images) + prompt
        tokens, maps = self.backbone(
            prompted, modality, train=train, wrap=wrap, maps=blocks
        )
        tokens = norm.at_least_float32(tokens)
        feature, patches = tokens[:, :, 0], tokens[:, :, 1:]
        neck = self.neck(feature, train, _rows(present, modality, 3))
        outputs = Outputs(
            prompt=prompt,
            common_prompt=common,
            specific_prompt=specific,
            patches=patches,
            feature=feature,
            neck=neck,
            logits=self.classifier(neck),
            blocks=None if maps is None else {"images": prompted, **maps},
        )
        return heads.unit(neck), outputs

    def prompt(
        self,
        images: Float[Array, "r b h w c"],
        modality: tuple[int, ...] = (0, 1),
        train: bool = False,
        present: Bool[Array, " m"] | None = None,
    ) -> tuple[
        Float[Array, "r b h w c"], Float[Array, "r b h w c"], Float[Array, "r b h w c"]
    ]:
        """Compute the prompts alone: their sum, the common and the specific one.

        Takes the arguments of `__call__`, by `apply(..., method="prompt")`.
        """
        self._check(images, modality)
        rows = _rows(present, modality, 2)
        if rows is not None:
            rows = jnp.broadcast_to(rows, images.shape[:2])
        common, _ = self.common(images, train, rows)
        common = norm.at_least_float32(common)
        specific = self._specific_prompt(images, modality, train, present)
        return common + specific, common, specific

    def _specific_prompt(
        self,
        images: Array,
        modality: tuple[int, ...],
        train: bool,
        present: Array | None,
    ) -> Array:
        """Run the generators of the modalities asked for."""
        rows = _rows(present, modality, 1)
        given = jnp.ones(len(modality), bool) if rows is None else rows
        if modality == tuple(range(self.modalities)):
            prompt = self.specific(images, given, train)
        else:
            run = prompts.run_some
            prompt = run(self.specific, modality, images, given, train)
        return norm.at_least_float32(prompt)

    def _check(self, images: Array, modality: tuple[int, ...]) -> None:
        """Refuse, while tracing, what the model cannot compute."""
        chex.assert_axis_dimension(images, 0, len(modality))
        known = all(0 <= i < self.modalities for i in modality)
        if not known or len(set(modality)) != len(modality):
            raise ValueError(
                f"modality={modality}: ids must be distinct and below {self.modalities}"
            )
        size = images.shape[2:4]
        if size != tuple(self.image_size):
            raise ValueError(f"images of {size} pixels: wanted {self.image_size}")
        if any(side % self.prompt_patch_size for side in self.image_size):
            raise ValueError(
                f"image_size={self.image_size}: sides must be multiples of the prompt "
                f"patch, {self.prompt_patch_size}"
            )


def _rows(
    present: Array | None, modality: tuple[int, ...], rank: int
) -> Bool[Array, "..."] | None:
    """Pick the asked modalities of `present` and shape them for masking rows."""
    if present is None:
        return None
    asked = present[jnp.array(modality)]
    return asked.reshape(asked.shape + (1,) * (rank - 1))
