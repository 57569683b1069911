"""Distances to a gallery that the processes of a run hold together."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from ckda_jax.engine.peers import Peers


@dataclasses.dataclass(frozen=True, kw_only=True)
class SharedCosine:
    """Minus the cosine between embeddings; the gallery passes by block by block.

    All processes must ask for as many slices, each for some of its own queries.

    Attributes:
        peers: the processes.
        queries: number of all queries.
        first: place of this process's first query among them.
        query: `[k, d]` unit embeddings of this process's queries.
        gallery: `[r, d]`, this process's part of the gallery.
        length: rows of the whole gallery.
        places: `[g]` rows of the gallery to compare with, the same in all processes.
    """

    peers: Peers
    queries: int
    first: int
    query: Float[np.ndarray, "k d"]
    gallery: Float[np.ndarray, "r d"]
    length: int
    places: Int[np.ndarray, " g"]

    @property
    def shape(self) -> tuple[int, int]:
        """Queries, of all processes, and gallery images."""
        return self.queries, len(self.places)

    def __getitem__(self, rows: slice) -> Float[np.ndarray, "b g"]:
        """Compare some of this process's queries, maybe none, with all of it."""
        start, stop, _ = rows.indices(self.queries)
        query = -self.query[start - self.first : stop - self.first]
        block = np.empty((len(query), len(self.places)), np.float32)
        for columns, part in self.peers.blocks(self.gallery, self.length, self.places):
            block[:, columns] = query @ part.T
        return block
