"""The model of a run and the variables it starts from."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key
from ml_collections import ConfigDict

from ckda_jax import keys
from ckda_jax.build.modalities import modalities
from ckda_jax.engine import pretrained
from ckda_jax.engine.step import Learner, init_extra
from ckda_jax.models.reid import ReIDModel
from ckda_jax.models.stem import token_grid
from ckda_jax.structs import Tree


def model(config: ConfigDict, classes: int) -> ReIDModel:
    """Make the model with `classes` rows in its classifier."""
    size, prompts = config.model, config.prompts
    return ReIDModel(
        classes=classes,
        modalities=len(modalities(config)),
        image_size=tuple(size.image_size),
        stem=size.stem,
        patch_size=size.patch_size,
        stride=size.stride,
        width=size.width,
        depth=size.depth,
        heads=size.heads,
        mlp_ratio=size.mlp_ratio,
        dropout=size.dropout,
        attention_dropout=size.attention_dropout,
        drop_path=size.drop_path,
        epsilon=size.epsilon,
        prompt_patch_size=prompts.patch_size,
        common_width=prompts.common_width,
        specific_width=prompts.specific_width,
        prompt_dropout=prompts.dropout,
        eval_statistics=config.norm.eval_statistics,
        remat=size.remat,
        micro_batches=micro_batches(config),
        dtype=compute_dtype(config),
    )


def compute_dtype(config: ConfigDict) -> Any:
    """Return what the forward pass computes in; None: in the type of its input."""
    name = config.model.dtype
    return None if name == "float32" else jnp.dtype(name)


def micro_batches(config: ConfigDict) -> int:
    """Return the parts that a training batch is encoded in."""
    # A run of an older version does not have the key.
    return config.train.get("micro_batches", 1)


def grid(config: ConfigDict) -> tuple[int, int]:
    """Return the rows and columns of the model's patches."""
    size = config.model
    return token_grid(size.stem, tuple(size.image_size), size.patch_size, size.stride)


def variables(config: ConfigDict, learns: Learner) -> Tree:
    """Initialise the model and the method's own modules at random."""
    return jax.jit(_initialiser(config, learns))(_key(config))


def shapes(config: ConfigDict, learns: Learner) -> Tree:
    """Return what `variables` would, all zeros, compiling nothing."""
    made = jax.eval_shape(_initialiser(config, learns), _key(config))
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), made)


def load_weights(config: ConfigDict, made: Tree) -> Tree:
    """Put the weights that the config names, if any, into variables.

    Raises:
        InputError: they cannot be read, or are another architecture's.
    """
    if not config.init.weights:
        return made
    return pretrained.load_backbone(
        config.init.weights,
        made,
        grid=grid(config),
        allow_missing=config.init.allow_missing,
        allow_extra=config.init.allow_extra,
    )


def _key(config: ConfigDict) -> Key[Array, ""]:
    return keys.stream(jax.random.key(config.seed), "init")


def _initialiser(config: ConfigDict, learns: Learner):
    h, w = config.model.image_size
    images = jnp.zeros((len(learns.modality), 1, h, w, 3))

    def init(key: Key[Array, ""]) -> Tree:
        (_, outputs), made = learns.model.init_with_output(key, images, learns.modality)
        extra = init_extra(learns.method.modules, keys.stream(key, "extra"), outputs)
        return {**made, "params": {**made["params"], "extra": extra}} if extra else made

    return init
