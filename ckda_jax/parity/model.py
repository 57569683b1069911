"""Comparison of the model's outputs and intermediate results."""

import functools
import re
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from ckda_jax.models import weights
from ckda_jax.models.reid import ReIDModel
from ckda_jax.parity import recorded, table
from ckda_jax.parity.golden import Geometry, Golden, Regrouping, channels_first
from ckda_jax.parity.names import names_row
from ckda_jax.parity.rates import FROZEN, group_of
from ckda_jax.parity.table import Row
from ckda_jax.parity.tolerances import ACTIVATION, EQUAL, INTERMEDIATE, STATISTICS
from ckda_jax.structs import INFRARED, VISIBLE, Outputs, Tree

COUNTERS = "a count of batches that no output reads; carried along by name"


def compare(golden: Golden, geometry: Geometry, precision: str) -> list[Row]:
    """Run the model in evaluation and in training mode."""
    state = golden.state("sd/")
    model = recorded.build(geometry, state, geometry.classes, precision)
    variables = recorded.variables(model, state)
    rows = [
        *names(golden, variables, precision),
        *evaluation(golden, model, variables, precision),
        *single_modality(golden, model, variables, precision),
        *training(golden, model, variables, precision),
    ]
    counters = golden.excuse(r".*buf_after/.*\.num_batches_tracked")
    return rows + ([counted(golden.name, counters)] if counters else [])


def counted(file: str, keys: list[str]) -> Row:
    """State that the reference's batch counters are not ours."""
    return table.different(file, f"*.num_batches_tracked ({len(keys)})", COUNTERS)


def names(golden: Golden, variables: Tree, precision: str) -> list[Row]:
    """Compare which entries there are, which are trained, and that export inverts."""
    state = golden.state("sd/")
    extras = {k: v for k, v in state.items() if re.fullmatch(weights.REFERENCE_ONLY, k)}
    ours = weights.export_reference(variables, extras)
    pairs = {name: (ours[name], state[name]) for name in state}
    groups = group_of(variables["params"])
    parameters = {*groups} | {n for n in extras if not n.endswith("batches_tracked")}
    trained = parameters - {n for n, group in groups.items() if group == FROZEN}
    return [
        table.family((golden.name, "sd/*", precision), pairs, EQUAL),
        names_row(golden, "names", set(ours), precision),
        names_row(golden, "param_names", parameters, precision),
        names_row(golden, "trainable_names", trained, precision),
    ]


def evaluation(
    golden: Golden, model: ReIDModel, variables: Tree, precision: str
) -> list[Row]:
    """Compare one pass over the mixed batch in evaluation mode."""
    regrouping = Regrouping.by(golden.take("mod"))
    images = recorded.images(regrouping.group(golden.take("x")), precision)
    run = jax.jit(lambda v, x: model.apply(v, x, blocks=True))
    embedding, outputs = run(variables, images)
    ours = {
        "feat_l2": embedding,
        "fkd_feat": embedding,
        "fkd_prompt": channels_first(outputs.prompt),
        "feat_pre_bn": outputs.feature,
        "feat_post_bn": outputs.neck,
    }
    return [
        *activations(golden, "eval/", ours, regrouping, precision),
        *intermediates(golden, "eval/", outputs, regrouping, precision),
    ]


def single_modality(
    golden: Golden, model: ReIDModel, variables: Tree, precision: str
) -> list[Row]:
    """Compare batches of one modality, and of one image."""
    images = recorded.images(golden.take("x"), precision)

    @functools.partial(jax.jit, static_argnums=2)
    def embed(variables: Tree, images: Array, modality: int) -> Array:
        return model.apply(variables, images[None], (modality,))[0][0]

    cases = {
        "feat_l2_allvis": (images, VISIBLE),
        "feat_l2_allinf": (images, INFRARED),
        "feat_l2_first": (images[:1], VISIBLE),
    }
    rows = []
    for key, (given, modality) in cases.items():
        ours = np.asarray(embed(variables, given, modality))
        where = (golden.name, f"eval/{key}", precision)
        rows.append(
            table.compared(where, ours, golden.expected(f"eval/{key}"), ACTIVATION)
        )
    return rows


def training(
    golden: Golden, model: ReIDModel, variables: Tree, precision: str
) -> list[Row]:
    """Compare one pass in training mode, and the running statistics after it."""
    regrouping = Regrouping.by(golden.take("mod"))
    images = recorded.images(regrouping.group(golden.take("x")), precision)
    run = jax.jit(
        functools.partial(
            model.apply,
            train=True,
            blocks=True,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(0)},
        )
    )
    (_, outputs), moved = run(variables, images)
    ours = {
        "cls_score": outputs.logits,
        "features": outputs.feature,
        "prompt": channels_first(outputs.prompt),
    }
    return [
        *activations(golden, "train/", ours, regrouping, precision),
        *intermediates(golden, "train/", outputs, regrouping, precision),
        statistics(golden, "train/buf_after/", moved, precision),
    ]


def activations(
    golden: Golden,
    prefix: str,
    ours: dict[str, Any],
    regrouping: Regrouping,
    precision: str,
) -> list[Row]:
    """Compare arrays `[m, b, ...]` with recorded ones `[n, ...]`."""
    return [
        table.compared(
            (golden.name, prefix + key, precision),
            regrouping.restore(value),
            golden.expected(prefix + key),
            ACTIVATION,
        )
        for key, value in ours.items()
    ]


def intermediates(
    golden: Golden,
    prefix: str,
    outputs: Outputs,
    regrouping: Regrouping,
    precision: str,
) -> list[Row]:
    """Compare what each layer computed."""
    maps = outputs.blocks or {}
    ours = {
        "mid_patch_embed_in": channels_first(maps["images"]),
        "mid_patch_embed": maps["patch_embed"],
        "mid_tokens_in": maps["tokens"],
        "mid_norm": maps["norm"],
    }
    for i, (attention, block) in enumerate(
        zip(maps["attention"], maps["block"], strict=True)
    ):
        ours |= {f"mid_block{i}_attn": attention, f"mid_block{i}": block}
    return [
        table.compared(
            (golden.name, prefix + key, precision),
            regrouping.restore(value),
            golden.expected(prefix + key),
            INTERMEDIATE,
        )
        for key, value in ours.items()
    ]


def statistics(golden: Golden, prefix: str, moved: Tree, precision: str) -> Row:
    """Compare running statistics after one pass."""
    ours = weights.export_reference(moved)
    pairs = {n: (v, golden.expected(prefix + n)) for n, v in ours.items()}
    where = (golden.name, f"{prefix}*", precision)
    return table.family(where, pairs, STATISTICS)
