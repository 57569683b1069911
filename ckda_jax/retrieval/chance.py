"""Chance: what a ranking in random order scores, and whether a score is above it."""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ckda_jax.retrieval.protocols import Rule
from ckda_jax.structs import InputError

BLOCK = 2**22
"""Query-gallery pairs looked at a time, which bounds memory."""

CLEARLY = 3.0
"""Standard deviations above chance from which on a score means something."""

CAUSES = (
    "the wrong modality (images fed through the other modality's prompts), the wrong "
    "checkpoint (untrained, or of another run or stage), or the wrong protocol "
    "(identities or cameras that do not belong to the images)"
)


class Level(NamedTuple):
    """A score in random order: its expectation, and its standard deviation."""

    mean: float
    deviation: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chance:
    """What a protocol's scores are when its galleries stand in random order.

    Attributes:
        mAP: mean average precision.
        rank1: fraction of queries whose first image is right, under either CMC.
        identities: distinct identities among the valid queries.
    """

    mAP: Level
    rank1: Level
    identities: int


def expected(
    query_ids: Int[np.ndarray, " q"],
    query_cameras: Int[np.ndarray, " q"],
    gallery_ids: Int[np.ndarray, " g"],
    gallery_cameras: Int[np.ndarray, " g"],
    rule: Rule,
) -> Chance:
    """Compute the scores of random rankings, without drawing any.

    Expectations are exact. Deviations are exact for one query (see `precision`); the
    queries of one identity, whose images look alike, count as one query, those of
    different identities as independent, so that a mean over few identities spreads
    widely however many queries there are.

    Args:
        query_ids: `[q]` identities.
        query_cameras: `[q]` cameras.
        gallery_ids: `[g]` identities.
        gallery_cameras: `[g]` cameras.
        rule: says what is taken out of a query's gallery.

    Raises:
        InputError: no query has a right image.

    >>> from ckda_jax.retrieval.protocols import RULES
    >>> gallery = np.arange(4)
    >>> found = expected(gallery, gallery, gallery, gallery, RULES["standard"])
    >>> round(found.mAP.mean, 4), found.rank1.mean
    (0.5208, 0.25)
    """
    kept, right = _sizes(
        (query_ids, query_cameras), (gallery_ids, gallery_cameras), rule
    )
    valid = right > 0
    if not valid.any():
        raise InputError(
            f"none of {len(query_ids)} queries has a right image among the"
            f" {len(gallery_ids)} of its gallery; chance has no level"
        )
    kept, right, people = kept[valid], right[valid], query_ids[valid]
    levels = np.array(
        [precision(n, r) for n, r in zip(kept.tolist(), right.tolist(), strict=True)]
    )
    first = right / kept
    return Chance(
        mAP=_level(levels[:, 0], levels[:, 1], people),
        rank1=_level(first, np.sqrt(first * (1 - first)), people),
        identities=len(np.unique(people)),
    )


@functools.lru_cache(maxsize=4096)
def precision(images: int, right: int) -> Level:
    """Compute mean and deviation of one query's average precision in random order.

    With n images, R of them right, in uniformly random order, H_n the harmonic number,
    `E[AP] = H_n / n + (R - 1) / (n - 1) (1 - H_n / n)`. The second moment sums
    `E[I_k I_l S_k S_l] / (k l)` over all pairs of ranks, I_k marking a right image at
    rank k and S_k counting those up to there; the counts are hypergeometric. Both
    follow from linearity of the expectation, in O(n).

    Args:
        images: n, at least `right`.
        right: R, at least 1.

    >>> precision(2, 1)
    Level(mean=0.75, deviation=0.25)
    """
    n, r = images, right
    k = np.arange(1, n + 1, dtype=np.float64)
    harmonic = np.cumsum(1 / k)
    # Share of right images among the others, given one at rank k; and of pairs of them.
    one, two = _shares(n - 1, r - 1)
    mean = float(np.sum((1 + (k - 1) * one) / k) / n)
    same = 1 + 3 * (k - 1) * one + (k - 1) * (k - 2) * two
    square = np.sum(same / k**2) * r / n
    # Given right images at ranks k < l: E[S_k S_l] = constant + slope l.
    one, two = _shares(n - 2, r - 2)
    slope = one + (k - 1) * two
    constant = 2 + 4 * (k - 1) * one + (k - 1) * (k - 2) * two - (k + 1) * slope
    later = constant * (harmonic[-1] - harmonic) + slope * (n - k)
    both = r * (r - 1) / (n * max(n - 1, 1))
    square += 2 * both * np.sum(later / k)
    variance = float(square) / r**2 - mean**2
    return Level(mean, max(variance, 0.0) ** 0.5)


def warning(name: str, score: float, level: Level) -> str | None:
    """Say that a score is not clearly above chance; None where it is.

    Args:
        name: of the score, `mAP` say.
        score: as a fraction.
        level: of that score in random order.

    >>> warning("mAP", 0.5, Level(0.02, 0.01))
    >>> warning("mAP", 0.04, Level(0.02, 0.01))[:66]
    'mAP 4.0 % is not clearly above chance (2.0 %, give or take 1.0 %);'
    """
    if score > level.mean + CLEARLY * level.deviation:
        return None
    return (
        f"{name} {100 * score:.1f} % is not clearly above chance "
        f"({100 * level.mean:.1f} %, give or take {100 * level.deviation:.1f} %); "
        f"usual causes: {CAUSES}"
    )


def _sizes(
    query: tuple[np.ndarray, np.ndarray],
    gallery: tuple[np.ndarray, np.ndarray],
    rule: Rule,
) -> tuple[Int[np.ndarray, " q"], Int[np.ndarray, " q"]]:
    """Count each query's gallery images after the removal, and the right ones."""
    rows = max(1, BLOCK // max(1, len(gallery[0])))
    kept, right = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for start in range(0, len(query[0]), rows):
        ids, cameras = (column[start : start + rows] for column in query)
        left: Bool[np.ndarray, "q g"] = ~rule.removal(ids, cameras, *gallery)
        kept.append(left.sum(axis=1))
        right.append((left & (ids[:, None] == gallery[0])).sum(axis=1))
    return np.concatenate(kept), np.concatenate(right)


def _shares(images: int, right: int) -> tuple[float, float]:
    """Compute the chance that one place, and that two, hold right images."""
    one = right / images if images > 0 and right > 0 else 0.0
    two = one * (right - 1) / (images - 1) if images > 1 and right > 1 else 0.0
    return one, two


def _level(
    means: Float[np.ndarray, " q"],
    deviations: Float[np.ndarray, " q"],
    people: Int[np.ndarray, " q"],
) -> Level:
    """Average over queries, those of one identity rising and falling together."""
    _, person = np.unique(people, return_inverse=True)
    together = np.bincount(person.reshape(-1), weights=deviations)
    deviation = np.sqrt(np.sum(together**2)) / len(people)
    return Level(float(means.mean()), float(deviation))
