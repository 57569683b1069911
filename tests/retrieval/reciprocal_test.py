import numpy as np
import pytest

from ckda_jax.retrieval.reciprocal import distances, encode, half, widest

# Four images on a line, at 0, 1, 3 and 3.5; the nearest two of each, itself in front.
NEAR = np.array([[0, 1], [1, 0], [2, 3], [3, 2]])
EMBEDDINGS = np.array([[1, 0], [0.8, 0.6], [-0.8, 0.6], [-1, 0]], np.float32)


def test_squared_distances_of_pairs():
    found = distances(EMBEDDINGS, np.array([0, 0, 0]), np.array([0, 1, 3]))
    np.testing.assert_allclose(found, [0, 0.4, 4], atol=1e-6)


def test_an_encoding_weighs_those_close_both_ways():
    encoded = encode(EMBEDDINGS, NEAR, np.full(4, 4, np.float32), 1).toarray()
    weight = np.exp(-0.4 / 4)
    pair = np.array([[1, weight], [weight, 1]]) / (1 + weight)
    np.testing.assert_allclose(encoded[:2, :2], pair, atol=1e-6)
    np.testing.assert_allclose(encoded[2:, 2:], pair, atol=1e-6)
    assert (encoded[:2, 2:] == 0).all()


def test_who_is_close_one_way_only_does_not_count():
    near = np.array([[0, 1], [1, 2], [2, 1], [3, 2]])
    encoded = encode(EMBEDDINGS, near, np.full(4, 4, np.float32), 1).toarray()
    assert encoded[0].tolist() == encoded.diagonal()[:1].tolist() + [0, 0, 0]
    assert (encoded[1] > 0).tolist() == [False, True, True, False]


@pytest.mark.parametrize(("k1", "length"), [(1, 1), (4, 3), (5, 3), (7, 5), (20, 11)])
def test_half_lists_round_as_the_published_code(k1, length):
    assert half(k1) == length == int(np.around(k1 / 2)) + 1
    assert widest(k1) == (k1 + 1) * (length + 1)
