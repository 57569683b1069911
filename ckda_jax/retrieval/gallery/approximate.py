"""The approximate search of a gallery by FAISS: for galleries of millions."""

import importlib
import types
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from ckda_jax.retrieval.gallery.exact import Ranked
from ckda_jax.structs import InputError

NEIGHBOURS = 32
"""Edges of each vector in the graph: more find more and take more memory."""

EFFORT = 256
"""Vectors looked at on the way to an answer, at least."""


class Searcher:
    """Walks a graph of near neighbours (HNSW, Malkov and Yashunin 2018).

    The graph and all vectors are in memory, `4 d + 8 * NEIGHBOURS` bytes a vector.

    Args:
        vectors: of each block, `[n, d]`, of any float type.

    Raises:
        InputError: FAISS is not installed.
    """

    def __init__(self, vectors: Sequence[Float[np.ndarray, "_ d"]]) -> None:
        self._faiss = _faiss()
        self._index = None
        for block in vectors:
            if self._index is None:
                self._index = self._faiss.IndexHNSWFlat(
                    block.shape[1], NEIGHBOURS, self._faiss.METRIC_INNER_PRODUCT
                )
            self._index.add(np.ascontiguousarray(block, np.float32))

    def __call__(
        self,
        query: Float[np.ndarray, "q d"],
        count: int,
        kept: Sequence[Bool[np.ndarray, " _"]] | None = None,
    ) -> Ranked:
        """Find rows near to each query, most often the nearest; see `exact`."""
        if count < 1:
            raise InputError(f"count {count}: ask for at least 1 neighbour")
        if self._index is None:
            nothing = np.zeros((len(query), 0))
            return list(nothing.astype(np.int64)), list(nothing.astype(np.float32))
        if not np.isfinite(query).all():
            raise InputError("a query embedding is not finite; embed it again")
        options = self._faiss.SearchParametersHNSW(efSearch=max(EFFORT, 2 * count))
        if kept is not None:
            rows = np.flatnonzero(np.concatenate(kept)).astype(np.int64)
            options.sel = self._faiss.IDSelectorBatch(rows)
        count = min(count, self._index.ntotal)
        queries = np.ascontiguousarray(query, np.float32)
        scores, rows = self._index.search(queries, count, params=options)
        # Rows that were not found are -1, at the end.
        found = rows >= 0
        return (
            [line[mark] for line, mark in zip(rows, found, strict=True)],
            [line[mark] for line, mark in zip(scores, found, strict=True)],
        )


def _faiss() -> types.ModuleType:
    try:
        return importlib.import_module("faiss")  # an extra
    except ImportError as error:
        raise InputError(
            f"the faiss backend cannot be imported ({error}); install it with "
            "`pip install 'ckda_jax[faiss]'`, or use the exact backend"
        ) from error
