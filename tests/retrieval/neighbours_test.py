import tracemalloc

import numpy as np
import pytest

from ckda_jax.retrieval.neighbours import nearest
from ckda_jax.structs import InputError


def twin(query, gallery, count):
    """Compare everything and sort all of it."""
    similarities = query.astype(np.float32) @ gallery.astype(np.float32).T
    rows = np.argsort(-similarities, axis=1, kind="stable")[:, :count]
    return rows, np.take_along_axis(similarities, rows, axis=1)


def assert_equal(got, expected):
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_array_equal(got[1], expected[1])
    assert (got[0].dtype, got[1].dtype) == (np.int64, np.float32)


def small_whole_numbers(rng, *shape):
    """Draw embeddings whose products are exact and often equal, -0 among them."""
    return rng.integers(-2, 3, shape).astype(np.float32) * np.float32(-1)


@pytest.mark.parametrize("seed", range(40))
def test_equals_its_slow_twin_with_many_ties(seed):
    rng = np.random.default_rng(seed)
    q, g, d, count = rng.integers(1, [12, 60, 4, 20]).tolist()
    query, gallery = small_whole_numbers(rng, q, d), small_whole_numbers(rng, g, d)
    expected = twin(query, gallery, count)
    smallest = 4 * (5 * d + 48 * min(count, g))
    for budget in (smallest, 3 * smallest, 2**20):
        assert_equal(nearest(query, gallery, count, budget=budget), expected)


@pytest.mark.parametrize("order", [1, -1])
def test_equals_its_slow_twin_where_the_gallery_is_sorted(order):
    gallery = np.arange(-200, 200, dtype=np.float32)[::order, None]
    query = np.array([[1], [0], [-1]], np.float32)
    assert_equal(nearest(query, gallery, 7, budget=4096), twin(query, gallery, 7))


def test_more_neighbours_than_rows_are_all_rows():
    rows, similarities = nearest(np.eye(2), np.eye(2), 5)
    assert rows.tolist() == [[0, 1], [1, 0]]
    assert similarities.tolist() == [[1, 0], [1, 0]]


def test_empty_queries_and_empty_galleries():
    none = np.zeros((0, 3), np.float32)
    some = np.ones((2, 3), np.float32)
    assert nearest(none, some, 4)[0].shape == (0, 2)
    assert nearest(some, none, 4)[0].shape == (2, 0)


def test_reads_a_half_precision_memory_map(tmp_path):
    rng = np.random.default_rng(0)
    gallery = rng.normal(size=(300, 8)).astype(np.float16)
    np.save(tmp_path / "gallery.npy", gallery)
    mapped = np.load(tmp_path / "gallery.npy", mmap_mode="r")
    query = rng.normal(size=(5, 8)).astype(np.float32)
    rows, similarities = nearest(query, mapped, 10, budget=20_000)
    expected = twin(query, gallery, 10)
    np.testing.assert_array_equal(rows, expected[0])
    np.testing.assert_allclose(similarities, expected[1], rtol=1e-5)


def test_stays_within_its_budget():
    rng = np.random.default_rng(0)
    query = rng.normal(size=(600, 16)).astype(np.float32)
    gallery = np.sort(rng.normal(size=(2000, 16)), axis=0).astype(np.float16)
    budget = 2**20
    tracemalloc.start()
    result = nearest(query, gallery, 10, budget=budget)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - sum(array.nbytes for array in result) < budget


def test_refuses_what_does_not_compare():
    one = np.ones((1, 3), np.float32)
    with pytest.raises(InputError, match="width 3 .* gallery of width 2"):
        nearest(one, one[:, :2], 1)
    with pytest.raises(InputError, match="count 0: ask for at least 1"):
        nearest(one, one, 0)
    with pytest.raises(InputError, match="a gallery embedding is not finite"):
        nearest(one, one * np.nan, 1)
    with pytest.raises(InputError, match="a query embedding is not finite"):
        nearest(one * np.inf, one, 1)
    with pytest.raises(InputError, match="overflow float32; give unit embeddings"):
        query = np.array([[0, 0, 0], [3e38, 3e38, 3e38]], np.float32)
        nearest(query, np.array([[3e38, -3e38, -3e38]], np.float32), 1)


def test_refuses_a_budget_that_holds_no_pair():
    one = np.ones((1, 3), np.float32)
    with pytest.raises(InputError, match="a budget of 100 bytes .* at least 252"):
        nearest(one, one, 1, budget=100)
    assert nearest(one, one, 1, budget=252)[0].tolist() == [[0]]
