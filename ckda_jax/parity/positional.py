"""Comparison of the resized positional tables."""

from ckda_jax.models.positions import resize_positions, square_grid
from ckda_jax.parity import table
from ckda_jax.parity.golden import Golden
from ckda_jax.parity.table import Row
from ckda_jax.parity.tolerances import EQUAL, POSITIONS
from ckda_jax.structs import InputError


def compare(golden: Golden) -> list[Row]:
    """Resize the recorded table to every recorded grid."""
    source = golden.take("pos_embed")
    grid = square_grid(source.shape[1])
    if grid is None:
        raise InputError(f"{golden.name}: pos_embed {source.shape} is no square grid")
    rows = []
    for name in [k.removesuffix("_hw") for k in golden.arrays if k.endswith("_hw")]:
        height, width = golden.take(f"{name}_hw").tolist()
        ours = resize_positions(source, source=grid, target=(height, width))
        where = (golden.name, name, "float64")
        rows.append(table.compared(where, ours, golden.take(name), POSITIONS))
    same = golden.take("same_is_identity")
    ours = resize_positions(source, source=grid, target=grid)
    where = (golden.name, "same_is_identity", "float64")
    return [*rows, table.compared(where, (ours == source).all(), same, EQUAL)]
