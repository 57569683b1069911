"""The small model that the golden files were recorded with, and its images."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ckda_jax.models import weights
from ckda_jax.models.reid import ReIDModel
from ckda_jax.trees import map_named

State = Mapping[str, np.ndarray]


def model(**changes: Any) -> ReIDModel:
    """Make the model of `model_tiny.npz`, which drops nothing."""
    sizes: dict[str, Any] = {
        "classes": 5,
        "image_size": (64, 32),
        "width": 48,
        "depth": 2,
        "heads": 3,
        "dropout": 0.0,
        "drop_path": 0.0,
        "prompt_dropout": 0.0,
    }
    return ReIDModel(**(sizes | changes))


def apply(module: nn.Module, variables: Any, *inputs: Any, **options: Any) -> Any:
    """Compile and call `Module.apply`; options are static, inputs are arrays."""
    return jax.jit(lambda *given: module.apply(*given, **options))(variables, *inputs)


def init(module: nn.Module, *inputs: Any) -> Any:
    """Initialise with a fixed key."""
    return module.init(jax.random.key(0, impl="rbg"), *inputs)


def shapes(module: nn.Module, *inputs: Any, **options: Any) -> Any:
    """List the variables of a module, without computing them."""
    return jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs, **options))


def drawn(tree: Any) -> Any:
    """Draw variables of given shapes; far quicker than initialising a module."""
    rng = np.random.default_rng(0)

    def draw(name: str, leaf: Any) -> Any:
        centre = 1.0 if name.endswith(("scale", "var")) else 0.0
        return jnp.asarray(rng.normal(centre, 0.1, leaf.shape), leaf.dtype)

    return map_named(draw, tree)


def model_shapes(module: ReIDModel, method: str = "__call__") -> Any:
    """List the variables of a model, or of its prompts alone."""
    images = jnp.zeros(
        (module.modalities, 1, *module.image_size, 3), module.param_dtype
    )
    modality = tuple(range(module.modalities))
    return shapes(module, images, modality, method=method)


def recorded_variables(module: ReIDModel, arrays: State, method: str = "__call__"):
    """Put the entries `sd/*` of a golden file into variables of the model's type."""
    template = drawn(model_shapes(module, method))
    filled, _ = weights.import_reference(part(arrays, "sd/"), template)
    return jax.tree.map(lambda x: jnp.asarray(x, module.param_dtype), filled)


def part(arrays: State, prefix: str) -> dict[str, np.ndarray]:
    """Take the entries whose names start with a prefix, and drop it."""
    chosen = [name for name in arrays if name.startswith(prefix)]
    return {name.removeprefix(prefix): arrays[name] for name in chosen}


def regroup(rows: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Sort mixed rows by modality, the released code's ids, into `[m, b, ...]`."""
    grouped = np.stack([rows[ids == 1], rows[ids == 0]])
    return channels_last(grouped) if rows.ndim == 4 else grouped


def channels_last(images: np.ndarray) -> np.ndarray:
    """Move channels from before height and width to the end."""
    return np.moveaxis(images, -3, -1)


def statistics(variables: Any, arrays: State, prefix: str) -> tuple[dict, dict]:
    """Pair running statistics with those recorded, by the released code's names."""
    ours = weights.export_reference({"batch_stats": variables["batch_stats"]})
    theirs = part(arrays, prefix)
    return ours, {name: theirs[name] for name in ours}
