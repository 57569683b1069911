"""Our variables and the names the same arrays have in other people's files.

Three formats are read: the released CKDA code's state (`base.*`, `bottleneck.*`,
`classifier.*`), timm's vision transformers (`blocks.0.*`), and our own backbones (the
path names of our tree). A file must fit: missing, extra and misshapen entries are
listed together and refused unless a regex allows them.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from ckda_jax.models.entries import LAYOUTS, MODALITY_NETS, Slot, slots
from ckda_jax.models.positions import resize_positions, square_grid
from ckda_jax.structs import InputError, Tree
from ckda_jax.trees import map_named, named_leaves

State = Mapping[str, np.ndarray]

REFERENCE_ONLY = r"base\.feat_embed|.*\.num_batches_tracked"
"""Entries of the released state that no output reads; carried along by name."""
BACKBONE = r"params/backbone/(?!mod_embed).*"
"""Leaves of ours that a pretrained backbone provides."""
GRID = "grid"
"""Entry of our own backbone files: rows and columns of the positional tables."""
PER_MODALITY = r"params/backbone/mod_embed|(params|batch_stats)/specific/.*"
"""Leaves of ours with a leading modality axis."""
POSITIONS = r"params/backbone/pos_(embed|gain)"
"""Leaves of ours with a row for CLS and one for each patch."""


def import_reference(
    state: State, template: Tree, *, allow_missing: str = "", allow_extra: str = ""
) -> tuple[Tree, dict[str, np.ndarray]]:
    """Turn a released state into variables.

    It knows two modalities; each further one starts as a copy of infrared.

    Args:
        state: arrays by the released code's names.
        template: variables of the model to fill; gives structure, shapes and types, and
            the values of entries that may be missing.
        allow_missing: regex of entries, by their name in the file or in our tree, that
            may be missing or misshapen.
        allow_extra: regex of entries of the file to ignore.

    Returns:
        Variables like the template, and the entries that only the released code has.

    Raises:
        InputError: everything that does not fit, in one message.
    """
    extras = {k: v for k, v in state.items() if re.fullmatch(REFERENCE_ONLY, k)}
    allowed = Allowed(allow_missing, f"{allow_extra}|{REFERENCE_ONLY}")
    known = _of_modalities(template, range(len(MODALITY_NETS)))
    filled = _fill(known, slots(known), state, allowed)
    last = len(MODALITY_NETS) - 1
    places = [min(place, last) for place in range(_modalities(template))]
    return _of_modalities(filled, places), extras


def export_reference(
    variables: Tree, extras: State | None = None
) -> dict[str, np.ndarray]:
    """Write variables under the released code's names, with extras carried along."""
    leaves = named_leaves(variables)
    state = {}
    for slot in slots(variables):
        leaf = np.asarray(leaves[slot.leaf])
        value = leaf if slot.index is None else leaf[slot.index]
        state[slot.entry] = np.ascontiguousarray(slot.layout.theirs(value))
    return state | dict(extras or {})


def import_backbone(
    state: State,
    template: Tree,
    *,
    grid: tuple[int, int],
    allow_missing: str = "",
    allow_extra: str = "",
) -> Tree:
    """Put a pretrained backbone, timm's or our own, into variables.

    Only the backbone is filled; prompts, modality embedding, neck and classifier keep
    the template's values. Positional tables are resized to the model's grid.

    Args:
        state: arrays by timm's names (`cls_token`, `blocks.0.norm1.weight`, ..) or by
            our own (`backbone/cls_token`, ..).
        template: variables of the model to fill.
        grid: rows and columns of the model's patches.
        allow_missing: regex of entries that may be missing or misshapen.
        allow_extra: regex of entries of the file to ignore.

    Raises:
        InputError: everything that does not fit, in one message.
    """
    wanted = [n for n in named_leaves(template) if re.fullmatch(BACKBONE, n)]
    own = any(name.startswith("backbone/") for name in state)
    if own:
        same = LAYOUTS["same"]
        found = [Slot(n, None, n.removeprefix("params/"), same) for n in wanted]
    else:
        found = [_timm(s) for s in slots(_only(template, wanted))]
    fitted = {k: v for k, v in state.items() if k != GRID}
    tables = [slot.entry for slot in found if re.fullmatch(POSITIONS, slot.leaf)]
    for entry in tables:
        if entry in state and own:
            table = np.asarray(state[entry])[None]
            fitted[entry] = _fit_positions(table, state.get(GRID), grid)[0]
        elif entry in state:
            fitted[entry] = _fit_positions(np.asarray(state[entry]), None, grid)
    return _fill(template, found, fitted, Allowed(allow_missing, allow_extra))


def export_backbone(variables: Tree, grid: tuple[int, int]) -> dict[str, np.ndarray]:
    """Write the backbone of variables under our own names, with its patch grid."""
    leaves = named_leaves(variables)
    names = [name for name in leaves if re.fullmatch(BACKBONE, name)]
    state = {n.removeprefix("params/"): np.asarray(leaves[n]) for n in names}
    return state | {GRID: np.asarray(grid, np.int32)}


