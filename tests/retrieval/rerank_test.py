import tracemalloc

import numpy as np
import pytest

from ckda_jax.retrieval.metrics import evaluate
from ckda_jax.retrieval.protocols import RULES
from ckda_jax.retrieval.rerank import estimate, rerank
from ckda_jax.structs import InputError


def unit(rng, count, width=6, people=5):
    """Draw unit embeddings of a few people."""
    centres = np.random.default_rng(0).normal(size=(people, width))
    found = centres[rng.integers(0, people, count)] + rng.normal(size=(count, width))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found.astype(np.float32)


def twin(query, gallery, k1, k2, share):
    """Re-rank by dense matrices, image after image, as published."""
    both = np.concatenate([query, gallery])
    similarity = both @ both.T
    distance = np.maximum(2 - 2 * similarity.astype(np.float64), 0)
    distance /= distance.max(axis=1, keepdims=True)
    order = np.argsort(-similarity, axis=1, kind="stable")
    n = len(both)

    def reciprocal(image, k):
        return {j for j in order[image, : k + 1] if image in order[j, : k + 1]}

    encoded = np.zeros((n, n))
    for i in range(n):
        members = reciprocal(i, k1)
        expanded = set(members)
        for j in members:
            theirs = reciprocal(j, round(k1 / 2))
            if len(theirs & members) > 2 / 3 * len(theirs):
                expanded |= theirs
        for j in expanded:
            encoded[i, j] = np.exp(-distance[i, j])
        encoded[i] /= encoded[i].sum()
    encoded = np.stack([encoded[order[i, :k2]].mean(axis=0) for i in range(n)])
    result = np.zeros((len(query), len(gallery)))
    for i in range(len(query)):
        for j in range(len(gallery)):
            pair = encoded[i], encoded[len(query) + j]
            jaccard = 1 - np.minimum(*pair).sum() / np.maximum(*pair).sum()
            original = distance[i, len(query) + j]
            result[i, j] = (1 - share) * jaccard + share * original
    return result


@pytest.mark.parametrize(
    ("k1", "k2", "share"),
    [
        *[(20, 6, 0.3), (6, 3, 0.3), (5, 1, 0.0), (3, 2, 1.0), (1, 1, 0.5)],
        *[(50, 60, 0.3), (2, 6, 0.3)],
    ],
)
def test_equals_its_dense_twin(k1, k2, share):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        query, gallery = unit(rng, 9), unit(rng, 31)
        got = rerank(query, gallery, k1=k1, k2=k2, share=share)
        assert got.shape == (9, 31)
        expected = twin(query, gallery, k1, k2, share)
        np.testing.assert_allclose(got[0:9], expected, rtol=0, atol=2e-6)


def test_blocks_make_up_the_whole_and_are_scored():
    rng = np.random.default_rng(0)
    query, gallery = unit(rng, 9), unit(rng, 31)
    got = rerank(query, gallery, k1=6)
    whole = np.concatenate([got[start : start + 4] for start in range(0, 9, 4)])
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole, got[0:9], rtol=0, atol=1e-6)
    ones = np.ones(31, int)
    who = rng.integers(0, 3, 9), ones[:9], rng.integers(0, 3, 31), ones
    scores = evaluate(got, *who, RULES["standard"])
    assert scores.mAP == evaluate(whole, *who, RULES["standard"]).mAP


def test_images_that_are_all_alike_stay_alike():
    same = np.tile(np.array([[0.6, 0.8]], np.float32), (8, 1))
    block = rerank(same[:3], same[3:], k1=9)[0:3]
    assert np.isfinite(block).all()
    assert np.ptp(block) < 1e-6


def test_half_precision_is_read():
    rng = np.random.default_rng(1)
    query, gallery = (unit(rng, n).astype(np.float16) for n in (5, 20))
    got = rerank(query, gallery, k1=4)[0:5]
    single = rerank(query.astype(np.float32), gallery.astype(np.float32), k1=4)[0:5]
    np.testing.assert_array_equal(got, single)


def test_an_empty_gallery_has_no_distances():
    query = unit(np.random.default_rng(0), 4)
    assert rerank(query, query[:0])[0:4].shape == (4, 0)


def test_takes_no_more_than_estimated():
    rng = np.random.default_rng(0)
    query, gallery = unit(rng, 100, width=32), unit(rng, 2000, width=32)
    tracemalloc.start()
    rerank(query, gallery, k1=10, k2=3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < estimate(2100, 32, 10, 3)


def test_refuses_what_would_take_too_much_memory():
    one = np.ones((1, 4), np.float32)
    need = estimate(2, 4, 20, 6)
    with pytest.raises(InputError, match=f"may take .* that many .{need} bytes"):
        rerank(one, one, budget=need - 1)
    assert rerank(one, one, budget=need).shape == (1, 1)


def test_refuses_settings_that_mean_nothing():
    one = np.ones((1, 4), np.float32)
    for k1, k2, share in ((0, 6, 0.3), (20, 0, 0.3), (20, 6, 1.5), (20, 6, -0.1)):
        with pytest.raises(InputError, match="give at least 1 neighbour each"):
            rerank(one, one, k1=k1, k2=k2, share=share)
    with pytest.raises(InputError, match="width 4 .* gallery of width 3"):
        rerank(one, one[:, :3])
    with pytest.raises(InputError, match="not finite"):
        rerank(one, one * np.nan)
