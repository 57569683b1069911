"""Distances between queries and a gallery, made a block of queries at a time."""

import dataclasses
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from ckda_jax.retrieval.blocks import check_widths, slices

COLUMNS = 8192  # gallery rows made float32 at a time


@runtime_checkable
class Distances(Protocol):
    """Anything of shape `(q, g)` whose slices are blocks `[b, g]`, an array too.

    Smaller is more alike. A block is asked for once and may be made on the spot.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Queries and gallery images."""
        ...

    def __getitem__(self, rows: Any, /) -> Any:
        """Return the distances of a slice of the queries, `[b, g]`."""
        ...


@dataclasses.dataclass(frozen=True)
class Cosine:
    """Minus the cosine between embeddings, without the matrix of all of them.

    Attributes:
        query: `[q, d]` unit embeddings, float32 or float16, a memory map if need be.
        gallery: `[g, d]` likewise.

    Raises:
        InputError: the widths differ.

    >>> embeddings = np.array([[0.6, 0.8], [1, 0]], np.float32)
    >>> Cosine(embeddings, embeddings)[1:2].round(1)
    array([[-0.6, -1. ]], dtype=float32)
    """

    query: Float[np.ndarray, "q d"]
    gallery: Float[np.ndarray, "g _d"]

    def __post_init__(self) -> None:
        check_widths(self.query, self.gallery)

    @property
    def shape(self) -> tuple[int, int]:
        """Queries and gallery images."""
        return len(self.query), len(self.gallery)

    def __getitem__(self, rows: slice) -> Float[np.ndarray, "b g"]:
        """Compare a slice of the queries with the whole gallery, in float32."""
        query = -np.asarray(self.query[rows], np.float32)
        if self.gallery.dtype == np.float32:
            return query @ self.gallery.T
        block = np.empty((len(query), len(self.gallery)), np.float32)
        for columns in slices(len(self.gallery), COLUMNS):
            part = np.asarray(self.gallery[columns], np.float32)
            block[:, columns] = query @ part.T
        return block
