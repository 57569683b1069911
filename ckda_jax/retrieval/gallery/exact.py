"""The exact search of a gallery: every query against every vector, block by block."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from ckda_jax.retrieval.neighbours import nearest

Ranked = tuple[list[Int[np.ndarray, " _"]], list[Float[np.ndarray, " _"]]]
"""For each query the rows found, best first, and their similarities."""


class Searcher:
    """Compares queries with the blocks of a gallery in turn.

    Args:
        vectors: of each block, `[n, d]`, memory maps of any float type.
    """

    def __init__(self, vectors: Sequence[Float[np.ndarray, "_ d"]]) -> None:
        self._vectors = vectors

    def __call__(
        self,
        query: Float[np.ndarray, "q d"],
        count: int,
        kept: Sequence[Bool[np.ndarray, " _"]] | None = None,
    ) -> Ranked:
        """Find the rows nearest to each query; equally near ones in gallery order.

        Args:
            query: `[q, d]` unit embeddings.
            count: rows wanted.
            kept: marks the rows of each block that may be found; None: all.

        Raises:
            InputError: embeddings that are not finite, or a count below 1.
        """
        width = query.shape[1]
        rows, scores = nearest(query, np.zeros((0, width), np.float32), count)
        start = 0
        for place, vectors in enumerate(self._vectors):
            near, similarities = _in_block(
                query, vectors, count, None if kept is None else kept[place]
            )
            rows = np.concatenate([rows, near + start], axis=1)
            scores = np.concatenate([scores, similarities], axis=1)
            # Stable, and earlier blocks first: gallery order among equals.
            best = np.argsort(-scores, axis=1, kind="stable")[:, :count]
            rows = np.take_along_axis(rows, best, axis=1)
            scores = np.take_along_axis(scores, best, axis=1)
            start += len(vectors)
        return list(rows), list(scores)


def _in_block(
    query: np.ndarray, vectors: np.ndarray, count: int, kept: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest rows of one block."""
    if kept is None:
        return nearest(query, vectors, count)
    rows = np.flatnonzero(kept)
    near, similarities = nearest(query, vectors[rows], count)
    return rows[near], similarities
