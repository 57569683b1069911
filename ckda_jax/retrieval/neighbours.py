"""The rows of a gallery most similar to each query, exactly, in bounded memory."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ckda_jax.retrieval.blocks import check_widths, finite, refuse, slices
from ckda_jax.structs import InputError

BUDGET = 256 * 2**20  # bytes of memory beyond the inputs and the result
TILE = (1024, 4096)  # queries and gallery rows compared at a time at most
PAIR_BYTES = 16  # per pair of a tile: similarity, mark, its share of the better ones
SHARE = 8  # one in so many pairs of a tile is taken into the lists at a time
LOW = 0xFFFFFFFF  # the lower half of a key
EMPTY = np.iinfo(np.int64).min  # key of a place that no row has taken yet


def nearest(
    query: Float[np.ndarray, "q d"],
    gallery: Float[np.ndarray, "g _d"],  # another width is refused
    count: int,
    *,
    budget: int = BUDGET,
) -> tuple[Int[np.ndarray, "q n"], Float[np.ndarray, "q n"]]:
    """Find the gallery rows with the largest dot product with each query.

    Exact: every pair is compared, a tile of pairs at a time, in float32. Equally
    similar rows come in gallery order.

    Args:
        query: `[q, d]` unit embeddings of any float type.
        gallery: `[g, d]` likewise; may be a memory map of any length.
        count: rows wanted per query, at least 1.
        budget: bytes of memory to use beyond the inputs and the result.

    Returns:
        `[q, n]` int64 gallery rows, best first, and `[q, n]` float32 similarities,
        where n is the smaller of `count` and g.

    Raises:
        InputError: widths that differ, a count below 1, a budget too small for one
            pair, or embeddings that are not finite.

    >>> gallery = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    >>> rows, similarities = nearest(gallery[1:2], gallery, 2)
    >>> rows.tolist(), similarities.round(1)
    ([[1, 2]], array([[1. , 0.8]], dtype=float32))
    """
    check_widths(query, gallery)
    if count < 1:
        raise InputError(f"count {count}: ask for at least 1 neighbour")
    count = min(count, len(gallery))
    rows = np.empty((len(query), count), np.int64)
    similarities = np.empty((len(query), count), np.float32)
    chunk, tile = _divide(budget, query.shape[1], count)
    for part in slices(len(query) if count else 0, chunk):
        keys = _search(finite(query[part], "query"), gallery, count, tile)
        keys = np.sort(keys, axis=1)[:, ::-1]
        rows[part], similarities[part] = LOW - (keys & LOW), _similarities(keys)
    return rows, similarities


def _divide(budget: int, width: int, count: int) -> tuple[int, tuple[int, int]]:
    """Divide a budget: the queries held at a time, queries and columns of a tile.

    A quarter each for the queries with their lists and for gallery rows in float32,
    half for the tile.
    """
    query_bytes = 5 * width + 48 * count
    row_bytes = 5 * width
    chunk, columns = budget // 4 // query_bytes, budget // 4 // row_bytes
    pairs = budget // 2 // PAIR_BYTES
    if not (chunk and columns and pairs):
        least = max(4 * query_bytes, 4 * row_bytes, 2 * PAIR_BYTES)
        raise InputError(
            f"a budget of {budget} bytes does not hold one pair of width {width} with"
            f" {count} neighbours; give at least {least}"
        )
    columns = min(columns, pairs, TILE[1])
    queries = min(max(1, pairs // (columns + count)), TILE[0])
    return chunk, (queries, columns)


def _search(
    query: np.ndarray, gallery: np.ndarray, count: int, tile: tuple[int, int]
) -> np.ndarray:
    """Find the keys `[q, n]` of the nearest rows, in no order."""
    lists = _Lists(
        np.full((len(query), count), EMPTY, np.int64),
        np.full(len(query), -np.inf, np.float32),
    )
    for columns in slices(len(gallery), tile[1]):
        block = np.asarray(gallery[columns], np.float32).T
        for part in slices(len(query), tile[0]):
            with np.errstate(over="ignore", invalid="ignore"):  # refused below
                similarities = query[part] @ block
            # What is not finite shows in the product with any query: one is enough.
            if not part.start and not np.isfinite(similarities[0]).all():
                refuse("gallery")
            lists.take(part).add(similarities, columns.start)
    if (lists.keys == EMPTY).any():
        raise InputError("similarities overflow float32; give unit embeddings")
    return lists.keys


class _Lists(NamedTuple):
    """The nearest rows so far: their keys `[q, n]` and the worst similarity `[q]`."""

    keys: np.ndarray
    worst: np.ndarray

    def take(self, part: slice) -> "_Lists":
        """Return a view of some queries' lists."""
        return _Lists(self.keys[part], self.worst[part])

    def add(self, similarities: np.ndarray, start: int) -> None:
        """Put what is better `[q, g]` into the lists, in place.

        Where a query has many better rows, as at first, they come in several parts,
        so that what is set aside for them stays a small share of the tile.
        """
        columns = similarities.shape[1]
        share = max(1, columns // SHARE)
        if self._better(similarities).sum(axis=1).max(initial=0) <= share:
            share = columns
        for part in slices(columns, share):
            self._merge(similarities[:, part], start + part.start)

    def _better(self, similarities: np.ndarray) -> np.ndarray:
        """Mark what beats the worst row held: what equals it stands later."""
        return similarities > self.worst[:, None]

    def _merge(self, similarities: np.ndarray, start: int) -> None:
        """Merge the better ones of some columns."""
        count, columns = self.keys.shape[1], similarities.shape[1]
        query, column = np.divmod(np.flatnonzero(self._better(similarities)), columns)
        held = np.bincount(query, minlength=len(self.keys))
        most = held.max(initial=0)
        if not most:
            return
        place = np.arange(len(query)) - (np.cumsum(held) - held)[query]
        wide = np.full((len(self.keys), count + most), EMPTY, np.int64)
        wide[:, :count] = self.keys
        wide[query, count + place] = _keys(similarities[query, column], column + start)
        wide.partition(most, axis=1)
        self.keys[:] = wide[:, most:]
        worst = self.keys.min(axis=1)
        self.worst[:] = np.where(worst == EMPTY, -np.inf, _similarities(worst))


def _keys(similarities: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Write similarity and row as one integer that orders both: more, then earlier.

    The bits of a float32 are in order as an integer, backwards below zero; adding
    zero makes -0 and 0 the same.
    """
    bits = (similarities + np.float32(0)).view(np.int32)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (ordered.astype(np.int64) << 32) | (LOW - rows)


def _similarities(keys: np.ndarray) -> np.ndarray:
    """Read the similarities back from keys."""
    ordered = (keys >> 32).astype(np.int32)
    return (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).view(np.float32)
