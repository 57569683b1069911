"""Metric losses: same person near, other people far, over samples and their centres."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

ANCHORS = ("centre", "sample")
"""What anchors the second half of a pair in `cross_triplets`."""


class Points(NamedTuple):
    """Labelled points, some of which may not count.

    Attributes:
        features: `[n, d]`.
        labels: `[n]`.
        mask: `[n]`, false for points that are neither anchor nor candidate.
    """

    features: Float[Array, "n d"]
    labels: Int[Array, " n"]
    mask: Bool[Array, " n"]


class Weighted(NamedTuple):
    """One value per example and its share in the mean.

    Attributes:
        values: `[p, b]`, 0 where the share is 0.
        shares: `[p, b]`, sum to 1, or to 0 where nothing counts; the loss is
            `sum(values * shares)`.
    """

    values: Float[Array, "p b"]
    shares: Float[Array, "p b"]


def euclidean(a: Float[Array, "i d"], b: Float[Array, "j d"]) -> Float[Array, "i j"]:
    """Compute sqrt(max(|a|^2 + |b|^2 - 2 a b, 1e-12)) for every pair of rows.

    >>> import jax.numpy as jnp
    >>> euclidean(jnp.zeros((1, 2)), jnp.array([[3.0, 4.0]])).tolist()
    [[5.0]]
    """
    a_square = jnp.sum(jnp.square(a), axis=-1)[:, None]
    b_square = jnp.sum(jnp.square(b), axis=-1)[None, :]
    square = a_square + b_square - 2 * a @ b.T
    return jnp.sqrt(jnp.maximum(square, 1e-12))


def triplet(
    anchors: Points, candidates: Points, *, margin: float
) -> Float[Array, " n"]:
    """Compute max(0, hardest positive - hardest negative + margin) of each anchor.

    The hardest positive is the farthest candidate of the anchor's label, the hardest
    negative the nearest of another (Hermans et al. 2017). An anchor that lacks either,
    or does not count, gives 0.

    Args:
        anchors: n points.
        candidates: points to choose from; where they contain an anchor itself, it is a
            positive at distance 0.
        margin: by how much the negative should be farther, in units of distance.

    Returns:
        `[n]`, one value per anchor.

    >>> import jax.numpy as jnp
    >>> x, labels = jnp.array([[0.0], [1.0], [3.0]]), jnp.array([0, 0, 1])
    >>> points = Points(x, labels, jnp.ones(3, bool))
    >>> triplet(points, points, margin=1.5).tolist()
    [0.0, 0.5, 0.0]
    """
    distance = euclidean(anchors.features, candidates.features)
    same = anchors.labels[:, None] == candidates.labels[None, :]
    valid = anchors.mask[:, None] & candidates.mask[None, :]
    positive, negative = same & valid, ~same & valid
    farthest = jnp.max(jnp.where(positive, distance, 0), axis=1)
    nearest = jnp.min(jnp.where(negative, distance, jnp.inf), axis=1)
    complete = jnp.any(positive, axis=1) & jnp.any(negative, axis=1)
    hinge = jax.nn.relu(farthest - jnp.where(complete, nearest, 0) + margin)
    return jnp.where(complete, hinge, 0)


def batch_hard(
    features: Float[Array, "n d"],
    labels: Int[Array, " n"],
    *,
    margin: float,
    mask: Bool[Array, " n"] | None = None,
) -> Float[Array, " n"]:
    """Compute the batch-hard triplet loss of every row against all rows.

    All modalities enter together, with any number of rows per identity.

    Args:
        features: `[n, d]`.
        labels: `[n]`.
        margin: see `triplet`.
        mask: rows that are there; None: all.

    Returns:
        `[n]`, 0 for rows that are not there or lack a positive or a negative.
    """
    everything = jnp.ones(labels.shape, bool) if mask is None else mask
    points = Points(features, labels, everything)
    return triplet(points, points, margin=margin)


def centres(
    features: Float[Array, "b d"], labels: Int[Array, " b"], *, unique: bool = True
) -> Points:
    """Average the rows of each identity.

    The mask keeps one centre per identity, at its first row; not `unique`, it keeps one
    per row, so identities count as often as they occur, as in the released code.

    >>> import jax.numpy as jnp
    >>> means = centres(jnp.array([[0.0], [2.0], [5.0]]), jnp.array([7, 7, 8]))
    >>> means.features.tolist(), means.mask.tolist()
    ([[1.0], [1.0], [5.0]], [True, False, True])
    """
    same = labels[:, None] == labels[None, :]
    share = same.astype(features.dtype)
    means = share @ features / jnp.sum(share, axis=1)[:, None]
    before = jnp.tril(same, k=-1)
    mask = ~jnp.any(before, axis=1) if unique else jnp.ones(labels.shape, bool)
    return Points(means, labels, mask)


def centre_triplets(
    features: Float[Array, "m b d"],
    labels: Int[Array, "m b"],
    *,
    margin: float,
    unique: bool = True,
    present: Bool[Array, " m"] | None = None,
) -> Weighted:
    """Compare the centres of every modality with those of every other one.

    The mean over ordered pairs (i, j) of modalities of T(c_i, c_j), with T the mean of
    `triplet` over its anchors and c_i the identity centres of modality i.

    Args:
        features: `[m, b, d]`.
        labels: `[m, b]`, in any order.
        margin: see `triplet`.
        unique: one centre per identity, see `centres`.
        present: modalities that are there; None: all.

    Returns:
        Values and shares `[m (m - 1), b]`.
    """
    chex.assert_equal_shape_prefix([features, labels], 2)
    _, means = _points_and_centres(features, labels, unique, present)
    m = len(means)
    pairs = [(means[i], means[j]) for i in range(m) for j in range(m) if i != j]
    return _average(pairs, margin, features)


def cross_triplets(
    features: Float[Array, "m b d"],
    labels: Int[Array, "m b"],
    *,
    margin: float,
    unique: bool = True,
    anchor: str = "centre",
    present: Bool[Array, " m"] | None = None,
) -> Weighted:
    """Compare samples of one modality with centres of another.

    The mean over pairs i < j of modalities of T(f_i, c_j) and, by `anchor`, T(c_i, f_j)
    (`centre`, the released code: centres of i against samples of j) or T(f_j, c_i)
    (`sample`: samples of j against centres of i, the mirror image).

    Args:
        features: `[m, b, d]`.
        labels: `[m, b]`, in any order.
        margin: see `triplet`.
        unique: one centre per identity, see `centres`.
        anchor: `centre` or `sample`.
        present: modalities that are there; None: all.

    Returns:
        Values and shares `[m (m - 1), b]`.

    Raises:
        ValueError: `anchor` is not one of `ANCHORS`.
    """
    if anchor not in ANCHORS:
        raise ValueError(f"anchor={anchor!r}: not one of {ANCHORS}")
    chex.assert_equal_shape_prefix([features, labels], 2)
    points, means = _points_and_centres(features, labels, unique, present)
    pairs = []
    for j in range(len(points)):
        for i in range(j):
            mirrored = (points[j], means[i])
            second = mirrored if anchor == "sample" else mirrored[::-1]
            pairs += [(points[i], means[j]), second]
    return _average(pairs, margin, features)


def supervised_contrastive(
    features: Float[Array, "n d"],
    labels: Int[Array, " n"],
    *,
    temperature: float,
    mask: Bool[Array, " n"] | None = None,
) -> Float[Array, " n"]:
    """Compute the supervised contrastive loss of every row (Khosla et al. 2020, L_out).

    With z the unit features, -mean over positives p of log softmax_a(z_i z_a /
    temperature) at p, the softmax over all other rows a.

    Args:
        features: `[n, d]`, of any length.
        labels: `[n]`.
        temperature: divides the cosines.
        mask: rows that are there; None: all.

    Returns:
        `[n]`, in nats, 0 for rows that are not there or have no positive.

    >>> import jax.numpy as jnp
    >>> same = jnp.ones((3, 2))
    >>> loss = supervised_contrastive(same, jnp.array([0, 0, 1]), temperature=0.1)
    >>> [f"{x:.3f}" for x in loss]  # ln 2: two equal candidates, one right
    ['0.693', '0.693', '0.000']
    """
    mask = jnp.ones(labels.shape, bool) if mask is None else mask
    square = jnp.sum(jnp.square(features), axis=-1, keepdims=True)
    z = features / jnp.sqrt(jnp.maximum(square, 1e-12))
    other = mask[:, None] & mask[None, :] & ~jnp.eye(len(labels), dtype=bool)
    positive = other & (labels[:, None] == labels[None, :])
    lowest = jnp.finfo(z.dtype).min / 2
    log_p = jax.nn.log_softmax(jnp.where(other, z @ z.T / temperature, lowest), axis=1)
    count = jnp.sum(positive, axis=1).astype(z.dtype)
    total = jnp.sum(jnp.where(positive, log_p, 0), axis=1)
    return jnp.where(count > 0, -total / jnp.maximum(count, 1), 0)


def _points_and_centres(
    features: Array, labels: Array, unique: bool, present: Array | None
) -> tuple[list[Points], list[Points]]:
    """Collect the samples and the identity centres of every modality."""
    points, means = [], []
    for i in range(len(features)):
        there = jnp.ones(labels.shape[1:], bool)
        if present is not None:
            there = there & present[i][None]
        points.append(Points(features[i], labels[i], there))
        mean = centres(features[i], labels[i], unique=unique)
        means.append(mean._replace(mask=mean.mask & there))
    return points, means


def _average(
    pairs: list[tuple[Points, Points]], margin: float, like: Array
) -> Weighted:
    """Take `triplet` of every pair and weigh anchors within, then pairs equally."""
    if not pairs:
        empty = jnp.zeros((0, like.shape[1]), like.dtype)
        return Weighted(empty, empty)
    values = jnp.stack([triplet(a, b, margin=margin) for a, b in pairs])
    both = [a.mask & jnp.any(b.mask)[None] for a, b in pairs]
    counts = jnp.stack(both).astype(like.dtype)
    anchors = jnp.sum(counts, axis=1, keepdims=True)
    there = jnp.sum((anchors > 0).astype(like.dtype))
    shares = counts / jnp.maximum(anchors, 1) / jnp.maximum(there, 1)
    return Weighted(values, shares)
