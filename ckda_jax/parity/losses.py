"""Comparison of the losses, their inner values and their gradients."""

from collections.abc import Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array

from ckda_jax.parity import method, table, terms
from ckda_jax.parity.golden import Golden
from ckda_jax.parity.method import Weights
from ckda_jax.parity.recorded import images
from ckda_jax.parity.table import Row
from ckda_jax.parity.tolerances import GRADIENT, INTERMEDIATE, LOSS, Kind

Terms = dict[str, Array]
UNIQUE = "unique_"
"""Prefix of the recorded values with one centre per identity, our default."""
PADDED = ("mid_vis_p_new", "mid_vis_p_old")
"""Distributions over prototypes, which ours pads to the longer modality."""


class Case(struct.PyTreeNode):
    """The inputs of one recorded case, as `[m, b, ...]`."""

    labels: Array
    features: Array
    logits: Array | None = None
    prompt: Array | None = None
    teacher_features: Array | None = None
    teacher_prompt: Array | None = None
    known: terms.Prototypes | None = None


def weights(golden: Golden) -> Weights:
    """Read the recorded hyperparameters."""
    return Weights.of(golden.state("weights/"))


def compare(golden: Golden, precision: str) -> list[Row]:
    """Compute every recorded case."""
    settings = weights(golden)
    # One compilation serves all cases of the same shape.
    objective = jax.jit(lambda case: whole(case, settings))
    centres = jax.jit(lambda case: centres_only(case, settings))
    rows = []
    for name in dict.fromkeys(key.partition("/")[0] for key in golden.arrays):
        if f"{name}/scores" in golden.arrays:
            found = objective(read(golden, name, precision))
        elif f"{name}/feats" in golden.arrays:
            found = centres(read(golden, name, precision))
        else:
            continue
        for kind, ours in zip((LOSS, GRADIENT, INTERMEDIATE), found, strict=True):
            rows += rows_of(golden, name, ours, kind, precision)
    return rows


def whole(case: Case, settings: Weights) -> tuple[Terms, Terms, Terms]:
    """Compute all terms and the totals, their gradients, and the inner values."""

    def values(features: Array, logits: Array, prompt: Array) -> Terms:
        given = case.replace(features=features, logits=logits, prompt=prompt)
        return all_terms(given, settings)

    def total(features: Array, logits: Array, prompt: Array) -> Array:
        return values(features, logits, prompt)["total"]

    inputs = case.features, case.logits, case.prompt
    gradients = _by_features(jax.jacrev(values)(*inputs))
    features, logits, prompt = jax.grad(total, argnums=(0, 1, 2))(*inputs)
    gradients |= {
        "grad_feats": _rows(features),
        "grad_scores": _rows(logits),
        "grad_prompt_new": jnp.moveaxis(_rows(prompt), -1, -3),
    }
    maps = terms.centre_maps(case.features, case.labels)
    maps |= terms.alignment_maps(case.features, case.teacher_features, case.known)
    return values(*inputs), gradients, maps


def centres_only(case: Case, settings: Weights) -> tuple[Terms, Terms, Terms]:
    """Compute what is recorded of a case that has centre and cross terms alone."""

    def values(features: Array) -> Terms:
        margin = settings.margin
        unique = terms.centre_terms(features, case.labels, margin, unique=True)
        renamed = {UNIQUE + term: value for term, value in unique.items()}
        return terms.centre_terms(features, case.labels, margin) | renamed

    gradients = _by_features(jax.jacrev(values)(case.features))
    maps = terms.centre_maps(case.features, case.labels)
    return values(case.features), gradients, maps


def all_terms(case: Case, settings: Weights) -> Terms:
    """Compute every term by its function, and both totals by the method."""
    student = method.outputs(case.features, case.logits, case.prompt)
    teacher = method.outputs(case.teacher_features, case.logits, case.teacher_prompt)
    ours = method.method(settings, case.known.values.shape[1])
    first = ours.loss(method.view(student, None, case.labels, None))[0]
    later = ours.loss(method.view(student, teacher, case.labels, case.known))[0]
    return {
        **terms.identity_terms(case.logits, case.labels),
        **terms.batch_hard(case.features, case.labels, settings.margin),
        **terms.centre_terms(case.features, case.labels, settings.margin),
        **terms.alignment_terms(case.features, case.teacher_features, case.known),
        **terms.prompt_terms(case.prompt, case.teacher_prompt),
        "total_first_stage": first,
        "total": later,
    }


def read(golden: Golden, name: str, precision: str) -> Case:
    """Read a case's inputs; both modalities have as many rows."""
    labels = [golden.take(f"{name}/label{i}") for i in (1, 2)]

    def rows(key: str) -> Array:
        flat = golden.take(f"{name}/{key}")
        return jnp.asarray(flat.reshape(2, -1, *flat.shape[1:]), precision)

    stacked = jnp.asarray(np.stack(labels), jnp.int32)
    if f"{name}/scores" not in golden.arrays:
        return Case(stacked, rows("feats"))
    return Case(
        labels=stacked,
        features=rows("feats"),
        logits=rows("scores"),
        prompt=images(np.asarray(rows("prompt_new")), precision),
        teacher_features=rows("feats_old"),
        teacher_prompt=images(np.asarray(rows("prompt_old")), precision),
        known=terms.prototypes(
            golden.take(f"{name}/vis_proto"),
            golden.take(f"{name}/inf_proto"),
            precision,
        ),
    )


def rows_of(
    golden: Golden, case: str, ours: Mapping[str, Array], kind: Kind, precision: str
) -> Iterable[Row]:
    """Compare what is recorded of what was computed."""
    for name, value in ours.items():
        key = f"{case}/{name}"
        if key not in golden.arrays:
            continue
        expected = golden.expected(key)
        if name in PADDED:
            value = value[:, : expected.shape[1]]
        where = (golden.name, key, precision)
        yield table.compared(where, np.asarray(value), expected, kind)


def _by_features(gradients: Mapping[str, Array]) -> Terms:
    """Name gradients of terms by the features as they are recorded."""
    return {f"grad_feats_{name}": _rows(value) for name, value in gradients.items()}


def _rows(gradient: Array) -> Array:
    """Turn `[m, b, ...]` into rows `[n, ...]`, visible first, as recorded."""
    return gradient.reshape(-1, *gradient.shape[2:])