def merge_extras(new: State, old: State, *, old_weight: float) -> dict[str, np.ndarray]:
    """Merge the entries only the released code has, as it does.

    `(1 - old_weight) * new + old_weight * old` for entries of equal shape; integer
    counters are merged in float32 and truncated.

    >>> count = {"x.num_batches_tracked": np.array(11)}
    >>> old = {"x.num_batches_tracked": np.array(7)}
    >>> merge_extras(count, old, old_weight=0.7)["x.num_batches_tracked"].item()
    8
    """
    merged = {}
    for name, value in new.items():
        value = np.asarray(value)
        other = np.asarray(old.get(name, value))
        if other.shape != value.shape:
            merged[name] = value
            continue
        kind = np.promote_types(value.dtype, np.float32)
        kind = kind if np.issubdtype(value.dtype, np.floating) else np.dtype(np.float32)
        share = kind.type(old_weight)
        mixed = (1 - share) * value.astype(kind) + share * other.astype(kind)
        merged[name] = np.asarray(mixed, value.dtype)
    return merged


def _modalities(template: Tree) -> int:
    """Count the modalities of a model, or of a part of it."""
    leaves = named_leaves(template).items()
    return max(
        (len(leaf) for name, leaf in leaves if re.fullmatch(PER_MODALITY, name)),
        default=len(MODALITY_NETS),
    )


def _of_modalities(tree: Tree, places: Sequence[int]) -> Tree:
    """Take places of the modality axis, as far as it goes, of leaves that have one."""

    def take(name: str, leaf: Any) -> Any:
        if not re.fullmatch(PER_MODALITY, name):
            return leaf
        return leaf[np.array([place for place in places if place < len(leaf)])]

    return map_named(take, tree)


@dataclasses.dataclass(frozen=True)
class Allowed:
    """Regexes of the misfits a user allows."""

    missing: str
    extra: str

    def may_lack(self, slot: Slot) -> bool:
        """Say whether the file may lack an entry, by any of its names."""
        names = (slot.entry, slot.leaf, slot.leaf.split("/", 1)[1])
        return any(re.fullmatch(self.missing, name) for name in names)


def _fill(template: Tree, found: list[Slot], state: State, allowed: Allowed) -> Tree:
    """Fill the template's leaves from the state, strictly."""
    leaves = named_leaves(template)
    filled = {slot.leaf: np.array(leaves[slot.leaf]) for slot in found}
    missing, misshapen = [], []
    for slot in found:
        place = filled[slot.leaf]
        target = place if slot.index is None else place[slot.index]
        wanted = slot.layout.theirs(target).shape
        if slot.entry not in state:
            missing += [] if allowed.may_lack(slot) else [slot.entry]
        elif np.shape(state[slot.entry]) == wanted:
            target[...] = slot.layout.ours(np.asarray(state[slot.entry]))
        elif not allowed.may_lack(slot):
            shape = list(np.shape(state[slot.entry]))
            misshapen.append(f"{slot.entry} is {shape}, wanted {list(wanted)}")
    known = {slot.entry for slot in found}
    extra = [n for n in state if n not in known and not re.fullmatch(allowed.extra, n)]
    _refuse(missing, extra, misshapen)

    def fill(name: str, leaf: Any) -> Any:
        return jnp.asarray(filled[name]) if name in filled else leaf

    return map_named(fill, template)


def _refuse(missing: list[str], extra: list[str], misshapen: list[str]) -> None:
    """Raise one error that lists everything that does not fit, if anything."""
    kinds = {"missing": missing, "extra": extra, "misshapen": misshapen}
    parts = [f"{kind}: {'; '.join(_folded(v))}" for kind, v in kinds.items() if v]
    if parts:
        raise InputError(
            f"the weights do not fit the model ({' | '.join(parts)}): use a file of "
            "this architecture, or allow entries by regex (config.init.allow_missing, "
            "config.init.allow_extra)"
        )


def _folded(lines: list[str]) -> list[str]:
    """Write lines that differ in the block's number alone once, with all numbers.

    >>> _folded(["blocks.0.norm1.bias", "blocks.1.norm1.bias", "norm.bias"])
    ['blocks.{0,1}.norm1.bias', 'norm.bias']
    """
    numbers: dict[str, list[str]] = {}
    for line in lines:
        block = re.search(r"(?<=blocks\.)\d+", line)
        pattern = line
        if block is not None:
            pattern = f"{line[: block.start()]}{{}}{line[block.end() :]}"
        numbers.setdefault(pattern, []).append(block.group() if block else "")
    return [
        pattern.replace("{}", found[0] if len(found) == 1 else f"{{{','.join(found)}}}")
        for pattern, found in numbers.items()
    ]


def _timm(slot: Slot) -> Slot:
    return slot._replace(entry=slot.entry.removeprefix("base."))


def _only(template: Tree, names: list[str]) -> dict[str, Any]:
    """Keep some leaves of a tree, as a flat one with the same path names."""
    leaves = named_leaves(template)
    return {name: leaves[name] for name in names}


def _fit_positions(
    table: np.ndarray, source: np.ndarray | None, grid: tuple[int, int]
) -> np.ndarray:
    """Resize a table whose grid is known, by the file or as a square."""
    if table.ndim != 3:
        return table
    known = square_grid(table.shape[1]) if source is None else tuple(source.tolist())
    if known is None or known[0] * known[1] + 1 != table.shape[1]:
        return table
    return resize_positions(table, source=known, target=grid)
