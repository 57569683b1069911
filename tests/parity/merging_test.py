import numpy as np

from ckda_jax.parity import merging
from ckda_jax.parity.golden import Golden
from tests.parity import folders


def test_recorded_merges_agree_and_all_are_read():
    file = folders.read("ema.npz")
    assert folders.fine(merging.compare(file, folders.sizes(), "float32"))
    assert file.unread() == []


def test_changed_values_are_misses():
    arrays = dict(folders.read("ema.npz").arrays)
    name = "samecls/merged/bottleneck.num_batches_tracked"
    arrays[name] = np.asarray(arrays[name] + 1)
    kernel = np.array(arrays["diffcls/merged/classifier.weight"])
    kernel[0, 0] += 1e-5
    arrays["diffcls/merged/classifier.weight"] = kernel
    missed = folders.missed(
        merging.compare(Golden("ema.npz", arrays), folders.sizes(), "float32")
    )
    assert missed == ["diffcls/merged/*", "samecls/merged/*.num_batches_tracked"]
