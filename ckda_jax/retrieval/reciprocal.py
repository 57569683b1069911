"""k-reciprocal encoding: an image as the weighted set of those close both ways.

Everything is sparse: an image's row holds at most `widest(k1)` others.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from ckda_jax.retrieval.blocks import slices

CELLS = 2**22  # comparisons or products at work at a time
HALF = 0.5  # the share of k1 that the neighbours' own sets reach
OVERLAP = (2, 3)  # a neighbour's set joins where more than 2/3 of it is shared


def half(k1: int) -> int:
    """Return the length of a neighbour's own list, itself in front.

    >>> half(20), half(5)
    (11, 3)
    """
    return round(HALF * k1) + 1


def widest(k1: int) -> int:
    """Return how many images an encoding holds at most."""
    return (k1 + 1) * (half(k1) + 1)


def encode(
    embeddings: Float[np.ndarray, "n d"],
    near: Int[np.ndarray, "n k"],
    farthest: Float[np.ndarray, " n"],
    k1: int,
) -> sparse.csr_array:
    """Encode images by their expanded k-reciprocal neighbours.

    `V_ij = exp(-d_ij / max_j d_ij)` for j in the expanded set of i, else 0; then each
    row is divided by its sum.

    Args:
        embeddings: `[n, d]` unit embeddings.
        near: `[n, k]` nearest images of each, the best first, k1 + 1 of them or all.
        farthest: `[n]`, the largest distance from each image.
        k1: neighbours that are looked at.
    """
    both = _reciprocal(near)
    both_half = _reciprocal(near[:, : half(k1)])
    counts, columns = [np.zeros(1, np.int64)], []
    for rows in slices(len(near), max(1, CELLS // (near.shape[1] * widest(k1)))):
        expanded = _expand(rows, near, both, both_half)
        kept = expanded < len(near)
        counts.append(kept.sum(axis=1))
        columns.append(expanded[kept].astype(np.int32))
    ends, column = np.cumsum(np.concatenate(counts)), np.concatenate(columns)
    weights = np.empty(len(column), np.float32)
    for part, row in _rows(ends):
        distance = distances(embeddings, row, column[part]) / farthest[row]
        weights[part] = np.exp(-distance)
    weights /= np.repeat(np.add.reduceat(weights, ends[:-1]), np.diff(ends))
    return sparse.csr_array((weights, column, ends), shape=(len(near), len(near)))


def distances(
    embeddings: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """Compute squared distances of some pairs of unit embeddings."""
    found = np.empty(len(first), np.float32)
    for part in slices(len(first), max(1, CELLS // embeddings.shape[1])):
        pair = embeddings[first[part]], embeddings[second[part]]
        found[part] = np.einsum("nd,nd->n", *pair)
    return np.maximum(2 - 2 * found, 0)


def _reciprocal(near: np.ndarray) -> Bool[np.ndarray, "n k"]:
    """Mark the neighbours that have the image among their own."""
    found = np.empty(near.shape, bool)
    for rows in slices(len(near), max(1, CELLS // near.shape[1] ** 2)):
        own = np.arange(rows.start, rows.stop)[:, None, None]
        found[rows] = (near[near[rows]] == own).any(axis=2)
    return found


def _expand(
    rows: slice, near: np.ndarray, both: np.ndarray, both_half: np.ndarray
) -> Int[np.ndarray, "b w"]:
    """List the expanded sets of some images, filled up with n, the number of images.

    A set, and of the sets of its members those that it mostly shares.
    """
    none = len(near)
    members = np.where(both[rows], near[rows], none)
    own = np.minimum(members, none - 1)
    length = both_half.shape[1]
    theirs = np.where(both_half[own], near[own, :length], none)
    theirs[members == none] = none
    shared = (theirs[..., None] == members[:, None, None, :]).any(axis=-1)
    shared &= theirs < none
    size = (theirs < none).sum(axis=2)
    joins = OVERLAP[1] * shared.sum(axis=2) > OVERLAP[0] * size
    theirs[~joins] = none
    found = np.sort(
        np.concatenate([members, theirs.reshape(len(members), -1)], axis=1), axis=1
    )
    found[:, 1:][found[:, 1:] == found[:, :-1]] = none
    return found


def _rows(ends: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Cut the entries of a sparse matrix into pieces, with the row of each entry."""
    for part in slices(int(ends[-1]), CELLS):
        entry = np.arange(part.start, part.stop)
        yield part, np.searchsorted(ends, entry, side="right") - 1
