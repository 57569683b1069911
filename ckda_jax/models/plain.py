"""The plain model: backbone, neck and classifier without prompts, to pretrain."""

import dataclasses
from typing import Any

import chex
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from ckda_jax.models import block, heads, norm
from ckda_jax.models.reid import ReIDModel
from ckda_jax.models.vit import ViT
from ckda_jax.structs import Outputs


class PlainModel(nn.Module):
    """Embed images of one modality; takes the place of `ReIDModel` in a step.

    Its parameters have the names they have in `ReIDModel`.

    Attributes:
        classes: rows of the classifier, which pretraining has as every run has, though
            no loss of its own reads it.
        backbone: the vision transformer, to pretrain with one row in its modality
            embedding.
    """

    classes: int
    backbone: ViT

    @property
    def modalities(self) -> int:
        """Length of the modality axis."""
        return 1

    @property
    def width(self) -> int:
        """Channels of the embedding."""
        return self.backbone.width

    def setup(self) -> None:
        self.neck = heads.neck(self.backbone.param_dtype)
        self.classifier = heads.classifier(self.classes, self.backbone.param_dtype)

    def __call__(
        self,
        images: Float[Array, "1 b h w c"],
        modality: tuple[int, ...] = (0,),
        train: bool = False,
        present: Bool[Array, "1"] | None = None,
        *,
        wrap: block.Wrap | None = None,
    ) -> tuple[Float[Array, "1 b d"], Outputs]:
        """Embed images.

        Args:
            images: normalised, `[1, b, h, w, c]`.
            modality: the one modality's id, as the backbone knows it.
            train: drop, and renew the statistics of the neck.
            present: no influence; the only modality is always there.
            wrap: put around every block of the backbone.

        Returns:
            Unit embeddings `[1, b, d]` and all outputs; the prompts are zero.
        """
        del present
        chex.assert_axis_dimension(images, 0, len(modality))
        tokens, _ = self.backbone(images, modality, train=train, wrap=wrap)
        tokens = norm.at_least_float32(tokens)
        feature, patches = tokens[:, :, 0], tokens[:, :, 1:]
        neck = self.neck(feature, train, None)
        nothing = jnp.zeros_like(images)
        outputs = Outputs(
            prompt=nothing,
            common_prompt=nothing,
            specific_prompt=nothing,
            patches=patches,
            feature=feature,
            neck=neck,
            logits=self.classifier(neck),
        )
        return heads.unit(neck), outputs


def fold_modality(variables: Any) -> Any:
    """Add the one row of the modality embedding to the positions, leaving it zero.

    The model computes the same as before. A backbone that is exported without its
    modality embedding then lacks nothing.
    """
    params = variables["params"]
    backbone = params["backbone"]
    table = backbone["mod_embed"]
    chex.assert_axis_dimension(table, 0, 1)
    folded = {
        **backbone,
        "pos_embed": backbone["pos_embed"] + table,
        "mod_embed": jnp.zeros_like(table),
    }
    return {**variables, "params": {**params, "backbone": folded}}


def bare(model: ReIDModel) -> PlainModel:
    """Leave the prompts out of a model: the same backbone, neck and classifier.

    It takes the same variables and encodes images of any one modality.
    """
    shared = {field.name for field in dataclasses.fields(model)} - {"name", "parent"}
    names = [field.name for field in dataclasses.fields(ViT) if field.name in shared]
    sizes = {name: getattr(model, name) for name in names}
    return PlainModel(model.classes, ViT(**sizes))
