import numpy as np

from ckda_jax.retrieval.protocols import RULES
from ckda_jax.retrieval.truth import Truth

TRUTH = Truth(
    query_ids=np.array([7, 9, 3, 5]),
    query_cameras=np.array([3, 3, 1, 6]),
    gallery_ids=np.array([7, 3, 7, 5, 7]),
    gallery_cameras=np.array([2, 2, 1, 4, 2]),
    rule=RULES["sysu"],
)


def test_right_images_in_gallery_order():
    assert TRUTH.most == 3
    expected = [[0, 2, 4], [-1, -1, -1], [1, -1, -1], [3, -1, -1]]
    assert TRUTH.right(slice(0, 4)).tolist() == expected
    assert TRUTH.right(slice(2, 4)).tolist() == expected[2:]


def test_identities_are_counted_from_zero():
    assert TRUTH.identity.tolist() == [2, 0, 2, 1, 2]
    assert TRUTH.identities == 3


def test_removal_of_some_queries():
    expected = [[True, True, False, False, True], [False] * 5]
    assert TRUTH.removed(slice(1, 3)).tolist() == expected


def test_an_empty_gallery():
    none = np.array([], int)
    truth = Truth(np.array([1]), np.array([1]), none, none, RULES["standard"])
    assert (truth.most, truth.identities) == (0, 0)
    assert truth.right(slice(0, 1)).shape == (1, 0)
