"""The positional table of a backbone, and how it is brought to another grid."""

import math

import chex
import numpy as np
from jaxtyping import Float


def square_grid(tokens: int) -> tuple[int, int] | None:
    """Return the square grid of a table with one class token, or None without one.

    >>> square_grid(197), square_grid(211)
    ((14, 14), None)
    """
    side = math.isqrt(max(tokens - 1, 0))
    return (side, side) if side * side == tokens - 1 else None


def resize_positions(
    table: Float[np.ndarray, "1 n d"],
    *,
    source: tuple[int, int],
    target: tuple[int, int],
) -> Float[np.ndarray, "1 t d"]:
    """Resize a positional table; its first row, the class token's, is kept.

    Bilinear with half-pixel centres, edges clamped, no antialiasing; done in float64
    and returned in the table's type, float32 at least (Dosovitskiy et al. 2021,
    section 3.2).

    Args:
        table: `[1, 1 + rows * columns, d]`.
        source: rows and columns of the table's grid.
        target: rows and columns of the grid wanted.

    >>> table = np.arange(5.0).reshape(1, 5, 1)
    >>> resize_positions(table, source=(2, 2), target=(2, 1))[0, :, 0].tolist()
    [0.0, 1.5, 3.5]
    """
    chex.assert_shape(table, (1, 1 + source[0] * source[1], None))
    if source == target:
        return table
    rows = _interpolation(source[0], target[0])
    columns = _interpolation(source[1], target[1])
    grid = table[0, 1:].astype(np.float64).reshape(*source, -1)
    resized = np.einsum("ty,yxd,sx->tsd", rows, grid, columns)
    patches = resized.reshape(1, target[0] * target[1], -1)
    whole = np.concatenate([table[:, :1].astype(np.float64), patches], axis=1)
    return whole.astype(np.promote_types(table.dtype, np.float32))


def _interpolation(source: int, target: int) -> Float[np.ndarray, "t s"]:
    """Give each target point the weights of its two neighbours on the source axis."""
    centre = (np.arange(target) + 0.5) * source / target - 0.5
    centre = np.clip(centre, 0, source - 1)
    below = np.floor(centre).astype(int)
    above = np.minimum(below + 1, source - 1)
    share = centre - below
    weights = np.zeros((target, source))
    np.add.at(weights, (np.arange(target), below), 1 - share)
    np.add.at(weights, (np.arange(target), above), share)
    return weights
