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


class Samples(struct.PyTreeNode):
    """Labelled features, as `[m, b, ...]`."""

    labels: Array
    features: Array


class Case(struct.PyTreeNode):
    """The inputs of a whole objective, as `[m, b, ...]`."""

    labels: Array
    features: Array
    logits: Array
    prompt: Array
    teacher_features: Array
    teacher_prompt: Array
    known: terms.Prototypes


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
            found = centres(read_samples(golden, name, precision))
        else:
            continue
        for kind, ours in zip((LOSS, GRADIENT, INTERMEDIATE), found, strict=True):
            rows += rows_of(golden, name, ours, kind, precision)
    return rows


def whole(case: Case, settings: Weights) -> tuple[Terms, Terms, Terms]:
    """Compute all terms and the totals, their gradients, and the inner values."""

    def values(features: Array, logits: Array, prompt: Array) -> tuple[Terms, Terms]:
        given = case.replace(features=features, logits=logits, prompt=prompt)
        found = all_terms(given, settings)
        return found, found

    def total(features: Array, logits: Array, prompt: Array) -> Array:
        return values(features, logits, prompt)[0]["total"]

    inputs = case.features, case.logits, case.prompt
    by_features, found = jax.jacrev(values, has_aux=True)(*inputs)
    logits, prompt = jax.grad(total, argnums=(1, 2))(*inputs)
    gradients = _by_features(by_features) | {
        "grad_feats": _rows(by_features["total"]),
        "grad_scores": _rows(logits),
        "grad_prompt_new": jnp.moveaxis(_rows(prompt), -1, -3),
    }
    maps = terms.centre_maps(case.features, case.labels)
    maps |= terms.alignment_maps(case.features, case.teacher_features, case.known)
    return found, gradients, maps


def centres_only(case: Samples, settings: Weights) -> tuple[Terms, Terms, Terms]:
    """Compute what is recorded of a case that has centre and cross terms alone."""

    def values(features: Array) -> tuple[Terms, Terms]:
        margin = settings.margin
        unique = terms.centre_terms(features, case.labels, margin, unique=True)
        renamed = {UNIQUE + term: value for term, value in unique.items()}
        found = terms.centre_terms(features, case.labels, margin) | renamed
        return found, found

    by_features, found = jax.jacrev(values, has_aux=True)(case.features)
    maps = terms.centre_maps(case.features, case.labels)
    return found, _by_features(by_features), maps


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


def read_samples(golden: Golden, name: str, precision: str) -> Samples:
    """Read labels and features of a case; both modalities have as many rows."""
    labels = np.stack([golden.take(f"{name}/label{i}") for i in (1, 2)])
    features = _halves(golden.take(f"{name}/feats"))
    return Samples(jnp.asarray(labels, jnp.int32), jnp.asarray(features, precision))


def read(golden: Golden, name: str, precision: str) -> Case:
    """Read all inputs of a case."""
    samples = read_samples(golden, name, precision)
    logits, teacher, new, old = (
        _halves(golden.take(f"{name}/{key}"))
        for key in ("scores", "feats_old", "prompt_new", "prompt_old")
    )
    return Case(
        labels=samples.labels,
        features=samples.features,
        logits=jnp.asarray(logits, precision),
        prompt=images(new, precision),
        teacher_features=jnp.asarray(teacher, precision),
        teacher_prompt=images(old, precision),
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


def _halves(rows: np.ndarray) -> np.ndarray:
    """Turn rows `[n, ...]`, visible first, into `[m, b, ...]`."""
    return rows.reshape(2, -1, *rows.shape[1:])
