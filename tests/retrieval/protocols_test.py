import numpy as np
import pytest

from ckda_jax.retrieval.protocols import RULES

QUERY_IDS, QUERY_CAMERAS = np.array([1, 2, 2]), np.array([3, 3, 6])
GALLERY_IDS, GALLERY_CAMERAS = np.array([1, 2, 2, 2]), np.array([2, 2, 3, 6])


@pytest.mark.parametrize(
    ("name", "removed"),
    [
        ("standard", [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]),
        ("sysu", [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]),
        ("llcm", [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        ("vcm", [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        ("own-camera", [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
    ],
)
def test_removal(name, removed):
    mask = RULES[name].removal(QUERY_IDS, QUERY_CAMERAS, GALLERY_IDS, GALLERY_CAMERAS)
    assert mask.dtype == bool
    assert mask.astype(int).tolist() == removed


def test_cmc_counts_identities_where_the_community_does():
    assert {name: rule.cmc for name, rule in RULES.items()} == {
        "standard": "standard",
        "sysu": "identity",
        "llcm": "identity",
        "vcm": "standard",
        "own-camera": "standard",
    }


@pytest.mark.parametrize("name", ["llcm", "vcm", "own-camera"])
def test_an_unknown_camera_is_nobody_s_own(name):
    one, unknown = np.array([1, 1]), np.array([-1, 4])
    removed = RULES[name].removal(one, unknown, one, unknown)
    assert removed.tolist() == [[False, False], [False, True]]
