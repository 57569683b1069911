import numpy as np
import pytest

from ckda_jax.parity import losses
from ckda_jax.parity.golden import Golden
from tests.parity import folders


def part(prefixes):
    arrays = folders.read("losses.npz").arrays
    chosen = {k: v for k, v in arrays.items() if k.startswith((*prefixes, "weights/"))}
    return Golden("losses.npz", chosen)


def test_cases_of_centres_alone_agree_and_all_are_read():
    file = part(["uneven/", "missing/"])
    assert folders.fine(losses.compare(file, "float32"))
    assert file.unread() == []


def test_changed_values_are_misses():
    file = part(["uneven/"])
    keys = ["uneven/unique_cent_12", "uneven/grad_feats_tri_cross"]
    changed = {k: np.array(file.arrays[k]) for k in keys}
    for array in changed.values():
        array.flat[0] += 1e-3
    file = Golden("losses.npz", {**file.arrays, **changed})
    assert folders.missed(losses.compare(file, "float32")) == keys


@pytest.mark.slow
def test_a_whole_objective_sees_a_changed_weight():
    file = part(["clustered/"])
    arrays = {**file.arrays, "weights/cross_weight": np.array(0.25)}
    missed = folders.missed(losses.compare(Golden("losses.npz", arrays), "float32"))
    assert set(missed) == {
        f"clustered/{name}"
        for name in (
            "total",
            "total_first_stage",
            "grad_feats",
            "grad_feats_total_first_stage",
        )
    }
