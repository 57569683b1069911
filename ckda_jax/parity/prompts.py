"""Comparison of the prompt generators alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ckda_jax.models.prompts import CommonPrompt, patchify, unpatchify
from ckda_jax.models.reid import ReIDModel
from ckda_jax.parity import recorded, table
from ckda_jax.parity.golden import Geometry, Golden, channels_first
from ckda_jax.parity.model import counted, statistics
from ckda_jax.parity.table import Row
from ckda_jax.parity.tolerances import ACTIVATION, EQUAL, INTERMEDIATE
from ckda_jax.structs import INFRARED, VISIBLE, Tree

MAPS = {
    "com_mid_com_net_pre": "projected",
    "com_mid_IN": "normalised",
    "com_mid_att_ori": "gate_projected",
    "com_mid_att_in": "gate_normalised",
}
"""Names of the common generator's hidden maps, theirs to ours."""


def compare(golden: Golden, geometry: Geometry, precision: str) -> list[Row]:
    """Run both generators in evaluation and in training mode."""
    state = golden.state("sd/")
    model = recorded.build(geometry, state, 1, precision)
    variables = recorded.variables(model, state, method="prompt")
    rows = order(golden, model, precision)
    for mode in ("eval", "train"):
        rows += prompts(golden, model, variables, mode, precision)
        rows += hidden_maps(golden, model, variables, mode, precision)
    counters = golden.excuse(r".*buf_after/.*\.num_batches_tracked")
    return rows + ([counted(golden.name, counters)] if counters else [])


def order(golden: Golden, model: ReIDModel, precision: str) -> list[Row]:
    """Compare the order of values in a patch's row, and that it inverts."""
    images = recorded.images(golden.take("order/image"), precision)
    patch = model.prompt_patch_size
    rows = patchify(images, patch)
    size = images.shape[1], images.shape[2]
    same = bool((unpatchify(rows, patch, size) == images).all())
    ours = {
        "order/rows": rows.reshape(-1, rows.shape[-1]),
        "order/roundtrip_is_identity": np.asarray(same),
    }
    return [
        table.compared((golden.name, key, precision), value, golden.take(key), EQUAL)
        for key, value in ours.items()
    ]


def prompts(
    golden: Golden, model: ReIDModel, variables: Tree, mode: str, precision: str
) -> list[Row]:
    """Compare the prompts of all images through every generator."""
    images = recorded.images(golden.take("x"), precision)
    # The same images on every row of the modality axis: statistics over twice the same
    # images are those over the images once.
    run = jax.jit(
        functools.partial(
            model.apply,
            train=mode == "train",
            method="prompt",
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(0)},
        )
    )
    (_, common, specific), moved = run(
        variables, jnp.stack([images] * model.modalities)
    )
    moved = moved or {"batch_stats": variables["batch_stats"]}
    ours = {
        "mod_prompts_rgb": specific[VISIBLE],
        "mod_prompts_inf": specific[INFRARED],
        "com_prompts": common[VISIBLE],
    }
    rows = [
        table.compared(
            (golden.name, f"{mode}/{key}", precision),
            channels_first(value),
            golden.expected(f"{mode}/{key}"),
            ACTIVATION,
        )
        for key, value in ours.items()
    ]
    return [*rows, statistics(golden, f"{mode}/buf_after/", moved, precision)]


def hidden_maps(
    golden: Golden, model: ReIDModel, variables: Tree, mode: str, precision: str
) -> list[Row]:
    """Compare what the common generator computes on the way."""
    images = recorded.images(golden.take("x"), precision)
    common = CommonPrompt(
        patch_size=model.prompt_patch_size,
        width=model.common_width,
        dropout=0.0,
        param_dtype=model.param_dtype,
    )
    own = {name: tree["common"] for name, tree in variables.items()}
    run = jax.jit(
        functools.partial(common.apply, train=mode == "train", mutable=["batch_stats"])
    )
    (_, maps), _ = run(own, images)
    rows = []
    for theirs, ours in MAPS.items():
        key = f"{mode}/{theirs}"
        expected = golden.expected(key)
        value = _as_recorded(np.asarray(maps[ours]), expected, model)
        where = (golden.name, key, precision)
        rows.append(table.compared(where, value, expected, INTERMEDIATE))
    return rows


def _as_recorded(
    value: np.ndarray, expected: np.ndarray, model: ReIDModel
) -> np.ndarray:
    """Turn `[b, n, d]` into rows `[b n, d]` or maps `[b, d, h, w]`, as recorded."""
    if expected.ndim == 2:
        return value.reshape(-1, value.shape[-1])
    rows, columns = (side // model.prompt_patch_size for side in model.image_size)
    return np.moveaxis(value.reshape(len(value), rows, columns, -1), -1, 1)
