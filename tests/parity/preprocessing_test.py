import numpy as np

from ckda_jax.parity import preprocessing
from ckda_jax.parity.golden import Golden
from tests.parity import folders


def test_recorded_chains_agree_and_all_are_read():
    file = folders.read("transforms.npz")
    assert folders.fine(preprocessing.compare(file))
    assert file.unread() == []


def test_one_level_is_a_miss_under_the_recorded_pillow_alone():
    arrays = dict(folders.read("transforms.npz").arrays)
    pixels = np.array(arrays["lanczos_128x256"])
    pixels.flat[0] += 1
    arrays["lanczos_128x256"] = pixels
    assert folders.missed(preprocessing.compare(Golden("transforms.npz", arrays))) == [
        "lanczos_128x256"
    ]
    arrays["pillow_version"] = np.array("0.0.0")
    assert folders.fine(preprocessing.compare(Golden("transforms.npz", arrays)))
