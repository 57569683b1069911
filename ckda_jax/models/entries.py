"""The entries of the released state, and where in our tree each of them belongs."""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ckda_jax.structs import InputError, Tree
from ckda_jax.trees import named_leaves

MODALITY_NETS = ("rgb_net", "inf_net")
"""The released names of the specific generators, in the order of our modality axis."""
EXTRA = "params/extra/"
"""A method's own modules, which no file has."""


class Layout(NamedTuple):
    """How an array of theirs becomes one of ours, and back."""

    ours: Callable[[np.ndarray], np.ndarray]
    theirs: Callable[[np.ndarray], np.ndarray]


class Rule(NamedTuple):
    """Leaves of ours by regex, and the entry of the released state each is made of.

    `{i}` in the entry's name runs over the depth or modality axis that the leaf is
    stacked on.
    """

    leaf: str
    entry: str
    layout: str = "same"


LAYOUTS = {
    "same": Layout(lambda x: x, lambda x: x),
    "linear": Layout(lambda x: x.T, lambda x: x.T),
    "conv": Layout(
        lambda x: x.transpose(2, 3, 1, 0), lambda x: x.transpose(3, 2, 0, 1)
    ),
    # A 1x1 convolution is a dense layer here.
    "pointwise": Layout(lambda x: x[:, :, 0, 0].T, lambda x: x.T[:, :, None, None]),
    "token": Layout(lambda x: x[0, 0], lambda x: x[None, None]),
    "positions": Layout(lambda x: x[0], lambda x: x[None]),
    # The released code numbers infrared 0 and visible 1.
    "modalities": Layout(lambda x: x[::-1, 0], lambda x: x[::-1, None]),
}

RULES = (
    Rule(r"params/backbone/cls_token", "base.cls_token", "token"),
    Rule(r"params/backbone/pos_embed", "base.pos_embed", "positions"),
    Rule(r"params/backbone/mod_embed", "base.mod_embed", "modalities"),
    Rule(
        r"params/backbone/patch_embed/proj/kernel",
        "base.patch_embed.proj.weight",
        "conv",
    ),
    Rule(r"params/backbone/patch_embed/proj/bias", "base.patch_embed.proj.bias"),
    Rule(r"params/backbone/blocks/(norm\d)/scale", r"base.blocks.{i}.\1.weight"),
    Rule(r"params/backbone/blocks/(norm\d)/bias", r"base.blocks.{i}.\1.bias"),
    Rule(
        r"params/backbone/blocks/(attn|mlp)/(\w+)/kernel",
        r"base.blocks.{i}.\1.\2.weight",
        "linear",
    ),
    Rule(
        r"params/backbone/blocks/(attn|mlp)/(\w+)/bias", r"base.blocks.{i}.\1.\2.bias"
    ),
    Rule(r"params/backbone/norm/scale", "base.norm.weight"),
    Rule(r"params/backbone/norm/bias", "base.norm.bias"),
    Rule(r"params/specific/down/kernel", "base.{i}.0.weight", "linear"),
    Rule(r"params/specific/down/bias", "base.{i}.0.bias"),
    Rule(r"params/specific/norm/scale", "base.{i}.1.weight"),
    Rule(r"params/specific/norm/bias", "base.{i}.1.bias"),
    Rule(r"batch_stats/specific/norm/mean", "base.{i}.1.running_mean"),
    Rule(r"batch_stats/specific/norm/var", "base.{i}.1.running_var"),
    Rule(r"params/specific/up/kernel", "base.{i}.2.weight", "linear"),
    Rule(r"params/specific/up/bias", "base.{i}.2.bias"),
    Rule(r"params/common/down/kernel", "base.com_net_pre.0.weight", "linear"),
    Rule(r"params/common/down/bias", "base.com_net_pre.0.bias"),
    Rule(r"params/common/up/kernel", "base.com_net_bak.1.weight", "linear"),
    Rule(r"params/common/up/bias", "base.com_net_bak.1.bias"),
    Rule(
        r"params/common/gate_projected/squeeze/kernel",
        "base.att_ori.0.weight",
        "pointwise",
    ),
    Rule(
        r"params/common/gate_projected/expand/kernel",
        "base.att_ori.2.weight",
        "pointwise",
    ),
    Rule(
        r"params/common/gate_normalised/squeeze/kernel",
        "base.att_in.0.weight",
        "pointwise",
    ),
    Rule(
        r"params/common/gate_normalised/expand/kernel",
        "base.att_in.2.weight",
        "pointwise",
    ),
    Rule(r"params/common/norm/scale", "base.IN.weight"),
    Rule(r"params/common/norm/bias", "base.IN.bias"),
    Rule(r"batch_stats/common/norm/mean", "base.IN.running_mean"),
    Rule(r"batch_stats/common/norm/var", "base.IN.running_var"),
    Rule(r"params/neck/scale", "bottleneck.weight"),
    Rule(r"params/neck/bias", "bottleneck.bias"),
    Rule(r"batch_stats/neck/mean", "bottleneck.running_mean"),
    Rule(r"batch_stats/neck/var", "bottleneck.running_var"),
    Rule(r"params/classifier/kernel", "classifier.weight", "linear"),
)


class Slot(NamedTuple):
    """One entry of a file and the place in our tree it belongs to.

    Attributes:
        leaf: path name of our leaf.
        index: position on the leaf's stacked leading axis; None where it has none.
        entry: name in the file.
        layout: how the array is turned.
    """

    leaf: str
    index: int | None
    entry: str
    layout: Layout


def slots(template: Tree) -> list[Slot]:
    """List where every array of a tree of variables is in the released state.

    A method's own modules are in no file; their leaves keep what they have.

    Raises:
        InputError: a leaf the released model has not, or more than two modalities.
    """
    found = []
    for leaf, value in named_leaves(template).items():
        if leaf.startswith(EXTRA):
            continue
        entry, layout = _entry(leaf)
        if "{i}" not in entry:
            found.append(Slot(leaf, None, entry, layout))
            continue
        length = np.shape(value)[0]
        keys = range(length) if "blocks" in leaf else MODALITY_NETS
        if length != len(keys):
            raise InputError(
                f"{length} modalities: the released model's format knows "
                f"{len(MODALITY_NETS)}; use this project's own checkpoints"
            )
        names = [entry.replace("{i}", str(key)) for key in keys]
        found += [Slot(leaf, i, name, layout) for i, name in enumerate(names)]
    return found


def _entry(leaf: str) -> tuple[str, Layout]:
    """Name the released entry of one of our leaves."""
    for rule in RULES:
        match = re.fullmatch(rule.leaf, leaf)
        if match:
            return match.expand(rule.entry), LAYOUTS[rule.layout]
    raise InputError(
        f"{leaf}: the released model has no such array; train this architecture from "
        "random weights or from a backbone of this project"
    )
