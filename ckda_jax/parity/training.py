"""Comparison of five training steps: losses, gradients, parameters, statistics."""

import dataclasses
import re
from collections.abc import Container, Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ckda_jax.engine.optim import Optimiser
from ckda_jax.engine.state import Frozen, TrainState
from ckda_jax.engine.step import Learner, make_step
from ckda_jax.methods.base import Method, Metrics, Scalar, StepView
from ckda_jax.methods.combined import combine
from ckda_jax.parity import method, rates, recorded, table, terms
from ckda_jax.parity.golden import Geometry, Golden
from ckda_jax.parity.method import Weights
from ckda_jax.parity.model import counted
from ckda_jax.parity.stages import Stages, stages
from ckda_jax.parity.table import Row
from ckda_jax.parity.tolerances import (
    DOUBLE,
    FINAL_EMBEDDING,
    FINAL_LAST_BIAS,
    FINAL_PARAMETER,
    FINAL_STATISTICS,
    FIRST_LAST_BIAS,
    FIRST_PARAMETER,
    GRADIENT,
    STATISTICS,
    STEP_ALIGNMENT,
    STEP_LOSS,
    Kind,
)
from ckda_jax.trees import map_named

STEPS = 5
FIRST_STAGE = ("identity", "triplet", "contrastive", "centres", "cross")
"""Parts whose sum is `total_first_stage`."""
STATISTICS_NAMES = r".*\.running_(mean|var)"
LAST_BIAS = "base.norm.bias"
"""Reached by the alignment alone, by gradients of 1e-5: classifier and triplets are
blind to a shift of the feature."""
SHIFTED = r"base\.(rgb|inf)_net\.0\.bias"
"""A bias before a batch norm, which removes it."""
FOLLOWING = r"base\.(rgb|inf)_net\.1\.running_mean"
"""The batch norm's running mean moves with that bias."""
QKV_BIAS = r"base\.blocks\.\d+\.attn\.qkv\.bias"
"""Its key third adds the same to every score of a query, which softmax removes."""
NO_GRADIENT = (
    "the gradient is zero by mathematics and Adam turns float32's rounding noise into "
    "steps; compared in float64 alone (and the query and value thirds of qkv.bias)"
)
SMALL_GRADIENT = 1e-6


@dataclasses.dataclass(frozen=True)
class Course:
    """What five steps gave.

    Attributes:
        metrics: of each step.
        first: the state after step 1.
        last: the state after step 5.
    """

    metrics: list[Metrics]
    first: TrainState
    last: TrainState


def compare(
    golden: Golden, geometry: Geometry, weights: Weights, precision: str
) -> list[Row]:
    """Train with and without a teacher from the recorded states."""
    new, old = golden.state("new0/"), golden.state("old0/")
    later = stages(geometry, new, old, precision)
    first = stages(geometry, new, None, precision)
    optimiser = Optimiser(epochs=len(golden.take("lr50/epochs")))
    rows = rates.compare(golden, optimiser, later.student["params"], precision)
    course = train(golden, later, optimiser, weights, precision)
    rows += [
        *losses(golden, "", course, precision),
        gradients(golden, later, course.first, precision),
        *after(golden, "after1/", later, course.first, precision),
        *after(golden, "final/", later, course.last, precision),
        embedding(golden, "", later, course.last, precision),
    ]
    course = train(golden, first, optimiser, weights, precision)
    rows += losses(golden, "nofold/", course, precision)
    rows.append(embedding(golden, "nofold/", first, course.last, precision))
    noise = silent(golden)
    if precision != DOUBLE:
        reason = f"{NO_GRADIENT}: {', '.join(noise)}"
        rows.append(table.different(golden.name, "tensors without gradient", reason))
    counters = golden.excuse(r"(after1|final|f64/final)/.*\.num_batches_tracked")
    return [*rows, counted(golden.name, counters)]


def train(
    golden: Golden,
    pair: Stages,
    optimiser: Optimiser,
    weights: Weights,
    precision: str,
) -> Course:
    """Take five steps, one in each of the first epochs, on the recorded batch."""
    known = terms.prototypes(
        golden.take("vis_proto"), golden.take("inf_proto"), precision
    )
    learner = Learner(
        model=pair.model,
        method=combine(
            ours=method.method(weights, known.values.shape[1]),
            recorded=reporting(weights, known),
        ),
        optimiser=optimiser,
        prepare=lambda key, images: images,
    )
    step = jax.jit(make_step(learner))
    params = pair.student["params"]
    state = TrainState.start(
        params=params,
        batch_stats=pair.student["batch_stats"],
        opt_state=optimiser.transform(params).init(params),
        key=jax.random.key(0),
    )
    frozen = Frozen(
        teacher=pair.teacher, memory={"ours": method.memory(known)}, stage=pair.info
    )
    batch = method.batch(
        _both(golden, precision), _labels(golden) + pair.info.first_row
    )
    metrics, states = [], []
    for _ in range(STEPS):
        state, found = step(state, frozen, batch)
        metrics.append(found)
        states.append(state)
    return Course(metrics, states[0], states[-1])


def reporting(weights: Weights, known: terms.Prototypes) -> Method:
    """Make a part that adds nothing to the loss and reports every recorded term."""

    def loss(view: StepView) -> tuple[Scalar, Metrics]:
        student, teacher, labels = view.student, view.teacher, view.batch.labels
        mask = view.stage.rows()
        found = {
            **terms.identity_terms(student.logits, labels, mask),
            **terms.batch_hard(student.feature, labels, weights.margin),
            **terms.centre_terms(student.feature, labels, weights.margin),
        }
        if teacher is not None:
            found |= terms.alignment_terms(student.feature, teacher.neck, known)
            found |= terms.prompt_terms(student.prompt, teacher.prompt)
        return jnp.zeros((), student.feature.dtype), found

    return Method(loss=loss)


