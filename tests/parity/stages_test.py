import numpy as np

from ckda_jax.parity.stages import CLASSIFIER, stages
from tests.parity import folders


def states():
    file = folders.read("train5.npz")
    return file.state("new0/"), file.state("old0/")


def test_each_model_has_its_slice_of_one_classifier():
    new, old = states()
    pair = stages(folders.sizes(), new, old, "float32")
    assert pair.previous is not None and pair.teacher is not None
    assert (int(pair.info.first_row), int(pair.info.classes)) == (7, 5)
    assert (int(pair.previous.first_row), int(pair.previous.classes)) == (0, 7)
    assert pair.student["params"]["classifier"]["kernel"].shape == (48, 12)
    taught = np.asarray(pair.teacher["params"]["classifier"]["kernel"])[:, :7]
    np.testing.assert_array_equal(taught.T, old[CLASSIFIER])


def test_export_gives_the_stage_alone():
    new, old = states()
    pair = stages(folders.sizes(), new, old, "float32")
    ours = {**pair.export(pair.student), **pair.extras}
    assert set(ours) == set(new)
    np.testing.assert_array_equal(ours[CLASSIFIER], new[CLASSIFIER])


def test_first_stage_has_no_teacher():
    new, _ = states()
    first = stages(folders.sizes(), new, None, "float32")
    assert first.teacher is None and first.previous is None
    assert int(first.info.index) == 0
