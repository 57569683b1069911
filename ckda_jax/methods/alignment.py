"""Alignment: hold the new model to the frozen one in both modality spaces."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from ckda_jax.losses import distill
from ckda_jax.methods.base import Method, Metrics, Scalar, StageEnd, StepView
from ckda_jax.methods.reduce import per_image
from ckda_jax.models.alignment import AlignmentEngine, Spaces
from ckda_jax.structs import INFRARED, VISIBLE, Tree

STUDENT_SPACES = ("neck", "feature")


def alignment(
    engine: AlignmentEngine,
    *,
    capacity: int,
    weight: float = 1.0,
    inter_weight: float = 0.5,
    student_space: str = "neck",
    infrared_from_visible: frozenset[str] = frozenset(),
) -> Method:
    """Align similarities to the previous stage's prototypes with the frozen model's.

    `L = weight ((1 - mu) L_intra + mu L_inter)` with mu the inter weight; each term is
    the mean over modalities, and over other modalities, of KL(teacher || student) of
    what the engine makes of the features. The teacher's are its embeddings. Nothing in
    the first stage, and nothing against a modality that the last stage lacked. Memory:
    one prototype per identity and modality of the last stage, the mean of its unit
    embeddings.

    Args:
        engine: turns features and prototypes into distributions.
        capacity: identities of the largest stage.
        weight: of both terms.
        inter_weight: share of the inter-modality space.
        student_space: `neck`, where the teacher and the prototypes live, or `feature`,
            before batch normalisation, as in the released code.
        infrared_from_visible: datasets whose infrared prototypes are made by sending
            visible images through the infrared prompts, as the released code does for
            RegDB.
    """
    if student_space not in STUDENT_SPACES:
        raise ValueError(f"student_space={student_space!r}: none of {STUDENT_SPACES}")

    def init(key: Key[Array, ""], variables: Tree) -> Tree:
        del key
        modalities = variables["params"]["backbone"]["mod_embed"].shape[0]
        scale = variables["params"]["neck"]["scale"]
        return {
            "prototypes": jnp.zeros((modalities, capacity, *scale.shape), scale.dtype),
            "mask": jnp.zeros((modalities, capacity), bool),
        }

    def spaces(features: Array, memory: Tree) -> Spaces:
        found: Any = engine.apply({}, features, memory["prototypes"], memory["mask"])
        return found

    def loss(view: StepView) -> tuple[Scalar, Metrics]:
        student = getattr(view.student, student_space)
        zero = jnp.zeros((), student.dtype)
        if view.teacher is None:
            return zero, {"intra": zero, "inter": zero}
        new = spaces(student, view.memory)
        old = spaces(view.teacher.neck, view.memory)
        known, others = _known(view.memory["mask"])
        present = view.batch.present
        intra = per_image(distill.kl(new.intra, old.intra), present & known)
        inter = jnp.where(others[..., None], distill.kl(new.inter, old.inter), 0)
        count = others.sum(axis=1)
        inter = inter.sum(axis=1) / jnp.maximum(count, 1)[:, None]
        inter = per_image(inter, present & (count > 0))
        total = (1 - inter_weight) * intra + inter_weight * inter
        return weight * total, {"intra": intra, "inter": inter}

    def consolidate(memory: Tree, end: StageEnd) -> Tree:
        found = []
        for modality in range(memory["prototypes"].shape[0]):
            replaced = modality == INFRARED and infrared_from_visible & {*end.datasets}
            source = VISIBLE if replaced else modality
            found.append(prototypes_of(end, modality, source, capacity))
        means, masks = zip(*found, strict=True)
        prototypes = jnp.stack(means).astype(memory["prototypes"].dtype)
        return {"prototypes": prototypes, "mask": jnp.asarray(np.stack(masks))}

    return Method(init=init, loss=loss, consolidate=consolidate)


def _known(
    mask: Bool[Array, "m k"],
) -> tuple[Bool[Array, " m"], Bool[Array, "m o"]]:
    """Say which modalities have prototypes; for each, which of the others have."""
    known = mask.any(axis=1)
    m = len(known)
    order = [[j for j in range(m) if j != i] for i in range(m)]
    return known, known[jnp.array(order, int).reshape(m, m - 1)]


def prototypes_of(
    end: StageEnd, modality: int, source: int, capacity: int
) -> tuple[Float[Array, "k d"], Bool[np.ndarray, " k"]]:
    """Average the unit embeddings of each identity of a stage.

    The means are not brought back to unit length.

    Args:
        end: the stage's end.
        modality: through whose prompts the images go.
        source: modality of the images.
        capacity: k, rows to return; those beyond the stage's identities are zeros.

    Returns:
        Means in label order, and which identities have an image.
    """
    rows = np.flatnonzero(end.modality == source)
    counts = np.bincount(end.labels[rows], minlength=capacity)
    sums = end.sums(rows, modality, capacity)
    return sums / np.maximum(counts, 1)[:, None].astype(sums.dtype), counts > 0
