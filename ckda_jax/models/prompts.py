"""Prompts: images made from an image and added to it, common and per modality."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from ckda_jax.models import norm
from ckda_jax.models.dropout import Dropout
from ckda_jax.structs import Tree

WEIGHT_INIT = nn.initializers.normal(0.02)

Maps = dict[str, Array]


def patchify(
    images: Float[Array, "*i h w c"], patch_size: int
) -> Float[Array, "*i n p"]:
    """Cut images into non-overlapping patches, one row each.

    Patches run top to bottom, then left to right; a row holds channel, row in patch,
    column in patch, slowest first. `unpatchify` is the inverse.

    Args:
        images: `[..., h, w, c]`, height and width multiples of the patch size.
        patch_size: side of a patch in pixels.

    >>> import jax.numpy as jnp
    >>> image = jnp.arange(8).reshape(2, 2, 2) * 1.0  # pixel (y, x) holds 4y + 2x + c
    >>> patchify(image, 2).tolist()
    [[0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 7.0]]
    """
    *lead, h, w, c = images.shape
    grid = (h // patch_size, patch_size, w // patch_size, patch_size, c)
    cut = images.reshape(*lead, *grid)
    i = len(lead)
    rows = cut.transpose(*range(i), i, i + 2, i + 4, i + 1, i + 3)
    n = grid[0] * grid[2]
    return rows.reshape(*lead, n, c * patch_size**2)


def unpatchify(
    rows: Float[Array, "*i n p"], patch_size: int, image_size: tuple[int, int]
) -> Float[Array, "*i h w c"]:
    """Put the rows of `patchify` back into images of `image_size` (height, width)."""
    *lead, _, p = rows.shape
    h, w = image_size
    c = p // patch_size**2
    grid = (h // patch_size, w // patch_size, c, patch_size, patch_size)
    cut = rows.reshape(*lead, *grid)
    i = len(lead)
    images = cut.transpose(*range(i), i, i + 3, i + 1, i + 4, i + 2)
    return images.reshape(*lead, h, w, c)


def _uniform(key: Array, shape: Any, dtype: Any) -> Array:
    """Draw U(-1/sqrt(fan in), 1/sqrt(fan in)), PyTorch's default for convolutions."""
    bound = shape[0] ** -0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)


