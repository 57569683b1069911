"""The recorded model, built from the sizes and arrays of its files."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ckda_jax.models import weights
from ckda_jax.models.reid import ReIDModel
from ckda_jax.parity.golden import Geometry
from ckda_jax.structs import Tree

State = Mapping[str, np.ndarray]


def build(geometry: Geometry, state: State, classes: int, dtype: Any) -> ReIDModel:
    """Build the model of a recorded state, without any dropout, in a float type.

    Args:
        geometry: sizes that all recorded files share.
        state: the released state, or its prompt entries; gives the prompts' sizes.
        classes: rows of the classifier.
        dtype: of parameters, statistics and results.
    """
    patch_values = state["base.com_net_pre.0.weight"].shape[1]
    hidden = state.get("base.blocks.0.mlp.fc1.bias", np.zeros(4 * geometry.width))
    return ReIDModel(
        classes=classes,
        image_size=geometry.image_size,
        patch_size=geometry.patch_size,
        stride=geometry.stride,
        width=geometry.width,
        depth=geometry.depth,
        heads=geometry.heads,
        mlp_ratio=hidden.shape[0] / geometry.width,
        dropout=0.0,
        drop_path=0.0,
        prompt_patch_size=math.isqrt(patch_values // 3),
        common_width=state["base.com_net_pre.0.weight"].shape[0],
        specific_width=state["base.rgb_net.0.weight"].shape[0],
        prompt_dropout=0.0,
        param_dtype=dtype,
    )


def template(model: ReIDModel, **options: Any) -> Tree:
    """Return zeros in the structure of a model's variables; options go to `init`."""
    height, width = model.image_size
    images = jnp.zeros((model.modalities, 1, height, width, 3), model.param_dtype)
    shapes = jax.eval_shape(
        lambda key: model.init(key, images, **options), jax.random.key(0)
    )
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)


def variables(model: ReIDModel, state: State, **options: Any) -> Tree:
    """Import a recorded state into the model's variables."""
    return weights.import_reference(state, template(model, **options))[0]


def images(array: np.ndarray, dtype: Any) -> jax.Array:
    """Turn recorded images `[..., c, h, w]` into ours, `[..., h, w, c]`."""
    return jnp.asarray(np.moveaxis(array, -3, -1), dtype)
