import numpy as np
import pytest

from ckda_jax.retrieval.protocols import RULES
from ckda_jax.retrieval.ranks import rank, ranker
from ckda_jax.retrieval.truth import Truth
from ckda_jax.structs import InputError

IDS = np.array([5, 8, 5, 9, 8, 5])
DISTANCES = np.array([[0.4, 0.2, 0.2, 0.2, 0.9, 0.1]], np.float32)


def truth(rule, cameras=(1, 1, 1, 1, 1, 1), queries=1):
    who = np.array([9, 5, 7] * queries)[:queries], np.full(queries, 3)
    return Truth(*who, IDS, np.array(cameras), RULES[rule])


def test_counts_equal_distances_in_gallery_order():
    ranks = rank(DISTANCES, truth("standard"), 0)
    assert ranks.hits.tolist() == [[4]]  # after images 5, 1 and 2
    assert ranks.first.tolist() == [4]


def test_counts_identities():
    assert rank(DISTANCES, truth("sysu"), 0).first.tolist() == [3]  # after 5 and 8


def test_passes_over_removed_images():
    ranks = rank(DISTANCES, truth("sysu", (1, 2, 1, 1, 1, 2)), 0)
    assert (ranks.hits.tolist(), ranks.first.tolist()) == ([[2]], [2])
    removed = rank(DISTANCES, truth("sysu", (1, 1, 1, 2, 1, 1)), 0)
    assert (removed.hits.tolist(), removed.first.tolist()) == ([[0]], [0])


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_threads_share_the_queries(workers):
    distances = np.repeat(DISTANCES, 4, axis=0)
    ranks = ranker(distances, truth("standard", queries=4), workers)(slice(1, 4))
    assert ranks.hits.tolist() == [[5, 3, 1], [0, 0, 0], [4, 0, 0]]
    assert ranks.first.tolist() == [1, 0, 4]


def test_leaves_the_distances_as_they_are():
    distances = DISTANCES.copy()
    rank(distances, truth("sysu", (2, 2, 2, 1, 1, 1)), 0)
    np.testing.assert_array_equal(distances, DISTANCES)


def test_refuses_what_is_not_a_number():
    broken = np.where(DISTANCES == np.float32(0.2), np.nan, DISTANCES)
    with pytest.raises(InputError, match="3 of 6 distances are not a number"):
        ranker(broken, truth("standard"), 1)(slice(0, 1))
