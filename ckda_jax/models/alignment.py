"""The two spaces in which a new model is compared with the previous one."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from ckda_jax.models import heads, norm

RELATIONS = ("direct", "pairwise")
"""What the two models are to agree on, see `AlignmentEngine`."""


class Spaces(NamedTuple):
    """Unnormalised log-distributions, one per image.

    Attributes:
        intra: `[m, b, x]`, against the prototypes of the image's own modality.
        inter: `[m, m - 1, b, x]`, against those of each other modality, in the order of
            modality ids with the own one left out.
    """

    intra: Float[Array, "m b x"]
    inter: Float[Array, "m o b x"]


class AlignmentEngine(nn.Module):
    """Describe features by their similarity to prototypes; no parameters.

    With p(x, Q) the softmax over the prototypes Q of cos(x, Q) / temperature:
    `direct` describes an image by log p itself (x = k, masked prototypes very
    negative); `pairwise` by the cosines of its p with those of all images of its batch
    and modality, divided by the relation temperature (x = b). The released code is
    `pairwise` and multiplies by 0.1: a relation temperature of 10.

    Apply it to student and teacher and take a divergence of the two; logits rather than
    normalised logarithms keep the digits of a divergence that is nearly zero.

    Attributes:
        temperature: divides the cosines to the prototypes.
        relation: `direct` or `pairwise`.
        relation_temperature: divides the cosines between distributions (`pairwise`).
    """

    temperature: float = 0.1
    relation: str = "direct"
    relation_temperature: float = 0.1

    @nn.compact
    def __call__(
        self,
        features: Float[Array, "m b d"],
        prototypes: Float[Array, "m k d"],
        mask: Bool[Array, "m k"],
    ) -> Spaces:
        """Compute the distributions of every image in both spaces.

        Args:
            features: of any length; only their direction counts.
            prototypes: of any length, padded with anything finite.
            mask: true where there is a prototype.

        Raises:
            ValueError: `relation` is not one of `RELATIONS`.
        """
        if self.relation not in RELATIONS:
            raise ValueError(f"relation={self.relation!r}: not one of {RELATIONS}")
        chex.assert_equal_shape_prefix([features, prototypes, mask], 1)
        features = heads.unit(norm.at_least_float32(features))
        prototypes = heads.unit(prototypes.astype(features.dtype))
        cosine = jnp.einsum("mbd,pkd->mpbk", features, prototypes)
        lowest = jnp.finfo(cosine.dtype).min / 2
        logits = jnp.where(mask[None, :, None, :], cosine / self.temperature, lowest)
        if self.relation == "pairwise":
            distribution = heads.unit(jax.nn.softmax(logits, axis=-1))
            relation = jnp.einsum("mpbk,mpck->mpbc", distribution, distribution)
            logits = relation / self.relation_temperature
        return _split(logits)


def _split(logits: Float[Array, "m m b x"]) -> Spaces:
    """Take the own modality's prototypes from `[m, p, b, x]`, and all the others'."""
    m = logits.shape[0]
    own = [logits[i, i] for i in range(m)]
    others = [[logits[i, j] for j in range(m) if j != i] for i in range(m)]
    if m == 1:
        return Spaces(jnp.stack(own), logits[:, :0])
    return Spaces(jnp.stack(own), jnp.stack([jnp.stack(row) for row in others]))
