import numpy as np
import pytest

from ckda_jax.retrieval.distances import COLUMNS, Cosine, Distances
from ckda_jax.structs import InputError


def test_blocks_make_up_the_whole_matrix():
    rng = np.random.default_rng(0)
    query, gallery = (rng.integers(-2, 3, (n, 5)).astype(np.float32) for n in (7, 11))
    distances = Cosine(query, gallery)
    assert distances.shape == (7, 11)
    blocks = np.concatenate([distances[0:3], distances[3:7]])
    assert blocks.dtype == np.float32
    np.testing.assert_array_equal(blocks, -(query @ gallery.T))


def test_half_precision_is_compared_in_single_precision(tmp_path):
    rng = np.random.default_rng(0)
    gallery = rng.normal(size=(COLUMNS + 10, 3)).astype(np.float16)
    np.save(tmp_path / "gallery.npy", gallery)
    mapped = np.load(tmp_path / "gallery.npy", mmap_mode="r")
    query = rng.normal(size=(4, 3)).astype(np.float16)
    exact = -(query.astype(np.float64) @ gallery.astype(np.float64).T)
    got = Cosine(query, mapped)[1:3]
    np.testing.assert_allclose(got, exact[1:3], rtol=0, atol=1e-5)


def test_an_array_is_distances_too():
    assert isinstance(np.zeros((2, 3)), Distances)
    assert isinstance(Cosine(np.eye(2), np.eye(2)), Distances)


def test_refuses_widths_that_differ():
    with pytest.raises(InputError, match="width 3 .* gallery of width 2"):
        Cosine(np.ones((1, 3)), np.ones((1, 2)))
