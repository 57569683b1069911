"""The scores of a ranking: mAP, mINP and CMC, exactly."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ckda_jax.retrieval import device
from ckda_jax.retrieval.distances import Distances
from ckda_jax.retrieval.plan import Plan
from ckda_jax.retrieval.protocols import Rule
from ckda_jax.retrieval.ranks import Ranks, ranker
from ckda_jax.retrieval.truth import Truth
from ckda_jax.structs import InputError

RANKS = 20  # length of every CMC
DEFAULT = Plan()


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
    distances: Distances,
    query_ids: Int[np.ndarray, " q"],
    query_cameras: Int[np.ndarray, " q"],
    gallery_ids: Int[np.ndarray, " g"],
    gallery_cameras: Int[np.ndarray, " g"],
    rule: Rule,
    plan: Plan = DEFAULT,
) -> Metrics:
    """Score the ranking of a gallery for each query.

    With hits `h_1 < ... < h_R` the ranks of a query's right images after the rule's
    removal: `AP = mean_j j / h_j` and `INP = R / h_R` (Ye et al. 2021). The CMC at r is
    the fraction of queries with `h_1 <= r`; under the identity CMC, `h_1` counts the
    distinct identities up to there. Where fewer than 20 images or identities remain,
    the CMC goes on with its last value. Equal distances rank in gallery order.

    Queries are compared and ranked a block at a time, as many as the plan's budget
    holds; with embeddings for distances no full matrix exists.

    Args:
        distances: `[q, g]`, smaller is more alike: an array, or what makes blocks of
            one, such as `Cosine`.
        query_ids: `[q]` identities.
        query_cameras: `[q]` cameras.
        gallery_ids: `[g]` identities.
        gallery_cameras: `[g]` cameras.
        rule: removal and CMC.
        plan: memory and hardware; the result does not depend on it.

    Returns:
        The scores, accumulated in float64.

    Raises:
        InputError: a distance is not a number, the shapes do not fit, the budget does
            not hold one query, or no query has a right image.

    >>> from ckda_jax.retrieval.protocols import RULES
    >>> one, cameras = np.array([1]), np.array([1, 1, 1])
    >>> gallery = np.array([1, 2, 1])
    >>> near_to_far = np.array([[0.1, 0.2, 0.3]])
    >>> scores = evaluate(near_to_far, one, one, gallery, cameras, RULES["standard"])
    >>> round(scores.mAP, 4), round(scores.mINP, 4), scores.rank(1)
    (0.8333, 0.6667, 1.0)
    """
    _check_shape(distances.shape, len(query_ids), len(gallery_ids))
    truth = Truth(query_ids, query_cameras, gallery_ids, gallery_cameras, rule)
    scores = [_score(block) for block in _blocks(distances, truth, plan)]
    own = map(np.concatenate, zip(*scores, strict=True))
    precision, penalty, first = map(plan.part.join, own)
    if not len(first):
        raise InputError(
            f"none of {len(query_ids)} queries has a right image among the"
            f" {len(gallery_ids)} of its gallery; nothing can be scored"
        )
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


def _check_shape(shape: tuple[int, ...], queries: int, gallery: int) -> None:
    """Refuse distances of other queries or of another gallery."""
    if shape != (queries, gallery):
        raise InputError(
            f"distances of shape {shape} do not belong to {queries} queries and a"
            f" gallery of {gallery}; pass the identities of the images compared"
        )


def _blocks(distances: Distances, truth: Truth, plan: Plan) -> Iterator[Ranks]:
    """Rank the queries, a block at a time."""
    queries, gallery = distances.shape
    on_device = plan.on_device(distances)
    step, workers = plan.divide(gallery, truth.most, on_device=on_device)
    if on_device:
        rank_block = device.ranker(distances, truth)
    else:
        rank_block = ranker(distances, truth, workers)
    for rows in plan.part.slices(queries, step):
        yield rank_block(rows)


def _score(ranks: Ranks) -> _Scores:
    """Score a block of queries; those without a right image are left out."""
    hits = np.sort(ranks.hits[ranks.first > 0], axis=1)
    right = np.count_nonzero(hits, axis=1)
    place = np.arange(hits.shape[1]) - (hits.shape[1] - right)[:, None] + 1
    precision = np.where(hits > 0, place / np.maximum(hits, 1), 0.0).sum(axis=1)
    last = hits.max(axis=1, initial=1)
    return _Scores(precision / right, right / last, ranks.first[ranks.first > 0])
