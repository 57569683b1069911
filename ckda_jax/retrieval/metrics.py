"""The scores of a ranking: mAP, mINP and CMC, exactly."""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ckda_jax.retrieval.protocols import Rule
from ckda_jax.structs import InputError

RANKS = 20  # length of every CMC
BLOCK = 2**20  # query-gallery pairs ranked at a time, which bounds memory


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metrics:
    """The scores of a protocol, as fractions, averaged over its valid queries.

    Attributes:
        mAP: mean average precision.
        mINP: mean inverse negative penalty.
        cmc: `[20]`, fraction of queries found within the first r images or identities.
        valid: queries with a right image in their gallery; the others are left out.
    """

    mAP: float
    mINP: float
    cmc: Float[np.ndarray, " 20"]
    valid: int

    def rank(self, r: int) -> float:
        """Return the CMC at rank r, 1 to 20."""
        return float(self.cmc[r - 1])


def evaluate(
    distances: Float[np.ndarray, "q g"],
    query_ids: Int[np.ndarray, " q"],
    query_cameras: Int[np.ndarray, " q"],
    gallery_ids: Int[np.ndarray, " g"],
    gallery_cameras: Int[np.ndarray, " g"],
    rule: Rule,
) -> Metrics:
    """Score the ranking of a gallery for each query.

    With hits `h_1 < ... < h_R` the ranks of a query's right images after the rule's
    removal: `AP = mean_j j / h_j` and `INP = R / h_R` (Ye et al. 2021). The CMC at r is
    the fraction of queries with `h_1 <= r`; under the identity CMC, `h_1` counts the
    distinct identities up to there. Where fewer than 20 images or identities remain,
    the CMC goes on with its last value. Equal distances rank in gallery order.

    Args:
        distances: `[q, g]`, smaller is more alike.
        query_ids: `[q]` identities.
        query_cameras: `[q]` cameras.
        gallery_ids: `[g]` identities.
        gallery_cameras: `[g]` cameras.
        rule: removal and CMC.

    Returns:
        The scores, accumulated in float64.

    Raises:
        InputError: a distance is not a number, or no query has a right image.

    >>> from ckda_jax.retrieval.protocols import RULES
    >>> one, cameras = np.array([1]), np.array([1, 1, 1])
    >>> gallery = np.array([1, 2, 1])
    >>> near_to_far = np.array([[0.1, 0.2, 0.3]])
    >>> scores = evaluate(near_to_far, one, one, gallery, cameras, RULES["standard"])
    >>> round(scores.mAP, 4), round(scores.mINP, 4), scores.rank(1)
    (0.8333, 0.6667, 1.0)
    """
    if np.isnan(distances).any():
        raise InputError(
            f"{np.isnan(distances).sum()} of {distances.size} distances are not a"
            " number; the embeddings are broken"
        )
    rows = max(1, BLOCK // max(1, distances.shape[1]))
    blocks = []
    for start in range(0, len(distances), rows):
        part = slice(start, start + rows)
        ids, cameras = query_ids[part], query_cameras[part]
        removed = rule.removal(ids, cameras, gallery_ids, gallery_cameras)
        blocks.append(_score(distances[part], ids, gallery_ids, removed, rule))
    if not sum(len(block.first) for block in blocks):
        raise InputError(
            f"none of {len(query_ids)} queries has a right image among the"
            f" {len(gallery_ids)} of its gallery; nothing can be scored"
        )
    precision, penalty, first = map(np.concatenate, zip(*blocks, strict=True))
    found = first[:, None] <= np.arange(1, RANKS + 1)
    return Metrics(
        mAP=float(precision.mean()),
        mINP=float(penalty.mean()),
        cmc=found.mean(axis=0, dtype=np.float64),
        valid=len(first),
    )


def ranked(
    distances: Float[np.ndarray, " g"],
    removed: Bool[np.ndarray, " g"],
    count: int = 10,
) -> Int[np.ndarray, " n"]:
    """Return the gallery rows nearest to one query, without the removed ones.

    Args:
        distances: `[g]` of one query.
        removed: `[g]`, its row of the rule's removal.
        count: rows to return at most.

    >>> ranked(np.array([0.3, 0.1, 0.2]), np.array([False, True, False]))
    array([2, 0])
    """
    order = np.argsort(distances, kind="stable")
    return order[~removed[order]][:count]


class _Scores(NamedTuple):
    """Per valid query: AP, INP, and the rank of its first hit as the CMC counts it."""

    precision: np.ndarray
    penalty: np.ndarray
    first: np.ndarray


def _score(
    distances: np.ndarray,
    query_ids: np.ndarray,
    gallery_ids: np.ndarray,
    removed: np.ndarray,
    rule: Rule,
) -> _Scores:
    """Score a block of queries; those without a right image are left out."""
    order = np.argsort(distances, axis=1, kind="stable")
    kept = ~np.take_along_axis(removed, order, axis=1)
    rank = np.cumsum(kept, axis=1)
    hit = kept & (gallery_ids[order] == query_ids[:, None])
    valid = hit.any(axis=1)
    order, kept, rank, hit = (array[valid] for array in (order, kept, rank, hit))
    hits = np.cumsum(hit, axis=1)
    right = hit.sum(axis=1)
    precision = np.where(hit, hits / np.maximum(rank, 1), 0.0).sum(axis=1) / right
    last = np.where(hit, rank, 0).max(axis=1, initial=0)
    until_first = kept & (hits - hit == 0)
    if rule.cmc == "identity":
        first = _count_identities(gallery_ids[order], until_first)
    else:
        first = until_first.sum(axis=1)
    return _Scores(precision, right / last, first)


def _count_identities(ranking: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Count the distinct identities at the marked places of each ranking `[q, g]`."""
    columns = np.argsort(ranking, axis=1, kind="stable")
    sorted_ids = np.take_along_axis(ranking, columns, axis=1)
    sorted_counted = np.take_along_axis(counted, columns, axis=1)
    fresh = np.ones(sorted_ids.shape, dtype=bool)
    fresh[:, 1:] = sorted_ids[:, 1:] != sorted_ids[:, :-1]
    group = np.cumsum(fresh, axis=1) - 1
    seen = np.zeros(ranking.shape, dtype=bool)
    query, place = np.nonzero(sorted_counted)
    seen[query, group[query, place]] = True
    return seen.sum(axis=1)
