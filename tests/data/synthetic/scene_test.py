import numpy as np
import pytest

from ckda_jax.data.synthetic.scene import KINDS, panorama


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("infrared", [False, True])
def test_a_panorama_is_larger_than_a_picture_and_within_range(kind, infrared):
    whole = panorama(kind, 0, "here", infrared, (64, 32))
    assert whole.shape == (80, 128, 1 if infrared else 3)
    assert whole.min() >= 0
    assert whole.max() <= 1
    assert whole.std() > 0.02


def test_a_place_is_the_same_again_and_others_differ():
    first = panorama("room", 0, "here", False, (64, 32)).copy()
    panorama.cache_clear()
    np.testing.assert_array_equal(first, panorama("room", 0, "here", False, (64, 32)))
    assert np.abs(first - panorama("room", 0, "there", False, (64, 32))).mean() > 0.01
    assert np.abs(first - panorama("room", 1, "here", False, (64, 32))).mean() > 0.01
