import numpy as np

from ckda_jax.parity import sampler
from ckda_jax.parity.golden import Golden
from ckda_jax.parity.table import DIFFERENT, UNKNOWN
from tests.parity import folders


def test_the_recorded_sampler_is_different_on_purpose():
    file = folders.read("sampler.npz")
    assert [row.verdict for row in sampler.compare(file)] == [DIFFERENT]
    assert file.unread() == []


def test_a_sampler_that_does_not_repeat_its_first_batch_is_not_excused():
    arrays = dict(folders.read("sampler.npz").arrays)
    arrays["index1"] = np.arange(len(arrays["index1"]))
    rows = sampler.compare(Golden("sampler.npz", arrays))
    assert [row.verdict for row in rows] == [UNKNOWN]
