"""The ranks of right images on JAX's device: the same as `ranks.rank`, compiled."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ckda_jax.retrieval.distances import Cosine, Distances
from ckda_jax.retrieval.ranks import Ranks, check_numbers
from ckda_jax.retrieval.truth import Truth


def ranker(distances: Distances, truth: Truth) -> Callable[[slice], Ranks]:
    """Return the function that ranks a slice of the queries.

    Distances between embeddings are made on the device in full float32 precision, the
    gallery staying there; other distances are made on the host and copied.
    """
    compared = _compared(distances)
    identities = truth.identities if truth.rule.cmc == "identity" else 0
    count = partial(_rank, jnp.asarray(truth.identity, jnp.int32), identities)

    def rank(rows: slice) -> Ranks:
        block, right = compared(rows), truth.right(rows)
        check_numbers(int(jnp.isnan(block).sum()), block.size)
        if not right.size:
            return Ranks(right, np.zeros(len(right), np.int64))
        hits, first = count(block, truth.removed(rows), right)
        return Ranks(np.asarray(hits, np.int64), np.asarray(first, np.int64))

    return rank


def _compared(distances: Distances) -> Callable[[slice], Array]:
    """Return the function that puts a slice of the distances on the device."""
    if not isinstance(distances, Cosine):
        return lambda rows: jnp.asarray(distances[rows])
    gallery = jnp.asarray(distances.gallery, jnp.float32)
    query = distances.query
    return lambda rows: _cosine(jnp.asarray(query[rows], jnp.float32), gallery)


@jax.jit
def _cosine(
    query: Float[Array, "b d"], gallery: Float[Array, "g d"]
) -> Float[Array, "b g"]:
    return jnp.matmul(-query, gallery.T, precision=jax.lax.Precision.HIGHEST)


@partial(jax.jit, static_argnums=1)
def _rank(
    identity: Int[Array, " g"],
    identities: int,
    distances: Float[Array, "b g"],
    removed: Bool[Array, "b g"],
    right: Int[Array, "b r"],
) -> tuple[Int[Array, "b r"], Int[Array, " b"]]:
    """Count what comes before each right image; identities, if any, before the first.

    One right image of every query at a time: nothing of size b g r exists.
    """
    column = jnp.arange(distances.shape[1])[None, :]

    def before(place: Int[Array, "b 1"]) -> Bool[Array, "b g"]:
        own = jnp.take_along_axis(distances, place, axis=1)
        earlier = (distances < own) | ((distances == own) & (column < place))
        return earlier & ~removed

    def count(place: Int[Array, " b"]) -> Int[Array, " b"]:
        gone = jnp.take_along_axis(removed, place[:, None], axis=1)[:, 0]
        ranks = before(place[:, None]).sum(axis=1) + 1
        return jnp.where((place < 0) | gone, 0, ranks)

    hits = jax.lax.map(count, right.T).T
    order = jnp.where(hits > 0, hits, distances.shape[1] + 1)
    first = order.min(axis=1)
    if identities:
        best = jnp.take_along_axis(right, order.argmin(axis=1)[:, None], axis=1)
        passed = jax.ops.segment_max(
            before(best).T.astype(jnp.int8), identity, identities
        )
        first = (passed > 0).sum(axis=0) + 1
    return hits, jnp.where(hits.any(axis=1), first, 0)
