"""The ranks of a block of queries' right images, counted rather than looked up.

No gallery is put in order: of each query's distances the values alone are sorted, many
times faster than the rows they belong to, and a right image's rank is the number of
values before its own.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ckda_jax.retrieval.blocks import slices
from ckda_jax.retrieval.distances import Distances
from ckda_jax.retrieval.truth import Truth
from ckda_jax.structs import InputError

STEP = 8  # queries whose removal is marked at a time: it stays in the cache


class Ranks(NamedTuple):
    """Where queries find their right images.

    Attributes:
        hits: `[b, r]` int64, ranks of the right images that the rule leaves, the best
            being 1; 0 where a query has fewer than r.
        first: `[b]` int64, rank of the first hit as the CMC counts it; 0 without one.
    """

    hits: Int[np.ndarray, "b r"]
    first: Int[np.ndarray, " b"]


def ranker(
    distances: Distances, truth: Truth, workers: int
) -> Callable[[slice], Ranks]:
    """Return the function that ranks a slice of the queries on some threads."""

    def rank_block(rows: slice) -> Ranks:
        block = distances[rows]
        if np.isnan(block.max(initial=-np.inf)):  # in no more memory
            check_numbers(int(np.isnan(block).sum()), block.size)
        share = max(-(-len(block) // workers), 1)
        parts = list(slices(len(block), share)) or [slice(0, 0)]
        with ThreadPoolExecutor(workers) as pool:
            found = pool.map(
                lambda part: rank(block[part], truth, rows.start + part.start), parts
            )
            return Ranks(*map(np.concatenate, zip(*found, strict=True)))

    return rank_block


def check_numbers(wrong: int, size: int) -> None:
    """Refuse distances that are not numbers."""
    if wrong:
        raise InputError(
            f"{wrong} of {size} distances are not a number; the embeddings are broken"
        )


def rank(distances: Float[np.ndarray, "b g"], truth: Truth, start: int) -> Ranks:
    """Rank a block of queries; equal distances rank in gallery order.

    Args:
        distances: `[b, g]` of the block, all numbers.
        truth: of all queries.
        start: the block's place among them.
    """
    right = truth.right(slice(start, start + len(distances)))
    ranks = Ranks(np.zeros(right.shape, np.int64), np.zeros(len(right), np.int64))
    for part in slices(len(right), STEP):
        removed = truth.removed(slice(start + part.start, start + part.stop))
        for row, gone in zip(range(part.start, part.stop), removed, strict=True):
            columns = right[row][right[row] >= 0]
            columns = columns[~gone[columns]]
            if len(columns):
                query = _Query(distances[row], gone if gone.any() else None)
                hits = query.ranks(columns)
                ranks.hits[row, : len(hits)] = hits
                ranks.first[row] = query.first(columns, hits, truth)
    return ranks


class _Query:
    """The distances of one query, removed images put last."""

    def __init__(self, distances: np.ndarray, removed: Bool[np.ndarray, " g"] | None):
        self.removed = removed
        self.distances = distances
        if removed is not None:
            self.distances = np.where(removed, np.float32(np.inf), distances)
        self.sorted = np.sort(self.distances)

    def ranks(self, columns: np.ndarray) -> np.ndarray:
        """Rank some gallery images by the distances before theirs."""
        own = self.distances[columns]
        before = self.sorted.searchsorted(own, side="left")
        equal = self.sorted.searchsorted(own, side="right") - before
        ranks = before + 1
        for i in np.flatnonzero(equal > 1):
            ranks[i] += self._equal_to(own[i]).searchsorted(columns[i])
        return ranks

    def first(self, columns: np.ndarray, ranks: np.ndarray, truth: Truth) -> int:
        """Rank the first of some images as the CMC counts."""
        best = int(ranks.argmin())
        if truth.rule.cmc == "standard" or ranks[best] == 1:
            return int(ranks[best])
        own = self.distances[columns[best]]
        passed = np.zeros(truth.identities, bool)
        passed[truth.identity[np.flatnonzero(self.distances < own)]] = True
        equal = self._equal_to(own)
        passed[truth.identity[equal[equal < columns[best]]]] = True
        return int(np.count_nonzero(passed)) + 1

    def _equal_to(self, distance: Any) -> np.ndarray:
        """List the images at a distance that are not removed, in gallery order."""
        equal = self.distances == distance
        if self.removed is not None:
            equal &= ~self.removed
        return np.flatnonzero(equal)
