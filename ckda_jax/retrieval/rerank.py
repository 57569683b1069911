"""Re-ranking by k-reciprocal neighbours, on lists of neighbours instead of matrices.

Zhong, Zheng, Cao, Li: Re-ranking Person Re-identification with k-reciprocal Encoding,
CVPR 2017. Where the paper and the authors' code differ, this is the code, by which all
published tables were made: neighbours among queries and gallery together, an image in
front of its own list, squared distances divided by the largest one of the image,
encodings that sum to 1, and a strict overlap of 2/3.
"""

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy import sparse

from ckda_jax.retrieval import reciprocal
from ckda_jax.retrieval.blocks import check_widths
from ckda_jax.retrieval.neighbours import nearest
from ckda_jax.structs import InputError

BUDGET = 4 * 2**30  # bytes
SEARCH = 128 * 2**20  # of these for the search of neighbours, and for scratch
TINY = np.finfo(np.float32).tiny  # all images alike: every distance is 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reranked:
    """Re-ranked distances between queries and a gallery, made a block at a time.

    Attributes:
        query: `[q, d]` unit embeddings.
        gallery: `[g, d]` likewise.
        farthest: `[q]`, the largest squared distance from each query.
        encoded: `[q, n]` encodings of the queries, n = q + g.
        inverse: `[g, n]` encodings of the gallery, by column.
        share: of the original distance in the result.
    """

    query: np.ndarray
    gallery: np.ndarray
    farthest: np.ndarray
    encoded: sparse.csr_array
    inverse: sparse.csc_array
    share: float

    @property
    def shape(self) -> tuple[int, int]:
        """Queries and gallery images."""
        return len(self.query), len(self.gallery)

    def __getitem__(self, rows: slice) -> Float[np.ndarray, "b g"]:
        """Return the distances of a slice of the queries."""
        block = self.query[rows] @ self.gallery.T
        block *= -2
        block += 2
        np.maximum(block, 0, out=block)
        block *= self.share / self.farthest[rows, None]
        for row, place in enumerate(range(*rows.indices(len(self.query)))):
            block[row] += (1 - self.share) * self._jaccard(place)
        return block

    def _jaccard(self, row: int) -> np.ndarray:
        """Compute the Jaccard distances of a query to the gallery.

        As encodings sum to 1, the sum of maxima is 2 minus the sum of minima.
        """
        own = slice(*self.encoded.indptr[row : row + 2])
        column, weight = self.encoded.indices[own], self.encoded.data[own]
        start, stop = self.inverse.indptr[column], self.inverse.indptr[column + 1]
        length = stop - start
        offset = np.repeat(start - np.cumsum(length) + length, length)
        entry = offset + np.arange(length.sum())
        least = np.minimum(self.inverse.data[entry], np.repeat(weight, length))
        image = self.inverse.indices[entry]
        shared = np.bincount(image, least, minlength=len(self.gallery))
        return 1 - shared / (2 - shared)


def rerank(
    query: Float[np.ndarray, "q d"],
    gallery: Float[np.ndarray, "g _d"],
    *,
    k1: int = 20,
    k2: int = 6,
    share: float = 0.3,
    budget: int = BUDGET,
) -> Reranked:
    """Re-rank a gallery for each query by how many neighbours they have in common.

    Args:
        query: `[q, d]` unit embeddings.
        gallery: `[g, d]` likewise.
        k1: neighbours that make an image's encoding.
        k2: neighbours whose encodings are averaged into an image's, itself the first.
        share: of the original distance in the result, lambda in the paper.
        budget: bytes of memory at most, beyond the embeddings given.

    Returns:
        What `metrics.evaluate` scores like any distances; `[i:j]` makes a block.

    Raises:
        InputError: the memory needed at most is more than the budget, before any work;
            widths that differ, settings out of range, or embeddings not finite.
    """
    check_widths(query, gallery)
    _check(k1, k2, share)
    need = estimate(len(query) + len(gallery), query.shape[1], k1, k2)
    if need > budget:
        raise InputError(
            f"re-ranking {len(query)} queries and a gallery of {len(gallery)} may take"
            f" {need / 2**30:.2f} GiB and the budget is {budget / 2**30:.2f} GiB; give"
            f" that many ({need} bytes) or a smaller k1 than {k1}"
        )
    both = np.concatenate([query, gallery]).astype(np.float32, copy=False)
    near, _ = nearest(both, both, max(k1 + 1, k2), budget=SEARCH)
    _, opposite = nearest(-both, both, 1, budget=SEARCH)
    farthest = np.maximum(2 + 2 * opposite[:, 0], TINY)
    encoded = reciprocal.encode(both, near[:, : k1 + 1], farthest, k1)
    encoded = sparse.csr_array(_average(near[:, :k2]) @ encoded)
    return Reranked(
        query=both[: len(query)],
        gallery=both[len(query) :],
        farthest=farthest[: len(query)],
        encoded=encoded[: len(query)],
        inverse=sparse.csc_array(encoded[len(query) :]),
        share=share,
    )


def estimate(images: int, width: int, k1: int, k2: int) -> int:
    """Estimate the bytes that re-ranking takes at most.

    Every encoding is counted as full as it can be.

    >>> round(estimate(44_000, 768, 20, 6) / 2**30, 2)
    2.18
    """
    entries = reciprocal.widest(k1) * (2 + 3 * k2)  # own, averaged, copied by column
    return 2 * SEARCH + images * (8 * width + 24 * (k1 + k2) + 8 * entries)


def _check(k1: int, k2: int, share: float) -> None:
    """Refuse settings that mean nothing."""
    if k1 < 1 or k2 < 1 or not 0 <= share <= 1:
        raise InputError(
            f"k1={k1}, k2={k2}, share={share}: give at least 1 neighbour each and a"
            " share from 0 to 1"
        )


def _average(near: np.ndarray) -> sparse.csr_array:
    """Return the matrix `[n, n]` that averages over each image's neighbours."""
    n, count = near.shape
    ends = np.arange(0, n * count + 1, count)
    weights = np.full(n * count, 1 / count, np.float32)
    return sparse.csr_array((weights, near.reshape(-1), ends), shape=(n, n))
