"""Every term of the objective by the recorded name, as functions of model outputs."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from ckda_jax.losses import distill, identity, metric
from ckda_jax.models.alignment import AlignmentEngine, Spaces

TEMPERATURE = 0.1
RELATION_TEMPERATURE = 10.0
"""The released code multiplies pairwise relations by 0.1."""


class Prototypes(struct.PyTreeNode):
    """Prototypes of both modalities, padded to the same number."""

    values: Float[Array, "m k d"]
    mask: Bool[Array, "m k"]


def prototypes(visible: np.ndarray, infrared: np.ndarray, dtype: str) -> Prototypes:
    """Pad recorded prototypes `[n, d]` of each modality to one array."""
    found = (visible, infrared)
    longest = max(len(p) for p in found)
    values = [np.pad(p, ((0, longest - len(p)), (0, 0))) for p in found]
    mask = [np.arange(longest) < len(p) for p in found]
    return Prototypes(jnp.asarray(np.stack(values), dtype), jnp.asarray(np.stack(mask)))


def spaces(features: Array, known: Prototypes, relation: str = "pairwise") -> Spaces:
    """Describe features by their similarity to prototypes, as released."""
    engine = AlignmentEngine(TEMPERATURE, relation, RELATION_TEMPERATURE)
    found: Any = engine.apply({}, features, known.values, known.mask)
    return found


def identity_terms(
    logits: Float[Array, "m b k"],
    labels: Int[Array, "m b"],
    mask: Bool[Array, " k"] | None = None,
) -> dict[str, Array]:
    """Compute the identity loss of each modality and their sum."""
    values = identity.cross_entropy(logits, labels, mask=mask)
    visible, infrared = values.mean(axis=1)
    return {"ce_vis": visible, "ce_inf": infrared, "id": visible + infrared}


def batch_hard(
    features: Float[Array, "m b d"], labels: Int[Array, "m b"], margin: float
) -> dict[str, Array]:
    """Compute the triplet loss over all rows of both modalities."""
    flat = features.reshape(-1, features.shape[-1])
    values = metric.batch_hard(flat, labels.reshape(-1), margin=margin)
    return {"tri": values.mean()}


def centre_terms(
    features: Float[Array, "m b d"],
    labels: Int[Array, "m b"],
    margin: float,
    *,
    unique: bool = False,
) -> dict[str, Array]:
    """Compute centre and cross triplets, each direction and both together."""
    options = {"margin": margin, "unique": unique}
    centre = metric.centre_triplets(features, labels, **options)
    cross = metric.cross_triplets(features, labels, **options)
    one_two, two_one = _means(centre)
    samples, centres = _means(cross)
    return {
        "cent_12": one_two,
        "cent_21": two_one,
        "cross_f1_m2": samples,
        "cross_m1_f2": centres,
        "tri_cent": jnp.sum(centre.values * centre.shares),
        "tri_cross": jnp.sum(cross.values * cross.shares),
    }


def alignment_terms(
    features: Float[Array, "m b d"],
    teacher: Float[Array, "m b d"],
    known: Prototypes,
) -> dict[str, Array]:
    """Compute the divergences of each modality in both spaces, and their means."""
    new, old = spaces(features, known), spaces(teacher, known)
    intra = distill.kl(new.intra, old.intra).mean(axis=1)
    inter = distill.kl(new.inter, old.inter).mean(axis=(1, 2))
    return {
        "kl_intra_vis": intra[0],
        "kl_intra_inf": intra[1],
        "kl_inter_vis": inter[0],
        "kl_inter_inf": inter[1],
        "kl_intra": intra.mean(),
        "kl_inter": inter.mean(),
    }


def prompt_terms(new: Array, old: Array) -> dict[str, Array]:
    """Compute how far the prompts moved."""
    return {"prompt_l1": distill.absolute(new, old).mean()}


def alignment_maps(
    features: Float[Array, "m b d"],
    teacher: Float[Array, "m b d"],
    known: Prototypes,
) -> dict[str, Array]:
    """Compute the recorded distributions, over padded prototypes and over the batch."""
    maps = {}
    for name, given in (("new", features), ("old", teacher)):
        direct = jax.nn.softmax(spaces(given, known, "direct").intra[0])
        related = jax.nn.softmax(spaces(given, known).intra)
        maps[f"mid_vis_p_{name}"] = direct
        maps[f"mid_vis_rel_{name}"], maps[f"mid_inf_rel_{name}"] = related
    return maps


def centre_maps(
    features: Float[Array, "m b d"], labels: Int[Array, "m b"]
) -> dict[str, Array]:
    """Compute the centres of each modality, a row per image, sorted by label."""
    maps = {}
    for i, (own, ids) in enumerate(zip(features, labels, strict=True), start=1):
        order = jnp.argsort(ids, stable=True)
        maps[f"mid_feat{i}_mean"] = metric.centres(own, ids, unique=False)[0][order]
        maps[f"mid_feat{i}_mean_label"] = ids[order]
    return maps


def _means(weighted: metric.Weighted) -> Array:
    """Average each pair of modalities by itself."""
    shares = weighted.shares / weighted.shares.sum(axis=1, keepdims=True)
    return jnp.sum(weighted.values * shares, axis=1)