class PositionGate(nn.Module):
    """Weigh the channels of every position by two 1x1 convolutions.

    Attributes:
        reduction: how many times fewer hidden channels than channels.
        dtype: compute dtype; None: that of input and parameters.
        param_dtype: of newly made parameters.
    """

    reduction: int = 4
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*i n d"]) -> Float[Array, "*i n d"]:
        """Return the weights, between 0 and 1."""
        dense = functools.partial(
            nn.Dense,
            use_bias=False,
            kernel_init=_uniform,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
        width = x.shape[-1]
        hidden = dense(max(width // self.reduction, 1), name="squeeze")(x)
        return nn.sigmoid(dense(width, name="expand")(nn.relu(hidden)))


class CommonPrompt(nn.Module):
    """The prompt that all modalities share.

    With `o` the projected patches and `i` their instance norm, the prompt is a
    projection of relu(A_o o + (1 - A_o)(A_i i)), where the gates A_o and A_i come from
    `o` and `i`: each position chooses how much of its own contrast it keeps.

    Attributes:
        patch_size: side of a patch in pixels.
        width: hidden channels.
        dropout: rate on the elements of the prompt.
        eval_statistics: of the instance norm, `running` or `instance`.
        dtype: compute dtype; None: that of images and parameters.
        param_dtype: of newly made parameters and statistics.
    """

    patch_size: int = 16
    width: int = 8
    dropout: float = 0.1
    eval_statistics: str = "running"
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "*i h w c"],
        train: bool = False,
        mask: Bool[Array, "*i"] | None = None,
    ) -> tuple[Float[Array, "*i h w c"], Maps]:
        """Compute the prompt.

        Args:
            images: normalised images, sides multiples of the patch size.
            train: drop elements and move the running statistics.
            mask: images that enter the running statistics; None: all.

        Returns:
            The prompt, and the hidden maps `[..., n, width]` by name: `projected`,
            `normalised`, `gate_projected`, `gate_normalised`.
        """
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        dense = functools.partial(nn.Dense, kernel_init=WEIGHT_INIT, **types)
        rows = patchify(images, self.patch_size)
        projected = dense(self.width, name="down")(rows)
        instance_norm = norm.InstanceNorm(
            self.eval_statistics, param_dtype=self.param_dtype, name="norm"
        )
        normalised = instance_norm(projected, train, mask)
        gate_projected = PositionGate(name="gate_projected", **types)(projected)
        gate_normalised = PositionGate(name="gate_normalised", **types)(normalised)
        restored = (1 - gate_projected) * (gate_normalised * normalised)
        mixed = gate_projected * projected + restored
        rows = dense(rows.shape[-1], name="up")(nn.relu(mixed))
        h, w = images.shape[-3:-1]
        prompt = unpatchify(rows, self.patch_size, (h, w))
        prompt = Dropout(self.dropout)(prompt, train)
        return prompt, {
            "projected": projected,
            "normalised": normalised,
            "gate_projected": gate_projected,
            "gate_normalised": gate_normalised,
        }


class SpecificPrompt(nn.Module):
    """The prompt of one modality: an affine bottleneck with batch normalisation.

    Attributes:
        patch_size: side of a patch in pixels.
        width: hidden channels.
        dropout: rate on the elements of the prompt.
        dtype: compute dtype; None: that of images and parameters.
        param_dtype: of newly made parameters and statistics.
    """

    patch_size: int = 16
    width: int = 16
    dropout: float = 0.1
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "b h w c"],
        present: Bool[Array, ""],
        train: bool = False,
    ) -> Float[Array, "b h w c"]:
        """Compute the prompt.

        Args:
            images: normalised images of this modality.
            present: false where the images are a stand-in for an absent modality: the
                running statistics stand still.
            train: drop elements, normalise with the batch's statistics over all its
                patches and move the running ones.
        """
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        dense = functools.partial(nn.Dense, kernel_init=WEIGHT_INIT, **types)
        rows = patchify(images, self.patch_size)
        hidden = dense(self.width, name="down")(rows)
        batch_norm = norm.BatchNorm(param_dtype=self.param_dtype, name="norm")
        hidden = batch_norm(hidden, train, present.reshape(1, 1, 1))
        rows = dense(rows.shape[-1], name="up")(hidden)
        h, w = images.shape[-3:-1]
        prompt = unpatchify(rows, self.patch_size, (h, w))
        return Dropout(self.dropout)(prompt, train)


_IN_AXES: Any = (0, 0, None)

SpecificPrompts = nn.vmap(
    SpecificPrompt,
    variable_axes={"params": 0, "batch_stats": 0},
    split_rngs={"params": True, "dropout": True},
    in_axes=_IN_AXES,
)
"""One `SpecificPrompt` per modality: images `[m, b, h, w, c]`, present `[m]`, train."""


def run_some(
    specific: nn.Module,
    modality: tuple[int, ...],
    images: Float[Array, "r b h w c"],
    present: Bool[Array, " r"],
    train: bool,
) -> Float[Array, "r b h w c"]:
    """Run the generators of some modalities; the others cost nothing and stand still.

    Args:
        specific: bound `SpecificPrompts`, of all modalities.
        modality: ids of the generators to run, one for each row of axis 0.
        images: as `SpecificPrompt` takes them.
        present: likewise.
        train: likewise.
    """
    every, ids = specific.variables, jnp.array(modality)

    def take(variables: Tree) -> Tree:
        return jax.tree.map(lambda leaf: leaf[ids], variables)

    def put(changed: Tree) -> Tree:
        whole = {name: every[name] for name in changed}
        return jax.tree.map(lambda leaf, own: leaf.at[ids].set(own), whole, changed)

    def run(some: nn.Module, *inputs: Any) -> Array:
        return some(*inputs)

    collections = ["params", "batch_stats"]
    own = nn.map_variables(run, collections, take, put, mutable=train)
    return own(specific, images, present, train)