def losses(golden: Golden, prefix: str, course: Course, precision: str) -> list[Row]:
    """Compare every recorded term of the five steps."""
    rows = []
    for name in golden.names(f"{prefix}loss/"):
        key = f"{prefix}loss/{name}"
        ours = np.stack([np.asarray(_term(m, name)) for m in course.metrics])
        kind = STEP_ALIGNMENT if name.startswith("kl_") else STEP_LOSS
        where = (golden.name, key, precision)
        rows.append(table.compared(where, ours, golden.expected(key), kind))
    return rows


def gradients(golden: Golden, pair: Stages, first: TrainState, precision: str) -> Row:
    """Compare the gradient of step 1, of which Adam's first moment holds a tenth."""
    beta = float(golden.take("adamw/betas")[0])
    moments = rates.moments(first.opt_state, "mu")
    gradient = map_named(
        lambda name, leaf: moments.get(name, jnp.zeros_like(leaf)) / (1 - beta),
        first.params,
    )
    ours = pair.export({"params": gradient})
    pairs = {}
    for name in known(golden.names("step1_grad/"), ours):
        theirs = golden.expected(f"step1_grad/{name}")
        keep = _meaningful(name, theirs, precision)
        pairs[name] = (ours[name][keep], theirs[keep])
    where = (golden.name, "step1_grad/*", precision)
    return table.family(where, pairs, GRADIENT)


def after(
    golden: Golden, prefix: str, pair: Stages, state: TrainState, precision: str
) -> list[Row]:
    """Compare parameters and running statistics after some steps."""
    ours = {**pair.export(state.variables), **pair.extras}
    first = prefix == "after1/"
    noisy = precision if not first else "float32"
    groups: dict[str, tuple[Kind, dict]] = {
        "parameters": (FIRST_PARAMETER if first else FINAL_PARAMETER, {}),
        LAST_BIAS: (FIRST_LAST_BIAS if first else FINAL_LAST_BIAS, {}),
        "statistics": (STATISTICS if first else FINAL_STATISTICS, {}),
    }
    for name in known(golden.names(prefix), ours):
        if name.endswith("num_batches_tracked"):
            continue
        theirs = golden.expected(prefix + name)
        if re.fullmatch(STATISTICS_NAMES, name):
            group, keep = "statistics", np.s_[...]
            if not first and noisy != DOUBLE and re.fullmatch(FOLLOWING, name):
                continue
        else:
            group = LAST_BIAS if name == LAST_BIAS else "parameters"
            keep = _settled(golden, name, theirs, noisy)
        groups[group][1][name] = (ours[name][keep], theirs[keep])
    return [
        table.family((golden.name, f"{prefix}{group}", precision), pairs, kind)
        for group, (kind, pairs) in groups.items()
    ]


def embedding(
    golden: Golden, prefix: str, pair: Stages, state: TrainState, precision: str
) -> Row:
    """Compare the embeddings after the last step, of two images of each modality."""
    images = _both(golden, precision)[:, :2]
    ours = np.asarray(pair.model.apply(state.variables, images)[0])
    key = f"{prefix}final_eval_feat"
    where = (golden.name, key, precision)
    flat = ours.reshape(-1, ours.shape[-1])
    return table.compared(where, flat, golden.expected(key), FINAL_EMBEDDING)


def silent(golden: Golden) -> list[str]:
    """Name what float32 cannot compare: noise, and the statistics that follow it."""
    noise = golden.take("noise_grad_names").tolist()
    following = [n for n in golden.names("final/") if re.fullmatch(FOLLOWING, n)]
    return sorted({*noise, *following})


def known(names: Iterable[str], ours: Container[str]) -> list[str]:
    """Leave out names that we have nothing for; nobody reads them, so they show up."""
    return [name for name in names if name in ours]


def _meaningful(name: str, values: np.ndarray, precision: str) -> np.ndarray:
    """Mark the elements whose gradient is more than rounding noise."""
    keep = np.ones(values.shape, bool)
    if precision == DOUBLE:
        return keep
    if re.fullmatch(SHIFTED, name):
        keep[...] = False
    if re.fullmatch(QKV_BIAS, name):
        keep[len(keep) // 3 : 2 * len(keep) // 3] = False
    return keep


def _settled(
    golden: Golden, name: str, values: np.ndarray, precision: str
) -> np.ndarray:
    """Mark the elements that Adam's first step moves the same way in any rounding."""
    keep = _meaningful(name, values, precision)
    key = f"step1_grad/{name}"
    if precision != DOUBLE and key in golden.arrays and name != LAST_BIAS:
        keep &= np.abs(golden.expected(key)) >= SMALL_GRADIENT
    return keep


def _term(metrics: Metrics, name: str) -> Array:
    """Find a recorded term among a step's metrics."""
    if name == "total":
        return metrics["loss"]
    if name == "total_first_stage":
        parts = [metrics.get(f"ours/loss/{part}") for part in FIRST_STAGE]
        return sum((p for p in parts if p is not None), jnp.zeros(()))
    return metrics[f"recorded/{name}"]


def _both(golden: Golden, precision: str) -> Array:
    """Read the batch, `[m, b, h, w, 3]`."""
    inputs = np.stack([golden.take("input1"), golden.take("input2")])
    return recorded.images(inputs, precision)


def _labels(golden: Golden) -> Array:
    labels = np.stack([golden.take("label1"), golden.take("label2")])
    return jnp.asarray(labels, jnp.int32)
