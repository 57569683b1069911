"""Comparison of the optimiser's settings: groups, learning rates, decay, Adam."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ckda_jax.engine.optim import GROUPS, Optimiser
from ckda_jax.models import weights
from ckda_jax.parity import table
from ckda_jax.parity.golden import Golden
from ckda_jax.parity.names import names_row
from ckda_jax.parity.table import Row
from ckda_jax.parity.tolerances import EQUAL, RATE, Kind, Tolerance
from ckda_jax.structs import Tree
from ckda_jax.trees import label, named_leaves

ADAM = Kind(
    Tolerance(1e-4, "relative"),
    Tolerance(1e-6, "relative"),
    Tolerance(1e-6, "relative"),
)
"""Float32 knows 1 - b2 to 6e-5."""
FROZEN, PRETRAINED = "frozen", "pretrained"
UNUSED = "read by no output and without a gradient; carried along by name, not trained"
RUNS = ("", "nofold/")
"""Prefixes of the recorded runs, with and without a teacher."""


@dataclasses.dataclass(frozen=True)
class Groups:
    """The recorded parameter groups, one per tensor, and ours for the same tensors.

    Attributes:
        columns: positions of the recorded groups whose tensor is a parameter of ours.
        ours: our group of each of these tensors.
    """

    columns: list[int]
    ours: list[str]


def compare(
    golden: Golden, optimiser: Optimiser, params: Tree, precision: str
) -> list[Row]:
    """Compare everything recorded of the optimiser before it moves anything."""
    names = golden.take("group_names").tolist()
    group = group_of(params)
    known = [name for name in names if name in group]
    groups = Groups([names.index(n) for n in known], [group[n] for n in known])
    unused = [name for name in names if name not in group]
    frozen = {name for name, value in group.items() if value == FROZEN}
    trained = {*group, *unused} - frozen
    silent = frozen | {*unused}
    rows = [
        names_row(golden, "param_names", {*group, *unused}, precision),
        names_row(golden, "trainable_names", trained, precision),
        *adam(golden, optimiser, precision),
        *table_of_rates(golden, optimiser, groups, precision),
    ]
    for run in RUNS:
        rows.append(names_row(golden, f"{run}group_names", trained, precision))
        rows.append(names_row(golden, f"{run}no_grad_names", silent, precision))
        rows += settings(golden, run, optimiser, groups, precision)
    return rows + [table.different(golden.name, name, UNUSED) for name in unused]


def group_of(params: Tree) -> dict[str, str]:
    """Name our parameter group of every tensor, by its recorded name."""
    order = sorted({group for _, group in GROUPS})
    numbers = jax.tree.map(
        lambda leaf, group: np.full(leaf.shape, order.index(group)),
        params,
        label(params, GROUPS),
    )
    state = weights.export_reference({"params": numbers})
    return {name: order[value.flat[0]] for name, value in state.items()}


def settings(
    golden: Golden, run: str, optimiser: Optimiser, groups: Groups, precision: str
) -> list[Row]:
    """Compare base rates, decay, and the rates of the five steps and before them."""
    schedules = optimiser.schedules()
    rate = {g: jax.jit(s)(jnp.arange(6)) for g, s in schedules.items()}
    received = np.stack([rate[group] for group in groups.ours], axis=1)
    steps = len(golden.expected(f"{run}lr"))
    ours = {
        "group_initial_lr": [schedules[group].lr for group in groups.ours],
        "group_weight_decay": [optimiser.weight_decay] * len(groups.ours),
        "lr_before_first_step": received[0],
        "lr": received[1 : 1 + steps],
    }
    return [
        table.compared(
            (golden.name, run + key, precision),
            np.asarray(value),
            golden.expected(run + key)[..., groups.columns],
            RATE,
        )
        for key, value in ours.items()
    ]


def table_of_rates(
    golden: Golden, optimiser: Optimiser, groups: Groups, precision: str
) -> list[Row]:
    """Compare the rates of a whole stage, and which tensors are pretrained."""
    epochs = jnp.asarray(golden.take("lr50/epochs"))
    rate = {group: s(epochs) for group, s in optimiser.schedules().items()}
    everything = np.stack([rate[group] for group in groups.ours], axis=1)
    pretrained = np.asarray([group == PRETRAINED for group in groups.ours])
    columns = groups.columns
    ours: dict[str, tuple[Any, Any, Any]] = {
        "lr50/all": (everything, golden.take("lr50/all")[:, columns], RATE),
        "lr50/pretrained": (rate[PRETRAINED], golden.take("lr50/pretrained"), RATE),
        "lr50/other": (rate["base"], golden.take("lr50/other"), RATE),
        "group_is_pretrained": (
            pretrained,
            golden.take("group_is_pretrained")[columns],
            EQUAL,
        ),
    }
    return [
        table.compared((golden.name, key, precision), np.asarray(value), expected, kind)
        for key, (value, expected, kind) in ours.items()
    ]


def adam(golden: Golden, optimiser: Optimiser, precision: str) -> list[Row]:
    """Measure Adam's constants by what one step does to a single parameter.

    After a gradient g the moments are (1 - b1) g and (1 - b2) g^2, and the update is
    g / (|g| + eps) of the learning rate.
    """
    gradient = 1e-8
    single = {"x": jnp.zeros((), precision)}
    plain = dataclasses.replace(optimiser, weight_decay=0.0, clip_norm=0.0)
    transform = plain.transform(single)
    update, state = transform.update(
        {"x": jnp.asarray(gradient, precision)},
        transform.init(single),
        single,
        epoch=jnp.int32(1),
    )
    taken: Any = update
    share = -taken["x"] / plain.schedules()["base"](1)
    betas = [
        1 - moments(state, "mu")["x"] / gradient,
        1 - moments(state, "nu")["x"] / gradient**2,
    ]
    ours = {"betas": np.asarray(betas), "eps": np.asarray(gradient * (1 / share - 1))}
    return [
        table.compared(
            (golden.name, f"adamw/{key}", precision),
            value,
            golden.take(f"adamw/{key}"),
            ADAM,
        )
        for key, value in ours.items()
    ]


def moments(state: Any, name: str) -> dict[str, jax.Array]:
    """Collect a moment of Adam, `mu` or `nu`, over all groups by parameter name."""
    found = optax.tree.get_all_with_path(state, name)
    return {
        leaf: value for _, tree in found for leaf, value in named_leaves(tree).items()
    }
